mod substitute;
mod trigger;

use std::error::Error;
use std::fmt;

pub use self::substitute::{
    Asynchronous, Backup, Failed, Function, NoSubstitute, NoSummary, Substitute, Summary, Value,
};
pub use self::trigger::Trigger;
use crate::name::Name;
use crate::outcome::FailureKind;

/// The settings of a [`FallbackLayer`](super::FallbackLayer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct FallbackConfig {
    pub(super) name: Name,
    pub(super) on: Vec<FailureKind>,
}

impl FallbackConfig {
    /// Settings that suit most: the name `"fallback"`, and the failures that neither the request nor its sender is to
    /// blame for: `Error`, `TimedOut`, `Expired`, `Refused`.
    #[must_use]
    pub fn new() -> Self {
        use FailureKind::{Error, Expired, Refused, TimedOut};
        Self { name: Name::fixed(&"fallback"), on: vec![Error, TimedOut, Expired, Refused] }
    }

    /// What the layer is called in events and marks; `"fallback"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// Stands in for these kinds of failure, and no others.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = FailureKind>) -> Self {
        self.on = kinds.into_iter().collect();
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidFallback> {
        if self.on.is_empty() { Err(InvalidFallback::NothingToStandInFor(self.name)) } else { Ok(()) }
    }
}

impl Default for FallbackConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A setting that a [`FallbackLayer`](super::FallbackLayer) cannot work with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidFallback {
    /// `on` names no kind of failure: the layer of this name would never do anything.
    NothingToStandInFor(Name),
}

impl fmt::Display for InvalidFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToStandInFor(name) => {
                write!(f, "the fallback `{name}` must name at least one kind of failure in `on`")
            }
        }
    }
}

impl Error for InvalidFallback {}
