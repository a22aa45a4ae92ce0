use std::time::Duration;

use crate::rate_limit::RateLimitConfig;
use crate::timeout::TimeoutConfig;

const DOOR: Duration = Duration::from_secs(30);

/// The settings of a [`server_stack`](super::super::server_stack).
///
/// ```
/// use std::time::Duration;
/// use buttress::http::ServerStackConfig;
/// use buttress::rate_limit::{Quota, RateLimitConfig};
/// use buttress::timeout::TimeoutConfig;
///
/// let config = ServerStackConfig::new()
///     .rate_limit(RateLimitConfig::new(Quota::per_second(1000)))
///     .door(TimeoutConfig::new(Duration::from_secs(5)));
/// # let _ = config;
/// ```
///
/// With the feature `serde` it reads from files. What is left out has its default; `null` leaves the limit or the door out,
/// and `false` the attention to inbound attempts:
///
/// ```json
/// {
///   "rate_limit": { "quota": { "amount": 1000, "per": "1s" } },
///   "inbound_attempts": true,
///   "door": { "limit": "5s" }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ServerStackConfig {
    pub(super) rate_limit: Option<RateLimitConfig>,
    pub(super) inbound_attempts: bool,
    pub(super) door: Option<TimeoutConfig>,
}

impl ServerStackConfig {
    /// Settings that suit most: 30 s for each request, attention to inbound attempts, and no rate limit, since how much is too
    /// much only you know.
    #[must_use]
    pub fn new() -> Self {
        Self { rate_limit: None, inbound_attempts: true, door: Some(TimeoutConfig::new(DOOR)) }
    }

    /// Refuses what is more than this.
    #[must_use]
    pub fn rate_limit(mut self, rate_limit: RateLimitConfig) -> Self {
        self.rate_limit = Some(rate_limit);
        self
    }

    /// Does not look which attempt a request is, nor says that one is of no use to repeat; see
    /// [`InboundAttempts`](crate::http::InboundAttempts).
    #[must_use]
    pub const fn without_inbound_attempts(mut self) -> Self {
        self.inbound_attempts = false;
        self
    }

    /// How long a request may take; 30 s by default. It is called `"door"` unless it has a name.
    #[must_use]
    pub fn door(mut self, door: TimeoutConfig) -> Self {
        self.door = Some(door);
        self
    }

    /// A request takes as long as the handler does.
    #[must_use]
    pub fn without_door(mut self) -> Self {
        self.door = None;
        self
    }
}

impl Default for ServerStackConfig {
    fn default() -> Self {
        Self::new()
    }
}
