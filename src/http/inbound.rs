use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response};
use pin_project::pin_project;
use tower::{Layer, Service};

use super::hints::SHOULD_RETRY;
use super::{AttemptHeader, StatusClassifier};
use crate::attempt::{Attempt, Scoped};

/// Keeps retries of retries from multiplying, on the side of the server.
///
/// Three services in a row that each send three times send 27 times what one user asked for. Around a server this layer
/// takes part in both directions:
///
/// - It reads from the [`AttemptHeader`] which attempt an inbound request is. One that is a retry has its [`Attempt`] in its
///   extensions, and every request is served in its attempt's [scope](Attempt::scope): a [retry](crate::retry) that the
///   handler calls sends once for it
///   ([`max_attempts_within_retry`](crate::retry::RetryConfig::max_attempts_within_retry)).
/// - Where a retry that the handler called gave up, and the handler answers with a failure by
///   [status](StatusClassifier), the response says `x-should-retry: false`, and a [`StatusClassifier`] in front repeats
///   nothing. A response that has the header already keeps it.
///
/// Both hold in the handler's own task. One that it spawns is told by a [scope](Attempt::scope) of its own.
///
/// ```
/// use buttress::Attempt;
/// use buttress::http::InboundAttempts;
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), buttress::BoxError> {
/// let handler = service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(Attempt::current())));
/// let server = InboundAttempts::new().layer(handler);
///
/// let second = Request::builder().header("x-envoy-attempt-count", "2").body(())?;
/// assert_eq!(server.oneshot(second).await?.into_body(), Some(Attempt::FIRST.next()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct InboundAttempts {
    header: AttemptHeader,
}

impl InboundAttempts {
    /// By [`AttemptHeader::new`].
    pub const fn new() -> Self {
        Self::reading(AttemptHeader::new())
    }

    /// By this header.
    pub const fn reading(header: AttemptHeader) -> Self {
        Self { header }
    }
}

impl<S> Layer<S> for InboundAttempts {
    type Service = InboundAttemptsService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InboundAttemptsService { inner, header: self.header.clone() }
    }
}

/// A server that knows which attempt a request is; made by [`InboundAttempts`].
#[derive(Clone, Debug)]
pub struct InboundAttemptsService<S> {
    inner: S,
    header: AttemptHeader,
}

impl<S> InboundAttemptsService<S> {
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

impl<S, B, ResB> Service<Request<B>> for InboundAttemptsService<S>
where
    S: Service<Request<B>, Response = Response<ResB>>,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = InboundAttemptsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let attempt = self.header.read(request.headers()).unwrap_or(Attempt::FIRST);
        if attempt.is_retry() {
            request.extensions_mut().insert(attempt);
        }
        InboundAttemptsFuture { call: attempt.scope_of(|| self.inner.call(request)) }
    }
}

/// The future of an [`InboundAttemptsService`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct InboundAttemptsFuture<F> {
    #[pin]
    call: Scoped<F>,
}

impl<F, B, E> Future for InboundAttemptsFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut call = self.project().call;
        let mut result = ready!(call.as_mut().poll(cx));
        if call.is_exhausted()
            && let Ok(response) = &mut result
        {
            forbid_retry(response);
        }
        Poll::Ready(result)
    }
}

#[cold]
fn forbid_retry<B>(response: &mut Response<B>) {
    let outcome = StatusClassifier.of_head(response.status(), response.headers());
    if outcome.failure().is_some() {
        response.headers_mut().entry(SHOULD_RETRY).or_insert(HeaderValue::from_static("false"));
    }
}

impl<F> fmt::Debug for InboundAttemptsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundAttemptsFuture").finish_non_exhaustive()
    }
}
