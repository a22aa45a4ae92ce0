use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::name::Name;

/// A setting that a retry, or its budget, cannot work with; each names the retry.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum InvalidRetry {
    /// No call would ever be made.
    ZeroAttempts(Name),
    /// A call that is part of a retry further out would never be made, or oftener than others.
    AttemptsWithinRetry {
        /// The retry.
        name: Name,
        /// What was asked for.
        attempts: u32,
        /// The attempts of other calls.
        max_attempts: u32,
    },
    /// The longest wait is shorter than the first.
    Cap {
        /// The retry.
        name: Name,
        /// The first wait.
        base: Duration,
        /// The longest.
        cap: Duration,
    },
    /// Waits would become shorter, or are no number.
    Factor {
        /// The retry.
        name: Name,
        /// What was asked for.
        factor: f64,
    },
    /// A decorrelated wait has nothing between its base and its cap to be drawn from.
    NothingToSpread(Name),
    /// No failure would ever be retried.
    NothingToRetry(Name),
    /// A share or rate of the budget is out of bounds, or no number.
    BudgetRate {
        /// The retry, or what the budget was named.
        name: Name,
        /// Which.
        setting: &'static str,
        /// What was asked for.
        value: f64,
        /// The most there can be.
        most: f64,
    },
    /// The budget holds too few tokens, or too many.
    Capacity {
        /// The retry, or what the budget was named.
        name: Name,
        /// What was asked for.
        capacity: u32,
    },
}

impl fmt::Display for InvalidRetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, fault) = self.parts();
        write!(f, "the retry `{name}` cannot work: {fault}")
    }
}

impl InvalidRetry {
    fn parts(&self) -> (&Name, String) {
        match self {
            Self::ZeroAttempts(name) => (name, "max_attempts counts the first, and must be at least 1".into()),
            Self::AttemptsWithinRetry { name, attempts, max_attempts } => (
                name,
                format!(
                    "max_attempts_within_retry must be at least 1 and at most max_attempts, which is {max_attempts}, and is \
                     {attempts}"
                ),
            ),
            Self::Cap { name, base, cap } => {
                (name, format!("the cap of the backoff must not be shorter than its base of {base:?}, and is {cap:?}"))
            }
            Self::Factor { name, factor } => {
                (name, format!("the factor of the backoff must be a number of at least 1, and is {factor}"))
            }
            Self::NothingToSpread(name) => {
                (name, "a decorrelated backoff needs a cap that is longer than its base".into())
            }
            Self::NothingToRetry(name) => (name, "it must name at least one kind of failure in `on`".into()),
            Self::BudgetRate { name, setting, value, most } => {
                (name, format!("the budget's {setting} must be 0 to {most}, and is {value}"))
            }
            Self::Capacity { name, capacity } => {
                (name, format!("the budget's capacity must be 2 to 1000000 tokens, and is {capacity}"))
            }
        }
    }
}

impl Error for InvalidRetry {}
