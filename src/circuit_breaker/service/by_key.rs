use std::fmt;
use std::hash::Hash;
use std::task::{Context, Poll};

use tower::Service;

use crate::circuit_breaker::future::ResponseFuture;
use crate::circuit_breaker::handle::KeyedCircuitBreaker;
use crate::clock::Now;
use crate::key::KeyOf;
use crate::outcome::{Classify, ErrorsAreFailures};
use crate::placement::{self, MakeCall};
use crate::rejection::{AsError, Reject};

/// A service that circuit breakers guard by key; made by a
/// [`KeyedCircuitBreakerLayer`](crate::circuit_breaker::KeyedCircuitBreakerLayer).
#[derive(Clone)]
pub struct KeyedCircuitBreakerService<S, K, F, C = ErrorsAreFailures, R = AsError> {
    pub(in super::super) inner: S,
    pub(in super::super) breakers: KeyedCircuitBreaker<K>,
    pub(in super::super) key_of: F,
    pub(in super::super) classify: C,
    pub(in super::super) reject: R,
}

impl<S, K, F, C, R> KeyedCircuitBreakerService<S, K, F, C, R> {
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

    /// The breakers, to watch them and to take a hand in them.
    pub const fn breakers(&self) -> &KeyedCircuitBreaker<K> {
        &self.breakers
    }
}

impl<S, K, F, C, R, Req> Service<Req> for KeyedCircuitBreakerService<S, K, F, C, R>
where
    S: Service<Req>,
    K: Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static,
    F: KeyOf<Req, Key = K>,
    C: Classify<S::Response, S::Error> + Clone,
    R: Reject<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, R>;

    /// Ready when the wrapped service is: whose turn it is says only the request.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, K, F, C, R, Req> MakeCall<Req> for KeyedCircuitBreakerService<S, K, F, C, R>
where
    S: Service<Req>,
    K: Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static,
    F: KeyOf<Req, Key = K>,
    C: Classify<S::Response, S::Error> + Clone,
    R: Reject<S::Response, S::Error> + Clone,
{
    #[inline(always)]
    fn make_call(&mut self, request: Req) -> Self::Future {
        match self.breakers.admit(self.key_of.key_of(&request), &Now::unread()) {
            Ok(place) => {
                let classify = self.classify.clone();
                let running = place.begin_running(&Now::unread());
                ResponseFuture::calling(self.inner.call(request), classify, running.called())
            }
            Err(open) => ResponseFuture::refused(open, self.reject.clone()),
        }
    }
}

impl<S: fmt::Debug, K, F, C, R> fmt::Debug for KeyedCircuitBreakerService<S, K, F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreakerService")
            .field("inner", &self.inner)
            .field("breakers", &self.breakers)
            .finish_non_exhaustive()
    }
}
