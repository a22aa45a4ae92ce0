//! The circuit breaker where there is HTTP: axum behind real sockets, statuses, `Retry-After`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State as Shared};
use axum::routing::get;
use buttress::circuit_breaker::{
    CircuitBreakerConfig, CircuitBreakerLayer, KeyedCircuitBreakerLayer, OpenFor, State, TripReason,
};
use buttress::http::{AsResponse, StatusClassifier};
use buttress::{BoxError, Error, Rejection};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new().name("test").consecutive_failures(4).open_for(OpenFor::fixed(3600 * SEC))
}

fn layer(config: CircuitBreakerConfig) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new(config).expect("valid")
}

/// How often the handlers of `/a` and `/b` ran; both always fail.
#[derive(Clone, Default)]
struct Ran(Arc<[AtomicUsize; 2]>);

impl Ran {
    fn count(&self) -> [usize; 2] {
        [0, 1].map(|route| self.0[route].load(Ordering::SeqCst))
    }
}

fn routes() -> Router<Ran> {
    let fails = |route: usize| {
        get(async move |Shared(ran): Shared<Ran>| {
            ran.0[route].fetch_add(1, Ordering::SeqCst);
            StatusCode::INTERNAL_SERVER_ERROR
        })
    };
    Router::new().route("/a", fails(0)).route("/b", fails(1))
}

/// Serves in the plainest way there is.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The answer's head, over a connection of its own.
async fn head(address: SocketAddr, path: &str) -> String {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("it answers in text");
    answer.to_lowercase()
}

/// What 20 requests to each route, one after the other and each over a connection of its own, were answered.
async fn storm(app: Router) -> [Vec<String>; 2] {
    let address = serve(app).await;
    let mut heads = [vec![], vec![]];
    for _ in 0..20 {
        for (route, heads) in ["/a", "/b"].into_iter().zip(&mut heads) {
            heads.push(head(address, route).await);
        }
    }
    heads
}

fn refused(heads: &[String]) -> usize {
    heads.iter().filter(|head| head.starts_with("http/1.1 503")).count()
}

/// A breaker that lives in the service was made anew for every connection: 40 calls, all failed, and it never opened.
#[tokio::test]
async fn under_axum_serve_one_layer_is_one_breaker_for_all_connections_and_routes() {
    let (ran, layer) = (Ran::default(), layer(config()));
    let app = routes().layer(layer.clone().http_server()).with_state(ran.clone());
    let [a, b] = storm(app).await;
    assert_eq!(ran.count(), [2, 2], "four failures in a row, whichever route they came from");
    assert_eq!((refused(&a), refused(&b)), (18, 18));
    assert_eq!(layer.breaker().state(), State::Open);
    let last = b.last().expect("20 of them");
    assert!(last.contains("\r\nretry-after: 3600\r\n"), "{last}");
    assert!(last.contains("\r\ncontent-type: application/problem+json\r\n"), "{last}");
    assert!(last.contains(r#""type":"urn:problem-type:buttress:circuit-open""#), "{last}");
}

#[tokio::test]
async fn under_axum_serve_each_route_can_have_its_own() {
    let by_route = |request: &Request<Body>| request.extensions().get::<MatchedPath>().map(|path| path.as_str().into());
    let by_key: KeyedCircuitBreakerLayer<String, _> = CircuitBreakerLayer::by_key(config(), by_route).expect("valid");
    let ran = Ran::default();
    let app = routes().layer(by_key.clone().http_server()).with_state(ran.clone());
    let [a, b] = storm(app).await;
    assert_eq!(ran.count(), [4, 4], "four failures in a row on each route");
    assert_eq!((refused(&a), refused(&b)), (16, 16));
    assert_eq!(by_key.breakers().get(&"/a".into()).map(|breaker| breaker.state()), Some(State::Open));

    let ran = Ran::default();
    let own = || layer(config().consecutive_failures(3)).http_server();
    let fails = async |Shared(ran): Shared<Ran>| {
        ran.0[0].fetch_add(1, Ordering::SeqCst);
        StatusCode::BAD_GATEWAY
    };
    let app = Router::new().route("/a", get(fails).layer(own())).route("/b", get(fails).layer(own()));
    storm(app.with_state(ran.clone())).await;
    assert_eq!(ran.count(), [6, 0], "two layers made by `new` are two breakers");
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn status(status: u16, retry_after: Option<&str>) -> Answer {
    let mut response = Response::builder().status(status);
    if let Some(value) = retry_after {
        response = response.header("retry-after", value);
    }
    Ok(response.body(Full::default()).expect("valid"))
}

/// A 429 that counted as a success kept a breaker closed for ever; one that counted as a failure opened it for a quota.
#[tokio::test(start_paused = true)]
async fn each_status_means_to_a_breaker_what_the_table_says() {
    let streak_after = async |code| {
        let layer = layer(config()).http_server();
        let service = layer.layer(service_fn(async |code| status(code, None)));
        service.clone().oneshot(503).await.unwrap_or_else(|never| match never {});
        service.oneshot(code).await.unwrap_or_else(|never| match never {});
        layer.breaker().snapshot().consecutive_failures
    };
    for failure in [500, 502, 503, 504, 507, 599] {
        assert_eq!(streak_after(failure).await, 2, "{failure}");
    }
    for neutral in [408, 425, 429] {
        assert_eq!(streak_after(neutral).await, 1, "{neutral}");
    }
    for success in [200, 302, 400, 404, 501, 505] {
        assert_eq!(streak_after(success).await, 0, "{success}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_in_whole_seconds_rounded_up_or_the_status_chosen() {
    let layer = layer(config().open_for(OpenFor::fixed(10 * SEC))).http_server();
    let service = layer.layer(service_fn(async |()| status(500, None)));
    let call = async || service.clone().oneshot(()).await.unwrap_or_else(|never| match never {});
    for _ in 0..4 {
        assert_eq!(call().await.status(), 500);
    }
    advance(8 * SEC + MS).await;
    let refusal = call().await;
    assert_eq!(
        (refusal.status(), &refusal.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"2".parse().expect("valid"))
    );
    let rejection: &Rejection = refusal.extensions().get().expect("it carries itself");
    assert_eq!(rejection.retry_after(), Some(2 * SEC - MS));

    layer.breaker().force_open();
    let branded = layer.clone().reject_with(AsResponse::new().when_circuit_open(StatusCode::BAD_GATEWAY));
    let refusal = branded.layer(service_fn(async |()| status(200, None))).oneshot(()).await;
    let refusal = refusal.unwrap_or_else(|never| match never {});
    assert_eq!(refusal.status(), StatusCode::BAD_GATEWAY);
    assert!(!refusal.headers().contains_key("retry-after"), "nobody knows");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_gets_it() {
    let layer = layer(config().consecutive_failures(1).open_for(OpenFor::fixed(SEC))).http_client();
    let provider = service_fn(async |(code, hint): (u16, &'static str)| {
        status(code, Some(hint)).map_err(|never: Infallible| -> BoxError { match never {} })
    });
    let call = async |code, hint| layer.layer(provider).oneshot((code, hint)).await;
    call(503, "30").await.expect("the answer of the provider");
    assert_eq!(layer.breaker().snapshot().time_left, Some(30 * SEC));
    advance(30 * SEC).await;
    call(429, "100000").await.expect("a probe");
    let after = layer.breaker().snapshot();
    assert_eq!((after.reason, after.time_left), (Some(TripReason::ProbeFailed), Some(300 * SEC)), "up to the longest");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_refused_with_its_error() {
    let layer = layer(config()).http_client();
    layer.breaker().force_open();
    let client = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Error<BoxError>>(Response::new(()))));
    let refused = client.oneshot(Request::new(())).await.expect_err("refused");
    assert!(matches!(refused, Error::Rejected(Rejection::CircuitOpen(_))));
}

#[cfg(feature = "serde")]
#[test]
fn settings_come_from_a_file_under_the_same_checks() {
    use buttress::circuit_breaker::{KeyedConfig, LastCalls, TimeWindow, WhenDropped, WithoutKey};

    let read = |text| serde_json::from_str::<CircuitBreakerConfig>(text);
    assert_eq!(read("{}").expect("all have defaults"), CircuitBreakerConfig::new());
    let all = r#"{
        "name": "payments",
        "consecutive_failures": 15,
        "last_calls": { "calls": 100, "failure_rate": 0.6, "slow_rate": 0.9, "minimum_calls": 50 },
        "time_window": { "length": "30s" },
        "slow_call_threshold": "2s",
        "open_for": { "first": "1s", "longest": "1m", "jitter": 0.1 },
        "longest_hint": "2m",
        "stable_after": "90s",
        "permitted_probes": 3,
        "successes_to_close": 2,
        "allowed_failures": 1,
        "probe_lease": "5s",
        "when_dropped": "failure",
        "observe_only": true
    }"#;
    let expected = CircuitBreakerConfig::new()
        .name("payments")
        .consecutive_failures(15)
        .last_calls(LastCalls::new(100).failure_rate(0.6).slow_rate(0.9).minimum_calls(50))
        .time_window(TimeWindow::new(30 * SEC))
        .slow_call_threshold(2 * SEC)
        .open_for(OpenFor::exponential(SEC, 60 * SEC).jitter(0.1))
        .longest_hint(120 * SEC)
        .stable_after(90 * SEC)
        .permitted_probes(3)
        .successes_to_close(2)
        .allowed_failures(1)
        .probe_lease(5 * SEC)
        .when_dropped(WhenDropped::Failure)
        .observe_only(true);
    assert_eq!(read(all).expect("valid"), expected);
    assert!(
        read(r#"{"open_for": {"first": "1s"}}"#)
            .is_ok_and(|config| config == CircuitBreakerConfig::new().open_for(OpenFor::fixed(SEC)))
    );
    let unknown = read(r#"{"consecutive_errors": 3}"#).expect_err("no such setting").to_string();
    assert!(unknown.contains("unknown field `consecutive_errors`"), "{unknown}");
    let no_time = read(r#"{"slow_call_threshold": 2}"#).expect_err("not a duration").to_string();
    assert!(no_time.contains("expected a string"), "{no_time}");
    let zero = read(r#"{"consecutive_failures": 0}"#).expect("a number");
    assert!(CircuitBreakerLayer::new(zero).is_err(), "under the same checks");

    let by_key = r#"{ "breaker": { "name": "hosts" }, "max_keys": 50, "forget_after": "1h", "without_key": "pass" }"#;
    let expected = KeyedConfig::new(CircuitBreakerConfig::new().name("hosts"))
        .max_keys(50)
        .forget_after(3600 * SEC)
        .without_key(WithoutKey::Pass);
    assert_eq!(serde_json::from_str::<KeyedConfig>(by_key).expect("valid"), expected);
}

/// The answers of a service further in keep their meaning through a breaker.
#[tokio::test(start_paused = true)]
async fn a_refusal_further_in_is_neutral_also_as_a_response() {
    use buttress::Classify;

    let (outer, inner) = (layer(config()).http_server(), layer(config()).http_server());
    inner.breaker().force_open();
    let service = outer.layer(inner.layer(service_fn(async |()| status(200, None))));
    for _ in 0..10 {
        let response = service.clone().oneshot(()).await.unwrap_or_else(|never| match never {});
        assert_eq!(response.status(), 503);
        let outcome = StatusClassifier.classify(Ok::<_, &Infallible>(&response));
        assert_eq!(outcome.failure().map(|failure| failure.kind()), Some(buttress::FailureKind::Refused));
    }
    assert_eq!(outer.breaker().state(), State::Closed);
}
