//! The circuit breaker as a service, under paused time.

mod support;

use std::collections::HashSet;
use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::circuit_breaker::{
    CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, InvalidCircuitBreaker, KeyedCircuitBreaker, KeyedConfig,
    LastCalls, Open, OpenFor, Permit, State, TimeWindow, TripReason, WhenDropped, WithoutKey,
};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Error, Failure, FailureKind, Outcome, Rejection};
use futures::FutureExt;
use support::{drops, readiness};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Trips at the third failure in a row; open for 10 s.
fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new().name("test").consecutive_failures(3).open_for(OpenFor::fixed(10 * SEC))
}

fn layer(config: CircuitBreakerConfig) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new(config).expect("valid")
}

type Answer = Result<&'static str, Error<&'static str>>;

/// Does at once what it is asked to, and counts how often it was.
#[derive(Clone, Default)]
struct Backend(Arc<AtomicUsize>);

impl Backend {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Service<Answer> for Backend {
    type Response = &'static str;
    type Error = Error<&'static str>;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, answer: Answer) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        ready(answer)
    }
}

const GOOD: Answer = Ok("fine");
const BAD: Answer = Err(Error::Inner("broken"));

fn open<T: std::fmt::Debug>(result: Result<T, Error<&'static str>>) -> Open {
    match result {
        Err(Error::Rejected(Rejection::CircuitOpen(open))) => open,
        other => panic!("not refused: {other:?}"),
    }
}

/// Opens it by failures alone.
async fn trip(layer: &CircuitBreakerLayer) {
    let before = layer.breaker().snapshot().trips;
    while layer.breaker().snapshot().trips == before {
        layer.layer(Backend::default()).oneshot(BAD).await.expect_err("broken");
    }
}

#[tokio::test(start_paused = true)]
async fn it_closes_opens_probes_and_closes_again() {
    let (layer, backend) = (layer(config()), Backend::default());
    let mut service = layer.layer(backend.clone());
    let breaker = layer.breaker().clone();
    let mut call = async |answer| service.ready().await.expect("ready").call(answer).await;

    assert_eq!(call(GOOD).await, GOOD);
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(call(BAD).await, BAD, "what fails comes out as it is");
    }
    assert_eq!((breaker.state(), backend.calls()), (State::Open, 4));

    advance(4 * SEC).await;
    let refused = open(call(GOOD).await);
    assert_eq!(refused.name().as_str(), "test");
    assert_eq!((refused.reason(), refused.retry_after()), (TripReason::ConsecutiveFailures, Some(6 * SEC)));
    assert_eq!(backend.calls(), 4, "it was not called");

    advance(6 * SEC).await;
    assert_eq!(call(BAD).await, BAD);
    assert_eq!(breaker.snapshot().reason, Some(TripReason::ProbeFailed));
    assert_eq!(open(call(GOOD).await).retry_after(), Some(10 * SEC));

    advance(10 * SEC).await;
    assert_eq!(call(GOOD).await, GOOD);
    assert_eq!((breaker.state(), breaker.snapshot().trips), (State::Closed, 2));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_timeout_inside_opens_it_and_refusals_further_in_do_not() {
    let outer = layer(config().name("outer"));
    let inner = layer(config().name("inner"));
    let attempt = TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("a limit");
    let hangs = service_fn(|()| pending::<Result<(), BoxError>>());
    let service = ServiceBuilder::new().layer(outer.clone()).layer(inner.clone()).layer(attempt).service(hangs);
    inner.breaker().force_open();
    for _ in 0..10 {
        service.clone().oneshot(()).await.expect_err("refused further in");
    }
    assert_eq!(outer.breaker().snapshot().consecutive_failures, 0, "a refusal says nothing of the service");
    inner.breaker().disable();
    for _ in 0..3 {
        let error = service.clone().oneshot(()).await.expect_err("no answer");
        assert!(matches!(Rejection::find(&*error), Some(Rejection::Elapsed(_))));
    }
    assert_eq!(outer.breaker().state(), State::Open);
}

/// Calls that an outer timeout drops were seen by no breaker: 200 of 200 timed out, and it was closed.
#[tokio::test(start_paused = true)]
async fn an_outer_timeout_opens_it_where_a_dropped_call_is_a_failure() {
    let tripped_by_drops = async |meaning| {
        let breaker = layer(config().when_dropped(meaning));
        let outer = TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("a limit");
        let hangs = service_fn(|()| pending::<Result<(), BoxError>>());
        let service = ServiceBuilder::new().layer(outer).layer(breaker.clone()).service(hangs);
        for _ in 0..3 {
            service.clone().oneshot(()).await.expect_err("no answer");
        }
        breaker.breaker().snapshot()
    };
    let failure = tripped_by_drops(WhenDropped::Failure).await;
    assert_eq!((failure.state, failure.reason), (State::Open, Some(TripReason::ConsecutiveFailures)));
    let neutral = tripped_by_drops(WhenDropped::Neutral).await;
    assert_eq!((neutral.state, neutral.consecutive_failures), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_in_the_call_and_in_the_future() {
    let layer = layer(config().consecutive_failures(2));
    let in_call = layer.layer(service_fn(|()| -> std::future::Ready<Result<(), BoxError>> { panic!("in call") }));
    let in_future =
        layer.layer(service_fn(|()| async { if true { panic!("in the future") } else { Ok::<(), BoxError>(()) } }));
    AssertUnwindSafe(in_call.oneshot(())).catch_unwind().await.expect_err("it panics");
    assert_eq!(layer.breaker().snapshot().consecutive_failures, 1);
    tokio::spawn(in_future.oneshot(())).await.expect_err("it panics");
    assert_eq!(layer.breaker().state(), State::Open);
}

/// What the call holds is free again by the time that the next one may be let through.
#[tokio::test(start_paused = true)]
async fn a_call_that_has_answered_is_gone_before_the_circuit_hears_of_it() {
    struct Answers(CircuitBreaker, Arc<AtomicU32>);
    impl Future for Answers {
        type Output = Answer;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
            Poll::Ready(GOOD)
        }
    }
    impl Drop for Answers {
        fn drop(&mut self) {
            self.1.store(self.0.snapshot().probes.expect("half-open").in_flight, Ordering::SeqCst);
        }
    }
    let layer = probing(config()).await;
    let in_flight = Arc::new(AtomicU32::new(0));
    let service = service_fn(|()| Answers(layer.breaker().clone(), in_flight.clone()));
    assert_eq!(layer.layer(service).oneshot(()).await, GOOD);
    assert_eq!(in_flight.load(Ordering::SeqCst), 1);
}

/// Somebody else's panic is no fault of the service.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_by_a_panic_elsewhere_is_merely_dropped() {
    let layer = layer(config());
    let mut call = task::spawn(layer.layer(service_fn(|()| pending::<Result<(), BoxError>>())).oneshot(()));
    assert_pending!(call.poll());
    let unwound = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _call = call;
        panic!("elsewhere");
    }));
    unwound.expect_err("it panics");
    assert_eq!(layer.breaker().snapshot().consecutive_failures, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_anywhere_leaves_a_half_open_circuit_with_all_its_places() {
    let world = || {
        let layer = layer(config());
        layer.breaker().let_a_probe_in_after(MS);
        layer
    };
    let call = |layer: &mut CircuitBreakerLayer| {
        let waits_twice = service_fn(|answer: Answer| async move {
            sleep(SEC).await;
            sleep(SEC).await;
            answer
        });
        let service = layer.layer(waits_twice);
        async move {
            sleep(MS).await;
            service.oneshot(GOOD).await
        }
    };
    drops::at_every_point(3, world, call, async |layer: CircuitBreakerLayer, polls| {
        let after = layer.breaker().snapshot();
        if polls > 3 {
            assert_eq!(after.state, State::Closed);
            return;
        }
        assert!(after.probes.is_none_or(|probes| probes.in_flight == 0), "after {polls} polls: {after:?}");
        advance(MS).await;
        assert_eq!(layer.layer(Backend::default()).oneshot(GOOD).await, GOOD, "the next one probes");
        assert_eq!(layer.breaker().state(), State::Closed);
    })
    .await;
}

trait ToProbe {
    /// Opens it for a short while.
    fn let_a_probe_in_after(&self, short: Duration);
}

impl ToProbe for CircuitBreaker {
    fn let_a_probe_in_after(&self, short: Duration) {
        let short = config().open_for(OpenFor::fixed(short));
        self.reconfigure(&short).expect("valid");
        while self.state() != State::Open {
            self.try_acquire().expect("closed").failure();
        }
        self.reconfigure(&config()).expect("valid");
    }
}

#[tokio::test(start_paused = true)]
async fn it_keeps_towers_contract() {
    readiness::is_kept_by(|inner| layer(config()).layer(inner)).await;
    readiness::is_kept_by(|inner| layer(config().observe_only(true)).layer(inner)).await;
    readiness::is_kept_by(|inner| {
        // Half-open: the calls are probes, and three may be under way.
        let probing = layer(config().permitted_probes(3).successes_to_close(100));
        probing.breaker().let_a_probe_in_after(Duration::from_nanos(1));
        probing.breaker().reconfigure(&config().permitted_probes(3).successes_to_close(100)).expect("valid");
        probing.breaker().observe_only(true);
        probing.layer(inner)
    })
    .await;
    readiness::is_kept_by(|inner| {
        let by_key = CircuitBreakerLayer::by_key(config(), |number: &u32| Some(*number)).expect("valid");
        by_key.layer(inner)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_ready_at_once_although_the_service_never_is() {
    let layer = layer(config());
    let (inner, mut handle) = tower_test::mock::pair::<Answer, &str>();
    handle.allow(0);
    let mut service = task::spawn(layer.layer(inner));
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
    trip(&layer).await;
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    let refused = service.call(GOOD).await.expect_err("refused");
    assert!(matches!(Rejection::find(&*refused), Some(Rejection::CircuitOpen(_))));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_service_is_woken_when_the_circuit_opens_and_is_refused() {
    let layer = layer(config());
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let (inner, mut handle) = tower_test::mock::pair::<Answer, &str>();
            handle.allow(0);
            let waiter = task::spawn(layer.layer(inner).oneshot(GOOD));
            (waiter, handle)
        })
        .map(|(mut waiter, handle)| {
            assert_pending!(waiter.poll());
            assert_pending!(waiter.poll(), "twice, with the same waker");
            (waiter, handle)
        })
        .collect();
    trip(&layer).await;
    for (mut waiter, _handle) in waiters {
        assert!(waiter.is_woken());
        let refused = assert_ready_err!(waiter.poll());
        assert!(matches!(Rejection::find(&*refused), Some(Rejection::CircuitOpen(_))));
    }

    let (inner, mut handle) = tower_test::mock::pair::<Answer, &str>();
    handle.allow(0);
    layer.breaker().reset();
    let mut waiter = task::spawn(layer.layer(inner).oneshot(GOOD));
    assert_pending!(waiter.poll());
    layer.breaker().force_open();
    assert!(waiter.is_woken(), "by hand as well");
    assert_ready_err!(waiter.poll());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_announced_comes_although_the_open_time_has_ended_meanwhile() {
    let (layer, backend) = (layer(config()), Backend::default());
    trip(&layer).await;
    let mut service = task::spawn(layer.layer(backend.clone()));
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    advance(60 * SEC).await;
    open(service.call(GOOD).await);
    assert_eq!(backend.calls(), 0);

    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(service.call(GOOD).await, GOOD, "who asks again is asked again");
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_after_the_circuit_has_closed_is_not_refused_any_more() {
    let (layer, backend) = (layer(config()), Backend::default());
    trip(&layer).await;
    let mut service = task::spawn(layer.layer(backend.clone()));
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    layer.breaker().reset();
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!((service.call(GOOD).await, backend.calls()), (GOOD, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_ready_before_the_trip_is_refused_after_it() {
    let (layer, backend) = (layer(config()), Backend::default());
    let mut service = task::spawn(layer.layer(backend.clone()));
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    trip(&layer).await;
    open(service.call(GOOD).await);
    assert_eq!(backend.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_is_reserved_when_ready_and_given_back_when_nobody_calls() {
    let layer = layer(config());
    trip(&layer).await;
    advance(10 * SEC).await;
    let mut reserved = task::spawn(layer.layer(Backend::default()));
    for _ in 0..2 {
        assert_ready_ok!(reserved.enter(|cx, mut service| service.poll_ready(cx)));
        assert_eq!(layer.breaker().snapshot().probes.map(|probes| probes.in_flight), Some(1));
    }
    let clone = (*reserved).clone();
    open(clone.oneshot(GOOD).await);
    drop(reserved);
    assert_eq!(layer.breaker().snapshot().probes.map(|probes| probes.in_flight), Some(0));
    assert_eq!(layer.layer(Backend::default()).oneshot(GOOD).await, GOOD);
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_lease_ended_before_the_call_is_no_probe_any_more() {
    let (layer, backend) = (layer(config().allowed_failures(1)), Backend::default());
    trip(&layer).await;
    advance(10 * SEC).await;
    let mut first = task::spawn(layer.layer(backend.clone()));
    assert_ready_ok!(first.enter(|cx, mut service| service.poll_ready(cx)));
    advance(30 * SEC).await;
    let mut second = task::spawn(layer.layer(backend.clone()));
    assert_ready_ok!(second.enter(|cx, mut service| service.poll_ready(cx)));
    open(first.call(GOOD).await);
    assert_eq!((second.call(GOOD).await, backend.calls()), (GOOD, 1));
    assert_eq!(layer.breaker().state(), State::Closed);
}

/// A worker gets ready first and then waits for a job, which may take longer than a lease.
#[tokio::test(start_paused = true)]
async fn a_place_that_waits_for_a_job_is_no_probe_that_hangs() {
    let (layer, backend) = (layer(config()), Backend::default());
    trip(&layer).await;
    let mut worker = layer.layer(backend.clone());
    for job in 1..5 {
        let ready = worker.ready().await.expect("ready");
        advance(60 * SEC).await;
        let answer = ready.call(GOOD).await;
        // The refusal of the first job was announced while the circuit was open.
        assert_eq!(answer.is_ok(), job > 1, "job {job}");
    }
    assert_eq!((layer.breaker().state(), layer.breaker().snapshot().trips), (State::Closed, 1));

    trip(&layer).await;
    advance(10 * SEC).await;
    worker.ready().await.expect("ready");
    advance(30 * SEC).await;
    assert_eq!(layer.layer(backend).oneshot(GOOD).await, GOOD, "another one may probe then");
    assert_eq!(layer.breaker().snapshot().trips, 2, "nobody failed");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_asks_again_and_again_keeps_no_probe_out_for_longer_than_a_lease() {
    let layer = layer(config());
    trip(&layer).await;
    advance(10 * SEC).await;
    let mut asks = task::spawn(layer.layer(Backend::default()));
    for _ in 0..29 {
        assert_ready_ok!(asks.enter(|cx, mut service| service.poll_ready(cx)));
        advance(SEC).await;
        open(layer.layer(Backend::default()).oneshot(GOOD).await);
    }
    advance(SEC).await;
    assert_eq!(layer.layer(Backend::default()).oneshot(GOOD).await, GOOD);
}

/// A service that is never ready.
struct Stuck;

impl Service<()> for Stuck {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_gets_ready_is_seen_where_a_dropped_call_is_a_failure() {
    let given_up = async |layer: &CircuitBreakerLayer| {
        tokio::time::timeout(SEC, layer.layer(Stuck).oneshot(())).await.expect_err("it waits");
    };
    let told = layer(config().when_dropped(WhenDropped::Failure));
    for _ in 0..3 {
        given_up(&told).await;
    }
    assert_eq!(told.breaker().state(), State::Open);
    advance(10 * SEC).await;
    given_up(&told).await;
    assert_eq!(told.breaker().snapshot().reason, Some(TripReason::ProbeFailed));

    let neutral = layer(config());
    for _ in 0..10 {
        given_up(&neutral).await;
    }
    assert_eq!(neutral.breaker().snapshot().consecutive_failures, 0);
    trip(&neutral).await;
    advance(10 * SEC).await;
    let mut waits = task::spawn(neutral.layer(Stuck).oneshot(()));
    assert_pending!(waits.poll());
    advance(30 * SEC).await;
    open(neutral.layer(Backend::default()).oneshot(GOOD).await);
    assert_eq!(
        neutral.breaker().snapshot().reason,
        Some(TripReason::ProbeExpired),
        "its lease tells, if nobody drops it"
    );
}

#[derive(Clone, Copy)]
enum Readiness {
    Ready,
    Waits,
    Fails,
    Panics,
}

/// Gets ready as it is told; its calls succeed.
#[derive(Clone)]
struct Moody(Arc<Mutex<Readiness>>);

impl Moody {
    fn that(readiness: Readiness) -> Self {
        Self(Arc::new(Mutex::new(readiness)))
    }

    fn turns(&self, readiness: Readiness) {
        *self.0.lock().expect("no panic") = readiness;
    }
}

impl Service<Answer> for Moody {
    type Response = &'static str;
    type Error = Error<&'static str>;
    type Future = std::future::Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let readiness = *self.0.lock().expect("no panic");
        match readiness {
            Readiness::Ready => Poll::Ready(Ok(())),
            Readiness::Waits => Poll::Pending,
            Readiness::Fails => Poll::Ready(Err(Error::Inner("broken"))),
            Readiness::Panics => panic!("while it gets ready"),
        }
    }

    fn call(&mut self, answer: Answer) -> Self::Future {
        ready(answer)
    }
}

/// A layer whose next call is a probe.
async fn probing(config: CircuitBreakerConfig) -> CircuitBreakerLayer {
    let layer = layer(config);
    trip(&layer).await;
    advance(10 * SEC).await;
    layer
}

#[tokio::test(start_paused = true)]
async fn an_outdated_place_does_not_stand_in_the_way_of_its_own_service() {
    let layer = probing(config()).await;
    let mut rests = task::spawn(layer.layer(Moody::that(Readiness::Ready)));
    assert_ready_ok!(rests.enter(|cx, mut service| service.poll_ready(cx)));
    layer.breaker().reconfigure(&config()).expect("valid");
    assert_eq!(rests.call(GOOD).await, GOOD);

    let layer = probing(config()).await;
    let moody = Moody::that(Readiness::Waits);
    let mut waits = task::spawn(layer.layer(moody.clone()));
    assert_pending!(waits.enter(|cx, mut service| service.poll_ready(cx)));
    layer.breaker().reconfigure(&config()).expect("valid");
    moody.turns(Readiness::Ready);
    assert_ready_ok!(waits.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(waits.call(GOOD).await, GOOD);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_has_rested_has_a_lease_of_its_own_when_it_asks_again() {
    let layer = probing(config()).await;
    let moody = Moody::that(Readiness::Ready);
    let mut service = task::spawn(layer.layer(moody.clone()));
    assert_ready_ok!(service.enter(|cx, mut service| service.poll_ready(cx)));
    advance(60 * SEC).await;
    moody.turns(Readiness::Waits);
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
    open(layer.layer(Backend::default()).oneshot(GOOD).await);
    assert_eq!(layer.breaker().state(), State::HalfOpen, "it was asked just now");
    advance(30 * SEC).await;
    open(layer.layer(Backend::default()).oneshot(GOOD).await);
    assert_eq!(layer.breaker().snapshot().reason, Some(TripReason::ProbeExpired));
}

#[tokio::test(start_paused = true)]
async fn a_failure_to_get_ready_means_what_the_classifier_says() {
    let layer = probing(config().when_dropped(WhenDropped::Failure)).await;
    let fine = layer.clone().classify(|_: Result<&&str, &Error<&str>>| Outcome::Success);
    let moody = Moody::that(Readiness::Waits);
    let mut service = task::spawn(fine.layer(moody.clone()));
    assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
    moody.turns(Readiness::Fails);
    assert_ready_err!(service.enter(|cx, mut service| service.poll_ready(cx)));
    assert_eq!(layer.breaker().state(), State::HalfOpen);
    assert_eq!(layer.breaker().snapshot().probes.map(|probes| probes.in_flight), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_getting_ready_is_a_failure() {
    let panics = |layer: &CircuitBreakerLayer| {
        let mut service = task::spawn(layer.layer(Moody::that(Readiness::Panics)));
        let polled = AssertUnwindSafe(|| service.enter(|cx, mut service| service.poll_ready(cx)).is_ready());
        std::panic::catch_unwind(polled).expect_err("it panics");
    };
    let closed = layer(config());
    panics(&closed);
    assert_eq!(closed.breaker().snapshot().consecutive_failures, 1);
    let probing = probing(config()).await;
    panics(&probing);
    assert_eq!(probing.breaker().snapshot().reason, Some(TripReason::ProbeFailed));
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_and_waits_no_more_was_not_given_up() {
    let failures = |after: &[Readiness], calls: bool| {
        let layer = layer(config().when_dropped(WhenDropped::Failure));
        let moody = Moody::that(Readiness::Waits);
        let mut service = task::spawn(layer.layer(moody.clone()));
        assert_pending!(service.enter(|cx, mut service| service.poll_ready(cx)));
        for readiness in after {
            moody.turns(*readiness);
            let polled = AssertUnwindSafe(|| service.enter(|cx, mut service| service.poll_ready(cx)).is_ready());
            let _panicked = std::panic::catch_unwind(polled);
        }
        if calls {
            service.call(GOOD).now_or_never().expect("at once").expect("good");
        }
        drop(service);
        layer.breaker().snapshot().consecutive_failures
    };
    assert_eq!(failures(&[], false), 1, "the control: whoever goes while it waits was given up");
    assert_eq!(failures(&[Readiness::Ready], false), 0);
    assert_eq!(failures(&[Readiness::Fails], false), 1, "the failure itself");
    assert_eq!(failures(&[Readiness::Panics, Readiness::Ready], false), 1, "the panic itself");
    assert_eq!(failures(&[], true), 0, "a call ends the wait, also one that nobody was ready for");
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_as_soon_as_some_are_refused() {
    let layer = probing(config().observe_only(true)).await;
    let _probe = layer.breaker().try_acquire().expect("a probe");
    let mut waits = task::spawn(layer.layer(Moody::that(Readiness::Waits)).oneshot(GOOD));
    assert_pending!(waits.poll(), "it would have been refused");
    layer.breaker().observe_only(false);
    assert!(waits.is_woken());
    open(assert_ready!(waits.poll()));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_get_ready_is_a_failure() {
    struct NeverReady;
    impl Service<()> for NeverReady {
        type Response = ();
        type Error = Error<&'static str>;
        type Future = std::future::Ready<Result<(), Self::Error>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Err(Error::Inner("broken")))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let layer = layer(config());
    for failures in 1..=3 {
        assert_eq!(layer.layer(NeverReady).oneshot(()).await, Err(Error::Inner("broken")));
        assert_eq!(layer.breaker().snapshot().consecutive_failures, failures);
    }
    open(layer.layer(NeverReady).oneshot(()).await);
    advance(10 * SEC).await;
    assert_eq!(layer.layer(NeverReady).oneshot(()).await, Err(Error::Inner("broken")));
    assert_eq!(layer.breaker().snapshot().reason, Some(TripReason::ProbeFailed));
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_refuses_at_once_and_nobody_polls_for_a_place() {
    let layer = layer(config());
    trip(&layer).await;
    advance(10 * SEC).await;
    let mut probe = task::spawn(layer.layer(service_fn(|()| pending::<Result<(), BoxError>>())).oneshot(()));
    assert_pending!(probe.poll());
    let mut refused = task::spawn(layer.layer(Backend::default()).oneshot(GOOD));
    let refusal = open(assert_ready!(refused.poll(), "at its first poll"));
    assert_eq!(refusal.retry_after(), None, "it depends on the probe");
    assert!(!refused.is_woken());
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_although_they_succeed() {
    let rule = LastCalls::new(4).slow_rate(0.5).minimum_calls(4);
    let layer = layer(CircuitBreakerConfig::new().last_calls(rule).slow_call_threshold(SEC));
    let service = layer.layer(service_fn(|wait: Duration| async move {
        sleep(wait).await;
        Ok::<_, BoxError>(())
    }));
    for wait in [SEC - MS, SEC, SEC - MS] {
        service.clone().oneshot(wait).await.expect("closed");
    }
    assert_eq!(layer.breaker().snapshot().last_calls.map(|counts| counts.slow), Some(1));
    service.clone().oneshot(SEC).await.expect("closed");
    assert_eq!(layer.breaker().snapshot().reason, Some(TripReason::SlowRateOfLastCalls));
}

#[tokio::test(start_paused = true)]
async fn a_window_of_time_follows_paused_time() {
    let layer = layer(CircuitBreakerConfig::new().time_window(TimeWindow::new(10 * SEC).minimum_calls(10)));
    let call = async |answer| layer.layer(Backend::default()).oneshot(answer).await;
    for _ in 0..6 {
        assert_eq!(call(GOOD).await, GOOD);
    }
    advance(5 * SEC).await;
    for _ in 0..5 {
        assert_eq!(call(BAD).await, BAD);
    }
    let window = layer.breaker().snapshot().time_window.expect("it has one");
    assert_eq!((window.calls, window.failures, layer.breaker().state()), (11, 5, State::Closed));
    advance(5 * SEC).await;
    for _ in 0..5 {
        assert_eq!(layer.breaker().state(), State::Closed, "5 failures are too few without the good ones");
        assert_eq!(call(BAD).await, BAD);
    }
    assert_eq!(layer.breaker().snapshot().reason, Some(TripReason::FailureRateInTimeWindow));
}

#[tokio::test(start_paused = true)]
async fn observing_only_refuses_nothing_and_counts_what_it_would_have() {
    let (layer, backend) = (layer(config().observe_only(true)), Backend::default());
    let service = layer.layer(backend.clone());
    for _ in 0..5 {
        assert_eq!(service.clone().oneshot(BAD).await, BAD);
    }
    let after = layer.breaker().snapshot();
    assert_eq!((after.state, after.would_have_refused, backend.calls()), (State::Open, 2, 5));
    assert_eq!(after.consecutive_failures, 3, "what would not have been called is not counted");
    advance(10 * SEC).await;
    assert_eq!(service.clone().oneshot(GOOD).await, GOOD);
    assert_eq!(layer.breaker().state(), State::Closed);

    layer.breaker().force_open();
    assert_eq!(open(service.clone().oneshot(GOOD).await).reason(), TripReason::ForcedOpen, "what is forced is meant");
    layer.breaker().reset();
    layer.breaker().observe_only(false);
    trip(&layer).await;
    open(service.clone().oneshot(GOOD).await);
}

#[tokio::test(start_paused = true)]
async fn the_handle_takes_the_circuit_in_hand() {
    let (layer, backend) = (layer(config()), Backend::default());
    let (breaker, service) = (layer.breaker().clone(), layer.layer(backend.clone()));
    breaker.force_open();
    advance(365 * 86_400 * SEC).await;
    let refused = open(service.clone().oneshot(GOOD).await);
    assert_eq!((refused.reason(), refused.retry_after()), (TripReason::ForcedOpen, None));
    for (act, expected) in [
        (CircuitBreaker::force_closed as fn(&CircuitBreaker), State::ForcedClosed),
        (CircuitBreaker::disable, State::Disabled),
    ] {
        act(&breaker);
        for _ in 0..10 {
            assert_eq!(service.clone().oneshot(BAD).await, BAD);
        }
        assert_eq!(breaker.state(), expected);
    }
    breaker.reset();
    trip(&layer).await;
    open(service.clone().oneshot(GOOD).await);
    assert_eq!(backend.calls(), 20);
}

#[tokio::test(start_paused = true)]
async fn settings_change_while_it_runs_and_bad_ones_change_nothing() {
    let layer = layer(config());
    let breaker = layer.breaker();
    let service = layer.layer(Backend::default());
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(BAD).await, BAD);
    }
    let generation = breaker.snapshot().generation;
    let invalid = breaker.reconfigure(&config().permitted_probes(0)).expect_err("no probe at all");
    assert_eq!(invalid, InvalidCircuitBreaker::PermittedProbes { name: "test".into(), probes: 0 });
    assert_eq!(breaker.snapshot().generation, generation);
    breaker.reconfigure(&config().name("other").consecutive_failures(5)).expect("valid");
    assert_eq!(breaker.snapshot().consecutive_failures, 2, "what was counted stays");
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(BAD).await, BAD);
    }
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(service.clone().oneshot(BAD).await, BAD);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(open(service.oneshot(GOOD).await).name().as_str(), "test", "the name stays");
}

#[tokio::test(start_paused = true)]
async fn a_time_window_keeps_its_good_calls_when_settings_change() {
    let windowed = |rate| CircuitBreakerConfig::new().time_window(TimeWindow::new(10 * SEC).failure_rate(rate));
    let breaker = CircuitBreaker::new(windowed(0.5)).expect("valid");
    for _ in 0..19 {
        breaker.try_acquire().expect("closed").success();
    }
    breaker.reconfigure(&windowed(0.05)).expect("valid");
    breaker.try_acquire().expect("closed").success();
    assert_eq!(breaker.snapshot().time_window.map(|counts| counts.calls), Some(20));
    breaker.try_acquire().expect("closed").failure();
    assert_eq!(breaker.state(), State::Closed, "1 of 21 is less than a twentieth");
    breaker.try_acquire().expect("closed").failure();
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn without_tower_a_permit_says_how_the_call_ended() {
    let breaker = CircuitBreaker::new(config()).expect("valid");
    let streak = || breaker.snapshot().consecutive_failures;
    breaker.try_acquire().expect("closed").failure();
    breaker.try_acquire().expect("closed").ignore();
    drop(breaker.try_acquire().expect("closed"));
    breaker.try_acquire().expect("closed").record(Failure::new(FailureKind::TimedOut).into());
    breaker.try_acquire().expect("closed").record(Failure::new(FailureKind::Expired).into());
    assert_eq!(streak(), 2);
    breaker.try_acquire().expect("closed").record(Outcome::Success);
    assert_eq!(streak(), 0);
    let permit = breaker.try_acquire().expect("closed");
    std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _permit = permit;
        panic!("the call did");
    }))
    .expect_err("it panics");
    assert_eq!(streak(), 1);
    (0..2).for_each(|_| breaker.try_acquire().expect("closed").failure());
    let open = breaker.try_acquire().expect_err("open");
    assert!(open.retry_after().is_some_and(|left| left > 9 * SEC && left <= 10 * SEC));
}

#[tokio::test(start_paused = true)]
async fn listeners_get_every_change_in_order() {
    let layer = layer(config());
    let mut changes = layer.breaker().changes();
    assert_eq!(changes.try_next(), None);
    trip(&layer).await;
    advance(10 * SEC).await;
    layer.layer(Backend::default()).oneshot(GOOD).await.expect("a probe");
    layer.breaker().force_open();
    let mut seen = Vec::new();
    while let Some(change) = changes.try_next() {
        seen.push((change.from, change.to, change.reason, change.generation));
    }
    assert_eq!(
        seen,
        [
            (State::Closed, State::Open, Some(TripReason::ConsecutiveFailures), 2),
            (State::Open, State::HalfOpen, None, 3),
            (State::HalfOpen, State::Closed, None, 4),
            (State::Closed, State::ForcedOpen, Some(TripReason::ForcedOpen), 5),
        ]
        .map(|(from, to, reason, step)| (from, to, reason, seen[0].3 + step - 2))
    );
    let waits = tokio::spawn(async move { (changes.next().await.map(|change| change.to), changes.next().await) });
    layer.breaker().reset();
    drop(layer);
    assert_eq!(waits.await.expect("no panic"), (Some(State::Closed), None), "the end is heard of");
}

/// Listeners that ran in the breaker's own lock made all calls wait: 204 ms for 40 calls.
#[tokio::test(start_paused = true)]
async fn a_listener_that_is_slow_or_panics_harms_nobody() {
    let layer = layer(config());
    let (mut slow, mut panics) = (layer.breaker().changes(), layer.breaker().changes());
    let panicked = tokio::spawn(async move {
        panics.next().await;
        panic!("on purpose");
    });
    tokio::task::yield_now().await;
    for _ in 0..100 {
        layer.breaker().force_open();
        layer.breaker().reset();
    }
    panicked.await.expect_err("it panics");
    let first = slow.try_next().expect("some are left");
    assert_eq!(slow.missed(), 200 - 64, "the oldest, and it knows how many");
    let mut generation = first.generation;
    while let Some(change) = slow.try_next() {
        assert_eq!(change.generation, generation + 1);
        generation = change.generation;
    }
    assert_eq!(layer.layer(Backend::default()).oneshot(GOOD).await, GOOD);
}

/// Rivals wait at a barrier until all have come, and the winners hold their places until all were told.
#[test]
fn under_threads_a_half_open_circuit_admits_as_many_as_it_permits() {
    const THREADS: usize = 8;
    const CLONES: usize = 50;
    for permitted in [1, 3] {
        let breaker = CircuitBreaker::new(config().permitted_probes(permitted)).expect("valid");
        for _ in 0..20 {
            breaker.reset();
            breaker.let_a_probe_in_after(Duration::from_nanos(1));
            let open = config().permitted_probes(permitted).successes_to_close(permitted);
            breaker.reconfigure(&open).expect("valid");
            let (start, told) = (Barrier::new(THREADS), Barrier::new(THREADS));
            let admitted = AtomicU32::new(0);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let clones: Vec<_> = (0..CLONES).map(|_| breaker.clone()).collect();
                        start.wait();
                        let permits: Vec<_> = clones.iter().filter_map(|clone| clone.try_acquire().ok()).collect();
                        told.wait();
                        admitted.fetch_add(u32::try_from(permits.len()).expect("few"), Ordering::SeqCst);
                        permits.into_iter().for_each(Permit::success);
                    });
                }
            });
            assert_eq!(admitted.into_inner(), permitted);
            assert_eq!(breaker.state(), State::Closed, "and all of their answers count");
        }
    }
}

#[test]
fn under_threads_every_failure_and_every_good_call_is_counted_once() {
    const THREADS: u32 = 8;
    const EACH: u32 = 2_000;
    let config = CircuitBreakerConfig::new()
        .time_window(TimeWindow::new(3600 * SEC).failure_rate(1.0))
        .last_calls(LastCalls::new(2048).failure_rate(1.0));
    let breaker = CircuitBreaker::new(config).expect("valid");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for number in 0..EACH {
                    let permit = breaker.try_acquire().expect("closed");
                    if number % 10 == 0 { permit.failure() } else { permit.success() }
                }
            });
        }
    });
    let after = breaker.snapshot();
    let window = after.time_window.expect("it has one");
    assert_eq!((window.calls, window.failures), (THREADS * EACH, THREADS * EACH / 10));
    assert_eq!(after.last_calls.map(|counts| counts.calls), Some(2048));
}

/// All have their permits before the first of them fails.
#[test]
fn under_threads_it_trips_once_and_all_hear_of_it_in_order() {
    const RIVALS: u64 = 4;
    const EACH: u64 = 3;
    let breaker = CircuitBreaker::new(config()).expect("valid");
    let mut changes = breaker.changes();
    let trips = 16;
    for trip in 1..=trips {
        breaker.reset();
        let all_admitted = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..RIVALS {
                scope.spawn(|| {
                    let permits: Vec<_> = (0..EACH).map(|_| breaker.try_acquire().expect("closed")).collect();
                    all_admitted.wait();
                    permits.into_iter().for_each(Permit::failure);
                });
            }
        });
        let after = breaker.snapshot();
        assert_eq!((after.state, after.trips, after.stale), (State::Open, trip, trip * (RIVALS * EACH - 3)));
    }
    let generations: Vec<_> = std::iter::from_fn(|| changes.try_next()).map(|change| change.generation).collect();
    assert_eq!(generations.len(), 2 * usize::try_from(trips).expect("few"));
    assert!(generations.windows(2).all(|pair| pair[1] == pair[0] + 1), "{generations:?}");
}

fn by_host(config: impl Into<KeyedConfig>) -> KeyedCircuitBreaker<u32> {
    KeyedCircuitBreaker::new(config).expect("valid")
}

fn fail(breakers: &KeyedCircuitBreaker<u32>, key: u32) {
    breakers.try_acquire(&key).expect("closed").failure();
}

#[tokio::test(start_paused = true)]
async fn by_key_one_that_fails_costs_the_others_nothing() {
    let host_of = |(host, _): &(Option<&'static str>, Answer)| *host;
    let layer = CircuitBreakerLayer::by_key(config(), host_of).expect("valid");
    let backend = Backend::default();
    let service = layer.layer(service_fn({
        let backend = backend.clone();
        move |(_, answer): (Option<&'static str>, Answer)| backend.clone().oneshot(answer)
    }));
    let call = async |host, answer| service.clone().oneshot((host, answer)).await;
    for _ in 0..3 {
        assert_eq!(call(Some("a"), BAD).await, BAD);
        assert_eq!(call(Some("b"), GOOD).await, GOOD);
    }
    let refused = open(call(Some("a"), GOOD).await);
    assert_eq!(refused.name().as_str(), "test[\"a\"]");
    assert_eq!(refused.retry_after(), Some(10 * SEC));
    assert_eq!(call(Some("b"), GOOD).await, GOOD);
    assert_eq!(call(None, GOOD).await, GOOD);

    let breakers = layer.breakers();
    let states: HashSet<_> =
        breakers.snapshot().breakers.into_iter().map(|(key, snapshot)| (key, snapshot.state)).collect();
    assert_eq!(states, HashSet::from([("a", State::Open), ("b", State::Closed)]));
    breakers.get(&"a").expect("it has one").reset();
    assert_eq!(call(Some("a"), GOOD).await, GOOD);
    assert!(breakers.get(&"c").is_none());
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_key_share_a_breaker_or_pass() {
    for (chosen, refused) in [(WithoutKey::Share, true), (WithoutKey::Pass, false)] {
        let config = KeyedConfig::new(config()).without_key(chosen);
        let layer = CircuitBreakerLayer::by_key(config, |_: &Answer| None::<u32>).expect("valid");
        for _ in 0..3 {
            layer.layer(Backend::default()).oneshot(BAD).await.expect_err("broken");
        }
        let answer = layer.layer(Backend::default()).oneshot(GOOD).await;
        assert_eq!(answer != GOOD, refused, "{chosen:?}");
        assert_eq!(layer.breakers().without_key().state() == State::Open, refused);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_bounded_and_an_open_one_outlives_a_million_others() {
    let breakers = by_host(KeyedConfig::new(config().open_for(OpenFor::fixed(3600 * SEC))).max_keys(100));
    (0..3).for_each(|_| fail(&breakers, 0));
    for key in 1..1_000_000 {
        breakers.try_acquire(&key).expect("closed").success();
    }
    assert_eq!(breakers.len(), 100);
    assert!(breakers.try_acquire(&0).is_err());
    assert_eq!(breakers.snapshot().overflowed, 0, "there was always a place");
}

#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_place_while_a_probe_is_under_way() {
    let breakers = by_host(KeyedConfig::new(config()).max_keys(2));
    (0..3).for_each(|_| fail(&breakers, 0));
    advance(10 * SEC).await;
    let probe = breakers.try_acquire(&0).expect("a probe");
    assert!(probe.is_probe());
    for key in 1..100 {
        breakers.try_acquire(&key).expect("closed").success();
        assert!(breakers.try_acquire(&0).is_err(), "one at a time, whoever else comes");
    }
    probe.success();
    breakers.try_acquire(&0).expect("closed").success();
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_used_keeps_its_place() {
    let breakers = by_host(KeyedConfig::new(config()).max_keys(100));
    fail(&breakers, 0);
    for key in 1..10_000 {
        breakers.try_acquire(&0).expect("closed").ignore();
        breakers.try_acquire(&key).expect("closed").success();
    }
    assert_eq!(breakers.get(&0).map(|breaker| breaker.snapshot().consecutive_failures), Some(1));
}

#[tokio::test(start_paused = true)]
async fn where_every_place_is_needed_new_keys_share_the_overflow() {
    let breakers = by_host(KeyedConfig::new(config()).max_keys(3));
    for key in 0..3 {
        (0..3).for_each(|_| fail(&breakers, key));
    }
    (3..6).for_each(|key| fail(&breakers, key));
    assert!(breakers.try_acquire(&9).is_err(), "they share one");
    let snapshot = breakers.snapshot();
    assert_eq!((snapshot.overflowed, snapshot.overflow.state, breakers.len()), (4, State::Open, 3));
    advance(10 * SEC).await;
    breakers.try_acquire(&7).expect("a place is free when an open time is over").success();
    assert!(breakers.get(&7).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_uses_is_forgotten_but_not_one_in_somebodys_hand() {
    let breakers = by_host(KeyedConfig::new(config()).forget_after(60 * SEC));
    fail(&breakers, 0);
    fail(&breakers, 1);
    breakers.get(&1).expect("it has one").force_open();
    advance(61 * SEC).await;
    assert_eq!(breakers.len(), 2, "nothing happens by itself");
    (2..6).for_each(|key| fail(&breakers, key));
    assert!(breakers.get(&0).is_none());
    assert_eq!(breakers.get(&1).map(|breaker| breaker.state()), Some(State::ForcedOpen));
}

#[tokio::test(start_paused = true)]
async fn settings_change_for_every_key_there_is_and_will_be() {
    let breakers = by_host(config());
    fail(&breakers, 0);
    breakers.reconfigure(&config().consecutive_failures(2)).expect("valid");
    for key in 0..2 {
        (0..2).for_each(|_| drop(breakers.try_acquire(&key).map(Permit::failure)));
        assert!(breakers.try_acquire(&key).is_err(), "{key}");
    }
    let no_keys = KeyedCircuitBreaker::<u32>::new(KeyedConfig::new(config()).max_keys(0)).expect_err("no keys");
    assert_eq!(no_keys, InvalidCircuitBreaker::ZeroKeys("test".into()));
    let at_once = KeyedConfig::new(config()).forget_after(Duration::ZERO);
    let at_once = KeyedCircuitBreaker::<u32>::new(at_once).expect_err("forgotten at once");
    assert_eq!(at_once, InvalidCircuitBreaker::ZeroForgetAfter("test".into()));
}

#[tokio::test(start_paused = true)]
async fn a_key_keeps_its_place_for_the_lease_of_its_probe_although_it_is_idle() {
    let config = config().probe_lease(60 * SEC);
    let breakers = by_host(KeyedConfig::new(config).forget_after(5 * SEC));
    (0..3).for_each(|_| fail(&breakers, 0));
    advance(10 * SEC).await;
    let _probe = breakers.try_acquire(&0).expect("a probe");
    fail(&breakers, 1);
    advance(6 * SEC).await;
    (2..9).for_each(|key| fail(&breakers, key));
    assert!(breakers.try_acquire(&0).is_err(), "there is a probe under way");
    advance(60 * SEC).await;
    (9..30).for_each(|key| fail(&breakers, key));
    advance(6 * SEC).await;
    (30..60).for_each(|key| fail(&breakers, key));
    assert!(breakers.get(&0).is_none(), "a probe that is lost holds no key for ever");
}

#[test]
fn under_threads_all_keys_end_up_with_the_same_settings() {
    let breakers = by_host(config());
    (0..64).for_each(|key| breakers.try_acquire(&key).expect("closed").success());
    for _ in 0..100 {
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            for observe_only in [true, false] {
                let (breakers, start) = (&breakers, &start);
                scope.spawn(move || {
                    start.wait();
                    breakers.reconfigure(&config().observe_only(observe_only)).expect("valid");
                });
            }
        });
        let observing = breakers.snapshot().breakers.iter().filter(|(_, breaker)| breaker.observe_only).count();
        assert!(observing == 0 || observing == 64, "{observing} of 64");
    }
}

/// A key that is not written down, as a new one is before it has its breaker, until all rivals have come with it.
#[derive(Clone)]
struct Contested(Arc<Barrier>);

impl std::fmt::Debug for Contested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.wait();
        f.write_str("contested")
    }
}

impl PartialEq for Contested {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Contested {}

impl std::hash::Hash for Contested {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// All have found that the key is new before the first of them can make its breaker.
#[test]
fn under_threads_a_key_has_one_breaker() {
    let breakers = KeyedCircuitBreaker::new(config()).expect("valid");
    let key = Contested(Arc::new(Barrier::new(4)));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| drop(breakers.try_acquire(&key).map(Permit::failure)));
        }
    });
    assert_eq!(breakers.len(), 1);
    let snapshot = breakers.get(&key).expect("it has one").snapshot();
    assert_eq!((snapshot.trips, snapshot.consecutive_failures), (1, 3), "three of the four failures trip it");
}

#[test]
fn settings_that_cannot_work_say_which() {
    let name = || "test".into();
    let new = || CircuitBreakerConfig::new().name("test");
    let slow = LastCalls::new(10).slow_rate(0.5);
    let cases = [
        (config().consecutive_failures(0), InvalidCircuitBreaker::ZeroConsecutiveFailures(name())),
        (new().last_calls(LastCalls::new(0)), InvalidCircuitBreaker::LastCalls { name: name(), calls: 0 }),
        (new().last_calls(LastCalls::new(2049)), InvalidCircuitBreaker::LastCalls { name: name(), calls: 2049 }),
        (
            new().time_window(TimeWindow::new(9 * MS)),
            InvalidCircuitBreaker::TimeWindow { name: name(), length: 9 * MS },
        ),
        (
            new().last_calls(LastCalls::new(10).minimum_calls(11)),
            InvalidCircuitBreaker::MinimumCalls { name: name(), minimum: 11 },
        ),
        (
            new().time_window(TimeWindow::new(SEC).minimum_calls(0)),
            InvalidCircuitBreaker::MinimumCalls { name: name(), minimum: 0 },
        ),
        (
            new().last_calls(LastCalls::new(10).failure_rate(0.0)),
            InvalidCircuitBreaker::Rate { name: name(), setting: "failure_rate", rate: 0.0 },
        ),
        (
            new().last_calls(LastCalls::new(10).slow_rate(1.1)).slow_call_threshold(SEC),
            InvalidCircuitBreaker::Rate { name: name(), setting: "slow_rate", rate: 1.1 },
        ),
        (new().last_calls(slow), InvalidCircuitBreaker::NoSlowCallThreshold(name())),
        (config().slow_call_threshold(SEC), InvalidCircuitBreaker::NoSlowRate(name())),
        (
            new().last_calls(slow).slow_call_threshold(Duration::ZERO),
            InvalidCircuitBreaker::ZeroSlowCallThreshold(name()),
        ),
        (
            config().open_for(OpenFor::fixed(Duration::ZERO)),
            InvalidCircuitBreaker::OpenFor { name: name(), first: Duration::ZERO, longest: Duration::ZERO },
        ),
        (
            config().open_for(OpenFor::exponential(2 * SEC, SEC)),
            InvalidCircuitBreaker::OpenFor { name: name(), first: 2 * SEC, longest: SEC },
        ),
        (
            config().open_for(OpenFor::fixed(SEC).jitter(1.5)),
            InvalidCircuitBreaker::Jitter { name: name(), jitter: 1.5 },
        ),
        (config().permitted_probes(33), InvalidCircuitBreaker::PermittedProbes { name: name(), probes: 33 }),
        (config().successes_to_close(0), InvalidCircuitBreaker::ZeroSuccessesToClose(name())),
        (config().probe_lease(Duration::ZERO), InvalidCircuitBreaker::ZeroProbeLease(name())),
    ];
    let mut told = HashSet::new();
    for (config, expected) in cases {
        let error = CircuitBreakerLayer::new(config).expect_err("it cannot work");
        assert_eq!(error, expected);
        assert!(error.to_string().starts_with("the circuit breaker `test` cannot work: "), "{error}");
        told.insert(error.to_string());
    }
    assert!(told.len() >= 16, "each says something else: {told:#?}");
    let nan = new().last_calls(LastCalls::new(10).failure_rate(f64::NAN));
    assert!(matches!(CircuitBreaker::new(nan), Err(InvalidCircuitBreaker::Rate { .. })));
}

#[test]
fn without_a_rule_half_of_the_last_hundred_trips() {
    let breaker = CircuitBreaker::new(CircuitBreakerConfig::new()).expect("valid");
    for _ in 0..19 {
        breaker.try_acquire().expect("closed").failure();
    }
    assert_eq!(breaker.state(), State::Closed);
    breaker.try_acquire().expect("closed").failure();
    assert_eq!(breaker.snapshot().reason, Some(TripReason::FailureRateOfLastCalls));
}

#[test]
fn by_key_a_panic_in_the_call_is_a_failure() {
    let layer = CircuitBreakerLayer::by_key(config(), |key: &u32| Some(*key)).expect("valid");
    let panics = service_fn(|_: u32| -> std::future::Ready<Result<(), BoxError>> { panic!("in the call") });
    let mut service = layer.layer(panics);
    std::panic::catch_unwind(AssertUnwindSafe(|| drop(service.call(1)))).expect_err("it panics");
    assert_eq!(layer.breakers().get(&1).expect("it was called").snapshot().consecutive_failures, 1);
}

#[test]
fn a_classifier_that_panics_is_a_failure() {
    let layer = layer(config()).classify(|_: Result<&(), &BoxError>| -> Outcome { panic!("on purpose") });
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, BoxError>(()))));
    let mut call = task::spawn(service.call(()));
    std::panic::catch_unwind(AssertUnwindSafe(|| call.poll().is_ready())).expect_err("it panics");
    assert_eq!(layer.breaker().snapshot().consecutive_failures, 1);
}

#[test]
fn a_call_that_is_dropped_before_it_is_polled_has_not_failed() {
    let layer = layer(config());
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, BoxError>(()))));
    drop(service.call(()));
    assert_eq!(layer.breaker().snapshot().consecutive_failures, 0);
}

/// Slots live for ever, and so would the waker.
#[test]
fn who_goes_while_it_waits_leaves_no_waker_behind() {
    struct Task;
    impl std::task::Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let layer = layer(config());
    let (inner, mut handle) = tower_test::mock::pair::<(), ()>();
    handle.allow(0);
    let mut service = layer.layer(inner);
    let task = Arc::new(Task);
    let waker = std::task::Waker::from(task.clone());
    assert!(service.poll_ready(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert!(Arc::strong_count(&task) > 1, "somebody has it");
    drop(service);
    drop(handle);
    assert_eq!(Arc::strong_count(&task), 1);
}
