use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::{Layer, Service};

use crate::rejection::Error;

/// Puts the client's error into an [`Error`], which can carry the refusals of the layers around it: what
/// `.map_err(buttress::Error::inner)` does, as a layer whose type can be written down.
///
/// ```
/// use buttress::http::WrapErrors;
/// use buttress::timeout::{TimeoutConfig, TimeoutLayer};
/// use buttress::{BoxError, Check, Error};
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let client = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?)
///     .layer(WrapErrors)
///     .service(service_fn(async |_: u32| Err::<(), _>("refused")))
///     .check::<u32>();
/// assert_eq!(client.oneshot(7).await, Err(Error::Inner("refused")));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct WrapErrors;

impl<S> Layer<S> for WrapErrors {
    type Service = WrappedErrors<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WrappedErrors { inner }
    }
}

/// A client whose error can carry a refusal; made by [`WrapErrors`].
#[derive(Clone, Debug)]
pub struct WrappedErrors<S> {
    inner: S,
}

impl<S> WrappedErrors<S> {
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

impl<S, Req> Service<Req> for WrappedErrors<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = WrappedErrorsFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::inner)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        WrappedErrorsFuture { call: self.inner.call(request) }
    }
}

/// The future of a [`WrappedErrors`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct WrappedErrorsFuture<F> {
    #[pin]
    call: F,
}

impl<F, Res, E> Future for WrappedErrorsFuture<F>
where
    F: Future<Output = Result<Res, E>>,
{
    type Output = Result<Res, Error<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().call.poll(cx)).map_err(Error::inner))
    }
}

impl<F> fmt::Debug for WrappedErrorsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedErrorsFuture").finish_non_exhaustive()
    }
}
