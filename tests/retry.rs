//! The retry layer through `Service`, in paused time.

mod support;

use std::future::{Future, Ready, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::outcome::{Failure, FailureKind, Outcome};
use buttress::retry::{Backoff, Budget, BudgetConfig, RetryConfig, RetryLayer, Spread};
use buttress::{Attempt, Deadline, Error, Rejection};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

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
    calls: Arc<Mutex<Vec<Instant>>>,
}

impl Scripted {
    fn new(answers: impl Into<Arc<[Answer]>>) -> Self {
        Self { answers: answers.into(), calls: Arc::default() }
    }

    /// The time between its calls.
    fn waits(&self) -> Vec<Duration> {
        let calls = self.calls.lock().expect("no panic");
        calls.windows(2).map(|two| two[1] - two[0]).collect()
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
        calls.push(Instant::now());
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
