//! The rate limiter where there is HTTP: axum behind real sockets, 429 with `Retry-After`, the fields of the IETF's draft.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use buttress::http::{AsResponse, InExtensions};
use buttress::rate_limit::{
    KeyedConfig, KeyedRateLimiter, LimitReason, Limited, NotAnnounced, OneEach, Quota, RateLimitConfig, RateLimitLayer,
    RateLimiter, Snapshot, Standing, Waits, WithoutKey,
};
use buttress::{AsError, BoxError, Deadline, Error, Reject, Rejection};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn layer(quota: Quota) -> RateLimitLayer {
    RateLimitLayer::new(RateLimitConfig::new(quota).name("orders")).expect("valid")
}

/// The status of a request over a connection of its own, and all of the answer.
async fn get_once(address: SocketAddr, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("it answers in text");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer.to_lowercase())
}

/// Serves in the plainest way there is, and asks both routes in turn, each time over a connection of its own.
async fn storm(app: Router) -> [Vec<u16>; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut statuses = [vec![], vec![]];
    for _ in 0..10 {
        for (path, statuses) in ["/a", "/b"].into_iter().zip(&mut statuses) {
            let (status, answer) = get_once(address, path).await;
            statuses.push(status);
            if status == 429 {
                assert!(answer.contains("\r\nretry-after: "), "{answer}");
                assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{answer}");
            }
        }
    }
    statuses
}

fn passed(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status == 200).count()
}

/// `axum::serve` applies a layer anew for each connection: with tower's own limit and a buffer, all of these passed.
#[tokio::test]
async fn under_axum_serve_one_layer_is_one_limit_for_all_connections_and_routes() {
    let routes = || Router::new().route("/a", get(async || "a")).route("/b", get(async || "b"));
    let [a, b] = storm(routes().layer(layer(Quota::per_hour(6)).http_server())).await;
    assert_eq!((passed(&a), passed(&b)), (3, 3));

    let limit = || layer(Quota::per_hour(6)).http_server();
    let own = Router::new().route("/a", get(async || "a").layer(limit())).route("/b", get(async || "b").layer(limit()));
    let [a, b] = storm(own).await;
    assert_eq!((passed(&a), passed(&b)), (6, 6), "two layers made by `new` are two limits");

    let waits = Router::new().route("/a", get(async || "a")).route("/b", get(async || "b"));
    let paced = RateLimitLayer::new(RateLimitConfig::leaky(Quota::per_hour(6), 0)).expect("valid").wait();
    let [a, b] = storm(waits.layer(paced.http_server())).await;
    assert_eq!((passed(&a), passed(&b)), (1, 0), "and in a line");
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

async fn fine(_: Request<()>) -> Answer {
    Ok(Response::new(Full::default()))
}

fn body(response: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(response.body()).expect("valid JSON")
}

/// A peer cut the wait to whole seconds: `Retry-After: 0` for a wait of 999 ms.
#[tokio::test(start_paused = true)]
async fn retry_after_is_rounded_up_and_never_zero() {
    for (interval, written) in [(MS, "1"), (999 * MS, "1"), (SEC, "1"), (1001 * MS, "2"), (3600 * SEC, "3600")] {
        let service = layer(Quota::per(1, interval)).http_server().layer(service_fn(fine));
        service.clone().oneshot(Request::new(())).await.expect("cannot fail");
        let refused = service.oneshot(Request::new(())).await.expect("cannot fail");
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], written, "for {interval:?}");
        let rejection = refused.extensions().get::<Rejection>().expect("it carries itself");
        assert_eq!(rejection.retry_after(), Some(interval));
    }
}

#[test]
fn every_reason_has_a_problem_of_its_own_kind() {
    let answer = |limited: Limited| buttress::http::response(limited.into());
    let used_up = answer(Limited::new("orders".into(), LimitReason::QuotaUsedUp).with_retry_after(Duration::ZERO));
    assert_eq!(
        (used_up.status(), &used_up.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &HeaderValue::from(1))
    );
    let expected = serde_json::json!({
        "type": "urn:problem-type:buttress:rate-limited",
        "title": "Too many requests",
        "status": 429,
        "detail": "There were more requests than are let through.",
    });
    assert_eq!(body(&used_up), expected);
    let never = answer(Limited::new("orders".into(), LimitReason::CostAboveBurst));
    assert_eq!((never.status(), never.headers().get("retry-after")), (StatusCode::TOO_MANY_REQUESTS, None));
    assert_eq!(body(&never)["type"], "urn:problem-type:buttress:rate-limit-cost");
    let keyless = answer(Limited::new("orders".into(), LimitReason::WithoutKey));
    assert_eq!((keyless.status(), keyless.headers().get("retry-after")), (StatusCode::BAD_REQUEST, None));
    assert_eq!(body(&keyless)["type"], "urn:problem-type:buttress:rate-limit-key-missing");
}

#[tokio::test(start_paused = true)]
async fn the_status_is_the_users_choice() {
    let refuse = AsResponse::new().when_rate_limited(StatusCode::SERVICE_UNAVAILABLE);
    let layer = layer(Quota::per_hour(1)).http_server().reject_with(refuse);
    layer.limits().drain();
    let refused = layer.layer(service_fn(fine)).oneshot(Request::new(())).await.expect("cannot fail");
    assert_eq!(refused.status(), 503);
    let unauthorized = AsResponse::new().when_key_missing(StatusCode::UNAUTHORIZED);
    let keyless = Limited::new("orders".into(), LimitReason::WithoutKey);
    let refused: Answer = unauthorized.reject(keyless.into());
    assert_eq!(refused.expect("cannot fail").status(), 401);
}

fn fields(response: &Response<Full<Bytes>>) -> [Vec<&str>; 2] {
    ["ratelimit-policy", "ratelimit"]
        .map(|name| response.headers().get_all(name).iter().map(|value| value.to_str().expect("text")).collect())
}

#[tokio::test(start_paused = true)]
async fn how_the_limiter_stands_is_told_with_every_answer_on_request() {
    let quiet = layer(Quota::per_second(10)).http_server().layer(service_fn(fine));
    let answer = quiet.oneshot(Request::new(())).await.expect("cannot fail");
    assert_eq!(fields(&answer), [[""; 0]; 2], "not unless asked for");

    let layer = layer(Quota::per_minute(4).burst(2)).http_server().rate_limit_headers();
    let service = layer.layer(service_fn(fine));
    let mut told = Vec::new();
    for _ in 0..3 {
        let answer = service.clone().oneshot(Request::new(())).await.expect("cannot fail");
        let [policy, limit] = fields(&answer);
        assert_eq!(policy, [r#""orders";q=2;w=30"#]);
        told.push((answer.status().as_u16(), limit.concat()));
    }
    advance(14_500 * MS).await;
    let answer = service.clone().oneshot(Request::new(())).await.expect("cannot fail");
    told.push((answer.status().as_u16(), fields(&answer)[1].concat()));
    let expected = [
        (200, r#""orders";r=1"#),
        (200, r#""orders";r=0;t=15"#),
        (429, r#""orders";r=0;t=15"#),
        (429, r#""orders";r=0;t=1"#),
    ];
    assert_eq!(told, expected.map(|(status, limit)| (status, limit.to_owned())));
    let retry_after = &answer.headers()["retry-after"];
    assert_eq!(retry_after, "1", "no less than `t`");
}

/// Rates that are no whole number a second, and bursts that are more or less than a second's worth.
#[tokio::test(start_paused = true)]
async fn the_policy_says_the_rate_over_a_span_that_holds_the_burst() {
    for (quota, policy) in [
        (Quota::per_second(1000).burst(100), r#""orders";q=1000;w=1"#),
        (Quota::per_second(10).burst(50), r#""orders";q=50;w=5"#),
        (Quota::per_minute(100), r#""orders";q=100;w=60"#),
        (Quota::per(1, 1500 * MS), r#""orders";q=1;w=2"#),
        (Quota::per_hour(1), r#""orders";q=1;w=3600"#),
    ] {
        let service = layer(quota).http_server().rate_limit_headers().layer(service_fn(fine));
        let answer = service.oneshot(Request::new(())).await.expect("cannot fail");
        assert_eq!(fields(&answer)[0], [policy]);
    }
}

#[tokio::test(start_paused = true)]
async fn several_limiters_are_told_in_one_line_and_those_further_in_in_another() {
    let each =
        KeyedRateLimiter::<u8>::new(RateLimitConfig::new(Quota::per_hour(3)).name("a \"b\\c\u{e9}\n")).expect("valid");
    let inner = layer(Quota::per_hour(9)).http_server().rate_limit_headers().layer(service_fn(fine));
    let all = RateLimitLayer::new(RateLimitConfig::new(Quota::per_hour(5)).name("all")).expect("valid");
    let layer = all.and_by_key(each, |_: &Request<()>| Some(1)).http_server().rate_limit_headers();
    let answer = layer.layer(inner).oneshot(Request::new(())).await.expect("cannot fail");
    assert_eq!(fields(&answer)[1], [r#""orders";r=8"#, r#""all";r=4, "a \"b\\c";r=2"#]);
    let waiting = layer.wait().http_server().layer(service_fn(fine));
    let answer = waiting.oneshot(Request::new(())).await.expect("cannot fail");
    assert_eq!(fields(&answer)[1], [r#""all";r=3, "a \"b\\c";r=1"#], "after a wait too");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_counted_nowhere_is_told_of_nothing() {
    let config = KeyedConfig::new(RateLimitConfig::new(Quota::per_hour(3))).without_key(WithoutKey::Pass);
    let layer = RateLimitLayer::by_key(config, |_: &Request<()>| None::<u8>).expect("valid");
    let service = layer.http_server().rate_limit_headers().layer(service_fn(fine));
    let answer = service.oneshot(Request::new(())).await.expect("cannot fail");
    assert_eq!(fields(&answer), [[""; 0]; 2]);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_http_a_closure_tells_it() {
    let told = |answer: &mut (u32, Option<Snapshot>), standings: &[Standing]| answer.1 = Some(standings[0].bucket);
    let layer = layer(Quota::per_hour(3)).announce(told);
    let service = layer.layer(service_fn(async |number: u32| Ok::<_, BoxError>((number, None))));
    let (_, bucket) = service.oneshot(1).await.expect("a token");
    assert_eq!(bucket.map(|bucket| bucket.remaining), Some(2));
}

type Paced = RateLimitLayer<RateLimiter, OneEach, AsError, NotAnnounced, InExtensions, Waits>;

#[tokio::test(start_paused = true)]
async fn an_overflowed_key_is_told_of_the_bucket_it_was_counted_in() {
    let told = |names: &mut Vec<String>, standings: &[Standing]| {
        names.extend(standings.iter().map(|standing| format!("{} {}", standing.name, standing.bucket.remaining)));
    };
    let config = KeyedConfig::new(RateLimitConfig::new(Quota::per_hour(3)).name("keys")).max_keys(1);
    let layer = || RateLimitLayer::by_key(config.clone(), |key: &u32| Some(*key)).expect("valid").announce(told);
    let inner = service_fn(async |_: u32| Ok::<_, BoxError>(Vec::new()));
    let (refuses, waits) = (layer().layer(inner), layer().wait().layer(inner));
    refuses.clone().oneshot(1).await.expect("a place");
    waits.clone().oneshot(1).await.expect("a place");
    assert_eq!(refuses.oneshot(2).await.expect("the shared bucket"), ["keys[overflow] 2"]);
    assert_eq!(waits.oneshot(2).await.expect("the shared bucket"), ["keys[overflow] 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_keeps_to_the_deadline_it_is_called_in() {
    for layer in [layer(Quota::per_second(1)).wait().http_client(), layer(Quota::per_second(1)).http_client().wait()] {
        keeps_to_the_deadline(&layer).await;
    }
}

async fn keeps_to_the_deadline(layer: &Paced) {
    let client = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Error<()>>(Response::new(()))));
    layer.limits().drain();
    let soon = Deadline::within(SEC / 2);
    let refused = soon.scope(client.clone().oneshot(Request::new(()))).await.expect_err("no time");
    let Error::Rejected(Rejection::RateLimited(limited)) = refused else { panic!("{refused:?}") };
    assert_eq!((limited.reason(), limited.retry_after()), (LimitReason::WaitTooLong, Some(SEC)));
    client.oneshot(Request::new(())).await.expect("there is time");
}

#[cfg(feature = "serde")]
#[test]
fn settings_read_from_files_as_they_are_set() {
    let read = |text| serde_json::from_str::<RateLimitConfig>(text);
    let least = read(r#"{ "quota": { "amount": 5, "per": "1m" } }"#).expect("valid");
    assert_eq!(least, RateLimitConfig::new(Quota::per_minute(5)));
    let text = r#"{
        "name": "orders", "quota": { "amount": 1000, "per": "1s", "burst": 100 }, "max_waiting": 50, "max_wait": "2s"
    }"#;
    let quota = Quota::per_second(1000).burst(100);
    let all = RateLimitConfig::new(quota).name("orders").max_waiting(50).max_wait(2 * SEC);
    assert_eq!(read(text).expect("valid"), all);
    let text = format!(r#"{{ "limit": {text}, "max_keys": 9, "without_key": "refuse", "when_full": "refuse" }}"#);
    let keyed = KeyedConfig::new(all).max_keys(9).without_key(WithoutKey::Refuse);
    let keyed = keyed.when_full(buttress::rate_limit::WhenFull::Refuse);
    assert_eq!(serde_json::from_str::<KeyedConfig>(&text).expect("valid"), keyed);
    for wrong in [r#"{}"#, r#"{ "quota": { "amount": 5 } }"#, r#"{ "quota": { "amount": 5, "per": "1m", "rate": 1 } }"#]
    {
        read(wrong).expect_err("unknown or missing");
    }
}
