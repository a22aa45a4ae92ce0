mod waiting;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
    state: State<F, R, A>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, R, A> {
    Calling {
        #[pin]
        inner: F,
        news: Option<News<A>>,
    },
    Refused {
        limited: Limited,
        reject: R,
        news: Option<News<A>>,
    },
    Finished,
}

/// What is to be told with the answer.
pub(super) struct News<A> {
    pub(super) announce: A,
    /// In an `Arc`, for letting go of that is a call out of line, and what a future's drop does is inlined with it.
    pub(super) standings: Arc<[Standing]>,
}

impl<A> News<A> {
    fn tell<Res>(self, response: &mut Res)
    where
        A: Announce<Res>,
    {
        self.announce.announce(response, &self.standings);
    }
}

impl<F, R, A> ResponseFuture<F, R, A> {
    #[inline(always)]
    pub(super) const fn calling(inner: F) -> Self {
        Self { state: State::Calling { inner, news: None } }
    }

    pub(super) const fn calling_and_telling(inner: F, news: News<A>) -> Self {
        Self { state: State::Calling { inner, news: Some(news) } }
    }

    #[inline]
    pub(super) const fn refused(limited: Limited, reject: R, news: Option<News<A>>) -> Self {
        Self { state: State::Refused { limited, reject, news } }
    }
}

impl<F, R, A, Res, E> Future for ResponseFuture<F, R, A>
where
    F: Future<Output = Result<Res, E>>,
    R: Reject<Res, E>,
    A: Announce<Res>,
{
    type Output = Result<Res, E>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        match state.as_mut().project() {
            StateProj::Calling { inner, .. } => {
                let mut result = ready!(inner.poll(cx));
                state.finish(&mut result);
                Poll::Ready(result)
            }
            StateProj::Refused { limited, reject, .. } => {
                telemetry::rate_limited(*limited);
                let mut refused = reject.reject((*limited).into());
                state.finish(&mut refused);
                Poll::Ready(refused)
            }
            StateProj::Finished => panic!("a rate limiter's future was polled after it finished"),
        }
    }
}

impl<F, R, A> State<F, R, A> {
    #[inline(always)]
    fn finish<Res, E>(self: Pin<&mut Self>, answer: &mut Result<Res, E>)
    where
        A: Announce<Res>,
    {
        // Whoever drops a future that is seen to be finished has nothing to look for.
        let finished = self.project_replace(State::Finished);
        if A::ANNOUNCES
            && let (Ok(response), Some(news)) = (answer, finished.news())
        {
            news.tell(response);
        }
    }
}

impl<F, R, A> StateOwn<F, R, A> {
    fn news(self) -> Option<News<A>> {
        match self {
            Self::Calling { news, .. } | Self::Refused { news, .. } => news,
            Self::Finished => None,
        }
    }
}

impl<F, R, A> fmt::Debug for ResponseFuture<F, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
