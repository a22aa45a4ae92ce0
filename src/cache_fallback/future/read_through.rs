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
    way: Way<ResponseFuture<S, Req, K, V, R, C, M>, S::Response, S::Error>,
}

/// How a request comes by its answer.
#[pin_project(project = WayProj)]
enum Way<F, Res, E> {
    /// It is there.
    Told(Option<Res>),
    /// By a call that is nobody else's.
    Alone(#[pin] F),
    /// By one that is made for all.
    WithOthers(Pin<Box<dyn Future<Output = Result<Res, E>> + Send>>),
}

impl<S, Req, K, V, R, C, M> ReadThroughFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    pub(in super::super) const fn told(response: S::Response) -> Self {
        Self { way: Way::Told(Some(response)) }
    }

    pub(in super::super) const fn alone(call: ResponseFuture<S, Req, K, V, R, C, M>) -> Self {
        Self { way: Way::Alone(call) }
    }

    pub(in super::super) const fn with_others(
        journey: Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>,
    ) -> Self {
        Self { way: Way::WithOthers(journey) }
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
            WayProj::Told(response) => {
                Poll::Ready(Ok(response.take().expect("a read-through's future was polled after it finished")))
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
