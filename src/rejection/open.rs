use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::Rejection;
use crate::clock::nanos;
use crate::name::Name;

/// A circuit breaker leaves the service alone for a while, and did not call it.
///
/// It can be made by hand, to test what an error or a handler of yours makes of a refusal:
///
/// ```
/// use std::time::Duration;
/// use buttress::Rejection;
/// use buttress::circuit_breaker::{Open, TripReason};
///
/// let open = Open::new("payments".into(), TripReason::ConsecutiveFailures).with_retry_after(Duration::from_millis(800));
/// assert_eq!(Rejection::from(open.clone()).to_string(), "refused by the circuit breaker `payments`");
/// assert_eq!(open.to_string(), "open after consecutive failures, for another 800ms");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Open {
    name: Name,
    /// In nanoseconds; as many as there can be where nobody knows.
    retry_after: u64,
    reason: TripReason,
}

impl Open {
    /// The circuit of the breaker called `name` is open, or half-open with no place for another probe.
    #[must_use]
    pub const fn new(name: Name, reason: TripReason) -> Self {
        Self::for_nanos(name, reason, u64::MAX)
    }

    /// With how much is left of the open time in nanoseconds; as many as there can be where nobody knows.
    pub(crate) const fn for_nanos(name: Name, reason: TripReason, left: u64) -> Self {
        Self { name, retry_after: left, reason }
    }

    /// Adds how much is left of the open time.
    #[must_use]
    pub const fn with_retry_after(mut self, left: Duration) -> Self {
        self.retry_after = nanos(left);
        self
    }

    /// The name of the breaker.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Why the circuit opened.
    #[must_use]
    pub const fn reason(&self) -> TripReason {
        self.reason
    }

    /// What was left of the open time when the call was refused; a service that is not called as soon as it is ready was
    /// refused when it said so. `None` while all that is waited for is a probe's answer, and for a circuit that was
    /// forced open: nobody knows when that ends.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.retry_after {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.reason, self.retry_after()) {
            (TripReason::ForcedOpen, _) => f.write_str("forced open"),
            (reason, Some(left)) => write!(f, "open after {reason}, for another {left:?}"),
            (reason, None) => write!(f, "open after {reason}, and as many calls as may be are probing it"),
        }
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("name", &self.name)
            .field("reason", &self.reason)
            .field("retry_after", &self.retry_after())
            .finish()
    }
}

impl StdError for Open {}

impl From<Open> for Rejection {
    fn from(open: Open) -> Self {
        Self::CircuitOpen(open)
    }
}

/// Why a circuit opened. Where several rules hold at once, the first of this list is the reason.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TripReason {
    /// So many failures in a row.
    ConsecutiveFailures,
    /// Too many failures among the last calls.
    FailureRateOfLastCalls,
    /// Too many slow calls among the last calls.
    SlowRateOfLastCalls,
    /// Too many failures within the time window.
    FailureRateInTimeWindow,
    /// Too many slow calls within the time window.
    SlowRateInTimeWindow,
    /// A half-open circuit's probe failed.
    ProbeFailed,
    /// A half-open circuit's probe was not answered within its lease.
    ProbeExpired,
    /// Somebody forced it open.
    ForcedOpen,
}

impl TripReason {
    /// The reason in one word, as events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRateOfLastCalls => "failure_rate_of_last_calls",
            Self::SlowRateOfLastCalls => "slow_rate_of_last_calls",
            Self::FailureRateInTimeWindow => "failure_rate_in_time_window",
            Self::SlowRateInTimeWindow => "slow_rate_in_time_window",
            Self::ProbeFailed => "probe_failed",
            Self::ProbeExpired => "probe_expired",
            Self::ForcedOpen => "forced_open",
        }
    }
}

impl fmt::Display for TripReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConsecutiveFailures => "consecutive failures",
            Self::FailureRateOfLastCalls => "too many failures among the last calls",
            Self::SlowRateOfLastCalls => "too many slow calls among the last calls",
            Self::FailureRateInTimeWindow => "too many failures within the time window",
            Self::SlowRateInTimeWindow => "too many slow calls within the time window",
            Self::ProbeFailed => "a failed probe",
            Self::ProbeExpired => "a probe that was not answered in time",
            Self::ForcedOpen => "being forced open",
        })
    }
}
