//! What each layer adds to a bare service.
//!
//! Each stack is built once and called in a loop inside one `block_on`. Every row checks that its calls took the path it is
//! named for. Compare ratios to `bare` in one run; absolute times differ from machine to machine.
#![allow(clippy::disallowed_methods, reason = "a bench reads real time")]

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, OpenFor, TimeWindow};
use buttress::fallback::{Failed, FallbackLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Deadline, Error, Rejection};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

type Answer = Result<u64, Error<()>>;

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

fn row<S>(criterion: &mut Criterion, name: &str, service: S, request: u64, expected: u64)
where
    S: Service<u64, Response = u64, Error = Error<()>>,
{
    row_of(criterion, name, service, request, |answer| *answer == Ok(expected));
}

/// A row whose calls are right by a rule of their own.
fn row_of<S>(criterion: &mut Criterion, name: &str, mut service: S, request: u64, is_as_meant: impl Fn(&Answer) -> bool)
where
    S: Service<u64, Response = u64, Error = Error<()>>,
{
    let runtime = runtime();
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            // Tokio's budget would add a trip through the scheduler every so many calls.
            runtime.block_on(tokio::task::unconstrained(async {
                let start = Instant::now();
                for _ in 0..calls {
                    let answer = service.ready().await.expect("always ready").call(black_box(request)).await;
                    assert!(is_as_meant(&answer), "the call took another path: {answer:?}");
                }
                start.elapsed()
            }))
        });
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().expect("a runtime")
}

fn layers(criterion: &mut Criterion) {
    let timeout = || TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(60))).expect("a limit");
    let tomorrow = Deadline::within(Duration::from_secs(86_400));
    let fallback = || FallbackLayer::default().with(|_: Failed<u64, Error<()>>| Ok(7));

    row(criterion, "bare", Bare, 2, 2);
    row(criterion, "timeout", timeout().layer(Bare), 2, 2);
    row(criterion, "timeout, deadline", timeout().deadline_of(move |_: &u64| Some(tomorrow)).layer(Bare), 2, 2);
    row(criterion, "fallback", fallback().layer(Bare), 2, 2);
    row(criterion, "fallback, substitute", fallback().layer(Bare), 1, 7);
    let breaker = |config| CircuitBreakerLayer::new(config).expect("valid");
    let new = CircuitBreakerConfig::new;
    let hour = Duration::from_secs(3600);
    let last_calls = breaker(new().last_calls(LastCalls::new(100)));
    row(criterion, "circuit breaker, last calls", last_calls.layer(Bare), 2, 2);
    let counts_each = breaker(new().consecutive_failures(2).last_calls(LastCalls::new(100)));
    counts_each.breaker().force_closed();
    let failed = |answer: &Answer| *answer == Err(Error::Inner(()));
    row_of(criterion, "circuit breaker, last calls, all failed", counts_each.layer(Bare), 1, failed);
    let time_window = breaker(new().time_window(TimeWindow::new(Duration::from_secs(10))));
    row(criterion, "circuit breaker, time window", time_window.layer(Bare), 2, 2);
    let by_key = CircuitBreakerLayer::by_key(new(), |number: &u64| Some(*number)).expect("valid");
    row(criterion, "circuit breaker, by key", by_key.layer(Bare), 2, 2);
    let open = breaker(new().consecutive_failures(1).open_for(OpenFor::fixed(hour)));
    open.breaker().try_acquire().expect("closed").failure();
    let refused = |answer: &Answer| matches!(answer, Err(Error::Rejected(Rejection::CircuitOpen(_))));
    row_of(criterion, "circuit breaker, open", open.layer(Bare), 2, refused);
    let stack = ServiceBuilder::new().layer(timeout()).layer(fallback()).layer(timeout());
    row(criterion, "timeout, fallback, timeout", stack.service(Bare), 2, 2);

    row(criterion, "bare, waits once", WaitsOnce, 2, 2);
    row(criterion, "timeout, waits once", timeout().layer(WaitsOnce), 2, 2);
}

criterion_group!(benches, layers);
criterion_main!(benches);
