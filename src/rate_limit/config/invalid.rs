use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::name::Name;

/// A setting that a rate limiter cannot work with; each names the limiter.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidRateLimit {
    /// Nothing would ever pass.
    ZeroAmount(Name),
    /// Nothing would ever pass.
    ZeroBurst(Name),
    /// More than a million a second.
    TooFast {
        /// The limiter.
        name: Name,
        /// What was asked for, each `per`.
        amount: u32,
        /// In how long.
        per: Duration,
    },
    /// An empty bucket would take more than a hundred years to be full.
    TooSlow {
        /// The limiter.
        name: Name,
        /// What was asked for, each `per`.
        amount: u32,
        /// In how long.
        per: Duration,
        /// At once.
        burst: u32,
    },
    /// A limiter by key would have no place for any key.
    ZeroKeys(Name),
}

impl fmt::Display for InvalidRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, fault) = self.parts();
        write!(f, "the rate limiter `{name}` cannot work: {fault}")
    }
}

impl InvalidRateLimit {
    fn parts(&self) -> (&Name, String) {
        match self {
            Self::ZeroAmount(name) => (name, "the amount must be at least 1".into()),
            Self::ZeroBurst(name) => (name, "burst must be at least 1".into()),
            Self::TooFast { name, amount, per } => {
                (name, format!("the rate must be at most a million a second, and is {amount} per {per:?}"))
            }
            Self::TooSlow { name, amount, per, burst } => (
                name,
                format!("a burst of {burst} at {amount} per {per:?} takes more than a hundred years to come back"),
            ),
            Self::ZeroKeys(name) => (name, "max_keys must be at least 1".into()),
        }
    }
}

impl Error for InvalidRateLimit {}
