use std::sync::Arc;

use crate::outcome::{Failure, FailureKind};

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

/// Kinds of failure, by their kind alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    pub(in super::super) fn of(kinds: &[FailureKind]) -> Self {
        Self(kinds.iter().fold(0, |all, kind| all | bit(*kind)))
    }
}

const fn bit(kind: FailureKind) -> u32 {
    1 << kind as u32
}

impl Trigger for Kinds {
    fn stands_in_for(&self, failure: &Failure) -> bool {
        self.0 & bit(failure.kind()) != 0
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
