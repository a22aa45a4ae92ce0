//! What must not compile, a case at a time: `tests/compile_fail.rs` builds this file with `--cfg case="<module>"`.
//!
//! Without a case it is empty. With `--cfg fixed` each case has the line that it is about, and compiles.
#![cfg_attr(case, allow(dead_code, reason = "what compiles is all that counts"))]

#[cfg(case)]
use std::time::Duration;

#[cfg(case)]
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
#[cfg(case)]
use http_body_util::Full;
#[cfg(case)]
use hyper::body::Bytes;
#[cfg(case)]
use hyper_util::client::legacy::{self, connect::HttpConnector};

#[cfg(case)]
fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1))).expect("a limit above zero")
}

#[cfg(case)]
fn client() -> legacy::Client<HttpConnector, Full<Bytes>> {
    legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http()
}

#[cfg(case = "router")]
mod router {
    use axum::Router;
    use axum::routing::get;

    fn app() -> Router {
        let layer = crate::timeout();
        #[cfg(fixed)]
        let layer = layer.http_server();
        Router::new().route("/", get(async || "hello")).layer(layer)
    }
}

#[cfg(case = "boxed")]
mod boxed {
    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper_util::client::legacy;
    use tower::ServiceBuilder;
    use tower::util::BoxCloneService;

    type Boxed = BoxCloneService<Request<Full<Bytes>>, Response<Incoming>, buttress::Error<legacy::Error>>;

    fn client() -> Boxed {
        let client = ServiceBuilder::new().layer(crate::timeout());
        #[cfg(fixed)]
        let client = client.map_err(buttress::Error::inner);
        BoxCloneService::new(client.service(crate::client()))
    }
}

#[cfg(case = "check")]
mod check {
    use buttress::Check;
    use http::Request;
    use http_body_util::Full;
    use hyper::body::Bytes;
    use tower::ServiceBuilder;

    fn client() {
        let client = ServiceBuilder::new().layer(crate::timeout());
        #[cfg(fixed)]
        let client = client.map_err(buttress::Error::inner);
        let _ = client.service(crate::client()).check::<Request<Full<Bytes>>>();
    }
}

#[cfg(case = "classifier")]
mod classifier {
    use buttress::Check;
    use buttress::fallback::{Failed, FallbackLayer};
    use http::Request;
    use http_body_util::Full;
    use hyper::body::Bytes;
    use tower::ServiceBuilder;

    fn client() {
        let fallback = FallbackLayer::default().http_client().with(|failed: Failed<_, _>| failed.result);
        let client = ServiceBuilder::new().layer(fallback);
        #[cfg(fixed)]
        let client = client.map_err(buttress::Error::inner);
        let _ = client.service(crate::client()).check::<Request<Full<Bytes>>>();
    }
}

#[cfg(case = "substitute")]
mod substitute {
    use buttress::fallback::FallbackLayer;
    use buttress::{BoxError, Check};
    use tower::{Layer, service_fn};

    fn service() {
        let layer = FallbackLayer::default();
        #[cfg(fixed)]
        let layer = layer.value("later");
        let service = layer.layer(service_fn(async |_: u32| Ok::<_, BoxError>("now")));
        let _ = service.check::<u32>();
    }
}

#[cfg(case = "body")]
mod body {
    use axum::body::Body;
    use buttress::Check;
    use http::{Request, Response};
    use hyper::body::Incoming;
    use tower::{ServiceBuilder, service_fn};

    fn proxy() {
        let proxy = ServiceBuilder::new().layer(crate::timeout().http_server());
        #[cfg(fixed)]
        let proxy = proxy.map_response(|response: Response<Incoming>| response.map(Body::new));
        let _ = proxy.service(service_fn(forward)).check::<Request<Incoming>>();
    }

    async fn forward(_: Request<Incoming>) -> Result<Response<Incoming>, std::convert::Infallible> {
        std::future::pending().await
    }
}

#[cfg(case = "deadline")]
mod deadline {
    use buttress::{Check, Error};
    use tower::ServiceBuilder;

    fn client() {
        let layer = crate::timeout().http_client();
        #[cfg(fixed)]
        let layer = layer.deadline_of(buttress::deadline::InScope);
        let client = ServiceBuilder::new().layer(layer).map_err(Error::inner).service(reqwest::Client::new());
        let _ = client.check::<reqwest::Request>();
    }
}

#[cfg(case = "outcome")]
mod outcome {
    use buttress::fallback::{Failed, FallbackLayer};
    use buttress::{Check, Error};
    use tower::ServiceBuilder;

    fn client() {
        let layer = FallbackLayer::default();
        #[cfg(not(fixed))]
        let layer = layer.http_client().mark_with(buttress::outcome::Unmarked);
        let layer = layer.with(|failed: Failed<_, _>| failed.result);
        let client = ServiceBuilder::new().layer(layer).map_err(Error::inner).service(reqwest::Client::new());
        let _ = client.check::<reqwest::Request>();
    }
}

#[cfg(case = "copied")]
mod copied {
    use buttress::Check;
    use buttress::http::{ClientStackConfig, client_stack};
    use http::Request;
    use hyper::body::Incoming;
    use hyper_util::client::legacy::{Client, connect::HttpConnector};
    use tower::ServiceBuilder;

    fn client(client: Client<HttpConnector, Incoming>) {
        let stack = client_stack(ClientStackConfig::new()).expect("valid");
        #[cfg(fixed)]
        let stack = stack.retry(tower::layer::util::Identity::new());
        let client = ServiceBuilder::new().layer(stack).service(client);
        let _ = client.check::<Request<Incoming>>();
    }
}

#[cfg(case = "inert")]
mod inert {
    use axum::Router;
    use axum::body::Body;
    use axum::http::Response;
    use axum::routing::get;
    use buttress::fallback::{Failed, FallbackLayer};

    pub(crate) fn app() -> Router {
        let layer = FallbackLayer::default();
        #[cfg(fixed)]
        let layer = layer.http_server();
        let layer = layer.with(|_: Failed<_, _>| Ok(Response::new(Body::from("later"))));
        Router::new().route("/", get(async || "hello")).layer(layer)
    }

    #[test]
    fn is_called() {
        let _ = app();
    }
}

#[cfg(case = "replay")]
mod replay {
    use axum::body::Body;
    use buttress::retry::{RetryConfig, RetryLayer};
    use buttress::{BoxError, Check};
    use http::{Request, Response};
    use tower::{Layer, service_fn};

    fn client() {
        let layer = RetryLayer::new(RetryConfig::new()).expect("valid").http_client();
        #[cfg(fixed)]
        let layer = layer.replay(|_: &Request<Body>| None);
        let client = layer.layer(service_fn(async |_: Request<Body>| Ok::<_, BoxError>(Response::new(()))));
        let _ = client.check::<Request<Body>>();
    }
}

#[cfg(case)]
fn cache<K: Eq + std::hash::Hash + Clone, V>() -> buttress::cache_fallback::CacheFallbackLayer<K, V> {
    use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore};

    let store = MemoryStore::new(std::num::NonZeroU64::MIN);
    CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(60)), store).expect("longer than zero")
}

#[cfg(case = "unsaid")]
mod unsaid {
    use axum::Router;
    use axum::routing::get;

    fn app() -> Router {
        let layer = crate::cache::<buttress::http::CacheKey, buttress::http::StoredResponse>();
        #[cfg(fixed)]
        let layer = layer.http_server(buttress::http::CachedResponses::new(), axum::body::Body::new);
        Router::new().route("/", get(async || "hello")).layer(layer)
    }
}

#[cfg(case = "unclonable")]
mod unclonable {
    use axum::Router;
    use axum::routing::get;

    fn app() -> Router {
        let layer = crate::cache();
        #[cfg(fixed)]
        let layer = layer.http_server(buttress::http::CachedResponses::new(), axum::body::Body::new);
        #[cfg(not(fixed))]
        let layer = layer.key(|request: &axum::extract::Request| Some(request.uri().path().to_owned()));
        Router::new().route("/", get(async || "hello")).layer(layer)
    }
}

#[cfg(case = "unclonable_through")]
mod unclonable_through {
    use std::io;
    use std::time::Duration;

    use buttress::Check;
    use buttress::cache_fallback::ReadThroughConfig;
    use tower::{ServiceBuilder, service_fn};

    #[cfg_attr(fixed, derive(Clone))]
    struct Product(String);

    fn lookup() {
        let layer = crate::cache().key(|name: &String| Some(name.clone()));
        let layer = layer.read_through(ReadThroughConfig::new(Duration::from_secs(1))).expect("longer than zero");
        let lookup = service_fn(async |name: String| Ok::<_, io::Error>(Product(name)));
        let _ = ServiceBuilder::new().layer(layer).service(lookup).check::<String>();
    }
}
