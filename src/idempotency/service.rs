use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

use super::config::{Identify, Keep};
use super::future::ResponseFuture;
use super::handle::{Enlist, Shared};
use super::store::Store;
use crate::rejection::Reject;

/// A service that runs each request once; made by an [`IdempotencyLayer`](super::IdempotencyLayer).
pub struct IdempotencyService<S, St, I, P, R, T> {
    pub(super) inner: S,
    pub(super) shared: Shared<St, I, P, T>,
    pub(super) reject: R,
}

impl<S, St, I, P, R, T> IdempotencyService<S, St, I, P, R, T> {
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

impl<S, St, I, P, R, T, Req> Service<Req> for IdempotencyService<S, St, I, P, R, T>
where
    Req: 'static,
    I: Identify<Req, Future: 'static>,
    S: Service<I::Request, Response: Send + 'static, Error: Send + 'static, Future: Send> + Clone + Send + 'static,
    St: Store,
    P: Keep<S::Response, S::Error>,
    R: Reject<S::Response, S::Error> + Clone + Send + 'static,
    T: Enlist<St, I::Request>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Response, S::Error>;

    /// Always ready: an answer that was recorded is told whether the wrapped service is ready or not, and that is found out
    /// when a request is run.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let identifying = self.shared.identify.identify(request);
        ResponseFuture::new::<_, Req, _, _, _, _, _>(
            identifying,
            self.inner.clone(),
            self.shared.clone(),
            self.reject.clone(),
        )
    }
}

impl<S: Clone, St, I, P, R: Clone, T: Clone> Clone for IdempotencyService<S, St, I, P, R, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone(), reject: self.reject.clone() }
    }
}

impl<S: fmt::Debug, St, I, P, R, T> fmt::Debug for IdempotencyService<S, St, I, P, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
