//! The fallback as a service.

mod support;

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::fallback::{Failed, FallbackConfig, FallbackLayer, InvalidFallback};
use buttress::outcome::{AnyErrorIsFailure, Degraded, Failure, FailureKind, Outcome};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Deadline, Rejection};
use support::{drops, readiness};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

/// Answers what it is sent.
fn echo<T, E>() -> impl Service<Result<T, E>, Response = T, Error = E, Future: Send> + Clone
where
    T: Send + 'static,
    E: Send + 'static,
{
    service_fn(|result: Result<T, E>| ready(result))
}

fn down() -> Result<&'static str, BoxError> {
    Err("down".into())
}

#[tokio::test]
async fn a_good_answer_comes_out_as_it_is() {
    let service = FallbackLayer::default().value("substitute").layer(echo::<_, BoxError>());
    assert_eq!(service.oneshot(Ok("answer")).await.expect("an answer"), "answer");
}

#[tokio::test]
async fn a_value_stands_in_for_a_failure() {
    let service = FallbackLayer::default().value("substitute").layer(echo());
    assert_eq!(service.clone().oneshot(down()).await.expect("the value"), "substitute");
    assert_eq!(service.oneshot(down()).await.expect("the value, again"), "substitute");
}

#[tokio::test]
async fn a_function_is_told_what_went_wrong_and_asks_no_clone_of_the_answer() {
    #[derive(Debug, PartialEq)]
    struct NotClone(String);
    let service = FallbackLayer::default()
        .with(|failed: Failed<NotClone, BoxError>| {
            let error = failed.result.expect_err("it failed");
            Ok(NotClone(format!("{} because {error}", failed.failure)))
        })
        .layer(echo::<NotClone, BoxError>());
    let answer = service.oneshot(Err("the provider is down".into())).await.expect("a substitute");
    assert_eq!(answer, NotClone("error because the provider is down".into()));
}

#[tokio::test(start_paused = true)]
async fn an_async_function_may_wait() {
    let service = FallbackLayer::default()
        .with_async(|failed: Failed<_, _>| async move {
            sleep(SEC).await;
            Ok(if failed.failure.kind() == FailureKind::Error { "waited for" } else { "?" })
        })
        .layer(echo());
    assert_eq!(service.oneshot(down()).await.expect("a substitute"), "waited for");
}

#[tokio::test(start_paused = true)]
async fn another_service_is_made_ready_and_called_with_a_request_made_before() {
    let backup = readiness::ReadinessProbe::new(service_fn(|cents: u32| async move {
        sleep(SEC).await;
        if cents > 100 { Err(BoxError::from("backup down")) } else { Ok(cents + 1) }
    }));
    let primary = service_fn(|_: u32| async { Err::<u32, _>(BoxError::from("primary down")) });
    let service = FallbackLayer::default().with_service(backup, u32::clone).layer(primary);
    assert_eq!(service.clone().oneshot(41).await.expect("the backup's answer"), 42);
    let error = service.oneshot(101).await.expect_err("both are down");
    assert_eq!(error.to_string(), "backup down");
}

#[tokio::test]
async fn a_summary_is_taken_before_the_call_and_handed_on() {
    struct Order(u32, String);
    let service = FallbackLayer::default()
        .summary(|order: &Order| order.0)
        .with(|failed: Failed<_, _, u32>| Ok(format!("order {} later", failed.summary)))
        .layer(service_fn(async |order: Order| Err(BoxError::from(order.1))));
    assert_eq!(service.oneshot(Order(7, "down".into())).await.expect("a substitute"), "order 7 later");
}

#[tokio::test]
async fn by_default_it_stands_in_for_what_nobody_who_asked_is_to_blame_for() {
    use FailureKind::*;
    let service = FallbackLayer::default()
        .classify(|result: Result<&Option<FailureKind>, &Infallible>| match result {
            Ok(Some(kind)) => Outcome::Failure(Failure::new(*kind)),
            Ok(None) => Outcome::Success,
            Err(never) => match *never {},
        })
        .value(None)
        .layer(echo::<Option<FailureKind>, Infallible>());
    for (kind, stands_in) in [
        (Error, true),
        (Permanent, false),
        (TimedOut, true),
        (Expired, true),
        (RequestTimeout, false),
        (Throttled, false),
        (Refused, true),
    ] {
        let answer = service.clone().oneshot(Ok(Some(kind))).await.expect("infallible");
        assert_eq!(answer.is_none(), stands_in, "{kind}");
    }
}

/// Unboxed, the compiler cannot see that the task is `Send`.
#[tokio::test]
async fn a_stack_over_a_boxed_error_can_be_called_from_a_spawned_task_once_it_is_boxed_too() {
    let down = service_fn(async |_: u32| Err::<u32, BoxError>("down".into()));
    let closure = FallbackLayer::default().with(|_: Failed<_, _>| Ok(8)).layer(down);
    let boxed = tower::util::BoxCloneSyncService::new(closure);
    let called = tokio::spawn(async move { boxed.oneshot(1).await });
    assert_eq!(called.await.expect("no panic").expect("a substitute"), 8);
}

#[tokio::test]
async fn it_stands_in_for_other_kinds_when_told() {
    let classify = |result: Result<&u16, &Infallible>| match result {
        Ok(429) => Failure::new(FailureKind::Throttled).with_code(429).into(),
        Ok(500) => Failure::new(FailureKind::Error).with_code(500).into(),
        _ => Outcome::Success,
    };
    let listed = FallbackLayer::new(FallbackConfig::new().on([FailureKind::Throttled])).expect("one kind");
    let service = listed.classify(classify).value(202).layer(echo::<u16, Infallible>());
    assert_eq!(service.clone().oneshot(Ok(429)).await, Ok(202));
    assert_eq!(service.oneshot(Ok(500)).await, Ok(500), "not listed any more");

    let said = FallbackLayer::default().when(|failure: &Failure| failure.code() == Some(429));
    let service = said.classify(classify).value(202).layer(echo::<u16, Infallible>());
    assert_eq!(service.clone().oneshot(Ok(429)).await, Ok(202));
    assert_eq!(service.clone().oneshot(Ok(500)).await, Ok(500));
    assert_eq!(service.oneshot(Ok(200)).await, Ok(200));
}

#[tokio::test]
async fn an_error_that_is_no_trigger_comes_out_untouched() {
    let service = FallbackLayer::default().when(|_: &Failure| false).value("substitute").layer(echo());
    assert_eq!(service.oneshot(down()).await.expect_err("untouched").to_string(), "down");
}

#[tokio::test]
async fn an_error_of_any_type_will_do() {
    #[derive(Debug, PartialEq)]
    struct Opaque;
    let service = FallbackLayer::default().classify(AnyErrorIsFailure).value(1).layer(echo::<u32, Opaque>());
    assert_eq!(service.oneshot(Err(Opaque)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_below_is_seen_for_what_it_is() {
    let seen = Arc::new(Mutex::new(None));
    let told = seen.clone();
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::default().with(move |failed: Failed<(), BoxError>| {
            *told.lock().expect("no panic") = Some(failed.failure);
            Ok(())
        }))
        .layer(TimeoutLayer::new(TimeoutConfig::new(SEC).name("attempt")).expect("a limit"))
        .service(service_fn(|()| pending::<Result<(), BoxError>>()));
    service.oneshot(()).await.expect("a substitute");
    let failure = seen.lock().expect("no panic").take().expect("it was told");
    assert_eq!(failure.kind(), FailureKind::TimedOut);
    assert!(matches!(failure.rejection(), Some(Rejection::Elapsed(elapsed)) if elapsed.name().as_str() == "attempt"));
}

/// Fails to become ready.
#[derive(Clone)]
struct Broken;

impl Service<u32> for Broken {
    type Response = u32;
    type Error = BoxError;
    type Future = Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Err("broken for good".into()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test]
async fn a_service_that_fails_to_become_ready_has_failed() {
    let mut service = FallbackLayer::default().value(7).layer(Broken);
    assert_eq!(service.ready().await.expect("always ready").call(1).await.expect("a substitute"), 7);
    // The control: by itself it cannot even be called.
    assert!(Broken.ready().await.is_err());
}

#[tokio::test]
async fn a_service_that_waits_and_then_fails_to_become_ready_has_failed() {
    #[derive(Clone)]
    struct Waits(u32);

    impl Service<u32> for Waits {
        type Response = u32;
        type Error = BoxError;
        type Future = Ready<Result<u32, BoxError>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            cx.waker().wake_by_ref();
            self.0 += 1;
            if self.0 < 3 { Poll::Pending } else { Poll::Ready(Err("broken for good".into())) }
        }

        fn call(&mut self, _: u32) -> Self::Future {
            unreachable!("it is never ready")
        }
    }
    let mut service = FallbackLayer::default().value(7).layer(Waits(0));
    for _ in 0..2 {
        assert_eq!(service.call(1).await.expect("a substitute"), 7, "each call asks a clone that nobody has asked");
    }
}

/// Counts its clones. It is ready, waits or fails to become ready as it is told, and is not to be asked again once it failed.
struct Counted {
    clones: Arc<AtomicU32>,
    /// Shared by all clones.
    next: Arc<Mutex<Poll<Result<(), &'static str>>>>,
    has_failed: bool,
    was_asked: bool,
    id: u32,
}

impl Counted {
    fn new() -> Self {
        let next = Arc::new(Mutex::new(Poll::Ready(Ok(()))));
        Self { clones: Arc::default(), next, has_failed: false, was_asked: false, id: 0 }
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        assert!(!self.was_asked, "a clone of it may be as good as it is, and no better");
        let id = self.clones.fetch_add(1, Ordering::SeqCst) + 1;
        Self { clones: self.clones.clone(), next: self.next.clone(), has_failed: false, was_asked: false, id }
    }
}

/// Answers which clone it is.
impl Service<u32> for Counted {
    type Response = u32;
    type Error = BoxError;
    type Future = Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert!(!self.has_failed, "it was asked again after it failed");
        self.was_asked = true;
        let next = *self.next.lock().expect("no panic");
        self.has_failed = matches!(next, Poll::Ready(Err(_)));
        next.map_err(BoxError::from)
    }

    fn call(&mut self, _: u32) -> Self::Future {
        ready(Ok(self.id))
    }
}

#[tokio::test]
async fn a_service_that_is_ready_serves_all_calls_and_one_that_is_not_only_its_own() {
    let counted = Counted::new();
    let next = counted.next.clone();
    let mut service = FallbackLayer::default().value(100).layer(counted);
    for _ in 0..3 {
        assert_eq!(service.call(0).await.expect("an answer"), 1);
    }
    *next.lock().expect("no panic") = Poll::Pending;
    let mut waiting = [service.call(0), service.call(0)].map(tokio_test::task::spawn);
    assert!(waiting.iter_mut().all(|call| call.poll().is_pending()));
    *next.lock().expect("no panic") = Poll::Ready(Ok(()));
    assert_eq!(service.call(0).await.expect("an answer"), 3);
    let waited = waiting.map(|mut call| match call.poll() {
        Poll::Ready(answer) => answer.expect("an answer"),
        Poll::Pending => panic!("it is ready by now"),
    });
    assert_eq!(waited, [1, 2], "who was first asked is called");
    assert_eq!(service.call(0).await.expect("an answer"), 3);
}

#[tokio::test]
async fn a_service_that_failed_to_become_ready_is_not_asked_again_and_another_one_serves() {
    let counted = Counted::new();
    let next = counted.next.clone();
    let mut service = FallbackLayer::default().value(100).layer(counted);
    assert_eq!(service.call(0).await.expect("an answer"), 1);
    *next.lock().expect("no panic") = Poll::Ready(Err("down"));
    for _ in 0..2 {
        assert_eq!(service.call(0).await.expect("a substitute"), 100);
    }
    *next.lock().expect("no panic") = Poll::Ready(Ok(()));
    assert_eq!(service.call(0).await.expect("an answer"), 3);
}

#[tokio::test]
async fn a_clone_is_served_by_a_clone_of_its_own_and_so_is_who_changes_the_service() {
    let mut service = FallbackLayer::default().value(100).layer(Counted::new());
    assert_eq!(service.call(0).await.expect("an answer"), 1);
    let mut clone = service.clone();
    assert_eq!(clone.call(0).await.expect("an answer"), 3, "the second is what the clone wraps");
    service.get_mut().clones = Arc::new(AtomicU32::new(10));
    assert_eq!(service.call(0).await.expect("an answer"), 11, "what was changed is what is called");
}

#[tokio::test]
async fn who_has_panicked_is_not_used_again() {
    /// Panics the first time, where it is told to, and is not to be used afterwards.
    #[derive(Clone)]
    struct PanicsOnce {
        while_asked: bool,
        first: Arc<AtomicBool>,
        is_broken: bool,
    }

    impl PanicsOnce {
        fn may_panic(&mut self, here: bool) {
            assert!(!self.is_broken, "it is used again");
            self.is_broken = here && self.first.swap(false, Ordering::SeqCst);
            assert!(!self.is_broken, "once");
        }
    }

    impl Service<()> for PanicsOnce {
        type Response = u32;
        type Error = BoxError;
        type Future = Ready<Result<u32, BoxError>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            self.may_panic(self.while_asked);
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            self.may_panic(!self.while_asked);
            ready(Ok(7))
        }
    }

    for while_asked in [true, false] {
        let inner = PanicsOnce { while_asked, first: Arc::new(AtomicBool::new(true)), is_broken: false };
        let mut service = FallbackLayer::default().value(100).layer(inner);
        catch_unwind(AssertUnwindSafe(|| drop(service.call(())))).expect_err("it panics");
        assert_eq!(service.call(()).await.expect("by another clone"), 7);
    }
}

/// Ready when it is told to be, and keeps the waker of whoever asked last.
#[derive(Clone, Default)]
struct Waits {
    gate: Arc<Mutex<(bool, Option<Waker>)>>,
    fails: bool,
    calls: Arc<AtomicU32>,
}

impl Waits {
    fn open(&self) {
        let mut gate = self.gate.lock().expect("no panic");
        gate.0 = true;
        gate.1.take().expect("somebody waits").wake();
    }
}

impl Service<()> for Waits {
    type Response = u32;
    type Error = BoxError;
    type Future = Ready<Result<u32, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut gate = self.gate.lock().expect("no panic");
        gate.1 = Some(cx.waker().clone());
        if gate.0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(if self.fails { Err("down".into()) } else { Ok(1) })
    }
}

#[tokio::test]
async fn a_service_that_becomes_ready_after_the_call_is_called_once_and_stood_in_for_if_it_fails() {
    for (was_polled, fails) in [(false, false), (false, true), (true, false), (true, true)] {
        let waits = Waits { fails, ..Waits::default() };
        let mut service = FallbackLayer::default().value(100).layer(waits.clone());
        let mut call = tokio_test::task::spawn(service.call(()));
        assert!(!was_polled || call.poll().is_pending());
        waits.open();
        assert_eq!(call.is_woken(), was_polled);
        let Poll::Ready(answer) = call.poll() else { panic!("it is ready by now") };
        assert_eq!(answer.expect("an answer"), if fails { 100 } else { 1 });
        assert_eq!(waits.calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_breaker_that_opens_while_a_call_waits_for_the_service_ends_the_wait() {
    for was_polled in [false, true] {
        let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid");
        let waits = Waits::default();
        let mut service = FallbackLayer::default().value(100).layer(breaker.layer(waits.clone()));
        let mut call = tokio_test::task::spawn(service.call(()));
        assert!(!was_polled || call.poll().is_pending());
        breaker.breaker().force_open();
        assert_eq!(call.is_woken(), was_polled);
        let Poll::Ready(answer) = call.poll() else { panic!("it is refused by now") };
        assert_eq!(answer.expect("a substitute"), 100);
        assert_eq!(waits.calls.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_while_the_service_is_not() {
    let (service, mut handle) = tower_test::mock::pair::<(), u32>();
    handle.allow(0);
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::default().value(7))
        .layer(TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("a limit"))
        .service(service);
    let mut fallback = service.clone();
    assert!(tokio_test::task::spawn(fallback.ready()).poll().is_ready());
    // The mock never becomes ready; nothing but the caller's own patience ends that.
    assert!(tokio::time::timeout(SEC, service.oneshot(())).await.is_err());
}

#[tokio::test]
async fn a_substitute_is_marked_where_there_is_a_place_for_it() {
    type Answer = (u32, Option<Degraded>);
    let mark = |answer: &mut Answer, degraded: Degraded| answer.1 = Some(degraded);
    let layer = FallbackLayer::new(FallbackConfig::new().name("pay-later")).expect("valid").mark_with(mark);
    let service = layer.clone().value((7, None)).layer(echo::<Answer, BoxError>());
    let (answer, degraded) = service.clone().oneshot(Err("down".into())).await.expect("a substitute");
    let degraded = degraded.expect("marked");
    assert_eq!((answer, degraded.layer(), degraded.name().as_str()), (7, "fallback", "pay-later"));
    assert_eq!(degraded.failure(), &Failure::new(FailureKind::Error));
    // The control: what is no substitute is not marked.
    assert_eq!(service.oneshot(Ok((1, None))).await.expect("an answer"), (1, None));
}

#[tokio::test]
async fn what_the_failed_call_held_is_gone_before_the_substitute_is_asked() {
    let permits = Arc::new(tokio::sync::Semaphore::new(1));
    let (inner, outer) = (permits.clone(), permits.clone());
    let service = FallbackLayer::default().with(move |_: Failed<usize, BoxError>| Ok(outer.available_permits())).layer(
        service_fn(move |()| {
            let permits = inner.clone();
            async move {
                let _permit = permits.acquire_owned().await;
                Err::<usize, _>(BoxError::from("down"))
            }
        }),
    );
    assert_eq!(service.oneshot(()).await.expect("a substitute"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing_behind() {
    let world = || {
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        let primary = service_fn(move |()| {
            counter.fetch_add(1, Ordering::SeqCst);
            async {
                sleep(SEC).await;
                Err::<u32, _>(BoxError::from("down"))
            }
        });
        let layer = FallbackLayer::default().with_async(|_: Failed<u32, BoxError>| async {
            sleep(SEC).await;
            Ok(7)
        });
        (layer.layer(tower::limit::ConcurrencyLimit::new(primary, 1)), calls)
    };
    // It waits for the primary, and then for the substitute.
    drops::at_every_point(
        2,
        world,
        |(service, _)| service.call(()),
        async |(mut service, calls), _| {
            assert_eq!(calls.load(Ordering::SeqCst), 1, "a service that is ready is called at once");
            // The one that was called, and not a new clone, whose readiness might be its own.
            assert_eq!(service.call(()).await.expect("the permit is back"), 7);
        },
    )
    .await;
    // Whoever is dropped while it waits to be called has not called, and gives up its place.
    for is_polled in [false, true] {
        let (mut service, calls) = world();
        let mut first = tokio_test::task::spawn(service.call(()));
        assert!(first.poll().is_pending());
        let mut waiting = tokio_test::task::spawn(service.call(()));
        assert!(!is_polled || waiting.poll().is_pending());
        drop(waiting);
        let last = service.call(());
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        drop(first);
        assert_eq!(last.await.expect("the permit is back"), 7);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_is_kept() {
    readiness::is_kept_by(|inner| FallbackLayer::default().value(0).layer(inner)).await;
    // With the primary always down, the backup is what is called.
    readiness::is_kept_by(|backup| {
        let down = service_fn(|_: u32| async { Err::<u32, _>(BoxError::from("down")) });
        FallbackLayer::default().with_service(backup, u32::clone).layer(down)
    })
    .await;
}

#[test]
fn a_fallback_for_nothing_is_refused() {
    let error = FallbackLayer::new(FallbackConfig::new().name("pay-later").on([])).expect_err("nothing to do");
    assert_eq!(error, InvalidFallback::NothingToStandInFor("pay-later".into()));
    assert_eq!(error.to_string(), "the fallback `pay-later` must name at least one kind of failure in `on`");
}

#[tokio::test]
async fn closures_that_cannot_be_cloned_serve_in_an_arc_and_the_layer_can_still_go_anywhere() {
    fn goes_anywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    struct NotClone(AtomicU32);
    let count = || NotClone(AtomicU32::new(0));
    let (judged, kept, classified, marked, answered) = (count(), count(), count(), count(), count());
    let layer = FallbackLayer::default()
        .classify(Arc::new(move |result: Result<&u32, &BoxError>| {
            classified.0.fetch_add(1, Ordering::Relaxed);
            result.err().map_or(Outcome::Success, |_| Failure::new(FailureKind::Error).into())
        }))
        .when(Arc::new(move |_: &Failure| judged.0.fetch_add(1, Ordering::Relaxed) == 0))
        .summary(Arc::new(move |_: &Result<u32, BoxError>| kept.0.fetch_add(1, Ordering::Relaxed)))
        .mark_with(Arc::new(move |answer: &mut u32, _: Degraded| {
            *answer += 10 * marked.0.fetch_add(1, Ordering::Relaxed) + 1;
        }));
    let answers = Arc::new(move |failed: Failed<u32, BoxError, u32>| {
        answered.0.fetch_add(1, Ordering::Relaxed);
        Ok(100 * (failed.summary + 1))
    });
    let service = layer.clone().with(answers.clone()).layer(echo::<u32, BoxError>());
    goes_anywhere(&layer);
    goes_anywhere(&service);
    assert_eq!(service.clone().oneshot(Err("down".into())).await.expect("a substitute"), 101);
    assert!(service.oneshot(Err("down".into())).await.is_err(), "judged otherwise the second time");

    let layer = layer.when(|_: &Failure| true);
    let waits = Arc::new(move |failed: Failed<u32, BoxError, u32>| ready(answers(failed)));
    let service = layer.with_async(waits).layer(echo::<u32, BoxError>());
    assert_eq!(service.oneshot(Err("down".into())).await.expect("a substitute"), 311);
}

#[test]
fn the_wrapped_service_can_be_reached() {
    #[derive(Debug, PartialEq)]
    struct Inner(u32);
    let mut service = FallbackLayer::default().layer(Inner(1));
    service.get_mut().0 = 2;
    assert_eq!(service.get_ref(), &Inner(2));
    assert!(format!("{service:?}").contains("Inner(2)"));
    assert_eq!(service.into_inner(), Inner(2));
}

#[tokio::test(start_paused = true)]
async fn the_callers_deadline_reaches_the_backup() {
    let backup = service_fn(|_: u32| async { Ok::<_, BoxError>(Deadline::current()) });
    let primary = service_fn(|_: u32| async { Err(BoxError::from("down")) });
    let service = FallbackLayer::default().with_service(backup, u32::clone).layer(primary);
    let deadline = Deadline::within(SEC);
    assert_eq!(deadline.scope(service.oneshot(1)).await.expect("the backup's answer"), Some(deadline));
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_read_under_the_same_checks() {
    let read = |text| serde_json::from_str::<FallbackConfig>(text);
    assert_eq!(read("{}").expect("all have defaults"), FallbackConfig::new());
    assert_eq!(
        read(r#"{"name": "pay-later", "on": ["timed_out", "refused"]}"#).expect("valid"),
        FallbackConfig::new().name("pay-later").on([FailureKind::TimedOut, FailureKind::Refused])
    );
    use FailureKind::*;
    for kind in [Error, Permanent, TimedOut, Expired, RequestTimeout, Throttled, Refused] {
        let text = format!(r#"{{"on": ["{kind}"]}}"#);
        let listed = serde_json::from_str(&text).expect("a kind is written as it is shown");
        assert_eq!(FallbackConfig::new().on([kind]), listed);
    }
    assert!(FallbackLayer::new(read(r#"{"on": []}"#).expect("a list")).is_err());
    assert!(read(r#"{"on": ["sometimes"]}"#).expect_err("no such kind").to_string().contains("unknown variant"));
    assert!(read(r#"{"off": []}"#).expect_err("no such field").to_string().contains("unknown field `off`"));
}
