//! Responses that stand in for a failure, over axum, hyper's client and real sockets.

mod conditions;
mod crowd;
mod kept;
mod origin;
mod privacy;
mod read_through;
#[cfg(feature = "rfc9111")]
mod revalidation;
#[cfg(feature = "rfc9111")]
mod rfc9111;
mod share;
mod sockets;
mod stampede;

use std::convert::Infallible;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response};
use axum::response::IntoResponse;
use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, Memory, MemoryStore, Remember};
use buttress::http::{CacheKey, CachedResponses, InExtensions, StatusClassifier, StoredResponse};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

/// Up to 30 s old, in a mebibyte.
fn cache() -> CacheFallbackLayer<CacheKey, StoredResponse> {
    let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
    CacheFallbackLayer::new(CacheFallbackConfig::new(30 * SEC).name("shop"), store).expect("valid")
}

/// A service that answers each request with what it is told to, behind a cache fallback.
struct World {
    says: Arc<Mutex<Response<Body>>>,
    memory: Memory<CacheKey, StoredResponse>,
    service: tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
}

impl World {
    fn new() -> Self {
        Self::with(CachedResponses::new())
    }

    fn with<S>(responses: CachedResponses<S>) -> Self
    where
        S: buttress::http::CacheScope<Request<Body>> + Clone + Send + Sync + 'static,
    {
        Self::over(&cache().http_server(responses, Body::new))
    }

    fn over<R>(layer: &CacheFallbackLayer<CacheKey, StoredResponse, R, StatusClassifier, InExtensions>) -> Self
    where
        R: Remember<Request<Body>, Response<Body>, Key = CacheKey, Kept = StoredResponse, Asked: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let says = Arc::new(Mutex::new(Response::default()));
        let origin = service_fn({
            let says = says.clone();
            move |_: Request<Body>| {
                let response = std::mem::take(&mut *says.lock().expect("no panic"));
                async { Ok::<_, Infallible>(response) }
            }
        });
        Self { says, memory: layer.memory(), service: tower::util::BoxCloneSyncService::new(layer.layer(origin)) }
    }

    /// What a request is told that the service answers so.
    async fn ask(&self, request: Request<Body>, answer: impl IntoResponse) -> Told {
        *self.says.lock().expect("no panic") = answer.into_response();
        let response = self.service.clone().oneshot(request).await.expect("infallible");
        Told::of(response).await
    }

    async fn get(&self, uri: &str, answer: impl IntoResponse) -> Told {
        self.ask(get(uri), answer).await
    }

    /// What a request is told when the service is unavailable.
    async fn fail(&self, request: Request<Body>) -> Told {
        self.ask(request, (axum::http::StatusCode::SERVICE_UNAVAILABLE, "down")).await
    }
}

/// A response, read to its end.
#[derive(Debug)]
struct Told {
    status: u16,
    headers: HeaderMap,
    degraded: Option<buttress::Degraded>,
    body: String,
}

impl Told {
    async fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("all of it").to_bytes();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            degraded: head.extensions.get().cloned(),
            body: String::from_utf8(body.into()).expect("text"),
        }
    }

    fn is_from_memory(&self) -> bool {
        self.headers.contains_key("cache-status")
    }

    /// All lines of a header.
    fn header(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|line| line.to_str().expect("text")).collect()
    }
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).expect("a request")
}

fn get_with(uri: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    request("GET", uri, headers)
}

fn request(method: &str, uri: &str, headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}
