//! The timeout as a service, under paused time.

mod support;

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::clock::Moment;
use buttress::deadline::{Deadline, InScope};
use buttress::timeout::{Elapsed, InvalidTimeout, TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Error, Rejection};
use support::{drops, readiness};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn limited(limit: Duration) -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(limit).name("test")).expect("a limit above zero")
}

/// Answers after the wait it is asked for.
fn waiting() -> impl Service<Duration, Response = &'static str, Error = BoxError, Future: Send> + Clone {
    service_fn(|wait: Duration| async move {
        sleep(wait).await;
        Ok::<_, BoxError>("answered")
    })
}

fn elapsed<T: std::fmt::Debug>(result: Result<T, BoxError>) -> Elapsed {
    match Rejection::find(&*result.expect_err("the call timed out")) {
        Some(Rejection::Elapsed(elapsed)) => elapsed,
        other => panic!("not a timeout: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_comes_out_as_it_is() {
    assert_eq!(limited(SEC).layer(waiting()).oneshot(SEC - MS).await.expect("in time"), "answered");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_fails_at_the_limit() {
    let start = Moment::now();
    let elapsed = elapsed(limited(SEC).layer(waiting()).oneshot(60 * SEC).await);
    assert_eq!(Moment::now().since(start), SEC);
    assert_eq!((elapsed.allowed(), elapsed.name().as_str()), (SEC, "test"));
    assert!(elapsed.was_called() && !elapsed.by_deadline());
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_the_first_wait() {
    let mut call = task::spawn(limited(SEC).layer(waiting()).oneshot(SEC - MS));
    advance(60 * SEC).await;
    assert_pending!(call.poll());
    advance(SEC).await;
    assert_eq!(assert_ready!(call.poll()).expect("in time"), "answered");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_ready_with_the_limit_wins() {
    let (mut service, mut handle) = tower_test::mock::pair::<(), &str>();
    handle.allow(1);
    service.ready().await.expect("ready");
    let mut call = task::spawn(limited(SEC).layer(service).call(()));
    assert_pending!(call.poll());
    let (_, respond) = handle.next_request().await.expect("a request");
    advance(SEC + MS).await;
    respond.send_response("answered");
    assert_eq!(assert_ready!(call.poll()).expect("in time"), "answered");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_waits_needs_no_time() {
    let service = service_fn(|()| ready(Ok::<_, BoxError>("answered")));
    let service = limited(SEC).limit_of(|(): &()| Duration::ZERO).layer(service);
    assert_eq!(service.oneshot(()).await.expect("at once"), "answered");
}

#[test]
fn no_timer_is_armed_unless_the_call_waits() {
    let at_once = service_fn(|()| ready(Ok::<_, BoxError>("answered")));
    let answer = futures::executor::block_on(limited(SEC).layer(at_once).oneshot(()));
    assert_eq!(answer.expect("a timer outside a runtime panics"), "answered");

    // The control: this one waits, and so panics for want of a timer.
    let never = service_fn(|()| pending::<Result<(), BoxError>>());
    let waits = std::panic::catch_unwind(|| futures::executor::block_on(limited(SEC).layer(never).oneshot(())));
    let panic = *waits.expect_err("no timer here").downcast::<String>().expect("tokio says why");
    assert!(panic.contains("there is no reactor running"), "{panic}");
}

#[tokio::test(start_paused = true)]
async fn the_call_is_dropped_before_anybody_hears_of_it() {
    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let is_dropped = Arc::new(AtomicBool::new(false));
    let held = is_dropped.clone();
    let service = service_fn(move |()| {
        let held = SetOnDrop(held.clone());
        async move {
            let _held = held;
            pending::<Result<bool, Infallible>>().await
        }
    });
    let seen = is_dropped.clone();
    let service = limited(SEC).reject_with(move |_: Rejection| Ok(seen.load(Ordering::SeqCst))).layer(service);
    assert!(!is_dropped.load(Ordering::SeqCst));
    assert!(service.oneshot(()).await.expect("infallible"), "the refusal was made while the call was still held");
}

#[tokio::test(start_paused = true)]
async fn the_smaller_of_limit_and_deadline_holds_from_the_call_on() {
    let layer = limited(SEC).deadline_of(|(deadline, _): &(Deadline, Duration)| Some(*deadline));
    let call = |left| {
        let service = service_fn(|(_, wait): (Deadline, Duration)| waiting().oneshot(wait));
        layer.layer(service).oneshot((Deadline::within(left), 60 * SEC))
    };
    let by_deadline = elapsed(call(400 * MS).await);
    assert_eq!((by_deadline.allowed(), by_deadline.by_deadline()), (400 * MS, true));
    let by_limit = elapsed(call(5 * SEC).await);
    assert_eq!((by_limit.allowed(), by_limit.by_deadline()), (SEC, false));

    let mut late = task::spawn(
        layer.layer(service_fn(|_| pending::<Result<(), BoxError>>())).oneshot((Deadline::within(5 * SEC), SEC)),
    );
    assert_pending!(late.poll());
    advance(SEC - MS).await;
    assert_pending!(late.poll());
    advance(2 * MS).await;
    assert!(assert_ready!(late.poll()).is_err(), "the limit counts from the call");
}

/// Two layers kept to one deadline, and the outer one's timer was the first to fire and to wake the task, so that now and
/// then a door refused what a fallback inside would have answered.
#[tokio::test(start_paused = true)]
async fn who_is_polled_past_its_deadline_is_late_although_its_own_timer_has_not_fired() {
    let layer = limited(60 * SEC).deadline_of(|_: &()| Some(Deadline::within(SEC)));
    let mut call = task::spawn(layer.layer(service_fn(|()| pending::<Result<(), BoxError>>())).call(()));
    assert_pending!(call.poll());
    assert_pending!(call.poll());
    // Its first poll moves the clock; the timers fire when the runtime next turns, which is not before this task ends.
    assert!(futures::poll!(std::pin::pin!(advance(SEC))).is_pending());
    assert!(!call.is_woken());
    assert!(elapsed(assert_ready!(call.poll())).by_deadline());
}

#[tokio::test(start_paused = true)]
async fn a_request_past_its_deadline_never_reaches_the_service() {
    let (mut service, mut handle) = tower_test::mock::pair::<Deadline, ()>();
    handle.allow(1);
    service.ready().await.expect("ready");
    let mut service = limited(SEC).deadline_of(|deadline: &Deadline| Some(*deadline)).layer(service);
    let deadline = Deadline::within(SEC);
    advance(SEC).await;
    let refused = elapsed(service.call(deadline).await);
    assert!(!refused.was_called() && refused.by_deadline());
    assert_eq!(refused.allowed(), Duration::ZERO);
    assert_pending!(task::spawn(handle.next_request()).poll());

    // The control: with time left, the same service is called, with the readiness it had kept.
    let mut call = task::spawn(service.call(Deadline::within(SEC)));
    assert_pending!(call.poll());
    let (_, respond) = handle.next_request().await.expect("a request");
    respond.send_response(());
    assert_ready!(call.poll()).expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn each_request_may_have_a_limit_of_its_own() {
    let service = limited(SEC).limit_of(|wait: &Duration| (*wait > 10 * SEC).then(|| *wait + SEC)).layer(waiting());
    assert_eq!(service.clone().oneshot(60 * SEC).await.expect("its own limit"), "answered");
    assert_eq!(elapsed(service.oneshot(5 * SEC).await).allowed(), SEC, "the configured limit");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_fails_at_the_first_wait_without_a_tick() {
    let start = Moment::now();
    let service = limited(SEC).limit_of(|_: &Duration| Duration::ZERO).layer(waiting());
    assert_eq!(elapsed(service.oneshot(SEC).await).allowed(), Duration::ZERO);
    assert_eq!(Moment::now(), start);
}

#[tokio::test(start_paused = true)]
async fn the_longest_limit_is_none() {
    let decade = 10 * 365 * 24 * 60 * 60 * SEC / 10;
    assert_eq!(limited(Duration::MAX).layer(waiting()).oneshot(decade).await.expect("no limit"), "answered");
}

#[tokio::test(start_paused = true)]
async fn a_busy_call_cannot_starve_its_limit() {
    // Each poll uses up the task's whole budget, so a timer that asks for budget never gets a look.
    let busy = service_fn(|()| async {
        loop {
            tokio::task::consume_budget().await;
        }
        #[expect(unreachable_code, reason = "says what the service would answer")]
        Ok::<(), BoxError>(())
    });
    let mut call = task::spawn(limited(SEC).layer(busy).oneshot(()));
    assert_pending!(call.poll());
    advance(SEC + MS).await;
    elapsed(assert_ready!(call.poll()));
}

/// Uses up all that the task has of tokio's budget.
fn use_up_budget(cx: &mut Context<'_>) {
    while std::pin::pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_others_left_no_budget_to_see_still_wins() {
    // In a `join!`, a busy sibling may use up the task's budget before the call is polled. Then the answer is there, the
    // limit has passed, and the call says that it has to wait.
    let (answer, receiver) = tokio::sync::oneshot::channel();
    let service = limited(SEC)
        .layer(service_fn(async |receiver: tokio::sync::oneshot::Receiver<u8>| receiver.await.map_err(BoxError::from)));
    let mut call = std::pin::pin!(service.oneshot(receiver));
    assert!(futures::poll!(call.as_mut()).is_pending());
    answer.send(7).expect("the call waits for it");
    advance(2 * SEC).await;
    let mut polls = 0;
    let answered = std::future::poll_fn(|cx| {
        if polls == 0 {
            use_up_budget(cx);
        }
        polls += 1;
        call.as_mut().poll(cx)
    })
    .await;
    assert_eq!((answered.expect("it was there in time"), polls), (7, 2));
}

#[tokio::test(start_paused = true)]
async fn with_a_deadline_the_limit_counts_from_the_call_and_not_from_the_first_poll() {
    let layer = limited(SEC).deadline_of(|_: &()| Some(Deadline::within(60 * SEC)));
    let mut call = task::spawn(layer.layer(service_fn(|()| pending::<Result<(), BoxError>>())).call(()));
    advance(SEC - MS).await;
    assert_pending!(call.poll());
    advance(2 * MS).await;
    assert!(call.is_woken(), "by the timer: nothing else will");
    assert!(assert_ready!(call.poll()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leaves_reserved_what_was_reserved_until_that_value_is_called_or_dropped() {
    let inner = tower::limit::ConcurrencyLimit::new(waiting(), 1);
    let passed = limited(SEC).deadline_of(|_: &Duration| Some(Deadline::within(Duration::ZERO)));
    let mut refuses = passed.layer(inner.clone());
    elapsed(refuses.ready().await.expect("the only permit").call(MS).await);
    let mut other = limited(SEC).layer(inner);
    assert!(task::spawn(other.ready()).poll().is_pending());
    drop(refuses);
    assert!(task::spawn(other.ready()).poll().is_ready(), "the permit is back");
}

#[tokio::test(start_paused = true)]
async fn what_is_exported_is_seen_inside_and_counts_from_the_call() {
    let told = limited(SEC)
        .deadline_of(InScope)
        .export_with(|request: &mut Option<Deadline>, deadline: Deadline, now: Moment| {
            assert_eq!(now, Moment::now());
            *request = Some(deadline);
        })
        .layer(service_fn(|told: Option<Deadline>| {
            let at_call = Deadline::current();
            async move {
                tokio::task::yield_now().await;
                Ok::<_, BoxError>((told, at_call, Deadline::current()))
            }
        }));
    let expected = Deadline::within(SEC);
    let seen = told.clone().oneshot(None).await.expect("in time");
    assert_eq!(seen, (Some(expected), Some(expected), Some(expected)));
    assert_eq!(Deadline::current(), None, "it ends with the call");

    let tighter = Deadline::within(300 * MS);
    let seen = tighter.scope(told.oneshot(None)).await.expect("in time");
    assert_eq!(seen, (Some(tighter), Some(tighter), Some(tighter)));
}

#[tokio::test(start_paused = true)]
async fn what_is_shared_in_an_arc_serves_like_what_is_in_it() {
    let service = limited(SEC)
        .limit_of(Arc::new(|_: &Option<Deadline>| 400 * MS))
        .deadline_of(Arc::new(|_: &Option<Deadline>| Some(Deadline::within(300 * MS))))
        .export_with(Arc::new(|request: &mut Option<Deadline>, deadline: Deadline, _: Moment| {
            *request = Some(deadline);
        }))
        .reject_with(Arc::new(|rejection: Rejection| Err(Error::Inner(rejection.to_string()))))
        .layer(service_fn(|told: Option<Deadline>| async move {
            assert_eq!(told, Some(Deadline::within(300 * MS)));
            assert_eq!(Deadline::current(), told);
            pending::<Result<(), Error<String>>>().await
        }));
    assert_eq!(service.oneshot(None).await, Err(Error::Inner("timed out in `test`".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_nothing_behind() {
    let world = || {
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        let service = service_fn(move |wait: Duration| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                sleep(wait).await;
                tokio::task::yield_now().await;
                Ok::<_, BoxError>(())
            }
        });
        let service = tower::limit::ConcurrencyLimit::new(service, 1);
        (limited(SEC).layer(service), calls)
    };
    drops::at_every_point(
        2,
        world,
        |(service, _)| {
            // Ready at once: the only permit is free.
            assert!(matches!(task::spawn(service.ready()).poll(), Poll::Ready(Ok(_))));
            service.call(10 * MS)
        },
        async |(mut service, calls), _| {
            assert_eq!(calls.load(Ordering::SeqCst), 1);
            let next = service.ready().await.expect("the permit is back").call(10 * MS).await;
            next.expect("an answer");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_timed_out_gives_its_permit_back() {
    let service = tower::limit::ConcurrencyLimit::new(waiting(), 1);
    let service = limited(SEC).layer(service);
    for _ in 0..3 {
        elapsed(service.clone().oneshot(60 * SEC).await);
    }
    assert_eq!(service.oneshot(MS).await.expect("a permit is free"), "answered");
}

#[tokio::test(start_paused = true)]
async fn readiness_is_kept() {
    readiness::is_kept_by(|inner| limited(SEC).layer(inner)).await;
    readiness::is_kept_by(|inner| {
        limited(SEC).deadline_of(|_: &u32| Some(Deadline::within(SEC))).export_with(InScope).layer(inner)
    })
    .await;
}

#[tokio::test]
async fn a_service_that_cannot_become_ready_says_so_itself() {
    let (service, mut handle) = tower_test::mock::pair::<(), ()>();
    handle.send_error("broken");
    let error = limited(SEC).layer(service).oneshot(()).await.expect_err("never ready");
    assert_eq!(error.to_string(), "broken");
}

#[test]
fn a_limit_of_zero_is_refused_by_name() {
    let error = TimeoutLayer::new(TimeoutConfig::new(Duration::ZERO).name("door")).expect_err("zero");
    assert_eq!(error, InvalidTimeout::ZeroLimit("door".into()));
    assert_eq!(error.to_string(), "the limit of the timeout `door` must be longer than zero, and is 0s");
}

#[test]
fn the_layer_can_go_anywhere_also_with_closures() {
    fn goes_anywhere<T: Clone + Send + Sync + 'static>(_: &T) {}
    struct NotClone(AtomicU32);
    let counter = Arc::new(NotClone(AtomicU32::new(0)));
    let owner = NotClone(AtomicU32::new(0));
    let layer = limited(SEC)
        .limit_of(Arc::new(move |_: &u32| Duration::from_secs(u64::from(owner.0.load(Ordering::Relaxed)))))
        .deadline_of(|_: &u32| None::<Deadline>)
        .export_with(|_: &mut u32, _: Deadline, _: Moment| ())
        .reject_with(move |rejection: Rejection| {
            counter.0.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::<Infallible>::from(rejection))
        });
    goes_anywhere(&layer);
    goes_anywhere(&layer.layer(service_fn(|_: u32| ready(Ok::<_, Error<Infallible>>(())))));
}

#[test]
fn the_wrapped_service_can_be_reached() {
    #[derive(Debug, PartialEq)]
    struct Inner(u32);
    let mut service = limited(SEC).layer(Inner(1));
    service.get_mut().0 = 2;
    assert_eq!(service.get_ref(), &Inner(2));
    let shown = format!("{service:?}");
    assert!(shown.contains("Inner(2)") && shown.contains("limit: 1s"), "{shown}");
    assert_eq!(service.into_inner(), Inner(2));
}

fn is_send<F: Future + Send>(future: F) -> F {
    future
}

#[tokio::test(start_paused = true)]
async fn its_future_can_be_sent_to_another_thread() {
    assert!(is_send(limited(SEC).layer(waiting()).oneshot(MS)).await.is_ok());
}

#[cfg(feature = "serde")]
mod settings_file {
    use super::*;

    #[test]
    fn settings_are_read_under_the_same_checks() {
        let config: TimeoutConfig = serde_json::from_str(r#"{"limit": "1m 250ms", "name": "door"}"#).expect("valid");
        assert_eq!(config, TimeoutConfig::new(60 * SEC + 250 * MS).name("door"));
        let config: TimeoutConfig = serde_json::from_str(r#"{"limit": "2s"}"#).expect("the name has a default");
        assert_eq!(config, TimeoutConfig::new(2 * SEC));
        let zero: TimeoutConfig = serde_json::from_str(r#"{"limit": "0s"}"#).expect("a duration");
        assert!(TimeoutLayer::new(zero).is_err());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let error = |text| serde_json::from_str::<TimeoutConfig>(text).expect_err("invalid").to_string();
        assert!(error(r#"{"limit": "soon"}"#).contains("`soon` is not a duration such as \"250ms\""));
        assert!(error(r#"{"limit": 250}"#).contains("expected a string"));
        assert!(error(r#"{"limit": "1s", "limits": "2s"}"#).contains("unknown field `limits`"));
        assert!(error("{}").contains("missing field `limit`"));
    }
}
