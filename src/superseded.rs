//! Whether an answer of a service that was called was given up for another one.
//!
//! A retry or a fallback lets one answer out, and it may be a refusal; that says nothing about the calls before it, which may
//! have had their effect.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use crate::outcome::{Failure, FailureKind};
use crate::rejection::Rejection;

thread_local! {
    /// `None` where nobody wants to know.
    static IN_SCOPE: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The answer that failed so does not come out.
pub(crate) fn by_another(failure: &Failure) {
    if was_called(failure) && IN_SCOPE.get().is_some() {
        IN_SCOPE.set(Some(true));
    }
}

/// Whether anything may have come of a call that failed so: not if it was kept from the service, nor if that turned it away.
fn was_called(failure: &Failure) -> bool {
    match failure.rejection() {
        Some(Rejection::Idempotency(refused)) => refused.reason().was_run(),
        _ => !matches!(
            failure.kind(),
            FailureKind::Refused | FailureKind::Expired | FailureKind::Throttled | FailureKind::RequestTimeout
        ),
    }
}

/// Whether there was any in this scope.
#[allow(dead_code, reason = "asked only by what knows answers from refusals, which features add")]
pub(crate) fn any() -> bool {
    IN_SCOPE.get() == Some(true)
}

/// Hears of them while `future` is polled.
pub(crate) const fn scope<F: Future>(future: F) -> Scoped<F> {
    Scoped { future, any: false }
}

#[pin_project]
pub(crate) struct Scoped<F> {
    #[pin]
    future: F,
    any: bool,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        /// Puts back what was there, also when there is a panic.
        struct Entered<'scope> {
            any: &'scope mut bool,
            outer: Option<bool>,
        }
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                *self.any = IN_SCOPE.replace(self.outer) == Some(true);
            }
        }
        let this = self.project();
        let outer = IN_SCOPE.replace(Some(*this.any));
        let _entered = Entered { any: this.any, outer };
        this.future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::{RefusalReason, Refused};

    #[tokio::test]
    async fn of_an_answer_that_was_given_up_the_scope_around_it_hears_and_no_other() {
        let seen = |kind| async move {
            by_another(&Failure::new(kind));
            tokio::task::yield_now().await;
            any()
        };
        let (failed, refused) = futures::join!(scope(seen(FailureKind::Error)), scope(seen(FailureKind::Refused)));
        assert!(failed && !refused, "whoever was refused was not called");
        assert!(!seen(FailureKind::Error).await, "nobody wants to know");
        for turned_away in [FailureKind::Expired, FailureKind::Throttled, FailureKind::RequestTimeout] {
            assert!(!scope(seen(turned_away)).await, "{turned_away:?}");
        }
        let nested = scope(async { (scope(seen(FailureKind::TimedOut)).await, any()) });
        assert_eq!(nested.await, (true, false), "each scope hears of its own");
    }

    #[tokio::test]
    async fn of_a_run_that_may_have_done_something_it_is_heard_although_it_is_refused() {
        let seen = |reason| {
            scope(async move {
                by_another(&Rejection::from(Refused::new("orders".into(), reason)).into());
                any()
            })
        };
        assert!(seen(RefusalReason::Interrupted).await && seen(RefusalReason::OutcomeUnknown).await);
        assert!(!seen(RefusalReason::Running).await && !seen(RefusalReason::TooManyRunning).await);
    }
}
