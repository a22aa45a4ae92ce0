use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Service, ServiceExt};

use super::config::{NoSubstitute, NoSummary, Substitute, Summary};
use super::future::{Plan, ResponseFuture};
use crate::outcome::{Classify, ErrorsAreFailures, MarkDegraded, Unmarked};

/// A service that answers something else when a call fails; made by a [`FallbackLayer`](super::FallbackLayer).
pub struct Fallback<S, A = NoSubstitute, C = ErrorsAreFailures, M = Unmarked, K = NoSummary> {
    pub(super) inner: S,
    pub(super) plan: Arc<Plan<A>>,
    pub(super) classify: C,
    pub(super) mark: M,
    pub(super) summary: K,
}

impl<S, A, C, M, K> Fallback<S, A, C, M, K> {
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

impl<S, A, C, M, K, Req> Service<Req> for Fallback<S, A, C, M, K>
where
    S: Service<Req> + Clone,
    A: Substitute<S::Response, S::Error, K::Kept>,
    C: Classify<S::Response, S::Error> + Clone,
    M: MarkDegraded<S::Response> + Clone,
    K: Summary<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, A, C, M, K::Kept>;

    /// Always ready: a wrapped service that is not, or never will be, is a failure to stand in for.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let summary = self.summary.keep(&request);
        let call = self.inner.clone().oneshot(request);
        ResponseFuture::calling(call, summary, self.plan.clone(), self.classify.clone(), self.mark.clone())
    }
}

impl<S: Clone, A, C: Clone, M: Clone, K: Clone> Clone for Fallback<S, A, C, M, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            plan: self.plan.clone(),
            classify: self.classify.clone(),
            mark: self.mark.clone(),
            summary: self.summary.clone(),
        }
    }
}

impl<S: fmt::Debug, A, C, M, K> fmt::Debug for Fallback<S, A, C, M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("inner", &self.inner)
            .field("config", &self.plan.config)
            .finish_non_exhaustive()
    }
}
