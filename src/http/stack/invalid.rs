use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::client::DEFAULT_ATTEMPT;
use crate::circuit_breaker::InvalidCircuitBreaker;
use crate::rate_limit::InvalidRateLimit;
use crate::retry::InvalidRetry;
use crate::timeout::InvalidTimeout;

/// Settings that a stack cannot work with: those of one part, or of two that do not go together.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum InvalidStack {
    /// A timeout cannot work.
    Timeout(InvalidTimeout),
    /// The retry cannot work.
    Retry(InvalidRetry),
    /// The circuit breaker cannot work.
    CircuitBreaker(InvalidCircuitBreaker),
    /// The rate limit cannot work.
    RateLimit(InvalidRateLimit),
    /// The total time is over no later than the first attempt's.
    AttemptTimeout {
        /// How long an attempt may take.
        attempt: Duration,
        /// How long all of them may.
        total: Duration,
    },
    /// The total time is over before the waits between attempts can be.
    Backoffs {
        /// As long as the waits can take together.
        backoffs: Duration,
        /// How long the attempts and the waits may.
        total: Duration,
    },
    /// The circuit breaker has forgotten the beginning of a time window before two attempts that hang, one after the other,
    /// have failed in it: it would not see them together.
    TimeWindow {
        /// How long the window is.
        window: Duration,
        /// How long an attempt may take.
        attempt: Duration,
    },
    /// The circuit breaker takes a probe for failed that may yet succeed: a service that is slow, but not too slow, would
    /// stay cut off.
    ProbeLease {
        /// How long a probe may take.
        lease: Duration,
        /// How long an attempt may.
        attempt: Duration,
    },
}

impl fmt::Display for InvalidStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(invalid) => invalid.fmt(f),
            Self::Retry(invalid) => invalid.fmt(f),
            Self::CircuitBreaker(invalid) => invalid.fmt(f),
            Self::RateLimit(invalid) => invalid.fmt(f),
            Self::AttemptTimeout { attempt, total } => {
                let default = if *attempt == DEFAULT_ATTEMPT { ", as it is where none is set" } else { "" };
                write!(
                    f,
                    "the stack cannot work: the attempt timeout must be shorter than the total timeout of {total:?}, and is \
                     {attempt:?}{default}"
                )
            }
            Self::Backoffs { backoffs, total } => write!(
                f,
                "the stack cannot work: the backoffs of the retry must together be no longer than the total timeout of \
                 {total:?}, and can be {backoffs:?}"
            ),
            Self::TimeWindow { window, attempt } => write!(
                f,
                "the stack cannot work: the time_window of the circuit breaker must be at least twice the attempt timeout \
                 of {attempt:?}, and is {window:?}"
            ),
            Self::ProbeLease { lease, attempt } => write!(
                f,
                "the stack cannot work: the probe_lease of the circuit breaker must be no shorter than the attempt \
                 timeout of {attempt:?}, and is {lease:?}"
            ),
        }
    }
}

/// It says all there is to say by itself.
impl Error for InvalidStack {}

impl From<InvalidTimeout> for InvalidStack {
    fn from(invalid: InvalidTimeout) -> Self {
        Self::Timeout(invalid)
    }
}

impl From<InvalidRetry> for InvalidStack {
    fn from(invalid: InvalidRetry) -> Self {
        Self::Retry(invalid)
    }
}

impl From<InvalidCircuitBreaker> for InvalidStack {
    fn from(invalid: InvalidCircuitBreaker) -> Self {
        Self::CircuitBreaker(invalid)
    }
}

impl From<InvalidRateLimit> for InvalidStack {
    fn from(invalid: InvalidRateLimit) -> Self {
        Self::RateLimit(invalid)
    }
}
