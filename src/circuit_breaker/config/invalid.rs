use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::name::Name;

/// A setting that a circuit breaker cannot work with; each names the breaker.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum InvalidCircuitBreaker {
    /// No failure in a row is enough to trip it.
    ZeroConsecutiveFailures(Name),
    /// It cannot remember so many last calls, or none.
    LastCalls {
        /// The breaker.
        name: Name,
        /// What was asked for.
        calls: u32,
    },
    /// The time window is too short.
    TimeWindow {
        /// The breaker.
        name: Name,
        /// What was asked for.
        length: Duration,
    },
    /// The minimum of calls is zero, or more than the calls that are remembered.
    MinimumCalls {
        /// The breaker.
        name: Name,
        /// What was asked for.
        minimum: u32,
    },
    /// A rate is not more than 0 and at most 1.
    Rate {
        /// The breaker.
        name: Name,
        /// Which rate.
        setting: &'static str,
        /// What was asked for.
        rate: f64,
    },
    /// A slow rate is set, and not what is slow.
    NoSlowCallThreshold(Name),
    /// It is set what is slow, and no slow rate.
    NoSlowRate(Name),
    /// Every call would be slow.
    ZeroSlowCallThreshold(Name),
    /// The first open time is zero, or longer than the longest.
    OpenFor {
        /// The breaker.
        name: Name,
        /// The first open time.
        first: Duration,
        /// The longest.
        longest: Duration,
    },
    /// The jitter is not from 0 to 1.
    Jitter {
        /// The breaker.
        name: Name,
        /// What was asked for.
        jitter: f64,
    },
    /// The probes at a time are not 1 to 32.
    PermittedProbes {
        /// The breaker.
        name: Name,
        /// What was asked for.
        probes: u32,
    },
    /// It would close without any probe that succeeds.
    ZeroSuccessesToClose(Name),
    /// Every probe would be late.
    ZeroProbeLease(Name),
    /// A breaker by key may remember no key at all.
    ZeroKeys(Name),
    /// A breaker by key would forget every key at once.
    ZeroForgetAfter(Name),
}

impl fmt::Display for InvalidCircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, fault) = self.parts();
        write!(f, "the circuit breaker `{name}` cannot work: {fault}")
    }
}

impl InvalidCircuitBreaker {
    fn parts(&self) -> (&Name, String) {
        match self {
            Self::ZeroConsecutiveFailures(name) => (name, "consecutive_failures must be at least 1".into()),
            Self::LastCalls { name, calls } => (name, format!("last_calls must be 1 to 2048 calls, and is {calls}")),
            Self::TimeWindow { name, length } => {
                (name, format!("time_window must be at least 10ms long, and is {length:?}"))
            }
            Self::MinimumCalls { name, minimum } => (
                name,
                format!(
                    "minimum_calls must be at least 1, and at most as many as last_calls remembers, and is {minimum}"
                ),
            ),
            Self::Rate { name, setting, rate } => {
                (name, format!("{setting} must be more than 0 and at most 1, and is {rate}"))
            }
            Self::NoSlowCallThreshold(name) => (name, "slow_rate needs a slow_call_threshold".into()),
            Self::NoSlowRate(name) => {
                (name, "slow_call_threshold needs a slow_rate, of last_calls or time_window".into())
            }
            Self::ZeroSlowCallThreshold(name) => (name, "slow_call_threshold must be longer than zero".into()),
            Self::OpenFor { name, first, longest } => (
                name,
                format!(
                    "open_for must begin longer than zero and end no shorter, and goes from {first:?} to {longest:?}"
                ),
            ),
            Self::Jitter { name, jitter } => (name, format!("jitter must be 0 to 1, and is {jitter}")),
            Self::PermittedProbes { name, probes } => {
                (name, format!("permitted_probes must be 1 to 32, and is {probes}"))
            }
            Self::ZeroSuccessesToClose(name) => (name, "successes_to_close must be at least 1".into()),
            Self::ZeroProbeLease(name) => (name, "probe_lease must be longer than zero".into()),
            Self::ZeroKeys(name) => (name, "max_keys must be at least 1".into()),
            Self::ZeroForgetAfter(name) => (name, "forget_after must be longer than zero".into()),
        }
    }
}

impl Error for InvalidCircuitBreaker {}
