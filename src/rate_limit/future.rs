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
    state: State<F, R, A>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, R, A> {
    Calling {
        #[pin]
        inner: F,
    },
    CallingAndTelling {
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
    pub(super) standings: Box<[Standing]>,
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
    #[inline]
    pub(super) const fn calling(inner: F) -> Self {
        Self { state: State::Calling { inner } }
    }

    pub(super) const fn calling_and_telling(inner: F, news: News<A>) -> Self {
        Self { state: State::CallingAndTelling { inner, news: Some(news) } }
    }

    #[cold]
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
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.as_mut().project().state.project() {
            StateProj::Calling { inner } => inner.poll(cx),
            StateProj::CallingAndTelling { inner, news } => inner.poll(cx).map_ok(|mut response| {
                if let Some(news) = news.take() {
                    news.tell(&mut response);
                }
                response
            }),
            StateProj::Refused { .. } | StateProj::Finished => Poll::Ready(self.refuse()),
        }
    }
}

impl<F, R, A> ResponseFuture<F, R, A> {
    #[cold]
    #[inline(never)]
    fn refuse<Res, E>(self: Pin<&mut Self>) -> Result<Res, E>
    where
        R: Reject<Res, E>,
        A: Announce<Res>,
    {
        let StateOwn::Refused { limited, reject, news } = self.project().state.project_replace(State::Finished) else {
            panic!("a rate limiter's future was polled after it finished");
        };
        telemetry::rate_limited(&limited);
        let mut refused = reject.reject(limited.into());
        if let (Ok(response), Some(news)) = (&mut refused, news) {
            news.tell(response);
        }
        refused
    }
}

impl<F, R, A> fmt::Debug for ResponseFuture<F, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
