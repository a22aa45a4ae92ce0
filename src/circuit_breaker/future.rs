use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

use super::handle::Place;
use crate::clock::Now;
use crate::outcome::Classify;
use crate::rejection::{Open, Reject};
use crate::telemetry;

/// The future of a [`CircuitBreakerService`](super::CircuitBreakerService).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, C, R> {
    #[pin]
    state: State<F, C, R>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, C, R> {
    Calling {
        #[pin]
        inner: F,
        classify: C,
        place: Place,
    },
    Refused {
        open: Open,
        reject: R,
    },
    Finished,
}

impl<F, C, R> ResponseFuture<F, C, R> {
    #[inline(always)]
    pub(super) const fn calling(inner: F, classify: C, place: Place) -> Self {
        Self { state: State::Calling { inner, classify, place } }
    }

    #[inline]
    pub(super) const fn refused(open: Open, reject: R) -> Self {
        Self { state: State::Refused { open, reject } }
    }
}

impl<F, C, R, Res, E> Future for ResponseFuture<F, C, R>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Res, E>,
    R: Reject<Res, E>,
{
    type Output = Result<Res, E>;

    // Always: what a good call does is a part of this, and short; the rest is somewhere else.
    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let StateProj::Calling { inner, place, .. } = state.as_mut().project() else {
            return Poll::Ready(state.refuse());
        };
        place.run();
        match inner.poll(cx) {
            Poll::Pending => {
                place.pause();
                Poll::Pending
            }
            Poll::Ready(Ok(response)) => {
                if let Some((classify, mut place)) = state.finish() {
                    place.settle(classify.classify(Ok(&response)), &Now::unread());
                }
                Poll::Ready(Ok(response))
            }
            Poll::Ready(Err(error)) => {
                if let Some((classify, mut place)) = state.finish() {
                    place.settle(classify.classify(Err(&error)), &Now::unread());
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<F, C, R> State<F, C, R> {
    /// Whoever drops a future that is seen to be finished has nothing to look for.
    #[inline(always)]
    fn finish(self: Pin<&mut Self>) -> Option<(C, Place)> {
        match self.project_replace(Self::Finished) {
            StateOwn::Calling { classify, place, .. } => Some((classify, place)),
            _ => None,
        }
    }

    #[inline]
    fn refuse<Res, E>(self: Pin<&mut Self>) -> Result<Res, E>
    where
        R: Reject<Res, E>,
    {
        let StateOwn::Refused { open, reject } = self.project_replace(Self::Finished) else {
            panic!("a circuit breaker's future was polled after it finished");
        };
        telemetry::circuit_refused(&open);
        reject.reject(open.into())
    }
}

impl<F, C, R> fmt::Debug for ResponseFuture<F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
