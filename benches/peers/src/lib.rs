//! What each layer adds to a bare service: the rows, once for all who measure them.
//!
//! `benches/layers.rs` times them, `src/bin/costs.rs` counts what they execute. Each stack is built once and called in a
//! loop, and every call is checked to have taken the path that its row is named for.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, OpenFor, TimeWindow};
use buttress::fallback::{Failed, FallbackLayer};
use buttress::rate_limit::{KeyedRateLimiter, Quota, RateLimitConfig, RateLimitLayer, RateLimiter};
use buttress::retry::{Backoff, BudgetConfig, RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Deadline, Error, Rejection};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

/// Measures one row after the other.
pub trait Measure {
    /// `calls` makes so many calls of the row's stack.
    fn row(&mut self, name: &str, calls: impl AsyncFnMut(u64));
}

/// Every row. A row is to be compared to the last one before it whose name begins with "bare".
///
/// # Panics
///
/// If a call takes another path than its row is named for.
pub fn rows(measure: &mut impl Measure) {
    let hour = Duration::from_secs(3600);
    let timeout = || TimeoutLayer::new(TimeoutConfig::new(hour)).expect("a limit");
    let tomorrow = Deadline::within(24 * hour);
    let fallback = || FallbackLayer::default().with(|_: Failed<u64, Error<()>>| Ok(7));
    let new = CircuitBreakerConfig::new;
    let breaker = |config| CircuitBreakerLayer::new(config).expect("valid");
    let last_calls = || breaker(new().last_calls(LastCalls::new(100)));

    let good = |answer: &Answer| *answer == Ok(2);
    row(measure, "bare", Bare, always(2), good);
    row(measure, "timeout", timeout().layer(Bare), always(2), good);
    row(
        measure,
        "timeout, deadline",
        timeout().deadline_of(move |_: &u64| Some(tomorrow)).layer(Bare),
        always(2),
        good,
    );
    row(measure, "fallback", fallback().layer(Bare), always(2), good);
    row(measure, "fallback, substitute", fallback().layer(Bare), always(1), |answer| *answer == Ok(7));
    row(measure, "circuit breaker, consecutive failures", breaker(new()).layer(Bare), always(2), good);
    row(measure, "circuit breaker, last calls", last_calls().layer(Bare), always(2), good);
    let counts_each = breaker(new().consecutive_failures(2).last_calls(LastCalls::new(100)));
    counts_each.breaker().force_closed();
    let failed = |answer: &Answer| *answer == Err(Error::Inner(()));
    row(measure, "circuit breaker, last calls, all failed", counts_each.layer(Bare), always(1), failed);
    let time_window = breaker(new().time_window(TimeWindow::new(Duration::from_secs(10))));
    row(measure, "circuit breaker, time window", time_window.layer(Bare), always(2), good);
    let slow_calls = breaker(new().last_calls(LastCalls::new(100).slow_rate(0.5)).slow_call_threshold(hour));
    row(measure, "circuit breaker, slow calls", slow_calls.layer(Bare), always(2), good);
    let by_key = CircuitBreakerLayer::by_key(new(), |number: &u64| Some(*number)).expect("valid");
    row(measure, "circuit breaker, by key", by_key.layer(Bare), always(2), good);
    let refused = |answer: &Answer| matches!(answer, Err(Error::Rejected(Rejection::CircuitOpen(_))));
    let open = breaker(new().consecutive_failures(1).open_for(OpenFor::fixed(hour)));
    open.breaker().try_acquire().expect("closed").failure();
    row(measure, "circuit breaker, open", open.layer(Bare), always(2), refused);
    let forced_open = breaker(new());
    forced_open.breaker().force_open();
    row(measure, "circuit breaker, forced open", forced_open.layer(Bare), always(2), refused);
    let plenty = || RateLimitConfig::new(Quota::per_second(1_000_000).burst(u32::MAX));
    let limiter = RateLimitLayer::new(plenty()).expect("valid");
    row(measure, "rate limit", limiter.layer(Bare), always(2), good);
    row(measure, "rate limit, waiting if need be", limiter.clone().wait().layer(Bare), always(2), good);
    let none_left = RateLimitLayer::new(RateLimitConfig::new(Quota::per_hour(1))).expect("valid");
    none_left.limits().drain();
    let limited = |answer: &Answer| matches!(answer, Err(Error::Rejected(Rejection::RateLimited(_))));
    row(measure, "rate limit, refused", none_left.layer(Bare), always(2), limited);
    // Each of them has something to pay back all the time, and so none is forgotten.
    let keys = KeyedRateLimiter::<u64>::new(RateLimitConfig::new(Quota::per_hour(1).burst(500_000))).expect("valid");
    (0..10_000).for_each(|key| keys.try_take(&key, 1).expect("plenty"));
    let key_of = |number: &u64| Some(*number);
    let by_key = RateLimitLayer::of_keys(keys, key_of);
    let even = |call: u64| call * 2 % 10_000;
    let echoed = |answer: &Answer| answer.is_ok();
    row(measure, "bare, 10 000 keys", Bare, even, echoed);
    row(measure, "rate limit, by key, 10 000 keys", by_key.layer(Bare), even, echoed);
    let slow_keys = KeyedRateLimiter::<u64>::new(RateLimitConfig::new(Quota::per_hour(1))).expect("valid");
    (0..10_000).for_each(|key| slow_keys.drain(&key));
    row(measure, "rate limit, by key, refused", RateLimitLayer::of_keys(slow_keys, key_of).layer(Bare), even, limited);
    row(measure, "bare, again", Bare, always(2), good);
    let two = limiter.clone().and(RateLimiter::new(plenty()).expect("valid"));
    row(measure, "rate limit, two limits", two.layer(Bare), always(2), good);
    let retry = |config: RetryConfig| RetryLayer::new(config).expect("valid");
    row(measure, "retry, no budget", retry(RetryConfig::new().without_budget()).layer(Bare), always(2), good);
    row(measure, "retry", retry(RetryConfig::new()).layer(Bare), always(2), good);
    let at_once = || RetryConfig::new().max_attempts(2).backoff(Backoff::constant(Duration::ZERO));
    let empty = retry(at_once().budget(BudgetConfig::new().ratio(1e-6).per_second(0.0)));
    while empty.budget().is_some_and(|budget| budget.available() >= 1.0) {
        runtime().block_on(empty.layer(Bare).oneshot(1)).expect_err("an odd number");
    }
    row(measure, "retry, budget not full", empty.layer(Bare), always(2), good);
    row(measure, "retry, budget used up", empty.layer(Bare), always(1), failed);
    row(measure, "retry, one retry", retry(at_once().without_budget()).layer(Bare), always(1), failed);
    let stack = ServiceBuilder::new().layer(timeout()).layer(fallback()).layer(timeout());
    row(measure, "timeout, fallback, timeout", stack.service(Bare), always(2), good);
    let stack = ServiceBuilder::new().layer(timeout()).layer(fallback()).layer(last_calls()).layer(timeout());
    row(measure, "timeout, fallback, breaker, timeout", stack.service(Bare), always(2), good);

    let one_in_fifty = |call: u64| if call.is_multiple_of(50) { 1 } else { 2 };
    let reached = |answer: &Answer| matches!(answer, Ok(2) | Err(Error::Inner(())));
    row(measure, "bare, one in 50 fails", Bare, one_in_fifty, reached);
    row(measure, "circuit breaker, last calls, one in 50 fails", last_calls().layer(Bare), one_in_fifty, reached);

    row(measure, "bare, waits once", WaitsOnce, always(2), good);
    row(measure, "timeout, waits once", timeout().layer(WaitsOnce), always(2), good);
}

/// A runtime as a service has it, apart from its threads.
///
/// # Panics
///
/// If the system has none to give.
#[must_use]
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

type Answer = Result<u64, Error<()>>;

fn always(request: u64) -> impl Fn(u64) -> u64 {
    move |_| request
}

/// `request` is told how many calls came before.
fn row<S>(
    measure: &mut impl Measure,
    name: &str,
    mut service: S,
    request: impl Fn(u64) -> u64,
    is_as_meant: impl Fn(&Answer) -> bool,
) where
    S: Service<u64, Response = u64, Error = Error<()>>,
{
    // To be called for every row alike: where it is a part of some loops, it costs others more.
    let is_as_meant: &dyn Fn(&Answer) -> bool = black_box(&is_as_meant);
    measure.row(name, async |calls| {
        for call in 0..calls {
            let answer = service.ready().await.expect("always ready").call(black_box(request(call))).await;
            assert!(is_as_meant(&answer), "the call took another path: {answer:?}");
        }
    });
}

/// The floor: answers at its first poll; an odd number is a failure.
#[derive(Clone)]
struct Bare;

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Error<()>;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Self::Future {
        ready(if number.is_multiple_of(2) { Ok(black_box(number)) } else { Err(Error::Inner(())) })
    }
}

/// The same, but answers at its second poll, so that whoever arms a timer arms it.
#[derive(Clone)]
struct WaitsOnce;

impl Service<u64> for WaitsOnce {
    type Response = u64;
    type Error = Error<()>;
    type Future = Waiting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Waiting {
        Waiting { number, has_waited: false }
    }
}

struct Waiting {
    number: u64,
    has_waited: bool,
}

impl Future for Waiting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if std::mem::replace(&mut self.has_waited, true) {
            return Poll::Ready(Ok(black_box(self.number)));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
