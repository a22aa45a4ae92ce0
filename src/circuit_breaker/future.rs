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
    /// Of the call that is made; settled, if none is.
    place: Place,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, C, R> {
    Calling {
        #[pin]
        inner: F,
        classify: C,
    },
    Refused {
        open: Open,
        reject: R,
    },
    Finished,
}

impl<F, C, R> ResponseFuture<F, C, R> {
    /// Makes the call, which `place` counts from here on, whatever becomes of it.
    #[inline(always)]
    pub(super) fn calling(place: Place, classify: C, call: impl FnOnce() -> F) -> Self {
        let (place, inner) = place.call(&Now::unread(), call);
        Self { state: State::Calling { inner, classify }, place }
    }

    #[cold]
    pub(super) const fn refused(nowhere: Place, open: Open, reject: R) -> Self {
        Self { state: State::Refused { open, reject }, place: nowhere }
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
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let (StateProj::Calling { inner, classify }, place) = (this.state.project(), this.place) else {
            return self.refuse();
        };
        place.run();
        match inner.poll(cx) {
            Poll::Pending => {
                place.pause();
                Poll::Pending
            }
            Poll::Ready(Ok(response)) => {
                place.settle(classify.classify(Ok(&response)), &Now::unread());
                Poll::Ready(Ok(response))
            }
            Poll::Ready(Err(error)) => {
                place.settle(classify.classify(Err(&error)), &Now::unread());
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<F, C, R> ResponseFuture<F, C, R> {
    #[cold]
    #[inline(never)]
    fn refuse<Res, E>(self: Pin<&mut Self>) -> Poll<Result<Res, E>>
    where
        R: Reject<Res, E>,
    {
        let StateOwn::Refused { open, reject } = self.project().state.project_replace(State::Finished) else {
            panic!("a circuit breaker's future was polled after it finished");
        };
        telemetry::circuit_refused(&open);
        Poll::Ready(reject.reject(open.into()))
    }
}

impl<F, C, R> fmt::Debug for ResponseFuture<F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
