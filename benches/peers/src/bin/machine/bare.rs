use std::future::{Ready, ready};
use std::hint::black_box;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use tower::Service;

/// What all that is compared goes around: answers its number at the first poll, and never the error that it has.
pub(crate) struct Bare<E>(PhantomData<fn() -> E>);

impl<E> Bare<E> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<E> Clone for Bare<E> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<E> Service<u64> for Bare<E> {
    type Response = u64;
    type Error = E;
    type Future = Ready<Result<u64, E>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, number: u64) -> Self::Future {
        ready(Ok(black_box(number)))
    }
}
