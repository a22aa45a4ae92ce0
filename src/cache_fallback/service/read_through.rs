use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::CacheFallback;
use crate::cache_fallback::future::{Journey, Look, Looked, Question, ReadThroughFuture, ResponseFuture, Through};
use crate::cache_fallback::handle::{Asks, Share, Unsaid};
use crate::outcome::{Classify, ErrorsAreFailures, MarkDegraded, Unmarked};
use crate::placement::{self, MakeCall};

/// A service that tells answers that are fresh without asking; made by a
/// [`ReadThroughLayer`](crate::cache_fallback::ReadThroughLayer).
pub struct ReadThrough<S, K, V, R = Unsaid, C = ErrorsAreFailures, M = Unmarked> {
    pub(in super::super) fallback: CacheFallback<S, K, V, R, C, M>,
    pub(in super::super) through: Arc<Through>,
}

impl<S, K, V, R, C, M> ReadThrough<S, K, V, R, C, M> {
    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        self.fallback.get_ref()
    }

    /// The wrapped service, to change it; the next call is served by a clone of what it is then.
    pub fn get_mut(&mut self) -> &mut S {
        self.fallback.get_mut()
    }

    /// The wrapped service, unwrapped.
    pub fn into_inner(self) -> S {
        self.fallback.into_inner()
    }
}

impl<S, K, V, R, C, M, Req> Service<Req> for ReadThrough<S, K, V, R, C, M>
where
    S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Clone + Send + 'static,
    Req: Send + 'static,
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    R: Share<Req, S::Response, Key = K, Kept = V, Asked: Send> + Send + Sync + 'static,
    C: Classify<S::Response, S::Error> + Send + Sync + 'static,
    M: MarkDegraded<S::Response> + Send + Sync + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReadThroughFuture<S, Req, K, V, R, C, M>;

    /// Always ready: what is remembered needs no service that is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, K, V, R, C, M, Req> MakeCall<Req> for ReadThrough<S, K, V, R, C, M>
where
    S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Clone + Send + 'static,
    Req: Send + 'static,
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    R: Share<Req, S::Response, Key = K, Kept = V, Asked: Send> + Send + Sync + 'static,
    C: Classify<S::Response, S::Error> + Send + Sync + 'static,
    M: MarkDegraded<S::Response> + Send + Sync + 'static,
{
    #[inline(always)]
    fn make_call(&mut self, request: Req) -> Self::Future {
        let Self { fallback: CacheFallback { inner, plan }, through } = self;
        let (key, asked, accepts) = match plan.remember.asks(&request) {
            Asks::For { key, asked, accepts } => (key, asked, accepts),
            asks => {
                let looked = Looked::of(plan, asks);
                return ReadThroughFuture::alone(ResponseFuture::new(inner.call(request), looked));
            }
        };
        let question = Question { key, asked, accepts };
        match through.look(plan, &question) {
            Look::Told(response) => ReadThroughFuture::told(response),
            Look::Refreshing(response, answer) => {
                Journey::new(inner, plan, through, request, question).refresh(answer);
                ReadThroughFuture::told(response)
            }
            Look::Nothing if accepts.shared => {
                let journey = Journey::new(inner, plan, through, request, question);
                ReadThroughFuture::with_others(journey.travel())
            }
            Look::Nothing => {
                let Question { key, asked, accepts } = question;
                let looked = Looked::of(plan, Asks::For { key, asked, accepts });
                ReadThroughFuture::alone(ResponseFuture::new(inner.call(request), looked))
            }
        }
    }
}

impl<S: Clone, K, V, R, C, M> Clone for ReadThrough<S, K, V, R, C, M> {
    fn clone(&self) -> Self {
        Self { fallback: self.fallback.clone(), through: self.through.clone() }
    }
}

impl<S: fmt::Debug, K, V, R, C, M> fmt::Debug for ReadThrough<S, K, V, R, C, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThrough").field("fallback", &self.fallback).finish_non_exhaustive()
    }
}
