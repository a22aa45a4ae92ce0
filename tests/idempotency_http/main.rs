//! Requests of HTTP that are run once, over axum.

mod around;
mod bodies;
mod clients;
mod keys;
mod memory;
mod replay;
mod server;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod transactions;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::{Router, routing};
use buttress::http::{AsResponse, IdempotencyKeys, KeptResponses, PartlyRead};
use buttress::idempotency::{Global, IdempotencyConfig, IdempotencyLayer, MemoryStore};
use http_body_util::BodyExt;
use tower::ServiceExt;

type IntoBody = fn(PartlyRead<Body>) -> Body;
type Once = IdempotencyLayer<MemoryStore, IdempotencyKeys<Global>, KeptResponses<IntoBody>, AsResponse>;

fn store() -> MemoryStore {
    MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"))
}

/// As it is by default, with a store that the test can look into.
fn once(store: &MemoryStore) -> Once {
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store.clone()).expect("valid");
    layer.http_server(IdempotencyKeys::new().global_scope(), Body::new)
}

/// How often a handler was called.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<AtomicU32>);

impl Calls {
    fn count(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn so_far(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Answers a `POST` of any path with what `answer` makes, as often as it is called.
fn answering<A>(calls: &Calls, answer: A) -> Router
where
    A: Fn() -> Response<Body> + Clone + Send + Sync + 'static,
{
    let calls = calls.clone();
    Router::new().fallback(routing::post(async move || {
        calls.count();
        answer()
    }))
}

fn post_to(path: &str, key: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path).header("content-type", "text/plain");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(body.into()).expect("a request")
}

/// An order under the key `k`.
fn order() -> Request<Body> {
    post_to("/orders", Some("k"), "tea")
}

async fn send(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.expect("infallible")
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.into()).expect("text")
}

fn is_a_replay(response: &Response<Body>) -> bool {
    response.headers().get("idempotency-replayed").is_some_and(|value| value == "true")
}

/// That the request was run, and its answer is not there to be told again, but where to look for it.
async fn assert_not_replayable(response: Response<Body>) {
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["location"], "/orders/7");
    assert!(!is_a_replay(&response), "it is another one");
    assert!(text(response).await.contains("urn:problem-type:buttress:idempotency-not-replayable"));
}
