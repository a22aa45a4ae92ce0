//! A repeated request has the answer of the first one.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::{get, post};
use buttress::http::{Effect, IdempotencyKeys};
use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, MemoryStore};
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

fn app(calls: &Arc<AtomicU32>) -> Router {
    let calls = calls.clone();
    let count = move || calls.fetch_add(1, Ordering::SeqCst) + 1;
    let (order, slow, large, echo) = (count.clone(), count.clone(), count.clone(), count.clone());
    let keys = IdempotencyKeys::new().scope(|head: &Parts| {
        let tenant = head.headers.get("x-tenant").map(|tenant| tenant.as_bytes().to_vec());
        (tenant, head.uri.path().to_owned())
    });
    let store = MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"));
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid").http_server(keys, Body::new);
    Router::new()
        .route(
            "/orders",
            post(async move |body: String| {
                let headers = [("location", "/orders/7"), ("set-cookie", "a=b"), ("link", "</a>"), ("link", "</b>")];
                (StatusCode::CREATED, AppendHeaders(headers), format!("{body} {}", order()))
            }),
        )
        .route(
            "/slow",
            post(async move || {
                let call = slow();
                tokio::time::sleep(Duration::from_millis(300)).await;
                call.to_string()
            }),
        )
        .route(
            "/large",
            post(async move || {
                large();
                ([("location", "/orders/9")], vec![7_u8; 1 << 20])
            }),
        )
        .route("/busy", post(async move || (axum::Extension(Effect::None), echo().to_string())))
        .route("/orders", get(async move || count().to_string()))
        .layer(layer)
}

fn post_to(path: &str, key: Option<&str>, body: &'static str) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", "text/plain");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Body::from(body)).expect("a request")
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.into()).expect("text")
}

#[tokio::test]
async fn a_repeated_request_has_the_same_response_but_for_what_is_of_the_moment() {
    let calls = Arc::default();
    let app = app(&calls);
    let first = app.clone().oneshot(post_to("/orders", Some("k"), "tea")).await.expect("a response");
    assert_eq!((first.status(), first.headers().contains_key("set-cookie")), (StatusCode::CREATED, true));
    assert!(!first.headers().contains_key("idempotency-replayed"));
    assert_eq!(text(first).await, "tea 1");
    for key in ["k", "\"k\""] {
        let again = app.clone().oneshot(post_to("/orders", Some(key), "tea")).await.expect("a response");
        assert_eq!(
            (again.status(), &again.headers()["location"]),
            (StatusCode::CREATED, &"/orders/7".parse().expect("a value"))
        );
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert!(!again.headers().contains_key("set-cookie"), "cookies are of one client");
        assert!(again.headers().get_all("link").iter().eq(["</a>", "</b>"]));
        assert_eq!(text(again).await, "tea 1");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_another_request_is_not_answered_with_this_one() {
    let calls = Arc::default();
    let app = app(&calls);
    let send = async |request: Request<Body>| app.clone().oneshot(request).await.expect("a response");
    assert_eq!(text(send(post_to("/orders", Some("k"), "tea")).await).await, "tea 1");
    let mismatch = send(post_to("/orders", Some("k"), "coffee")).await;
    assert_eq!(mismatch.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(text(mismatch).await.contains("idempotency-mismatch"));
    let mut other = post_to("/orders", Some("k"), "tea");
    other.headers_mut().insert("x-tenant", "7".parse().expect("a value"));
    assert_eq!(text(send(other).await).await, "tea 2", "another tenant's key");
    assert_eq!(text(send(post_to("/busy", Some("k"), "tea")).await).await, "3", "another operation");
    assert_eq!(text(send(post_to("/busy", Some("k"), "tea")).await).await, "4", "nothing came of it");
    for (key, kind) in [(None, "key-missing"), (Some("a, b"), "key-malformed"), (Some(""), "key-malformed")] {
        let refused = send(post_to("/orders", key, "tea")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert!(text(refused).await.contains(kind));
    }
    let get = || Request::get("/orders").header("idempotency-key", "k").body(Body::empty()).expect("a request");
    assert_eq!(text(send(get()).await).await, "5", "what is safe is run as often as it is sent");
    assert_eq!(text(send(get()).await).await, "6");
}

#[tokio::test]
async fn a_response_that_is_too_large_to_keep_goes_out_whole_and_is_not_made_again() {
    let calls = Arc::default();
    let app = app(&calls);
    let first = app.clone().oneshot(post_to("/large", Some("k"), "")).await.expect("a response");
    assert_eq!(first.headers()["content-length"], "1048576");
    assert_eq!(first.into_body().collect().await.expect("a body").to_bytes(), Bytes::from(vec![7_u8; 1 << 20]));
    let again = app.oneshot(post_to("/large", Some("k"), "")).await.expect("a response");
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert!(text(again).await.contains("not-replayable"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_is_too_large_to_read_is_refused_and_not_recorded() {
    let calls = Arc::default();
    let app = app(&calls);
    let large = Request::post("/slow").header("idempotency-key", "k").body(Body::from(vec![0; (1 << 20) + 1]));
    let refused = app.clone().oneshot(large.expect("a request")).await.expect("a response");
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(text(app.oneshot(post_to("/slow", Some("k"), "")).await.expect("a response")).await, "1");
}

#[tokio::test]
async fn a_client_that_closes_or_half_closes_its_connection_does_not_stop_what_it_asked_for() {
    let calls = Arc::default();
    let app = app(&calls);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = app.clone();
    tokio::spawn(async move { axum::serve(listener, server).await });
    for (run, key) in [(1, "closes"), (2, "half")] {
        let mut client = TcpStream::connect(address).await.expect("a connection");
        let request = format!(
            "POST /slow HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\nidempotency-key: {key}\r\ncontent-length: 0\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.expect("sent");
        while calls.load(Ordering::SeqCst) < run {
            tokio::task::yield_now().await;
        }
        if key == "half" {
            client.shutdown().await.expect("half closed");
            assert_eq!(client.read(&mut [0; 100]).await.unwrap_or(0), 0, "the server gives up the connection");
        }
        drop(client);
        let again = || post_to("/slow", Some(key), "");
        let mut statuses = Vec::new();
        loop {
            let response = app.clone().oneshot(again()).await.expect("a response");
            statuses.push(response.status());
            if response.status() == StatusCode::OK {
                assert_eq!(response.headers()["idempotency-replayed"], "true");
                break;
            }
            assert_eq!(response.headers()["retry-after"], "5");
            tokio::task::yield_now().await;
        }
        assert_eq!(statuses[0], StatusCode::CONFLICT);
        assert_eq!(calls.load(Ordering::SeqCst), run);
    }
}

#[tokio::test]
async fn a_response_of_the_layer_says_what_it_refuses() {
    let calls = Arc::default();
    let refused = app(&calls).oneshot(post_to("/orders", None, "tea")).await.expect("a response").into_response();
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_handler_that_panics_or_breaks_off_has_failed_for_good() {
    let calls = Arc::new(AtomicU32::new(0));
    let (panics, breaks) = (calls.clone(), calls.clone());
    let keys = IdempotencyKeys::new().global_scope();
    let store = MemoryStore::new(NonZeroUsize::new(10).expect("not zero"));
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid").http_server(keys, Body::new);
    let app = Router::new()
        .route(
            "/panics",
            post(async move || -> String {
                panics.fetch_add(1, Ordering::SeqCst);
                panic!("on purpose")
            }),
        )
        .route(
            "/breaks",
            post(async move || {
                breaks.fetch_add(1, Ordering::SeqCst);
                let pieces = [Ok(Bytes::from("some")), Err(std::io::Error::other("broken"))];
                Body::from_stream(futures::stream::iter(pieces))
            }),
        )
        .layer(layer);
    for (path, calls_then) in [("/panics", 1), ("/breaks", 2)] {
        let first = app.clone().oneshot(post_to(path, Some(path), "")).await.expect("a response");
        if path == "/breaks" {
            assert_eq!(first.status(), StatusCode::OK);
            let mut body = first.into_body();
            assert_eq!(body.frame().await.expect("a frame").expect("data").into_data().expect("data"), "some");
            body.frame().await.expect("a frame").expect_err("broken");
        } else {
            assert_eq!(first.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
        let again = app.clone().oneshot(post_to(path, Some(path), "")).await.expect("a response");
        assert_eq!(
            (again.status(), &again.headers()["idempotency-replayed"]),
            (StatusCode::INTERNAL_SERVER_ERROR, &"true".parse().expect("a value"))
        );
        assert_eq!(calls.load(Ordering::SeqCst), calls_then);
    }
}

#[tokio::test]
async fn a_post_is_sent_again_under_one_key_and_has_one_effect() {
    use buttress::http::IdempotencyKeyLayer;
    use buttress::retry::{Backoff, RetryConfig, RetryLayer};
    use tower::{ServiceBuilder, service_fn};

    let calls = Arc::default();
    let (app, lost) = (app(&calls), Arc::new(AtomicU32::new(0)));
    let network = service_fn(move |request: Request<String>| {
        let (app, lost) = (app.clone(), lost.fetch_add(1, Ordering::SeqCst) < 2);
        async move {
            let response = app.oneshot(request.map(Body::from)).await.expect("infallible");
            // The answer is lost on its way, and what was asked for was done.
            if lost { Err(buttress::BoxError::from("reset")) } else { Ok(response) }
        }
    });
    let config = RetryConfig::new().backoff(Backoff::exponential(Duration::from_millis(1), Duration::from_millis(2)));
    let client = ServiceBuilder::new()
        .layer(IdempotencyKeyLayer::new())
        .layer(
            RetryLayer::new(config)
                .expect("valid")
                .http_client()
                .replay(|request: &Request<String>| Some(request.clone())),
        )
        .service(network);
    let order = || Request::post("/orders").body("tea".to_owned()).expect("a request");
    assert_eq!(text(client.clone().oneshot(order()).await.expect("a response")).await, "tea 1");
    assert_eq!(text(client.oneshot(order()).await.expect("a response")).await, "tea 2", "another call, another key");
}
