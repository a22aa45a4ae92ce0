use std::future::{Future, Ready, ready};
use std::sync::Arc;

use tower::Service;
use tower::ServiceExt;
use tower::util::Oneshot;

use crate::outcome::Failure;

/// A call that failed, as a substitute is told of it.
#[non_exhaustive]
#[derive(Debug)]
pub struct Failed<Res, E, K = ()> {
    /// What went wrong.
    pub failure: Failure,
    /// What the wrapped service said, to make something of it. It counts as a substitute even if it is returned as it is;
    /// to leave a failure alone, say so with [`on`](crate::fallback::FallbackConfig::on) or
    /// [`when`](crate::fallback::FallbackLayer::when).
    pub result: Result<Res, E>,
    /// What was kept of the request, if [`summary`](crate::fallback::FallbackLayer::summary) was asked for.
    pub summary: K,
}

impl<Res, E, K> Failed<Res, E, K> {
    /// A call that failed so, to test a substitute of yours with.
    pub const fn new(failure: Failure, result: Result<Res, E>, summary: K) -> Self {
        Self { failure, result, summary }
    }
}

/// Answers in place of a call that failed.
///
/// [`FallbackLayer`](crate::fallback::FallbackLayer)'s setters make the ready-made ones.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no substitute for a `Result<{Res}, {E}>`",
    label = "this fallback has no answer of the right type",
    note = "say what to answer with `.value(..)`, `.with(|failed| ..)`, `.with_async(|failed| ..)` or `.with_service(..)`",
    note = "it must answer the wrapped service's own response and error, and be given what `summary` keeps"
)]
pub trait Substitute<Res, E, K> {
    /// The answer to be.
    type Future: Future<Output = Result<Res, E>>;

    /// Answers in place of `failed`.
    fn substitute(&self, failed: Failed<Res, E, K>) -> Self::Future;
}

/// Nothing to answer yet; the layer cannot wrap a service before it has something.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSubstitute;

/// A clone of one value, made when it is needed.
#[derive(Debug)]
pub struct Value<T>(pub(in super::super) Arc<T>);

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Clone, E, K> Substitute<T, E, K> for Value<T> {
    type Future = Ready<Result<T, E>>;

    fn substitute(&self, _: Failed<T, E, K>) -> Self::Future {
        ready(Ok(T::clone(&self.0)))
    }
}

/// What a function makes of the failure.
#[derive(Clone, Copy, Debug)]
pub struct Function<F>(pub(in super::super) F);

impl<F, Res, E, K> Substitute<Res, E, K> for Function<F>
where
    F: Fn(Failed<Res, E, K>) -> Result<Res, E>,
{
    type Future = Ready<Result<Res, E>>;

    fn substitute(&self, failed: Failed<Res, E, K>) -> Self::Future {
        ready((self.0)(failed))
    }
}

impl<F, Res, E, K> Substitute<Res, E, K> for Function<Arc<F>>
where
    F: Fn(Failed<Res, E, K>) -> Result<Res, E> + ?Sized,
{
    type Future = Ready<Result<Res, E>>;

    fn substitute(&self, failed: Failed<Res, E, K>) -> Self::Future {
        ready((self.0)(failed))
    }
}

/// What a function that may wait makes of the failure.
#[derive(Clone, Copy, Debug)]
pub struct Asynchronous<F>(pub(in super::super) F);

impl<F, Fut, Res, E, K> Substitute<Res, E, K> for Asynchronous<F>
where
    F: Fn(Failed<Res, E, K>) -> Fut,
    Fut: Future<Output = Result<Res, E>>,
{
    type Future = Fut;

    fn substitute(&self, failed: Failed<Res, E, K>) -> Fut {
        (self.0)(failed)
    }
}

impl<F, Fut, Res, E, K> Substitute<Res, E, K> for Asynchronous<Arc<F>>
where
    F: Fn(Failed<Res, E, K>) -> Fut + ?Sized,
    Fut: Future<Output = Result<Res, E>>,
{
    type Future = Fut;

    fn substitute(&self, failed: Failed<Res, E, K>) -> Fut {
        (self.0)(failed)
    }
}

/// Another service's answer.
#[derive(Debug)]
pub struct Backup<S>(pub(in super::super) Arc<S>);

impl<S> Clone for Backup<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, K> Substitute<S::Response, S::Error, K> for Backup<S>
where
    S: Service<K> + Clone,
{
    type Future = Oneshot<S, K>;

    fn substitute(&self, failed: Failed<S::Response, S::Error, K>) -> Self::Future {
        S::clone(&self.0).oneshot(failed.summary)
    }
}

/// Keeps of a request what a substitute needs to know of it.
///
/// A closure `Fn(&Req) -> K` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot summarise a `{Req}`",
    note = "a closure `|request: &{Req}| -> Summary` can"
)]
pub trait Summary<Req> {
    /// What is kept.
    type Kept;

    /// What to keep of `request`, taken before the call.
    fn keep(&self, request: &Req) -> Self::Kept;
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSummary;

impl<Req> Summary<Req> for NoSummary {
    type Kept = ();

    fn keep(&self, _: &Req) {}
}

#[diagnostic::do_not_recommend]
impl<F, Req, K> Summary<Req> for F
where
    F: Fn(&Req) -> K,
{
    type Kept = K;

    fn keep(&self, request: &Req) -> K {
        self(request)
    }
}

impl<T, Req> Summary<Req> for Arc<T>
where
    T: Summary<Req> + ?Sized,
{
    type Kept = T::Kept;

    fn keep(&self, request: &Req) -> T::Kept {
        (**self).keep(request)
    }
}
