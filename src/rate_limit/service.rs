mod waiting;

use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

pub use self::waiting::WaitingRateLimit;
use super::config::{CostOf, OneEach};
use super::future::{News, ResponseFuture};
use super::handle::{Announce, Limits, NotAnnounced, RateLimiter};
use crate::clock::Moment;
use crate::placement::{self, MakeCall};
use crate::rejection::{AsError, Reject};

/// A service that a rate limiter guards; made by a [`RateLimitLayer`](super::RateLimitLayer).
#[derive(Clone)]
pub struct RateLimit<S, L = RateLimiter, C = OneEach, R = AsError, A = NotAnnounced> {
    pub(super) inner: S,
    pub(super) limits: L,
    pub(super) cost: C,
    pub(super) reject: R,
    pub(super) announce: A,
}

impl<S, L, C, R, A> RateLimit<S, L, C, R, A> {
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

impl<S, L, C, R, A, Req> Service<Req> for RateLimit<S, L, C, R, A>
where
    S: Service<Req>,
    L: Limits<Req>,
    C: CostOf<Req>,
    R: Reject<S::Response, S::Error> + Clone,
    A: Announce<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, A>;

    /// Ready when the wrapped service is. Tokens are taken by the call, so whoever is ready and does not call has spent
    /// nothing.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, L, C, R, A, Req> MakeCall<Req> for RateLimit<S, L, C, R, A>
where
    S: Service<Req>,
    L: Limits<Req>,
    C: CostOf<Req>,
    R: Reject<S::Response, S::Error> + Clone,
    A: Announce<S::Response> + Clone,
{
    #[inline(always)]
    fn make_call(&mut self, request: Req) -> Self::Future {
        let cost = self.cost.cost_of(&request);
        if A::ANNOUNCES {
            return self.call_and_tell(request, cost);
        }
        match self.limits.try_take(&request, cost) {
            Ok(()) => ResponseFuture::calling(self.inner.call(request)),
            Err(limited) => ResponseFuture::refused(limited, self.reject.clone(), None),
        }
    }
}

impl<S, L, C, R: Clone, A: Clone> RateLimit<S, L, C, R, A> {
    fn call_and_tell<Req>(&mut self, request: Req, cost: u32) -> ResponseFuture<S::Future, R, A>
    where
        S: Service<Req>,
        L: Limits<Req>,
    {
        let (taken, news) = match self.limits.members(&request) {
            Ok(mut members) => {
                let now = Moment::now();
                let taken = members.take(cost, now);
                let standings = members.standings(now);
                (taken, Some(News { announce: self.announce.clone(), standings }))
            }
            Err(limited) => (Err(limited), None),
        };
        match (taken, news) {
            (Ok(()), Some(news)) => ResponseFuture::calling_and_telling(self.inner.call(request), news),
            (Ok(()), None) => ResponseFuture::calling(self.inner.call(request)),
            (Err(limited), news) => ResponseFuture::refused(limited, self.reject.clone(), news),
        }
    }
}

impl<S: fmt::Debug, L: fmt::Debug, C, R, A> fmt::Debug for RateLimit<S, L, C, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("inner", &self.inner).field("limits", &self.limits).finish_non_exhaustive()
    }
}
