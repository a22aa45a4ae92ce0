mod by_key;
mod cost;
mod invalid;
mod quota;
mod rules;

use std::time::Duration;

pub use self::by_key::{KeyedConfig, WhenFull, WithoutKey};
pub use self::cost::{CostOf, OneEach};
pub use self::invalid::InvalidRateLimit;
pub use self::quota::Quota;
pub(super) use self::rules::Rules;
use crate::name::Name;

/// The settings of a rate limiter.
///
/// With the feature `serde` it reads from files; what is left out but the quota has its default:
///
/// ```json
/// {
///   "name": "orders",
///   "quota": { "amount": 1000, "per": "1s", "burst": 100 },
///   "max_waiting": 50,
///   "max_wait": "2s"
/// }
/// ```
///
/// The last two are for layers that let calls [wait](super::RateLimitLayer::wait), and mean nothing to others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct RateLimitConfig {
    #[cfg_attr(feature = "serde", serde(default = "default_name"))]
    pub(super) name: Name,
    pub(super) quota: Quota,
    #[cfg_attr(feature = "serde", serde(default = "default_max_waiting"))]
    pub(super) max_waiting: usize,
    #[cfg_attr(feature = "serde", serde(default, deserialize_with = "crate::human_duration::deserialize_some"))]
    pub(super) max_wait: Option<Duration>,
}

fn default_name() -> Name {
    Name::fixed(&"rate_limit")
}

const fn default_max_waiting() -> usize {
    1000
}

impl RateLimitConfig {
    /// As much passes as the quota says. There is no default: how much is too much only you know.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { name: default_name(), quota, max_waiting: default_max_waiting(), max_wait: None }
    }

    /// A leaky bucket, to go with [`wait`](super::RateLimitLayer::wait): the burst is 1, so that calls pass at an even pace,
    /// and at most `queue` wait their turn.
    ///
    /// Timers wake to the millisecond, and no call that comes late is made up for. So at paces near a thousand a second
    /// choose a small burst instead. A burst that `rate` has is not taken over.
    #[must_use]
    pub fn leaky(rate: Quota, queue: usize) -> Self {
        Self::new(rate.burst(1)).max_waiting(queue)
    }

    /// What the limiter is called in events and refusals; `"rate_limit"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How many may stand in line where calls [wait](super::RateLimitLayer::wait), by key for each key; 1000 by default. What
    /// comes then is refused. Where calls are refused at once it means nothing.
    #[must_use]
    pub const fn max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls;
        self
    }

    /// Where calls [wait](super::RateLimitLayer::wait), one that would have to wait longer is refused at once. Without it,
    /// which is the default, the length of the line and the call's deadline are the bounds. Of several limits the shortest
    /// holds for all.
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = Some(wait);
        self
    }

    pub(super) fn rules(&self) -> Result<Rules, InvalidRateLimit> {
        self.quota.rules(&self.name)
    }
}
