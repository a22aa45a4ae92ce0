//! What the retry layer knows of HTTP by way of its presets, in paused time.

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::clock::Moment;
use buttress::http::{AttemptHeader, IdempotentRequests, InExtensions, ReplayBodies, StatusClassifier};
use buttress::retry::{Backoff, Replay, RetryConfig, RetryLayer, Spread};
use buttress::{Attempt, BoxError, Deadline, Failure};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn since(start: Moment) -> Duration {
    Moment::now().since(start)
}

type HttpRetry = RetryLayer<
    buttress::retry::Cloned,
    StatusClassifier,
    IdempotentRequests,
    buttress::retry::Kinds,
    buttress::retry::NotKnown,
    InExtensions,
    InExtensions,
>;

/// Three attempts, 100 ms and 200 ms apart.
fn plain() -> RetryConfig {
    RetryConfig::new().backoff(Backoff::exponential(100 * MS, 10 * SEC).spread(Spread::None))
}

fn retry() -> HttpRetry {
    RetryLayer::new(plain()).expect("valid").http_client()
}

/// An origin that gives this answer each time, the last one but for those that come first; notes what it was sent.
#[derive(Clone)]
struct Origin {
    first: Arc<Mutex<Vec<Response<Bytes>>>>,
    then: StatusCode,
    seen: Arc<Mutex<Vec<(Moment, http::request::Parts)>>>,
}

impl Origin {
    fn always(status: u16) -> Self {
        let then = StatusCode::from_u16(status).expect("a status");
        Self { first: Arc::default(), then, seen: Arc::default() }
    }

    /// This answer, then 200.
    fn first(response: http::response::Builder) -> Self {
        let origin = Self::always(200);
        origin.first.lock().expect("no panic").push(response.body(Bytes::new()).expect("valid headers"));
        origin
    }

    fn calls(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }

    /// How long after the first call the second one came, if it did.
    fn second_after(&self) -> Option<Duration> {
        let seen = self.seen.lock().expect("no panic");
        seen.get(1).map(|second| second.0.since(seen[0].0))
    }

    fn told<T>(&self, of: impl Fn(&http::request::Parts) -> T) -> Vec<T> {
        self.seen.lock().expect("no panic").iter().map(|(_, parts)| of(parts)).collect()
    }
}

impl<B> Service<Request<B>> for Origin {
    type Response = Response<Bytes>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Bytes>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.seen.lock().expect("no panic").push((Moment::now(), request.into_parts().0));
        let first = self.first.lock().expect("no panic").pop();
        ready(Ok(first.unwrap_or_else(|| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = self.then;
            response
        })))
    }
}

fn get() -> Request<()> {
    Request::get("/orders/7").body(()).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn only_what_is_idempotent_is_sent_again() {
    let calls = async |method: Method, key: Option<&str>| {
        let origin = Origin::always(503);
        let mut request = Request::builder().method(method).uri("/orders");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = retry().layer(origin.clone()).oneshot(request.body(()).expect("valid")).await;
        assert_eq!(response.expect("the last real outcome").status(), 503);
        origin.calls()
    };
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE] {
        assert_eq!(calls(method.clone(), None).await, 3, "{method}");
    }
    for method in [Method::POST, Method::PATCH, Method::CONNECT] {
        assert_eq!(calls(method.clone(), None).await, 1, "{method}");
        assert_eq!(calls(method.clone(), Some("")).await, 1, "{method}");
        assert_eq!(calls(method.clone(), Some("order-7")).await, 3, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_status_is_retried_as_the_table_of_meanings_says() {
    for status in 100..600 {
        let origin = Origin::always(status);
        let response = retry().layer(origin.clone()).oneshot(get()).await.expect("the last real outcome");
        assert_eq!(response.status(), status);
        let is_retried = matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504);
        assert_eq!(origin.calls(), if is_retried { 3 } else { 1 }, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_server_asks_for_is_waited_for() {
    let waits = async |response: http::response::Builder| {
        let origin = Origin::first(response);
        retry().layer(origin.clone()).oneshot(get()).await.expect("a response");
        origin.second_after()
    };
    let busy = |status: u16| Response::builder().status(status);
    for status in [429, 503] {
        assert_eq!(waits(busy(status)).await, Some(100 * MS));
        assert_eq!(waits(busy(status).header("retry-after", "2")).await, Some(2 * SEC));
        assert_eq!(waits(busy(status).header("retry-after", "0")).await, Some(100 * MS), "the backoff is longer");
        let dated = busy(status)
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("retry-after", "Sun, 06 Nov 1994 08:49:44 GMT");
        assert_eq!(waits(dated).await, Some(7 * SEC), "by the server's own clock");
        assert_eq!(waits(busy(status).header("ratelimit", r#""default";r=0;t=5"#)).await, Some(5 * SEC));
        assert_eq!(waits(busy(status).header("ratelimit", r#""default";r=1;t=5"#)).await, Some(100 * MS));
        let both = busy(status).header("retry-after", "3").header("ratelimit", r#""default";r=0;t=5"#);
        assert_eq!(waits(both).await, Some(3 * SEC));
        assert_eq!(waits(busy(status).header("retry-after", "30")).await, Some(30 * SEC));
        assert_eq!(waits(busy(status).header("retry-after", "31")).await, None, "longer than anybody waits");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_marked_is_not_retried() {
    let calls = async |mark: &str| {
        let origin = Origin::first(Response::builder().status(503).header("x-should-retry", mark));
        retry().layer(origin.clone()).oneshot(get()).await.expect("a response");
        origin.calls()
    };
    assert_eq!((calls("false").await, calls("true").await), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_in_the_extensions_or_in_scope_ends_the_retries() {
    let calls = async |in_extensions: Option<Duration>, in_scope: Duration| {
        let (origin, start) = (Origin::always(503), Moment::now());
        let mut request = get();
        request.extensions_mut().extend(
            in_extensions
                .map(|time| {
                    let mut extensions = http::Extensions::new();
                    extensions.insert(Deadline::within(time));
                    extensions
                })
                .unwrap_or_default(),
        );
        let call = retry().layer(origin.clone()).oneshot(request);
        let response = Deadline::within(in_scope).scope(call).await.expect("the last real outcome");
        assert_eq!(response.status(), 503);
        (origin.calls(), since(start))
    };
    assert_eq!(calls(None, SEC).await, (3, 300 * MS));
    assert_eq!(calls(None, 250 * MS).await, (2, 100 * MS));
    assert_eq!(calls(Some(50 * MS), SEC).await, (1, Duration::ZERO));
    assert_eq!(calls(Some(SEC), 50 * MS).await, (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn from_the_second_attempt_on_a_request_is_told_its_number() {
    let origin = Origin::always(503);
    retry().layer(origin.clone()).oneshot(get()).await.expect("a response");
    let attempts = origin.told(|parts| parts.extensions.get::<Attempt>().map(|attempt| attempt.number()));
    assert_eq!(attempts, [None, Some(2), Some(3)]);

    let origin = Origin::always(503);
    retry().on_attempt(AttemptHeader::new()).layer(origin.clone()).oneshot(get()).await.expect("a response");
    let counts = origin.told(|parts| parts.headers.get("x-envoy-attempt-count").cloned());
    assert_eq!(counts, [None, Some("2".parse().expect("valid")), Some("3".parse().expect("valid"))]);
}

#[tokio::test(start_paused = true)]
async fn retries_around_retries_do_not_multiply() {
    let calls = async |inner: RetryConfig| {
        let origin = Origin::always(503);
        let inner = RetryLayer::new(inner).expect("valid").http_client();
        ServiceBuilder::new()
            .layer(retry())
            .layer(inner)
            .service(origin.clone())
            .oneshot(get())
            .await
            .expect("a response");
        origin.calls()
    };
    assert_eq!(calls(plain()).await, 3 + 1 + 1);
    assert_eq!(calls(plain().max_attempts_within_retry(3)).await, 3 + 3 + 3, "unless that is asked for");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_arrives_as_a_response_is_waited_for_too() {
    let (origin, start) = (Origin::first(Response::builder().status(500)), Moment::now());
    let breaker = CircuitBreakerConfig::new().consecutive_failures(1).open_for(2 * SEC);
    let breaker = CircuitBreakerLayer::new(breaker).expect("valid").http_server();
    let stack = ServiceBuilder::new().layer(retry()).layer(breaker).service(origin.clone());
    let response = stack.oneshot(get()).await.expect("a response");
    assert_eq!((response.status().as_u16(), origin.calls(), since(start)), (200, 2, 2 * SEC));
}

#[tokio::test(start_paused = true)]
async fn a_predicate_may_look_at_the_request() {
    let calls = async |path: &str| {
        let origin = Origin::always(507);
        let retry = retry().when(|request: &Request<()>, failure: &Failure| {
            request.uri().path() == "/report" && failure.code() == Some(507)
        });
        retry.layer(origin.clone()).oneshot(Request::get(path).body(()).expect("valid")).await.expect("a response");
        origin.calls()
    };
    assert_eq!((calls("/report").await, calls("/other").await), (3, 1));
}

#[test]
fn a_closure_copies_what_it_can_and_the_rest_is_sent_once() {
    let small = |request: &Request<Vec<u8>>| (request.body().len() < 10).then(|| request.clone());
    let (_, kept) = small.split(Request::new(vec![0; 5]));
    let mut kept = kept.expect("it is small");
    assert!(small.seal(&mut kept));
    assert_eq!(small.again(&mut kept).into_body(), [0; 5]);
    assert!(small.split(Request::new(vec![0; 50])).1.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_router_has_a_retry_that_gives_its_handlers_the_whole_body_each_time() {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::put;

    let bodies = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let bodies = bodies.clone();
        async move |body: String| {
            let mut bodies = bodies.lock().expect("no panic");
            bodies.push(body);
            if bodies.len() < 3 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CREATED }
        }
    };
    let retry = RetryLayer::new(plain()).expect("valid").http_server();
    let app =
        Router::new().route("/orders/7", put(handler)).layer(retry.replay(ReplayBodies::new().into_body(Body::new)));
    let request = Request::put("/orders/7").body(Body::from("two books")).expect("valid");
    assert_eq!(app.oneshot(request).await.expect("infallible").status(), StatusCode::CREATED);
    assert_eq!(*bodies.lock().expect("no panic"), ["two books"; 3]);
}
