use std::fmt;
use std::task::{Context, Poll, Waker};

use tower::Service;

use super::config::{NoSubstitute, NoSummary, Substitute, Summary, Trigger};
use super::future::{Plan, ResponseFuture};
use crate::outcome::{Classify, ErrorsAreFailures, Kinds, MarkDegraded, Unmarked};
use crate::placement::{self, MakeCall};

/// A service that answers something else when a call fails; made by a [`FallbackLayer`](super::FallbackLayer).
pub struct Fallback<S, A = NoSubstitute, C = ErrorsAreFailures, M = Unmarked, K = NoSummary, W = Kinds> {
    /// Never asked for anything, so that a clone of it is as good as new.
    pub(super) inner: S,
    /// The clone that serves the calls, for as long as each of them finds it ready.
    pub(super) serving: Option<S>,
    pub(super) plan: Plan<A, C, M, W>,
    pub(super) summary: K,
}

impl<S, A, C, M, K, W> Fallback<S, A, C, M, K, W> {
    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, to change it; the next call is served by a clone of what it is then.
    pub fn get_mut(&mut self) -> &mut S {
        self.serving = None;
        &mut self.inner
    }

    /// The wrapped service, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
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
        let plan = self.plan.clone();
        let asked = Asked(&mut self.serving);
        let serving = asked.0.get_or_insert_with(|| self.inner.clone());
        // Who is not ready now is asked again by the future, which has a waker.
        match serving.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                let call = serving.call(request);
                asked.serves_on();
                ResponseFuture::calling(call, summary, plan)
            }
            Poll::Ready(Err(error)) => ResponseFuture::never_ready(error, summary, plan),
            Poll::Pending => ResponseFuture::getting_ready(asked.0.take(), request, summary, plan),
        }
    }
}

/// A service that is asked for something is gone when it fails or panics, unless it is said to serve on.
struct Asked<'a, S>(&'a mut Option<S>);

impl<S> Asked<'_, S> {
    #[inline(always)]
    const fn serves_on(self) {
        std::mem::forget(self);
    }
}

impl<S> Drop for Asked<'_, S> {
    #[inline]
    fn drop(&mut self) {
        *self.0 = None;
    }
}

impl<S: Clone, A: Clone, C: Clone, M: Clone, K: Clone, W: Clone> Clone for Fallback<S, A, C, M, K, W> {
    fn clone(&self) -> Self {
        let Self { inner, plan, summary, .. } = self;
        Self { inner: inner.clone(), serving: None, plan: plan.clone(), summary: summary.clone() }
    }
}

impl<S: fmt::Debug, A, C, M, K, W> fmt::Debug for Fallback<S, A, C, M, K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("inner", &self.inner).field("name", &self.plan.name).finish_non_exhaustive()
    }
}
