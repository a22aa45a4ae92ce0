//! The wrapped services: each is the floor that its rows are compared to.
//!
//! Their error is buttress's own around an error type without data. It is a `std::error::Error`, as tower's timeout demands,
//! and converts from and into what every peer asks for; so all rows share one floor, and no success pays for it.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use buttress::Error;
use http::{Request, Response};
use tower::Service;

pub(crate) type Answer = Result<u64, Failed>;

pub(crate) type Failed = Error<Odd>;

/// Why a number was not answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Odd;

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an odd number")
    }
}

impl std::error::Error for Odd {}

/// Answers at its first poll; an odd number is a failure.
#[derive(Clone)]
pub(crate) struct Bare;

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Self::Future {
        ready(answer(number))
    }
}

/// The answer to a number, which the compiler does not foresee.
pub(crate) fn answer(number: u64) -> Answer {
    if number.is_multiple_of(2) { Ok(black_box(number)) } else { Err(Error::Inner(Odd)) }
}

/// The same, but answers at its second poll, so that whoever arms a timer arms it.
#[derive(Clone)]
pub(crate) struct WaitsOnce;

impl Service<u64> for WaitsOnce {
    type Response = u64;
    type Error = Failed;
    type Future = Waiting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Waiting {
        Waiting { number, has_waited: false }
    }
}

pub(crate) struct Waiting {
    number: u64,
    has_waited: bool,
}

impl Future for Waiting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        // Nobody is woken: who measures polls again at once, so that no scheduler is measured.
        if std::mem::replace(&mut self.has_waited, true) { Poll::Ready(answer(self.number)) } else { Poll::Pending }
    }
}

/// Answers an HTTP request with an empty response at its first poll.
#[derive(Clone)]
pub(crate) struct BareHttp;

impl Service<Request<()>> for BareHttp {
    type Response = Response<Body>;
    type Error = Failed;
    type Future = Ready<Result<Response<Body>, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        drop(black_box(request));
        ready(Ok(black_box(Response::new(Body::empty()))))
    }
}
