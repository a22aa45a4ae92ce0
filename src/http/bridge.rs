use std::convert::TryFrom;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project::pin_project;
use tower::{Layer, Service};

/// Brings a client with types of its own to those of `http`, so that the presets and the ready stacks go around it.
///
/// What the client takes, `Req`, must be made of an `http::Request`, and an `http::Response<Body>` of what it answers. Both
/// types are found by the compiler where there is one choice only, as with reqwest:
///
/// ```no_run
/// use buttress::http::{Bridge, ClientStackConfig, client_stack};
/// use buttress::{BoxError, Check};
/// use http::Request;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let client = ServiceBuilder::new()
///     .layer(client_stack(ClientStackConfig::new())?)
///     .layer(Bridge::new())
///     .service(reqwest::Client::new())
///     .check::<Request<String>>();
///
/// let response = client.oneshot(Request::get("https://example.org/").body(String::new())?).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
///
/// reqwest sends again by itself what HTTP/2 says was never looked at;
/// `reqwest::Client::builder().retry(reqwest::retry::never())` leaves that to the stack too.
///
/// A request of which the client's cannot be made (reqwest wants a whole URL) is answered with the client's error, and
/// the client is not called. To a breaker and a retry that is a failure like any other, unless they
/// [classify](crate::http::ClientStack::classify) it.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct Bridge<Req, Body> {
    types: PhantomData<fn(Req) -> Body>,
}

impl<Req, Body> Bridge<Req, Body> {
    /// From and to the types of `http`.
    pub const fn new() -> Self {
        Self { types: PhantomData }
    }
}

impl<Req, Body> Default for Bridge<Req, Body> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Req, Body> Clone for Bridge<Req, Body> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S, Req, Body> Layer<S> for Bridge<Req, Body> {
    type Service = Bridged<S, Req, Body>;

    fn layer(&self, inner: S) -> Self::Service {
        Bridged { inner, types: PhantomData }
    }
}

impl<Req, Body> fmt::Debug for Bridge<Req, Body> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bridge")
    }
}

/// A client that takes an `http::Request` and answers an `http::Response`; made by a [`Bridge`].
pub struct Bridged<S, Req, Body> {
    inner: S,
    types: PhantomData<fn(Req) -> Body>,
}

impl<S, Req, Body> Bridged<S, Req, Body> {
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

impl<S, Req, Body, B> Service<Request<B>> for Bridged<S, Req, Body>
where
    S: Service<Req>,
    Req: TryFrom<Request<B>>,
    S::Error: From<Req::Error>,
    Response<Body>: From<S::Response>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BridgedFuture<S::Future, S::Error, Body>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match Req::try_from(request) {
            Ok(request) => State::Calling { call: self.inner.call(request) },
            Err(error) => State::NotMade { error: Some(error.into()) },
        };
        BridgedFuture { state, body: PhantomData }
    }
}

impl<S: Clone, Req, Body> Clone for Bridged<S, Req, Body> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), types: PhantomData }
    }
}

impl<S: fmt::Debug, Req, Body> fmt::Debug for Bridged<S, Req, Body> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridged").field("inner", &self.inner).finish()
    }
}

/// The future of a [`Bridged`] client.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct BridgedFuture<F, E, Body> {
    #[pin]
    state: State<F, E>,
    body: PhantomData<fn() -> Body>,
}

#[pin_project(project = StateProj)]
enum State<F, E> {
    Calling {
        #[pin]
        call: F,
    },
    /// There is no request that the client takes.
    NotMade { error: Option<E> },
}

impl<F, Res, E, Body> Future for BridgedFuture<F, E, Body>
where
    F: Future<Output = Result<Res, E>>,
    Response<Body>: From<Res>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Calling { call } => Poll::Ready(ready!(call.poll(cx)).map(Response::from)),
            StateProj::NotMade { error } => {
                Poll::Ready(Err(error.take().expect("a bridged client's future was polled after it finished")))
            }
        }
    }
}

impl<F, E, Body> fmt::Debug for BridgedFuture<F, E, Body> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgedFuture").finish_non_exhaustive()
    }
}
