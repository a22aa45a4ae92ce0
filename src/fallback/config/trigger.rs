use std::sync::Arc;

use crate::outcome::{Failure, Kinds};

/// Says which failures are stood in for.
///
/// Ready-made are [`Kinds`], which [`FallbackConfig::on`](crate::fallback::FallbackConfig::on) lists. A closure
/// `Fn(&Failure) -> bool` serves too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which failures to stand in for",
    note = "a closure `|failure: &Failure| -> bool` does"
)]
pub trait Trigger {
    /// Whether `failure` is one of them.
    fn stands_in_for(&self, failure: &Failure) -> bool;
}

impl Trigger for Kinds {
    fn stands_in_for(&self, failure: &Failure) -> bool {
        self.contain(failure.kind())
    }
}

#[diagnostic::do_not_recommend]
impl<F> Trigger for F
where
    F: Fn(&Failure) -> bool,
{
    fn stands_in_for(&self, failure: &Failure) -> bool {
        self(failure)
    }
}

impl<T: Trigger + ?Sized> Trigger for Arc<T> {
    fn stands_in_for(&self, failure: &Failure) -> bool {
        (**self).stands_in_for(failure)
    }
}
