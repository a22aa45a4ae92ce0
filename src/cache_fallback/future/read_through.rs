use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tower::Service;

use super::ResponseFuture;
use crate::cache_fallback::handle::Remember;
use crate::outcome::{Classify, MarkDegraded};

/// The future of a [`ReadThrough`](crate::cache_fallback::ReadThrough).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ReadThroughFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    #[pin]
    way: WayOf<S, Req, K, V, R, C, M>,
}

type AnswerOf<S, Req> = Result<<S as Service<Req>>::Response, <S as Service<Req>>::Error>;

type WayOf<S, Req, K, V, R, C, M> = Way<ResponseFuture<S, Req, K, V, R, C, M>, AnswerOf<S, Req>>;

/// How a request comes by its answer.
#[pin_project(project = WayProj)]
enum Way<F, T> {
    /// It is there.
    Told(Option<T>),
    /// By a call that is nobody else's.
    Alone(#[pin] F),
    /// By one that is made for all.
    WithOthers(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<S, Req, K, V, R, C, M> ReadThroughFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    pub(in super::super) const fn told(response: S::Response) -> Self {
        Self { way: Way::Told(Some(Ok(response))) }
    }

    pub(in super::super) const fn alone(call: ResponseFuture<S, Req, K, V, R, C, M>) -> Self {
        Self { way: Way::Alone(call) }
    }

    pub(in super::super) fn with_others(journey: impl Future<Output = AnswerOf<S, Req>> + Send + 'static) -> Self {
        Self { way: Way::WithOthers(Box::pin(journey)) }
    }
}

impl<S, Req, K, V, R, C, M> Future for ReadThroughFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response, Key = K, Kept = V>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProj::Told(answer) => {
                Poll::Ready(answer.take().expect("a read-through's future was polled after it finished"))
            }
            WayProj::Alone(call) => call.poll(cx),
            WayProj::WithOthers(journey) => journey.as_mut().poll(cx),
        }
    }
}

impl<S, Req, K, V, R, C, M> fmt::Debug for ReadThroughFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThroughFuture").finish_non_exhaustive()
    }
}
