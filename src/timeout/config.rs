mod limit;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use self::limit::{ConfiguredLimit, LimitOf};
use crate::name::Name;

/// The settings of a [`TimeoutLayer`](super::TimeoutLayer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct TimeoutConfig {
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) limit: Duration,
    #[cfg_attr(feature = "serde", serde(default = "default_name"))]
    pub(super) name: Name,
}

fn default_name() -> Name {
    Name::fixed(&"timeout")
}

impl TimeoutConfig {
    /// A call may take `limit`. There is no default: how long is too long only the caller's caller knows.
    ///
    /// It must be longer than zero. `Duration::MAX` is no limit at all, for a layer that only keeps to deadlines.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { limit, name: default_name() }
    }

    /// What the layer is called in events and refusals; `"timeout"` by default. Tell the timeouts of a stack apart by
    /// what they bound: `"door"`, `"attempt"`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How long a call may take; `None` where there is no limit at all.
    #[allow(dead_code, reason = "asked only by the ready stacks of the feature `http`")]
    pub(crate) fn bound(&self) -> Option<Duration> {
        (self.limit != Duration::MAX).then_some(self.limit)
    }

    /// By this name where it was given none.
    #[allow(dead_code, reason = "asked only by the ready stacks of the feature `http`")]
    pub(crate) fn or_named(self, name: &'static str) -> Self {
        if self.name == default_name() { self.name(name) } else { self }
    }

    pub(super) fn check(&self) -> Result<(), InvalidTimeout> {
        if self.limit.is_zero() { Err(InvalidTimeout::ZeroLimit(self.name)) } else { Ok(()) }
    }
}

/// A setting that a [`TimeoutLayer`](super::TimeoutLayer) cannot work with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidTimeout {
    /// The limit of the timeout of this name is zero: every call that waits at all would fail.
    ZeroLimit(Name),
}

impl fmt::Display for InvalidTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroLimit(name) => write!(f, "the limit of the timeout `{name}` must be longer than zero, and is 0s"),
        }
    }
}

impl Error for InvalidTimeout {}
