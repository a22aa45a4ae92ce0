//! What the parts of a client stack do, alone and together, and that each can be left out or replaced.

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, State};
use buttress::clock::Moment;
use buttress::deadline::NotExported;
use buttress::fallback::{Failed, FallbackLayer};
use buttress::http::{AttemptHeader, InExtensions, ServiceBuilderExt, WrapErrors};
use buttress::retry::{Replay, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Attempt, BoxError, Check, Degraded, Error, FailureKind, Rejection};
use tower::layer::util::Identity;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::*;

/// Which timeout ended a call.
fn ended_by<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, Error<E>>) -> String {
    match result.expect_err("it hangs") {
        Error::Rejected(rejection) => rejection.name().to_string(),
        Error::Inner(error) => panic!("not a refusal: {error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_tried_again_until_the_total_is_over() {
    let (calls, start) = (Calls::default(), Moment::now());
    let client = stack(config()).layer(hanging(&calls)).check::<Request<()>>();
    client.oneshot(get()).await.expect_err("it hangs");
    assert_eq!((calls.take(), Moment::now().since(start)), (3, 30 * SEC), "10 s, 10 s, and what is left of 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_retry_knows_what_is_left_of_the_total() {
    let calls = Calls::default();
    let asks_for_20_s = |_: &Request<()>| {
        let mut busy = response(503);
        busy.headers_mut().insert("retry-after", "20".parse().expect("valid"));
        busy
    };
    let start = Moment::now();
    let client = stack(config()).layer(backend(&calls, asks_for_20_s));
    assert_eq!(client.oneshot(get()).await.expect("an answer").status(), 503);
    assert_eq!((calls.take(), Moment::now().since(start)), (2, 20 * SEC), "the second wait would end too late");

    let start = Moment::now();
    let told_nothing = stack(config()).total_with(|total| total.export_with(NotExported));
    let client = told_nothing.layer(backend(&calls, asks_for_20_s));
    assert_eq!(ended_by(client.oneshot(get()).await), "total");
    assert_eq!((calls.take(), Moment::now().since(start)), (2, 30 * SEC), "it waits in vain");
}

#[tokio::test(start_paused = true)]
async fn the_breaker_sees_every_attempt() {
    let calls = Calls::default();
    let stack = stack(config().breaker(CircuitBreakerConfig::new().consecutive_failures(2)));
    let breaker = stack.circuit_breaker().expect("a breaker").clone();
    let client = stack.layer(backend(&calls, |_| response(500)));
    let refused = client.oneshot(get()).await.expect_err("the third attempt finds the circuit open");
    assert!(matches!(refused, Error::Rejected(Rejection::CircuitOpen(_))), "{refused:?}");
    assert_eq!((calls.take(), breaker.state()), (2, State::Open));
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_heard_of_at_once_unless_the_settings_wait_for_it() {
    let calls = Calls::default();
    let took = async |config: ClientStackConfig| {
        let start = Moment::now();
        let breaker = CircuitBreakerConfig::new().consecutive_failures(1).open_for(5 * SEC);
        let client = stack(config.breaker(breaker)).layer(backend(&calls, |_| response(500)));
        let refused = client.oneshot(get()).await;
        (calls.take(), refused.is_err(), Moment::now().since(start) >= 5 * SEC)
    };
    assert_eq!(took(ClientStackConfig::new()).await, (1, true, false));
    assert_eq!(took(config()).await, (1, true, false), "a retry that says nothing of it");
    let waits = RetryConfig::new().on([FailureKind::Error, FailureKind::Refused]);
    assert_eq!(took(ClientStackConfig::new().retry(waits)).await, (2, false, true));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_over_the_next_time_is_retried_by_default() {
    let calls = Calls::default();
    for (status, times) in [(500, 3), (502, 3), (503, 3), (504, 3), (429, 3), (425, 3), (408, 3), (501, 1), (507, 1)] {
        let client = stack(ClientStackConfig::new()).layer(backend(&calls, move |_| response(status)));
        client.oneshot(get()).await.expect("an answer");
        assert_eq!(calls.take(), times, "{status}");
    }
    stack(ClientStackConfig::new()).layer(hanging(&calls)).oneshot(get()).await.expect_err("it hangs");
    assert_eq!(calls.take(), 3, "an attempt that times out");
}

#[tokio::test(start_paused = true)]
async fn by_default_the_breaker_remembers_half_a_minute_and_needs_twenty_calls() {
    let calls = Calls::default();
    let opens = async |config: ClientStackConfig, each: Duration| {
        let stack = stack(config.without_retry());
        let breaker = stack.circuit_breaker().expect("a breaker").clone();
        let client = stack.layer(backend(&calls, |_| response(500)));
        for _ in 0..20 {
            assert_eq!(breaker.state(), State::Closed);
            client.clone().oneshot(get()).await.expect("closed");
            tokio::time::advance(each).await;
        }
        breaker.state() == State::Open
    };
    assert!(opens(ClientStackConfig::new(), 1300 * MS).await, "within 26 s");
    assert!(!opens(ClientStackConfig::new(), 1700 * MS).await, "within 34 s");
    let named = ClientStackConfig::new().breaker(CircuitBreakerConfig::new().name("payments"));
    assert!(!opens(named, 1700 * MS).await, "to name it changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_answers_what_the_others_refuse() {
    let calls = Calls::default();
    let substitute =
        FallbackLayer::default().http_client().with(|_: Failed<_, _>| Ok(Response::new("substitute".into())));
    let client = stack(config()).fallback(substitute).layer(hanging(&calls)).check::<Request<()>>();
    let answer = client.oneshot(get()).await.expect("a substitute");
    assert_eq!((calls.take(), &answer.body()[..]), (3, &b"substitute"[..]));
    assert!(answer.extensions().get::<Degraded>().is_some());
}

#[tokio::test(start_paused = true)]
async fn each_part_can_be_left_out_by_the_settings() {
    let calls = Calls::default();
    let run = async |config: ClientStackConfig| {
        let start = Moment::now();
        let ended_by = ended_by(stack(config).layer(hanging(&calls)).oneshot(get()).await);
        (calls.take(), Moment::now().since(start), ended_by)
    };
    let attempt = || "attempt".to_owned();
    assert_eq!(run(config().without_total()).await, (3, 30 * SEC + 300 * MS, attempt()));
    assert_eq!(run(config().without_retry()).await, (1, 10 * SEC, attempt()));
    assert_eq!(run(config().without_attempt()).await, (1, 30 * SEC, "total".to_owned()));

    let one_failure = || config().breaker(CircuitBreakerConfig::new().consecutive_failures(1));
    let fails_twice = async |config: ClientStackConfig| {
        let client = stack(config).layer(backend(&calls, |_| response(500)));
        let _ = client.clone().oneshot(get()).await;
        let _ = client.oneshot(get()).await;
        calls.take()
    };
    assert_eq!(fails_twice(one_failure().without_retry()).await, 1);
    assert_eq!(fails_twice(one_failure().without_retry().without_breaker()).await, 2);

    let nothing = config().without_total().without_retry().without_breaker().without_attempt();
    let nothing = stack(nothing);
    assert!(nothing.circuit_breaker().is_none() && nothing.retry_budget().is_none());
    let answer = nothing.layer(backend(&calls, |_| response(500))).oneshot(get()).await.expect("an answer");
    assert_eq!((answer.status(), calls.take()), (StatusCode::INTERNAL_SERVER_ERROR, 1));
}

#[tokio::test(start_paused = true)]
async fn each_part_can_be_replaced() {
    let calls = Calls::default();
    let short = |name: &'static str| {
        TimeoutLayer::new(TimeoutConfig::new(SEC).name(name)).expect("a limit above zero").http_client()
    };
    let client = stack(config()).total(short("mine")).layer(hanging(&calls));
    assert_eq!((ended_by(client.oneshot(get()).await), calls.take()), ("mine".to_owned(), 1));

    let client = stack(config()).attempt(short("mine")).layer(hanging(&calls));
    assert_eq!((ended_by(client.oneshot(get()).await), calls.take()), ("mine".to_owned(), 3));

    let twice = RetryLayer::new(retry().max_attempts(2)).expect("valid").http_client();
    let client = stack(config()).retry(twice).layer(hanging(&calls));
    assert_eq!((ended_by(client.oneshot(get()).await), calls.take()), ("attempt".to_owned(), 2));

    let by_path = |request: &Request<()>| Some(request.uri().path().to_owned());
    let once = CircuitBreakerConfig::new().consecutive_failures(1);
    let by_path = CircuitBreakerLayer::by_key(once, by_path).expect("valid").http_client();
    let client = stack(config().without_retry()).breaker(by_path).layer(backend(&calls, |_| response(500)));
    for path in ["/a", "/a", "/b"] {
        let _ = client.clone().oneshot(Request::get(path).body(()).expect("valid")).await;
    }
    assert_eq!(calls.take(), 2, "the second call of the first path is refused");

    let bare = stack(config())
        .total(Identity::new())
        .retry(Identity::new())
        .breaker(Identity::new())
        .attempt(Identity::new())
        .without_wrapping();
    let answer: Result<_, Infallible> = bare.layer(backend(&calls, |_| response(500))).oneshot(get()).await;
    assert_eq!((answer.map(|answer| answer.status()), calls.take()), (Ok(StatusCode::INTERNAL_SERVER_ERROR), 1));
}

/// Neither the request nor anything about it can be copied.
struct Once;

#[tokio::test(start_paused = true)]
async fn what_cannot_be_copied_goes_through_a_stack_without_a_retry() {
    let service = tower::service_fn(async |_: Request<Once>| Ok::<_, Infallible>(response(200)));
    let without = stack(config()).retry(Identity::new()).layer(service).check::<Request<Once>>();
    assert_eq!(without.oneshot(Request::new(Once)).await.map(|answer| answer.status()), Ok(StatusCode::OK));
    let sent_once = stack(config()).replay(|_: &Request<Once>| None);
    let sent_once = sent_once.layer(service).check::<Request<Once>>();
    assert_eq!(sent_once.oneshot(Request::new(Once)).await.map(|answer| answer.status()), Ok(StatusCode::OK));
}

/// Puts what cannot be copied on the way as something else, which can.
#[derive(Clone)]
struct Numbered;

impl Replay<Request<Once>> for Numbered {
    type Request = Request<u32>;
    type Kept = u32;
    type Head = u32;

    fn once(&self, request: Request<Once>) -> Request<u32> {
        request.map(|Once| 0)
    }

    fn split(&self, request: Request<Once>) -> (Request<u32>, Option<u32>) {
        (request.map(|Once| 1), Some(1))
    }

    fn head<'kept>(&self, kept: &'kept u32) -> &'kept u32 {
        kept
    }

    fn seal(&self, kept: &mut u32) -> bool {
        *kept += 1;
        true
    }

    fn again(&self, kept: &mut u32) -> Request<u32> {
        Request::new(*kept)
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_changes_the_request_serves_with_a_retry_and_without() {
    let third = tower::service_fn(async |request: Request<u32>| {
        let status = if matches!(request.body(), 0 | 3) { 200 } else { 500 };
        Ok::<_, Infallible>(response(status).map(|_| *request.body()))
    });
    for (config, sent_last) in [(config(), 3), (config().without_retry(), 0)] {
        let client = stack(config).replay(Numbered).retry_with(|retry| retry.on_attempt(AttemptHeader::new()));
        let answer = client.layer(third).check::<Request<Once>>().oneshot(Request::new(Once)).await.expect("an answer");
        assert_eq!((answer.status(), answer.into_body()), (StatusCode::OK, sent_last));
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_keeps_its_settings_when_it_is_told_more() {
    let calls = Calls::default();
    let told = |request: &Request<()>| match AttemptHeader::new().read(request.headers()).map(Attempt::number) {
        None => response(500),
        Some(_) => response(200),
    };
    let plain = stack(config()).layer(backend(&calls, told));
    assert_eq!(plain.oneshot(get()).await.expect("an answer").status(), 200, "told by default");
    assert_eq!(calls.take(), 2);
    let discreet = stack(config()).retry_with(|retry| retry.on_attempt(InExtensions));
    assert!(discreet.retry_budget().is_some());
    assert_eq!(discreet.layer(backend(&calls, told)).oneshot(get()).await.expect("an answer").status(), 500);
    assert_eq!(calls.take(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_error_of_the_client_is_wrapped_and_one_that_needs_it_not_is_left() {
    let fails = tower::service_fn(async |_: Request<()>| Err::<Response<()>, _>("refused"));
    let wrapped = stack(config()).layer(fails).oneshot(get()).await;
    assert_eq!(wrapped.expect_err("it fails"), Error::Inner("refused"));

    let boxed = tower::service_fn(async |_: Request<()>| Err::<Response<()>, BoxError>("refused".into()));
    let left: Result<_, BoxError> = stack(config()).without_wrapping().layer(boxed).oneshot(get()).await;
    assert_eq!(left.expect_err("it fails").to_string(), "refused");

    let left = stack(config()).without_wrapping().layer(WrapErrors.layer(fails)).oneshot(get()).await;
    assert_eq!(left.expect_err("it fails"), Error::Inner("refused"));
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_stack_share_its_state() {
    let calls = Calls::default();
    let once = CircuitBreakerConfig::new().consecutive_failures(1);
    let stack = stack(config().without_retry().breaker(once));
    let fails = || backend(&calls, |_| response(500));
    let one = ServiceBuilder::new().client_stack(stack.clone()).service(fails());
    let other = stack.layer(fails());
    let _ = one.oneshot(get()).await;
    other.oneshot(get()).await.expect_err("the breaker is the same");
    assert_eq!(calls.take(), 1);
}

#[test]
fn a_stack_is_what_tower_and_axum_want_of_a_layer() {
    fn is_a_good_layer<L: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &L) {}
    is_a_good_layer(&stack(config()));
    is_a_good_layer(&stack(config()).retry_with(|retry| retry.on_attempt(AttemptHeader::grpc())));
}
