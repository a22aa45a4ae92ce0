use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

use crate::clock::Now;
use crate::deadline::{DeadlineOf, OwnLimit};
use crate::rate_limit::config::{CostOf, OneEach};
use crate::rate_limit::future::WaitingFuture;
use crate::rate_limit::handle::{Announce, Limits, NotAnnounced, RateLimiter};
use crate::rejection::{AsError, Reject};

/// A service before which calls wait in line; made by a
/// [`RateLimitLayer`](crate::rate_limit::RateLimitLayer) that lets them [wait](crate::rate_limit::RateLimitLayer::wait).
#[derive(Clone)]
pub struct WaitingRateLimit<S, L = RateLimiter, C = OneEach, R = AsError, A = NotAnnounced, D = OwnLimit> {
    pub(in super::super) inner: S,
    pub(in super::super) limits: L,
    pub(in super::super) cost: C,
    pub(in super::super) reject: R,
    pub(in super::super) announce: A,
    pub(in super::super) deadline_of: D,
}

impl<S, L, C, R, A, D> WaitingRateLimit<S, L, C, R, A, D> {
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

    /// What calls are counted in, to watch it and to take a hand in it.
    pub const fn limits(&self) -> &L {
        &self.limits
    }
}

impl<S, L, C, R, A, D, Req> Service<Req> for WaitingRateLimit<S, L, C, R, A, D>
where
    S: Service<Req> + Clone,
    L: Limits<Req>,
    C: CostOf<Req>,
    R: Reject<S::Response, S::Error> + Clone,
    A: Announce<S::Response> + Clone,
    D: DeadlineOf<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = WaitingFuture<S, Req, R, A>;

    /// Always ready: a call waits for its tokens first, and for the wrapped service after that.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let cost = self.cost.cost_of(&request);
        let deadline = self.deadline_of.deadline_of(&request, &Now::unread());
        let members = self.limits.members(&request);
        // It was never asked whether it is ready, so a clone is as good as the value itself.
        let inner = self.inner.clone();
        WaitingFuture::new(inner, request, members, cost, deadline, self.reject.clone(), self.announce.clone())
    }
}

impl<S: fmt::Debug, L: fmt::Debug, C, R, A, D> fmt::Debug for WaitingRateLimit<S, L, C, R, A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingRateLimit")
            .field("inner", &self.inner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
