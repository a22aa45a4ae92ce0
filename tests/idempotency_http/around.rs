//! Other layers around it and inside of it: who cuts a call off, who keeps it from its handler, who answers in its place.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::{Router, routing};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, Open, TripReason};
use buttress::clock::Moment;
use buttress::fallback::{Failed, FallbackLayer};
use buttress::http::{AsResponse, Effect};
use buttress::idempotency::Execution;
use buttress::rate_limit::{LimitReason, Limited, Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::{RetryConfig, RetryLayer};
use buttress::timeout::{Elapsed, TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Deadline, Error, Rejection};
use bytes::Bytes;
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, service_fn};

use super::*;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn timeout(limit: Duration) -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(limit)).expect("valid")
}

/// Creates an order, and takes as long.
fn slow(calls: &Calls, time: Duration) -> Router {
    let calls = calls.clone();
    Router::new().fallback(routing::post(async move || {
        calls.count();
        tokio::time::sleep(time).await;
        (StatusCode::CREATED, [("location", "/orders/7")], "an order")
    }))
}

#[tokio::test(start_paused = true)]
async fn who_was_told_that_it_took_too_long_is_told_the_true_answer_later() {
    let (calls, store) = (Calls::default(), store());
    let idempotent = slow(&calls, 500 * MS).layer(once(&store));
    let (app, before) = (idempotent.layer(timeout(100 * MS).http_server()), Moment::now());
    let late = send(&app, order()).await;
    assert_eq!((late.status(), Moment::now().since(before)), (StatusCode::GATEWAY_TIMEOUT, 100 * MS));
    let running = send(&app, order()).await;
    assert_eq!(
        (running.status(), &running.headers()["retry-after"]),
        (StatusCode::CONFLICT, &"5".parse().expect("a value"))
    );
    tokio::time::sleep(401 * MS).await;
    let answer = send(&app, order()).await;
    assert_eq!((answer.status(), is_a_replay(&answer)), (StatusCode::CREATED, true));
    assert_eq!((text(answer).await, calls.so_far()), ("an order".to_owned(), 1));
}

/// What was begun is done, whatever the deadline of who asked for it.
#[tokio::test(start_paused = true)]
async fn a_handler_does_not_inherit_the_deadline_of_who_asked() {
    let (calls, store) = (Calls::default(), store());
    let inside = slow(&calls, 500 * MS).layer(timeout(10 * SEC).http_server());
    let app = inside.layer(once(&store)).layer(timeout(100 * MS).http_server().export_deadline());
    assert_eq!(send(&app, order()).await.status(), StatusCode::GATEWAY_TIMEOUT);
    tokio::time::sleep(401 * MS).await;
    let answer = send(&app, order()).await;
    assert_eq!((answer.status(), is_a_replay(&answer), calls.so_far()), (StatusCode::CREATED, true, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_was_cut_off_is_not_run_again_whatever_status_says_so() {
    for status in [StatusCode::GATEWAY_TIMEOUT, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS] {
        let (calls, store) = (Calls::default(), store());
        let cuts = timeout(100 * MS).http_server().reject_with(AsResponse::new().when_elapsed(status));
        let app = slow(&calls, SEC).layer(cuts).layer(once(&store));
        let (first, again) = (send(&app, order()).await, send(&app, order()).await);
        assert_eq!((first.status(), again.status(), is_a_replay(&again)), (status, status, true));
        assert_eq!(calls.so_far(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_came_too_late_to_be_made_is_made_when_it_is_repeated() {
    let (calls, store) = (Calls::default(), store());
    let too_late = |request: &Request<Body>| request.headers().get("x-late").map(|_| Deadline::within(Duration::ZERO));
    let app = slow(&calls, MS).layer(timeout(SEC).http_server().deadline_of(too_late)).layer(once(&store));
    let mut late = order();
    late.headers_mut().insert("x-late", "1".parse().expect("a value"));
    assert_eq!(send(&app, late).await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert!(store.is_empty());
    let answer = send(&app, order()).await;
    assert_eq!((answer.status(), is_a_replay(&answer), calls.so_far()), (StatusCode::CREATED, false, 1));
}

#[tokio::test(start_paused = true)]
async fn what_a_breaker_or_a_limiter_inside_refuses_is_run_when_it_is_repeated() {
    let (calls, store) = (Calls::default(), store());
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid").http_server();
    let limit = RateLimitConfig::new(Quota::per_second(1));
    let limit = RateLimitLayer::new(limit).expect("valid").http_server();
    let app = slow(&calls, Duration::ZERO).layer(breaker.clone()).layer(limit).layer(once(&store));
    breaker.breaker().force_open();
    assert_eq!(send(&app, order()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(store.is_empty());
    breaker.breaker().force_closed();
    assert_eq!(send(&app, order()).await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(store.is_empty());
    tokio::time::advance(SEC).await;
    let answer = send(&app, order()).await;
    assert_eq!((answer.status(), is_a_replay(&answer)), (StatusCode::CREATED, false));
    let again = send(&app, order()).await;
    assert_eq!((again.status(), is_a_replay(&again), calls.so_far()), (StatusCode::CREATED, true, 1));
}

#[tokio::test]
async fn a_promise_to_pay_later_that_stands_in_for_a_refusal_is_kept() {
    let (calls, store, substitutes) = (Calls::default(), store(), Calls::default());
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid").http_server();
    let counted = substitutes.clone();
    let later = FallbackLayer::default().http_server().with(move |_: Failed<_, _>| {
        let order = counted.count();
        Ok(Response::builder()
            .status(StatusCode::ACCEPTED)
            .body(Body::from(format!("order {order}")))
            .expect("a response"))
    });
    let app = slow(&calls, Duration::ZERO).layer(breaker.clone()).layer(later).layer(once(&store));
    breaker.breaker().force_open();
    assert_eq!(text(send(&app, order()).await).await, "order 1");
    breaker.breaker().force_closed();
    let again = send(&app, order()).await;
    assert_eq!((again.status(), is_a_replay(&again)), (StatusCode::ACCEPTED, true));
    assert_eq!((text(again).await, substitutes.so_far(), calls.so_far()), ("order 1".to_owned(), 1, 0));
}

/// The layer with 500 and the like having no effect.
fn resumable(store: &MemoryStore) -> Once {
    once(store).keep(KeptResponses::new().server_errors_have_no_effect().into_body(Body::new as IntoBody))
}

fn panicking(calls: &Calls) -> Router {
    let calls = calls.clone();
    Router::new().fallback(routing::post(async move || -> String {
        calls.count();
        panic!("on purpose")
    }))
}

#[tokio::test]
async fn a_handler_that_panics_has_failed_for_good() {
    let (calls, store) = (Calls::default(), store());
    let layer = once(&store);
    let app = panicking(&calls).layer(layer.clone());
    let first = send(&app, order()).await;
    assert_eq!((first.status(), is_a_replay(&first)), (StatusCode::INTERNAL_SERVER_ERROR, false));
    assert_eq!(first.headers()["content-type"], "application/problem+json");
    let again = send(&app, order()).await;
    assert_eq!((again.status(), is_a_replay(&again)), (StatusCode::INTERNAL_SERVER_ERROR, true));
    assert_eq!(text(first).await, text(again).await);
    assert!(layer.idempotency().drain(SEC).await, "nothing is left running");
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_on_where_it_stopped_is_run_again_after_it_panicked_failed_or_was_cut_off() {
    let (calls, store) = (Calls::default(), store());
    let fails = answering(&calls, || Response::builder().status(502).body(Body::empty()).expect("a response"));
    let cut = timeout(100 * MS).http_server().reject_with(AsResponse::new().when_elapsed(StatusCode::REQUEST_TIMEOUT));
    let apps = [panicking(&calls), fails, slow(&calls, SEC).layer(cut)];
    for (app, calls_before) in apps.into_iter().zip([0, 2, 4]) {
        let app = app.layer(resumable(&store));
        for call in 1..=2 {
            assert!(!is_a_replay(&send(&app, order()).await));
            assert_eq!((calls.so_far(), store.is_empty()), (calls_before + call, true));
        }
    }
}

/// Over a client, whose refusals are errors.
#[tokio::test]
async fn an_error_that_kept_a_call_from_its_service_has_no_effect_and_any_other_is_unknown() {
    let open = || Open::new("bank".into(), TripReason::ForcedOpen).into();
    let cases: [(Rejection, bool); 4] = [
        (open(), true),
        (Limited::new("bank".into(), LimitReason::QuotaUsedUp).into(), true),
        (Elapsed::before_call("bank".into()).into(), true),
        (Elapsed::limit("bank".into(), SEC).into(), false),
    ];
    let errors = cases.map(|(rejection, is_run_again)| (Error::Rejected(rejection), is_run_again));
    for (error, is_run_again) in errors.into_iter().chain([(Error::Inner("reset"), false)]) {
        let (calls, store) = (Calls::default(), store());
        let (counted, failure) = (calls.clone(), error.clone());
        let service = once(&store).layer(service_fn(move |_: Request<Body>| {
            counted.count();
            ready(Err::<Response<Body>, _>(failure.clone()))
        }));
        let first = service.clone().oneshot(order()).await.expect_err("it fails");
        assert_eq!(first.to_string(), error.to_string());
        let again = service.oneshot(order()).await;
        assert_eq!(calls.so_far(), if is_run_again { 2 } else { 1 }, "{error}");
        if !is_run_again {
            let unknown = text(again.expect("a refusal is a response")).await;
            assert!(unknown.contains("urn:problem-type:buttress:idempotency-outcome-unknown"));
        }
    }
}

/// The last thing that is said of a request may be a refusal, and that it was charged was said before.
#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_call_that_was_made_does_not_let_it_be_made_again() {
    let (calls, store) = (Calls::default(), store());
    let counter = calls.clone();
    let bank = service_fn(move |_: Request<Full<Bytes>>| {
        counter.count();
        // It was charged, and the answer is lost.
        ready(Err::<Response<Body>, BoxError>("reset".into()))
    });
    let breaker = CircuitBreakerConfig::new().consecutive_failures(1).open_for(400 * SEC);
    let charge = ServiceBuilder::new()
        .layer(once(&store))
        .layer(RetryLayer::new(RetryConfig::new()).expect("valid").http_client())
        .layer(CircuitBreakerLayer::new(breaker).expect("valid").http_client())
        .service(bank);
    let order = || Request::post("/").header("idempotency-key", "k").body(Full::from("tea")).expect("a request");
    let first = charge.clone().oneshot(order()).await.expect_err("refused");
    assert!(matches!(Rejection::find(&*first), Some(Rejection::CircuitOpen(_))), "{first}");
    tokio::time::sleep(500 * SEC).await;
    let again = charge.oneshot(order()).await.expect("a response");
    assert_eq!((again.status(), calls.so_far()), (StatusCode::CONFLICT, 1));
    assert!(text(again).await.contains("outcome-unknown"));
}

#[tokio::test]
async fn what_stands_in_for_a_failure_is_the_answer_although_its_status_says_that_nothing_was_done() {
    let (calls, store) = (Calls::default(), store());
    let failing = answering(&calls, || Response::builder().status(503).body(Body::empty()).expect("a response"));
    let busy = |_: Failed<Response<Body>, _>| Ok(Response::builder().status(429).body(Body::empty()).expect("valid"));
    let app = failing.layer(FallbackLayer::default().http_server().with(busy)).layer(once(&store));
    assert_eq!(send(&app, order()).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let again = send(&app, order()).await;
    assert_eq!((again.status(), is_a_replay(&again)), (StatusCode::TOO_MANY_REQUESTS, true));
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test]
async fn a_panic_that_has_no_effect_says_so() {
    let (calls, store) = (Calls::default(), store());
    let cases = [
        ("final", once(&store), Effect::Final, "It is not processed again"),
        ("none", resumable(&store), Effect::None, "it is processed again"),
    ];
    for (key, layer, effect, says) in cases {
        let answer = send(&panicking(&calls).layer(layer), post_to("/", Some(key), "")).await;
        assert_eq!(answer.extensions().get(), Some(&effect));
        assert!(text(answer).await.contains(says), "{says}");
    }
}

#[tokio::test]
async fn an_answer_that_somebody_has_found_out_is_told_like_any_other() {
    let (calls, store) = (Calls::default(), store());
    let unknown = || (axum::Extension(Effect::Unknown), "maybe").into_response();
    let layer = once(&store);
    let seen = Arc::new(Mutex::new(None));
    let keys = seen.clone();
    let note = axum::middleware::map_response(move |response: Response<Body>| {
        *keys.lock().expect("no panic") = Execution::current().map(|run| *run.key());
        ready(response)
    });
    let app = answering(&calls, unknown).layer(note).layer(layer.clone());
    send(&app, order()).await;
    assert_eq!(send(&app, order()).await.status(), StatusCode::CONFLICT, "the control");
    let key = seen.lock().expect("no panic").expect("it was run");
    let created = || Ok::<_, Infallible>((StatusCode::CREATED, "order 7").into_response());
    assert!(layer.resolve(&key, created()).await.expect("in memory"));
    let answer = send(&app, order()).await;
    assert_eq!((answer.status(), is_a_replay(&answer)), (StatusCode::CREATED, true));
    assert_eq!((text(answer).await, calls.so_far()), ("order 7".to_owned(), 1));
    assert!(!layer.resolve(&key, created()).await.expect("in memory"), "it is not parked any more");
}

/// Whoever was turned away twice has done as little as whoever was turned away once.
#[tokio::test(start_paused = true)]
async fn what_was_turned_away_more_than_once_may_be_asked_for_again() {
    let (calls, store) = (Calls::default(), store());
    let counter = calls.clone();
    let bank = service_fn(move |_: Request<Full<Bytes>>| {
        let status = if counter.count() <= 2 { 429 } else { 201 };
        ready(Ok::<_, BoxError>(Response::builder().status(status).body(Body::empty()).expect("a response")))
    });
    let retry = RetryLayer::new(RetryConfig::new().max_attempts(2)).expect("valid").http_client();
    let charge = ServiceBuilder::new().layer(once(&store)).layer(retry).service(bank);
    let order = || Request::post("/").header("idempotency-key", "k").body(Full::from("tea")).expect("a request");
    assert_eq!(charge.clone().oneshot(order()).await.expect("a response").status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!((calls.so_far(), store.is_empty()), (2, true));
    assert_eq!(charge.oneshot(order()).await.expect("a response").status(), StatusCode::CREATED);
}

/// A breaker of the shop's that opened at the first try refuses the second one, with a response.
#[tokio::test(start_paused = true)]
async fn a_response_that_refuses_after_a_call_that_was_made_is_the_answer() {
    let (calls, store) = (Calls::default(), store());
    let counter = calls.clone();
    let bank = service_fn(move |_: Request<Full<Bytes>>| {
        counter.count();
        ready(Ok::<_, BoxError>(Response::builder().status(500).body(Body::empty()).expect("a response")))
    });
    let breaker = CircuitBreakerConfig::new().consecutive_failures(1).open_for(400 * SEC);
    let charge = ServiceBuilder::new()
        .layer(once(&store))
        .layer(RetryLayer::new(RetryConfig::new()).expect("valid").http_client())
        .layer(CircuitBreakerLayer::new(breaker).expect("valid").http_server())
        .service(bank);
    let order = || Request::post("/").header("idempotency-key", "k").body(Full::from("tea")).expect("a request");
    let first = charge.clone().oneshot(order()).await.expect("a response");
    assert!(first.extensions().get::<Rejection>().is_some(), "the control: it is refused");
    tokio::time::sleep(500 * SEC).await;
    let again = charge.oneshot(order()).await.expect("a response");
    assert_eq!((again.status(), is_a_replay(&again)), (first.status(), true));
    assert_eq!(calls.so_far(), 1);
}
