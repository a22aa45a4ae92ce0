use std::fmt;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::retry::{Cloned, Replay};

/// In the place of a retry that the settings leave out: sends each request once, as the retry would, and keeps nothing of it.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct SendOnce<P = Cloned> {
    replay: P,
}

impl<P> SendOnce<P> {
    pub(super) const fn new(replay: P) -> Self {
        Self { replay }
    }
}

impl<S, P: Clone> Layer<S> for SendOnce<P> {
    type Service = SentOnce<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        SentOnce { inner, replay: self.replay.clone() }
    }
}

/// A service that is given each request once; made by [`SendOnce`].
#[derive(Clone)]
pub struct SentOnce<S, P = Cloned> {
    inner: S,
    replay: P,
}

impl<S, P> SentOnce<S, P> {
    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, P, Req> Service<Req> for SentOnce<S, P>
where
    P: Replay<Req>,
    S: Service<P::Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Req) -> S::Future {
        self.inner.call(self.replay.once(request))
    }
}

impl<S: fmt::Debug, P> fmt::Debug for SentOnce<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentOnce").field("inner", &self.inner).finish_non_exhaustive()
    }
}
