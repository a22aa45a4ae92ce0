use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

use super::config::{NoSubstitute, NoSummary, Substitute, Summary, Trigger};
use super::future::{Plan, ResponseFuture};
use crate::outcome::{Classify, ErrorsAreFailures, Kinds, MarkDegraded, Unmarked};
use crate::placement::{self, MakeCall};
use crate::serving::Serving;

/// A service that answers something else when a call fails; made by a [`FallbackLayer`](super::FallbackLayer).
pub struct Fallback<S, A = NoSubstitute, C = ErrorsAreFailures, M = Unmarked, K = NoSummary, W = Kinds> {
    pub(super) inner: Serving<S>,
    pub(super) plan: Plan<A, C, M, W>,
    pub(super) summary: K,
}

impl<S, A, C, M, K, W> Fallback<S, A, C, M, K, W> {
    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        self.inner.get_ref()
    }

    /// The wrapped service, to change it; the next call is served by a clone of what it is then.
    pub fn get_mut(&mut self) -> &mut S {
        self.inner.get_mut()
    }

    /// The wrapped service, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner.into_inner()
    }
}

impl<S, A, C, M, K, W, Req> Service<Req> for Fallback<S, A, C, M, K, W>
where
    S: Service<Req> + Clone,
    A: Substitute<S::Response, S::Error, K::Kept> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    M: MarkDegraded<S::Response> + Clone,
    K: Summary<Req>,
    W: Trigger + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, A, C, M, K::Kept, W>;

    /// Always ready: a wrapped service that is not, or never will be, is a failure to stand in for.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, A, C, M, K, W, Req> MakeCall<Req> for Fallback<S, A, C, M, K, W>
where
    S: Service<Req> + Clone,
    A: Substitute<S::Response, S::Error, K::Kept> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    M: MarkDegraded<S::Response> + Clone,
    K: Summary<Req>,
    W: Trigger + Clone,
{
    #[inline(always)]
    fn make_call(&mut self, request: Req) -> Self::Future {
        let summary = self.summary.keep(&request);
        ResponseFuture::new(self.inner.call(request), summary, self.plan.clone())
    }
}

impl<S: Clone, A: Clone, C: Clone, M: Clone, K: Clone, W: Clone> Clone for Fallback<S, A, C, M, K, W> {
    fn clone(&self) -> Self {
        let Self { inner, plan, summary } = self;
        Self { inner: inner.clone(), plan: plan.clone(), summary: summary.clone() }
    }
}

impl<S: fmt::Debug, A, C, M, K, W> fmt::Debug for Fallback<S, A, C, M, K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("inner", self.get_ref()).field("name", &self.plan.name).finish_non_exhaustive()
    }
}
