//! Responses that processes keep for each other.

use std::convert::Infallible;
use std::future::ready;
use std::num::NonZeroU64;
use std::time::Duration;

use axum::body::Body;
use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore};
use buttress::engines::redis::{Connection, RedisCache};
use buttress::http::{CacheKey, CachedResponses, StoredResponse, StoredResponseCodec};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use crate::answers::cache;
use crate::server::Redis;
use crate::world::HOUR;

type Service = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// A process whose service shows a page in the language that is asked for, as long as it `is_up`.
fn process(cache: RedisCache<Connection>, is_up: bool) -> Service {
    let store: MemoryStore<CacheKey, StoredResponse> = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
    let store = store.over(cache, StoredResponseCodec);
    let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(HOUR).name("shop"), store).expect("valid");
    let scope = |request: &Request<Body>| Some(request.headers().get("authorization")?.to_str().ok()?.to_owned());
    let layer = layer.http_server(CachedResponses::new().scope(scope), Body::new);
    BoxCloneSyncService::new(layer.layer(service_fn(move |request: Request<Body>| ready(Ok(page(&request, is_up))))))
}

fn page(request: &Request<Body>, is_up: bool) -> Response<Body> {
    let said = |name| request.headers().get(name).map_or("", |value| value.to_str().expect("text"));
    if !is_up {
        let down = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        return down.body("down".into()).expect("a response");
    }
    let page = format!("{} in {} for {}", request.uri(), said("accept-language"), said("authorization"));
    let response = Response::builder().header("vary", "accept-language").header("x-own", "1");
    response.body(page.into()).expect("a response")
}

/// The status, the body and the age that a request is told.
async fn ask(service: &Service, user: &str, language: &str) -> (u16, String, Option<u64>) {
    let request =
        Request::get("https://shop.example/7").header("authorization", user).header("accept-language", language);
    let request = request.body(Body::empty()).expect("a request");
    let (head, body) = service.clone().oneshot(request).await.expect("infallible").into_parts();
    let body = body.collect().await.expect("all of it").to_bytes();
    let age = head.headers.get("age").map(|age| age.to_str().expect("text").parse().expect("seconds"));
    if age.is_some() {
        assert_eq!(head.headers["x-own"], "1");
        assert_eq!(head.headers["cache-status"], "shop;fwd=stale;fwd-status=503;detail=stale-if-error");
    }
    (head.status.as_u16(), String::from_utf8(body.into()).expect("text"), age)
}

#[tokio::test]
async fn a_page_that_one_process_has_shown_another_one_shows_in_its_language_and_to_its_user() {
    let redis = Redis::start(&[]).await;
    let (up, down) = (process(cache(&redis), true), process(cache(&redis), false));
    for language in ["de", "en"] {
        let shown = ask(&up, "ann", language).await;
        assert_eq!(shown, (200, format!("https://shop.example/7 in {language} for ann"), None));
    }
    // One user's page in two languages, and since when all is known.
    let page = async || {
        let keys: Vec<String> = redis.say("KEYS buttress:cache:*").await;
        let page = keys.iter().find(|key| !key.ends_with("epoch")).cloned();
        let Some(page) = page else { return 0 };
        redis.say::<u32>(&format!("HLEN {page}")).await
    };
    while page().await < 3 {
        sleep(Duration::from_millis(5)).await;
    }
    for language in ["de", "en"] {
        let (status, body, age) = ask(&down, "ann", language).await;
        assert_eq!((status, body), (200, format!("https://shop.example/7 in {language} for ann")));
        assert!(age.is_some());
    }
    assert_eq!(ask(&down, "ann", "fr").await, (503, "down".to_owned(), None), "nobody has shown it");
    assert_eq!(ask(&down, "bob", "de").await, (503, "down".to_owned(), None), "it is not his");
}
