use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::Rejection;
use crate::clock::nanos;
use crate::name::Name;

/// A rate limiter has refused a call, and has taken nothing for it.
///
/// It can be made by hand, to test what an error or a handler of yours makes of a refusal:
///
/// ```
/// use std::time::Duration;
/// use buttress::Rejection;
/// use buttress::rate_limit::{LimitReason, Limited};
///
/// let limited = Limited::new("orders".into(), LimitReason::QuotaUsedUp).with_retry_after(Duration::from_millis(20));
/// assert_eq!(limited.to_string(), "the quota is used up; it could pass in 20ms");
/// assert_eq!(Rejection::from(limited).to_string(), "refused by the rate limiter `orders`");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    name: Name,
    /// In nanoseconds; as many as there can be where nobody knows.
    retry_after: u64,
    reason: LimitReason,
}

impl Limited {
    /// The limiter called `name` has refused a call.
    #[must_use]
    pub const fn new(name: Name, reason: LimitReason) -> Self {
        Self { name, reason, retry_after: u64::MAX }
    }

    /// Adds for how long the call could not have passed.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = nanos(wait);
        self
    }

    /// The name of the limiter.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Why the call was refused.
    #[must_use]
    pub const fn reason(&self) -> LimitReason {
        self.reason
    }

    /// The time after which the call could have passed, if nobody else had come until then. `None` where no time helps
    /// ([`CostAboveBurst`](LimitReason::CostAboveBurst), [`WithoutKey`](LimitReason::WithoutKey)), or nobody knows it.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.retry_after {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match self.retry_after() {
            Some(wait) => write!(f, "; it could pass in {wait:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limited")
            .field("name", &self.name)
            .field("reason", &self.reason)
            .field("retry_after", &self.retry_after())
            .finish()
    }
}

impl StdError for Limited {}

impl From<Limited> for Rejection {
    fn from(limited: Limited) -> Self {
        Self::RateLimited(limited)
    }
}

/// Why a rate limiter refused a call.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitReason {
    /// There are not as many tokens as the call costs, or others stand in line for them.
    QuotaUsedUp,
    /// The call costs more than there can ever be at once: it can never pass.
    CostAboveBurst,
    /// The call would have waited, and as many wait already as may.
    LineFull,
    /// The call would have waited, for longer than it may.
    WaitTooLong,
    /// The call has no key, and such calls are refused.
    WithoutKey,
    /// There is no place for another key, and such calls are refused.
    TooManyKeys,
}

impl LimitReason {
    /// The reason in one word, as events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QuotaUsedUp => "quota_used_up",
            Self::CostAboveBurst => "cost_above_burst",
            Self::LineFull => "line_full",
            Self::WaitTooLong => "wait_too_long",
            Self::WithoutKey => "without_key",
            Self::TooManyKeys => "too_many_keys",
        }
    }
}

impl fmt::Display for LimitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuotaUsedUp => "the quota is used up",
            Self::CostAboveBurst => "it costs more than the burst, and can never pass",
            Self::LineFull => "as many wait as may",
            Self::WaitTooLong => "it would have to wait longer than it may",
            Self::WithoutKey => "it has no key to be counted under",
            Self::TooManyKeys => "there is no place for another key",
        })
    }
}
