use std::sync::Arc;

use crate::outcome::{Failure, FailureKind, Kinds};

/// Says which failures of which requests are retried.
///
/// Ready-made are [`Kinds`], which [`RetryConfig::on`](crate::retry::RetryConfig::on) lists. A closure
/// `Fn(&Head, &Failure) -> bool` serves too, where `Head` is the request, or over HTTP with
/// [`ReplayBodies`](crate::http::ReplayBodies) an `http::Request<()>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which failures of a `{Head}` to retry",
    note = "a closure `|request: &{Head}, failure: &Failure| -> bool` does"
)]
pub trait RetryWhen<Head> {
    /// Whether the request of this head, which failed so, is to be sent again.
    fn retries(&self, head: &Head, failure: &Failure) -> bool;
}

/// By their kind. A refusal that does not say when it ends is not retried: nobody knows what to wait for.
impl<Head> RetryWhen<Head> for Kinds {
    fn retries(&self, _: &Head, failure: &Failure) -> bool {
        self.contain(failure.kind()) && (failure.kind() != FailureKind::Refused || failure.retry_after().is_some())
    }
}

#[diagnostic::do_not_recommend]
impl<F, Head> RetryWhen<Head> for F
where
    F: Fn(&Head, &Failure) -> bool,
{
    fn retries(&self, head: &Head, failure: &Failure) -> bool {
        self(head, failure)
    }
}

impl<W, Head> RetryWhen<Head> for Arc<W>
where
    W: RetryWhen<Head> + ?Sized,
{
    fn retries(&self, head: &Head, failure: &Failure) -> bool {
        (**self).retries(head, failure)
    }
}
