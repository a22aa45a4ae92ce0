mod waiting;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

pub use self::waiting::WaitingFuture;
use super::handle::{Announce, Standing};
use crate::rejection::{Limited, Reject};
use crate::telemetry;

/// The future of a [`RateLimit`](super::RateLimit).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, R, A> {
    #[pin]
    state: State<F, R>,
    announce: A,
    /// To be told with the answer.
    standings: Option<Box<[Standing]>>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, R> {
    Calling {
        #[pin]
        inner: F,
    },
    Refused {
        limited: Limited,
        reject: R,
    },
    Finished,
}

impl<F, R, A> ResponseFuture<F, R, A> {
    #[inline]
    pub(super) const fn calling(inner: F, announce: A) -> Self {
        Self { state: State::Calling { inner }, announce, standings: None }
    }

    #[cold]
    pub(super) const fn refused(limited: Limited, reject: R, announce: A) -> Self {
        Self { state: State::Refused { limited, reject }, announce, standings: None }
    }

    pub(super) fn with(mut self, standings: Box<[Standing]>) -> Self {
        self.standings = Some(standings);
        self
    }
}

impl<F, R, A, Res, E> Future for ResponseFuture<F, R, A>
where
    F: Future<Output = Result<Res, E>>,
    R: Reject<Res, E>,
    A: Announce<Res>,
{
    type Output = Result<Res, E>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let StateProj::Calling { inner } = self.as_mut().project().state.project() else {
            return Poll::Ready(self.refuse());
        };
        let polled = inner.poll(cx);
        if !A::ANNOUNCES {
            return polled;
        }
        polled.map_ok(|mut response| {
            self.announce(&mut response);
            response
        })
    }
}

impl<F, R, A> ResponseFuture<F, R, A> {
    #[cold]
    #[inline(never)]
    fn refuse<Res, E>(mut self: Pin<&mut Self>) -> Result<Res, E>
    where
        R: Reject<Res, E>,
        A: Announce<Res>,
    {
        let StateOwn::Refused { limited, reject } = self.as_mut().project().state.project_replace(State::Finished)
        else {
            panic!("a rate limiter's future was polled after it finished");
        };
        telemetry::rate_limited(&limited);
        let mut refused = reject.reject(limited.into());
        if let Ok(response) = &mut refused {
            self.announce(response);
        }
        refused
    }

    fn announce<Res>(self: Pin<&mut Self>, response: &mut Res)
    where
        A: Announce<Res>,
    {
        let this = self.project();
        if let Some(standings) = this.standings.take() {
            this.announce.announce(response, &standings);
        }
    }
}

impl<F, R, A> fmt::Debug for ResponseFuture<F, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
