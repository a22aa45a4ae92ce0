//! The retry layer through `Service`, in paused time.

mod support;

use std::future::{Ready, pending, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::clock::Moment;
use buttress::deadline::InScope;
use buttress::outcome::{Failure, FailureKind, Outcome};
use buttress::rate_limit::{LimitReason, Limited};
use buttress::retry::{Backoff, Budget, BudgetConfig, RetryConfig, RetryLayer, Spread};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Attempt, BoxError, Deadline, Error, Rejection};
use tower::limit::ConcurrencyLimit;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn since(start: Moment) -> Duration {
    Moment::now().since(start)
}

type Answer = Result<u32, Error<&'static str>>;

/// Waits 100 ms, 200 ms, 400 ms, and so on.
fn plain() -> RetryConfig {
    let backoff = Backoff::exponential(100 * MS, 10 * SEC).spread(Spread::None);
    RetryConfig::new().backoff(backoff)
}

fn layer(config: RetryConfig) -> RetryLayer {
    RetryLayer::new(config).expect("valid")
}

/// Answers each call with the next of these, and the last one for ever; notes when it was called.
#[derive(Clone)]
struct Scripted {
    answers: Arc<[Answer]>,
    calls: Arc<Mutex<Vec<Moment>>>,
}

impl Scripted {
    fn new(answers: impl Into<Arc<[Answer]>>) -> Self {
        Self { answers: answers.into(), calls: Arc::default() }
    }

    /// The time between its calls.
    fn waits(&self) -> Vec<Duration> {
        let calls = self.calls.lock().expect("no panic");
        calls.windows(2).map(|two| two[1].since(two[0])).collect()
    }

    fn calls(&self) -> usize {
        self.calls.lock().expect("no panic").len()
    }
}

impl<Req> Service<Req> for Scripted {
    type Response = u32;
    type Error = Error<&'static str>;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        let mut calls = self.calls.lock().expect("no panic");
        let answer = self.answers[calls.len().min(self.answers.len() - 1)].clone();
        calls.push(Moment::now());
        ready(answer)
    }
}

const DOWN: Answer = Err(Error::Inner("down"));

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_again_after_growing_waits() {
    let service = Scripted::new([DOWN, DOWN, DOWN, Ok(7)]);
    let retry = layer(plain().max_attempts(4)).layer(service.clone());
    assert_eq!(retry.oneshot(()).await, Ok(7));
    assert_eq!(service.waits(), [100 * MS, 200 * MS, 400 * MS]);
}

#[tokio::test(start_paused = true)]
async fn the_last_real_outcome_comes_out_when_attempts_are_used_up() {
    let service = Scripted::new([DOWN, DOWN, Err(Error::Inner("still down")), Ok(7)]);
    let retry = layer(plain()).layer(service.clone());
    assert_eq!(retry.oneshot(()).await, Err(Error::Inner("still down")));
    assert_eq!(service.calls(), 3, "max_attempts counts the first");
}

/// Answers this after so many refusals of the first attempts; a flaky service.
fn flaky(failures: usize) -> Scripted {
    let mut answers = vec![DOWN; failures];
    answers.push(Ok(7));
    Scripted::new(answers)
}

fn broke() -> Budget {
    Budget::new(empty()).expect("valid")
}

#[tokio::test(start_paused = true)]
async fn readiness_is_kept_at_every_attempt() {
    support::readiness::is_kept_by(|inner| layer(plain()).layer(inner)).await;
    // Each number fails the first time that it comes.
    support::readiness::is_kept_by(|inner| {
        let seen = Arc::new(Mutex::new(std::collections::HashSet::new()));
        let fails_first = inner.map_result(move |answer: Result<u32, BoxError>| match answer {
            Ok(number) if seen.lock().expect("no panic").insert(number) => Err("the first time".into()),
            answer => answer,
        });
        layer(plain()).layer(fails_first)
    })
    .await;
}

/// Ready for as many calls as are given, and never again.
#[derive(Clone)]
struct ReadyFor(Arc<AtomicU32>);

impl Service<()> for ReadyFor {
    type Response = u32;
    type Error = Error<&'static str>;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let left = self.0.load(Ordering::SeqCst);
        Poll::Ready(if left > 0 { Ok(()) } else { Err(Error::Inner("closed for good")) })
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.0.fetch_sub(1, Ordering::SeqCst);
        ready(DOWN)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_ends_the_call() {
    let retry = |calls| layer(plain().max_attempts(5)).layer(ReadyFor(Arc::new(AtomicU32::new(calls))));
    assert_eq!(retry(2).oneshot(()).await, Err(Error::Inner("closed for good")));
    assert_eq!(retry(0).oneshot(()).await, Err(Error::Inner("closed for good")), "before the first attempt too");
    assert_eq!(retry(9).oneshot(()).await, DOWN, "the control: one that stays ready is called to the end");
}

/// Notes in which order things happen.
type Diary = Arc<Mutex<Vec<(&'static str, Duration)>>>;

struct Noted(&'static str, Diary, Moment);

impl Drop for Noted {
    fn drop(&mut self) {
        self.1.lock().expect("no panic").push((self.0, since(self.2)));
    }
}

/// Waits once, answers, and holds on to what it is given until it is dropped.
struct Holding(Option<Noted>, #[expect(dead_code, reason = "it is held")] Noted, bool);

impl std::future::Future for Holding {
    type Output = Result<Noted, BoxError>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::replace(&mut self.2, true) {
            return Poll::Ready(Ok(self.0.take().expect("polled no more")));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn the_call_is_dropped_before_anything_is_decided_and_its_answer_before_the_wait() {
    let (diary, start) = (Diary::default(), Moment::now());
    let noted = {
        let diary = diary.clone();
        move |what| Noted(what, diary.clone(), start)
    };
    let inner = {
        let noted = noted.clone();
        service_fn(move |()| Holding(Some(noted("answer")), noted("call"), false))
    };
    let failed = |_: Result<&Noted, &BoxError>| Outcome::from(Failure::new(FailureKind::Error));
    let asked = move |(): &(), _: &Failure| {
        drop(noted("decided"));
        true
    };
    let retry = layer(plain().max_attempts(2)).classify(failed).when(asked).layer(inner);
    let last = retry.oneshot(()).await.expect("an answer");
    let told = [("call", Duration::ZERO), ("decided", Duration::ZERO), ("answer", Duration::ZERO), ("call", 100 * MS)];
    assert_eq!(*diary.lock().expect("no panic"), told);
    drop(last);
    assert_eq!(diary.lock().expect("no panic").last(), Some(&("answer", 100 * MS)));
}

/// A request that counts how often it is copied.
#[derive(Debug)]
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(self.0.clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_copied_only_if_it_may_be_retried() {
    async fn copies<M>(config: RetryConfig, may_repeat: M) -> u32
    where
        M: Fn(&Counted) -> bool + Clone + Send + Sync + 'static,
    {
        let copies = Arc::new(AtomicU32::new(0));
        let retry = layer(config).may_repeat(may_repeat).layer(flaky(0));
        retry.oneshot(Counted(copies.clone())).await.expect("an answer");
        copies.load(Ordering::SeqCst)
    }
    assert_eq!(copies(plain(), |_: &Counted| true).await, 1);
    assert_eq!(copies(plain(), |_: &Counted| false).await, 0);
    assert_eq!(copies(plain().max_attempts(1), |_: &Counted| true).await, 0);
    let within_a_retry = Attempt::FIRST.next().scope(copies(plain(), |_: &Counted| true));
    assert_eq!(within_a_retry.await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_given_what_was_kept() {
    for attempts in 1..5 {
        let copies = Arc::new(AtomicU32::new(0));
        let retry = layer(plain().max_attempts(attempts)).layer(Scripted::new([DOWN]));
        retry.oneshot(Counted(copies.clone())).await.expect_err("always down");
        assert_eq!(copies.load(Ordering::SeqCst), attempts - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_be_repeated_is_sent_once() {
    let sent = async |may_repeat: bool| {
        let service = flaky(1);
        let retry = layer(plain()).may_repeat(move |(): &()| may_repeat).layer(service.clone());
        (retry.oneshot(()).await.is_ok(), service.calls())
    };
    assert_eq!(sent(false).await, (false, 1));
    assert_eq!(sent(true).await, (true, 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_certainly_never_sent_is_sent_again_whatever_it_is() {
    const REFUSED: Answer = Err(Error::Inner("connection refused"));
    let sent = async |first: Answer, budget: Budget| {
        let service = Scripted::new([first, Ok(7)]);
        let retry = RetryLayer::with_budget(plain(), budget)
            .expect("valid")
            .may_repeat(|(): &()| false)
            .never_sent(|error: &Error<&str>| matches!(error, Error::Inner("connection refused")))
            .layer(service.clone());
        let _ = retry.oneshot(()).await;
        service.calls()
    };
    assert_eq!(sent(REFUSED, broke()).await, 2);
    assert_eq!(sent(DOWN, broke()).await, 1, "perhaps it was sent");
    let limited = Limited::new("limit".into(), LimitReason::QuotaUsedUp).with_retry_after(MS);
    let limited = Err(Rejection::from(limited).into());
    assert_eq!(sent(limited, broke()).await, 1, "what is between may have acted before it was refused");
    let empty = broke();
    assert_eq!((sent(REFUSED, empty.clone()).await, sent(REFUSED, empty.clone()).await), (2, 2));
    assert_eq!(sent(REFUSED, empty).await, 1, "the budget counts it like any other");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_its_number_and_none_sees_what_another_was_told() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner = {
        let seen = seen.clone();
        service_fn(move |request: Vec<u32>| {
            seen.lock().expect("no panic").push(request);
            ready(Err::<u32, Error<&str>>(Error::Inner("down")))
        })
    };
    let retry = layer(plain()).on_attempt(|request: &mut Vec<u32>, attempt: Attempt| request.push(attempt.number()));
    retry.layer(inner).oneshot(vec![0]).await.expect_err("always down");
    assert_eq!(*seen.lock().expect("no panic"), [[0, 1], [0, 2], [0, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_not_begun_and_the_last_real_outcome_comes_out_at_once() {
    let within = async |deadline: Duration| {
        let (service, start) = (flaky(2), Moment::now());
        let deadline = Deadline::within(deadline);
        let retry = layer(plain()).deadline_of(move |(): &()| Some(deadline)).layer(service.clone());
        (retry.oneshot(()).await, service.calls(), since(start))
    };
    assert_eq!(within(100 * MS).await, (DOWN, 1, Duration::ZERO));
    assert_eq!(within(300 * MS).await, (DOWN, 2, 100 * MS));
    assert_eq!(within(300 * MS + MS / 2).await, (DOWN, 2, 100 * MS), "a timer may be a millisecond late");
    assert_eq!(within(301 * MS).await, (Ok(7), 3, 300 * MS));
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_made_under_the_deadline_of_the_call_wherever_it_is_polled() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner = {
        let seen = seen.clone();
        service_fn(move |()| {
            let seen = seen.clone();
            seen.lock().expect("no panic").push(Deadline::current());
            async move {
                seen.lock().expect("no panic").push(Deadline::current());
                DOWN
            }
        })
    };
    let mut retry = layer(plain().max_attempts(2)).deadline_of(InScope).layer(inner);
    let deadline = Deadline::within(SEC);
    let mut call = None;
    deadline.scope(async { call = Some(retry.ready().await.expect("ready").call(())) }).await;
    tokio::spawn(call.expect("it was made")).await.expect("no panic").expect_err("always down");
    assert_eq!(*seen.lock().expect("no panic"), [Some(deadline); 4], "in the call and in the future of each attempt");
}

#[tokio::test(start_paused = true)]
async fn no_attempt_outlives_the_deadline_and_the_timeout_inside_takes_what_is_left() {
    let start = Moment::now();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hangs = {
        let seen = seen.clone();
        service_fn(move |()| {
            seen.lock().expect("no panic").push(since(start));
            pending::<Answer>()
        })
    };
    let total = TimeoutLayer::new(TimeoutConfig::new(SEC).name("total")).expect("a limit").export_with(InScope);
    let attempt =
        TimeoutLayer::new(TimeoutConfig::new(400 * MS).name("attempt")).expect("a limit").deadline_of(InScope);
    let service = ServiceBuilder::new()
        .layer(total)
        .layer(layer(plain().max_attempts(9)).deadline_of(InScope))
        .layer(attempt)
        .service(hangs);
    let error = service.oneshot(()).await.expect_err("it hangs");
    // The second attempt ends at 900 ms, and 200 ms of waiting do not fit.
    assert_eq!(*seen.lock().expect("no panic"), [Duration::ZERO, 500 * MS]);
    assert_eq!(since(start), 900 * MS, "nobody waits for what cannot be");
    let Error::Rejected(Rejection::Elapsed(elapsed)) = error else { panic!("{error}") };
    assert_eq!(elapsed.name().as_str(), "attempt", "the last real outcome, not that of the total timeout");
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_below_is_waited_for_if_that_fits_and_else_its_refusal_comes_out_at_once() {
    let outcome = async |deadline: Duration| {
        let (service, start) = (flaky(1), Moment::now());
        let breaker = CircuitBreakerConfig::new().consecutive_failures(1).open_for(2 * SEC);
        let deadline = Deadline::within(deadline);
        let stack = ServiceBuilder::new()
            .layer(layer(plain()).deadline_of(move |(): &()| Some(deadline)))
            .layer(CircuitBreakerLayer::new(breaker).expect("valid"))
            .service(service.clone());
        (stack.oneshot(()).await, service.calls(), since(start))
    };
    // Down, 100 ms, refused for another 1.9 s, and then the probe.
    assert_eq!(outcome(3 * SEC).await, (Ok(7), 2, 2 * SEC));
    let (refused, calls, took) = outcome(SEC).await;
    assert!(matches!(refused, Err(Error::Rejected(Rejection::CircuitOpen(_)))), "{refused:?}");
    assert_eq!((calls, took), (1, 100 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_does_not_say_when_it_ends_is_not_retried() {
    let refused = |limited: Limited| Err(Error::Rejected(Rejection::from(limited)));
    let calls = async |limited: Limited| {
        let service = Scripted::new([refused(limited), Ok(7)]);
        let _ = layer(plain()).layer(service.clone()).oneshot(()).await;
        service.calls()
    };
    let never = Limited::new("limit".into(), LimitReason::CostAboveBurst);
    assert_eq!(calls(never).await, 1);
    assert_eq!(calls(never.with_retry_after(SEC)).await, 2, "the control");
}

fn says(kind: FailureKind) -> impl Fn(Result<&u32, &Error<&'static str>>) -> Outcome + Clone {
    move |answer| match answer {
        Ok(_) => Outcome::Success,
        Err(_) => Failure::new(kind).into(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_retried_by_default_is_what_may_be_over_the_next_time() {
    use FailureKind::{Error as Failed, Expired, Permanent, Refused, RequestTimeout, Throttled, TimedOut};
    for (kind, calls) in
        [(Failed, 2), (TimedOut, 2), (RequestTimeout, 2), (Throttled, 2), (Permanent, 1), (Expired, 1), (Refused, 1)]
    {
        let service = flaky(1);
        let _ = layer(plain()).classify(says(kind)).layer(service.clone()).oneshot(()).await;
        assert_eq!(service.calls(), calls, "{kind}");
        let service = flaky(1);
        let only = layer(plain().on([kind])).classify(says(kind));
        let _ = only.layer(service.clone()).oneshot(()).await;
        assert_eq!(service.calls(), if kind == Refused { 1 } else { 2 }, "{kind}, asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn a_predicate_decides_by_request_and_failure() {
    let calls = async |job: &'static str| {
        let service = flaky(1);
        let retry = layer(plain())
            .classify(says(FailureKind::Permanent))
            .when(|job: &&str, failure: &Failure| *job == "important" && failure.kind() == FailureKind::Permanent);
        let _ = retry.layer(service.clone()).oneshot(job).await;
        service.calls()
    };
    assert_eq!((calls("important").await, calls("other").await), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_service_wants_not_retried_is_not_whatever_a_predicate_says() {
    let calls = async |is_final: bool| {
        let service = flaky(1);
        let retry = layer(plain()).when(|(): &(), _: &Failure| true).classify(move |answer: Result<&u32, &_>| {
            let _: Result<_, &Error<&'static str>> = answer;
            let failure = Failure::new(FailureKind::Error);
            if answer.is_ok() {
                Outcome::Success
            } else if is_final {
                failure.not_to_be_retried().into()
            } else {
                failure.into()
            }
        });
        let _ = retry.layer(service.clone()).oneshot(()).await;
        service.calls()
    };
    assert_eq!((calls(true).await, calls(false).await), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn within_a_retry_of_somebody_else_a_request_is_sent_once_or_as_often_as_is_said() {
    let calls = async |config: RetryConfig, attempt: Attempt| {
        let service = Scripted::new([DOWN]);
        let _ = attempt.scope(layer(config).layer(service.clone()).oneshot(())).await;
        service.calls()
    };
    let second = Attempt::FIRST.next();
    assert_eq!(calls(plain(), Attempt::FIRST).await, 3);
    assert_eq!(calls(plain(), second).await, 1);
    assert_eq!(calls(plain().max_attempts_within_retry(2), second).await, 2);
}

#[tokio::test(start_paused = true)]
async fn retries_around_retries_do_not_multiply() {
    let calls = async |inner: RetryConfig| {
        let service = Scripted::new([DOWN]);
        let stack = ServiceBuilder::new().layer(layer(plain())).layer(layer(inner)).service(service.clone());
        stack.oneshot(()).await.expect_err("always down");
        service.calls()
    };
    assert_eq!(calls(plain()).await, 3 + 1 + 1);
    assert_eq!(calls(plain().max_attempts_within_retry(3)).await, 3 + 3 + 3, "unless that is asked for");
}

#[tokio::test(start_paused = true)]
async fn whoever_runs_the_scope_hears_of_retries_that_were_given_up() {
    let is_exhausted = async |config: RetryConfig, failures: usize, may_repeat: bool| {
        let retry = layer(config).may_repeat(move |(): &()| may_repeat).layer(flaky(failures));
        let mut call = std::pin::pin!(Attempt::FIRST.scope(retry.oneshot(())));
        let _ = call.as_mut().await;
        call.is_exhausted()
    };
    assert!(is_exhausted(plain(), 3, true).await, "attempts are used up");
    assert!(!is_exhausted(plain(), 2, true).await, "it succeeded in the end");
    assert!(!is_exhausted(plain(), 1, false).await, "nothing was multiplied");
    assert!(!is_exhausted(plain().on([FailureKind::Throttled]), 3, true).await, "it is no failure to retry");
    assert!(!is_exhausted(plain().max_attempts(1), 3, true).await, "it was sent once, as by anybody");
    assert!(is_exhausted(plain().budget(empty()), 3, true).await, "the budget is used up");
}

/// A budget that pays for one retry after the other, and for no third.
const fn empty() -> BudgetConfig {
    BudgetConfig::new().ratio(0.0).per_second(0.0).capacity(2)
}

#[tokio::test(start_paused = true)]
async fn that_a_service_wants_no_retry_is_passed_on_although_nothing_could_be_retried() {
    let is_exhausted = async |is_final: bool| {
        let failed = move |_: Result<&u32, &Error<&str>>| {
            let failure = Failure::new(FailureKind::Error);
            Outcome::from(if is_final { failure.not_to_be_retried() } else { failure })
        };
        let retry = layer(plain()).may_repeat(|(): &()| false).classify(failed).layer(flaky(1));
        let mut call = std::pin::pin!(Attempt::FIRST.scope(retry.oneshot(())));
        let _ = call.as_mut().await;
        call.is_exhausted()
    };
    assert_eq!((is_exhausted(true).await, is_exhausted(false).await), (true, false));
}

#[tokio::test(start_paused = true)]
async fn without_tokens_the_last_real_outcome_comes_out_at_once() {
    let (service, start) = (flaky(1), Moment::now());
    let budget = broke();
    let layer = RetryLayer::with_budget(plain(), budget.clone()).expect("valid");
    for left in [1.0, 0.0] {
        let first = flaky(1);
        layer.layer(first.clone()).oneshot(()).await.expect("there is a token");
        assert_eq!(budget.available(), left);
    }
    let start_without = since(start);
    assert_eq!(layer.layer(service.clone()).oneshot(()).await, DOWN);
    assert_eq!((service.calls(), since(start)), (1, start_without));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_taken_before_the_wait() {
    let service = Scripted::new([DOWN]);
    let layer = RetryLayer::with_budget(plain().max_attempts(2), broke()).expect("valid");
    let start = Moment::now();
    let calls = (0..10).map(|_| layer.layer(service.clone()).oneshot(()));
    let waiting = futures::future::join_all(calls.map(|call| async move {
        call.await.expect_err("always down");
        since(start)
    }));
    let mut took = waiting.await;
    took.sort();
    assert_eq!(took, [vec![Duration::ZERO; 8], vec![100 * MS; 2]].concat(), "two could pay, and nobody else waited");
    assert_eq!(service.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_back_if_its_retry_is_never_made() {
    let budget = broke();
    let layer = RetryLayer::with_budget(plain(), budget.clone()).expect("valid");
    for _ in 0..3 {
        let waits = layer.layer(flaky(1)).oneshot(());
        tokio::time::timeout(50 * MS, waits).await.expect_err("it still waits");
        assert_eq!(budget.available(), 2.0, "dropped while it waits");
        let never_again = ReadyFor(Arc::new(AtomicU32::new(1)));
        layer.layer(never_again).oneshot(()).await.expect_err("closed for good");
        assert_eq!(budget.available(), 2.0, "not ready for it");
        let copies = Arc::new(AtomicU32::new(0));
        let once = layer.clone().replay(move |(): &()| (copies.fetch_add(1, Ordering::SeqCst) == 0).then_some(()));
        let service = flaky(1);
        assert_eq!(once.layer(service.clone()).oneshot(()).await, DOWN);
        assert_eq!((budget.available(), service.calls()), (2.0, 1), "there is nothing to send");
    }
    layer.layer(flaky(1)).oneshot(()).await.expect("the second time");
    assert_eq!(budget.available(), 1.0, "the control");
}

#[tokio::test(start_paused = true)]
async fn a_call_pays_in_when_its_first_attempt_succeeds_and_not_when_a_later_one_does() {
    let budget = Budget::new(BudgetConfig::new().ratio(0.5).per_second(0.0).capacity(10)).expect("valid");
    let layer = RetryLayer::with_budget(plain(), budget.clone()).expect("valid");
    for _ in 0..4 {
        layer.layer(flaky(2)).oneshot(()).await.expect("the third time");
    }
    assert_eq!(budget.available(), 2.0, "two retries each, and nothing came in");
    for _ in 0..3 {
        layer.layer(flaky(0)).oneshot(()).await.expect("at once");
    }
    assert_eq!(budget.available(), 3.5);
    let once = layer.clone().may_repeat(|(): &()| false);
    once.layer(flaky(0)).oneshot(()).await.expect("at once");
    assert_eq!(budget.available(), 4.0, "a call that is not repeated pays in as well");
    once.layer(flaky(1)).oneshot(()).await.expect_err("not repeated");
    assert_eq!(budget.available(), 4.0);
    let soon = Deadline::within(SEC);
    let with_deadline = layer.deadline_of(move |(): &()| Some(soon));
    with_deadline.layer(flaky(0)).oneshot(()).await.expect("at once");
    assert_eq!(budget.available(), 4.5, "and so does one with a deadline");
}

#[tokio::test(start_paused = true)]
async fn a_classifier_is_asked_outside_the_scopes_of_the_attempt() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (asked, called) = (seen.clone(), seen.clone());
    let soon = Deadline::within(60 * SEC);
    let layer = layer(plain().max_attempts(2)).deadline_of(move |(): &()| Some(soon)).classify(
        move |_: Result<&(), &BoxError>| {
            asked.lock().expect("no panic").push(("classified", Attempt::current(), Deadline::current()));
            Failure::new(FailureKind::Error).into()
        },
    );
    let inner = service_fn(move |()| {
        called.lock().expect("no panic").push(("called", Attempt::current(), Deadline::current()));
        ready(Ok::<_, BoxError>(()))
    });
    layer.layer(inner).oneshot(()).await.expect("the last answer");
    let seen = seen.lock().expect("no panic");
    let outside = |what: &str| {
        seen.iter().filter(|(kind, ..)| *kind == what).map(|(_, _, deadline)| *deadline).collect::<Vec<_>>()
    };
    assert_eq!(outside("classified"), [None, None]);
    assert_eq!(outside("called"), [Some(soon), Some(soon)], "the control");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_a_timeout_costs_two_tokens() {
    let budget = Budget::new(BudgetConfig::new().ratio(0.0).per_second(0.0).capacity(10)).expect("valid");
    let layer = RetryLayer::with_budget(plain().max_attempts(2), budget.clone()).expect("valid");
    layer.clone().classify(says(FailureKind::TimedOut)).layer(flaky(1)).oneshot(()).await.expect("the second time");
    assert_eq!(budget.available(), 8.0);
    layer.layer(flaky(1)).oneshot(()).await.expect("the second time");
    assert_eq!(budget.available(), 7.0);
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_and_its_clones_pay_from_one_budget() {
    let config = plain().budget(BudgetConfig::new().ratio(0.0).per_second(0.0).capacity(3)).max_attempts(2);
    let layer = layer(config.clone());
    let services = [layer.layer(flaky(9)), layer.clone().layer(flaky(9)), layer.layer(flaky(9)).clone()];
    let mut calls = 0;
    for service in services.into_iter().cycle().take(9) {
        let before = service.get_ref().calls();
        service.clone().oneshot(()).await.expect_err("always down");
        calls += service.get_ref().calls() - before;
    }
    assert_eq!(calls, 9 + 3);
    let service = flaky(9);
    let _ = self::layer(config).layer(service.clone()).oneshot(()).await;
    assert_eq!(service.calls(), 2, "another layer has another budget");
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_there_unless_it_is_left_out() {
    let calls = async |config: RetryConfig| {
        let (service, layer) = (Scripted::new([DOWN]), layer(config.max_attempts(2)));
        for _ in 0..200 {
            let _ = layer.layer(service.clone()).oneshot(()).await;
        }
        (service.calls(), layer.budget().is_some())
    };
    let soon = plain().backoff(Backoff::constant(Duration::ZERO));
    assert_eq!(calls(soon.clone()).await, (300, true), "a hundred tokens");
    assert_eq!(calls(soon.without_budget()).await, (400, false));
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_waits_each_time_and_to_no_two_calls() {
    let waits = async |seed: Option<u64>| {
        let config = RetryConfig::new().max_attempts(5).without_budget();
        let layer = layer(match seed {
            Some(seed) => config.seed(seed),
            None => config,
        });
        let mut waits = Vec::new();
        for _ in 0..4 {
            let service = Scripted::new([DOWN]);
            let _ = layer.clone().layer(service.clone()).clone().oneshot(()).await;
            waits.push(service.waits());
        }
        waits
    };
    let seeded = waits(Some(7)).await;
    assert_eq!(seeded, waits(Some(7)).await);
    for other in [waits(Some(8)).await, waits(None).await, waits(None).await] {
        assert_ne!(seeded, other);
    }
    // One call at a time has its waits as if it were alone, although others fail in between.
    let (one, other) = (Scripted::new([DOWN]), Scripted::new([DOWN]));
    let layer = layer(RetryConfig::new().max_attempts(5).without_budget().seed(7));
    let _ = tokio::join!(layer.layer(one.clone()).oneshot(()), layer.layer(other.clone()).oneshot(()));
    assert_eq!([one.waits(), other.waits()], seeded[..2]);
    for (number, one) in seeded.iter().enumerate() {
        assert!(seeded.iter().skip(number + 1).all(|other| one != other), "clones of a layer repeat nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_anywhere_leaves_everything_as_it_was() {
    type Limited = ConcurrencyLimit<BoxCloneSyncService<u32, u32, BoxError>>;
    let world = || -> (Limited, Arc<AtomicU32>) {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let fails_twice = service_fn(move |number: u32| {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(MS).await;
                if call < 2 { Err(BoxError::from("down")) } else { Ok(number) }
            }
        });
        (ConcurrencyLimit::new(BoxCloneSyncService::new(fails_twice), 1), calls)
    };
    support::drops::at_every_point(
        5,
        world,
        |(service, _)| layer(plain()).layer(service.clone()).oneshot(7),
        async |(service, calls), _| {
            calls.store(2, Ordering::SeqCst);
            assert_eq!(service.oneshot(8).await.expect("the permit is back"), 8);
        },
    )
    .await;
}

#[tokio::test]
async fn retries_without_a_wait_leave_the_thread_to_others() {
    const ATTEMPTS: u32 = 100_000;
    let service = Scripted::new([DOWN]);
    let config = RetryConfig::new().max_attempts(ATTEMPTS).backoff(Backoff::constant(Duration::ZERO)).without_budget();
    let retry = layer(config).layer(service.clone());
    let call = tokio::spawn(retry.oneshot(()));
    while service.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let calls = service.calls();
    assert!(calls < ATTEMPTS as usize / 10, "{calls} calls before anybody else had a turn");
    assert_eq!(call.await.expect("no panic"), DOWN);
    assert_eq!(service.calls(), ATTEMPTS as usize);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let says = |config: RetryConfig| RetryLayer::new(config.name("payments")).expect_err("it cannot work").to_string();
    let new = RetryConfig::new;
    let backoff = || Backoff::exponential(SEC, 10 * SEC);
    let budget = BudgetConfig::new;
    for (config, fault) in [
        (new().max_attempts(0), "max_attempts counts the first, and must be at least 1"),
        (
            new().max_attempts_within_retry(4),
            "max_attempts_within_retry must be at least 1 and at most max_attempts, which is 3, and is 4",
        ),
        (
            new().max_attempts_within_retry(0),
            "max_attempts_within_retry must be at least 1 and at most max_attempts, which is 3, and is 0",
        ),
        (
            new().backoff(Backoff::exponential(2 * SEC, SEC)),
            "the cap of the backoff must not be shorter than its base of 2s, and is 1s",
        ),
        (new().backoff(backoff().factor(0.5)), "the factor of the backoff must be a number of at least 1, and is 0.5"),
        (
            new().backoff(Backoff::constant(SEC).spread(Spread::Decorrelated)),
            "a decorrelated backoff needs a cap that is longer than its base",
        ),
        (
            new().backoff(backoff().factor(f64::NAN)),
            "the factor of the backoff must be a number of at least 1, and is NaN",
        ),
        (new().on([]), "it must name at least one kind of failure in `on`"),
        (new().budget(budget().ratio(-0.1)), "the budget's ratio must be 0 to 1000, and is -0.1"),
        (new().budget(budget().per_second(f64::INFINITY)), "the budget's per_second must be 0 to 1000000, and is inf"),
        (
            new().budget(budget().capacity(1_000_001)),
            "the budget's capacity must be 2 to 1000000 tokens, and is 1000001",
        ),
        (new().budget(budget().capacity(1)), "the budget's capacity must be 2 to 1000000 tokens, and is 1"),
    ] {
        assert_eq!(says(config), format!("the retry `payments` cannot work: {fault}"));
    }
    let alone = Budget::new(BudgetConfig::new().capacity(0)).expect_err("it cannot work");
    assert_eq!(
        alone.to_string(),
        "the retry `budget` cannot work: the budget's capacity must be 2 to 1000000 tokens, and is 0"
    );
}

#[test]
fn the_longest_backoff_is_the_sum_of_the_longest_waits() {
    let config = |attempts| RetryConfig::new().max_attempts(attempts).longest_backoff();
    assert_eq!(config(1), Duration::ZERO);
    assert_eq!(config(3), 300 * MS);
    assert_eq!(config(9), (100 + 200 + 400 + 800 + 1600 + 3200 + 6400 + 10_000) * MS);
    assert_eq!(config(1_000_003), config(1_000_002) + 10 * SEC);
    assert!(config(u32::MAX) > 4_000_000_000 * SEC);
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_read_from_a_file_and_what_is_left_out_has_its_default() {
    let read = |text| serde_json::from_str::<RetryConfig>(text);
    assert_eq!(read("{}").expect("valid"), RetryConfig::new());
    let whole = r#"{
        "name": "payments",
        "max_attempts": 4,
        "backoff": { "base": "50ms", "factor": 1.5, "cap": "2s", "spread": "decorrelated" },
        "budget": { "ratio": 0.1, "per_second": 0.5, "capacity": 50 },
        "on": ["error", "timed_out"],
        "longest_hint": "1m",
        "max_attempts_within_retry": 2
    }"#;
    let backoff = Backoff::exponential(50 * MS, 2 * SEC).factor(1.5).spread(Spread::Decorrelated);
    let expected = RetryConfig::new()
        .name("payments")
        .max_attempts(4)
        .backoff(backoff)
        .budget(BudgetConfig::new().ratio(0.1).per_second(0.5).capacity(50))
        .on([FailureKind::Error, FailureKind::TimedOut])
        .longest_hint(60 * SEC)
        .max_attempts_within_retry(2);
    assert_eq!(read(whole).expect("valid"), expected);
    assert_eq!(read(r#"{ "budget": null }"#).expect("valid"), RetryConfig::new().without_budget());
    for wrong in [r#"{ "max_retries": 3 }"#, r#"{ "backoff": { "jitter": 0.5 } }"#, r#"{ "budget": { "rate": 1 } }"#] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_classified_as_a_success_is_passed_on_and_pays_in() {
    let budget = Budget::new(BudgetConfig::new().ratio(1.0).per_second(0.0).capacity(2)).expect("valid");
    let config = RetryConfig::new().max_attempts(2).backoff(Backoff::constant(Duration::ZERO));
    let retry =
        RetryLayer::with_budget(config, budget.clone()).expect("valid").classify(|answer: Result<&(), &BoxError>| {
            match answer {
                Err(error) if error.to_string() == "down" => Failure::new(FailureKind::Error).into(),
                _ => Outcome::Success,
            }
        });
    let fails = retry.layer(service_fn(|error: &'static str| ready(Err::<(), _>(BoxError::from(error)))));
    fails.clone().oneshot("down").await.expect_err("twice");
    assert_eq!(budget.available(), 1.0);
    assert_eq!(fails.oneshot("not found").await.expect_err("passed on").to_string(), "not found");
    assert_eq!(budget.available(), 2.0);
}
