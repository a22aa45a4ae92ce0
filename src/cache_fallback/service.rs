mod read_through;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

pub use self::read_through::ReadThrough;
use super::future::{Looked, Plan, ResponseFuture};
use super::handle::{Remember, Unsaid};
use crate::outcome::{Classify, ErrorsAreFailures, MarkDegraded, Unmarked};
use crate::placement::{self, MakeCall};
use crate::serving::Serving;

/// A service that answers from memory when a call fails; made by a [`CacheFallbackLayer`](super::CacheFallbackLayer).
pub struct CacheFallback<S, K, V, R = Unsaid, C = ErrorsAreFailures, M = Unmarked> {
    pub(super) inner: Serving<S>,
    pub(super) plan: Arc<Plan<K, V, R, C, M>>,
}

impl<S, K, V, R, C, M> CacheFallback<S, K, V, R, C, M> {
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

impl<S, K, V, R, C, M, Req> Service<Req> for CacheFallback<S, K, V, R, C, M>
where
    S: Service<Req> + Clone,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response, Key = K, Kept = V>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, K, V, R, C, M>;

    /// Always ready: a wrapped service that is not, or never will be, is a failure to stand in for.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, K, V, R, C, M, Req> MakeCall<Req> for CacheFallback<S, K, V, R, C, M>
where
    S: Service<Req> + Clone,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response, Key = K, Kept = V>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
{
    #[inline(always)]
    fn make_call(&mut self, request: Req) -> Self::Future {
        match Looked::at(&self.plan, &request) {
            None => ResponseFuture::alone(self.inner.call(request)),
            Some(looked) => ResponseFuture::looked(self.inner.call(request), looked),
        }
    }
}

impl<S: Clone, K, V, R, C, M> Clone for CacheFallback<S, K, V, R, C, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), plan: self.plan.clone() }
    }
}

impl<S: fmt::Debug, K, V, R, C, M> fmt::Debug for CacheFallback<S, K, V, R, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheFallback")
            .field("inner", self.get_ref())
            .field("name", &self.plan.shared.config.name)
            .finish_non_exhaustive()
    }
}
