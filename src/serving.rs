//! Calls by layers that are always ready themselves.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use pin_project::pin_project;
use tower::Service;

/// A wrapped service, and the clone of it that serves calls for as long as each of them finds it ready.
#[derive(Debug)]
pub(crate) struct Serving<S> {
    /// Never asked for anything, so that a clone of it is as good as new.
    inner: S,
    serving: Option<S>,
}

impl<S> Serving<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, serving: None }
    }

    pub(crate) const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The next call is served by a clone of what it is then.
    pub(crate) fn get_mut(&mut self) -> &mut S {
        self.serving = None;
        &mut self.inner
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    /// Calls a service that is ready at once; a future that is not polled has made its call.
    #[inline(always)]
    pub(crate) fn call<Req>(&mut self, request: Req) -> Called<S, Req>
    where
        S: Service<Req> + Clone,
    {
        let asked = Asked(&mut self.serving);
        let serving = asked.0.get_or_insert_with(|| self.inner.clone());
        // Who is not ready now is asked again by the future, which has a waker.
        match serving.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {
                let call = serving.call(request);
                asked.serves_on();
                Called::Calling(call)
            }
            Poll::Ready(Err(error)) => Called::NeverReady(Some(error)),
            Poll::Pending => Called::GettingReady { service: asked.0.take(), request: Some(request) },
        }
    }
}

impl<S: Clone> Clone for Serving<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
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

/// A call of a service that may have to become ready first.
#[pin_project(project = CalledProj)]
pub(crate) enum Called<S: Service<Req>, Req> {
    Calling(#[pin] S::Future),
    /// Both are there until it is ready.
    GettingReady {
        service: Option<S>,
        request: Option<Req>,
    },
    NeverReady(Option<S::Error>),
}

impl<S: Service<Req>, Req> Called<S, Req> {
    pub(crate) const fn is_getting_ready(&self) -> bool {
        matches!(self, Self::GettingReady { .. })
    }
}

impl<S: Service<Req>, Req> Future for Called<S, Req> {
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let CalledProj::Calling(call) = self.as_mut().project() {
            return call.poll(cx);
        }
        self.poll_not_called(cx)
    }
}

impl<S: Service<Req>, Req> Called<S, Req> {
    #[cold]
    #[inline(never)]
    fn poll_not_called(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let call = match self.as_mut().project() {
            CalledProj::GettingReady { service, request } => {
                let ready = service.as_mut().expect("a call was polled after it finished");
                if let Err(error) = ready!(ready.poll_ready(cx)) {
                    *service = None;
                    return Poll::Ready(Err(error));
                }
                let request = request.take().expect("it is called once");
                let call = ready.call(request);
                *service = None;
                call
            }
            CalledProj::NeverReady(error) => {
                return Poll::Ready(Err(error.take().expect("a call was polled after it finished")));
            }
            CalledProj::Calling(call) => return call.poll(cx),
        };
        self.set(Self::Calling(call));
        self.poll(cx)
    }
}
