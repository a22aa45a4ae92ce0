use super::{InvalidRateLimit, RateLimitConfig, Rules};

/// The settings of a rate limiter by key.
///
/// A [`RateLimitConfig`] alone will do: the limiter by key then has these defaults. What is about each key (its name in
/// events, its quota, its line) is set there; what is about all of them, here.
///
/// ```
/// use buttress::rate_limit::{KeyedConfig, Quota, RateLimitConfig, WithoutKey};
///
/// let each = RateLimitConfig::new(Quota::per_minute(60).burst(10)).name("api keys");
/// let config = KeyedConfig::new(each).max_keys(20_000).without_key(WithoutKey::Refuse);
/// # let _ = config;
/// ```
///
/// In a settings file (all but `limit` may be left out):
///
/// ```json
/// {
///   "limit": { "name": "api keys", "quota": { "amount": 60, "per": "1m", "burst": 10 } },
///   "max_keys": 20000,
///   "without_key": "refuse",
///   "when_full": "share"
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct KeyedConfig {
    pub(in super::super) limit: RateLimitConfig,
    #[cfg_attr(feature = "serde", serde(default = "default_max_keys"))]
    pub(in super::super) max_keys: usize,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(in super::super) without_key: WithoutKey,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(in super::super) when_full: WhenFull,
}

const fn default_max_keys() -> usize {
    100_000
}

/// What becomes of a call that has no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WithoutKey {
    /// All of them share one quota, so that leaving the key away gains nothing.
    #[default]
    Share,
    /// It is refused; over HTTP with a 400, unless [`AsResponse`](crate::http::AsResponse) is told otherwise.
    Refuse,
    /// It passes, and nothing is taken.
    Pass,
}

/// What becomes of a new key's calls when there is no place for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WhenFull {
    /// All such keys share one quota.
    #[default]
    Share,
    /// They are refused.
    Refuse,
}

impl KeyedConfig {
    /// For each key a quota of its own with these settings, for at most 100 000 keys at a time.
    #[must_use]
    pub const fn new(limit: RateLimitConfig) -> Self {
        Self { limit, max_keys: default_max_keys(), without_key: WithoutKey::Share, when_full: WhenFull::Share }
    }

    /// What is set for each key, to [`reconfigure`](super::super::KeyedRateLimiter::reconfigure) with it.
    #[must_use]
    pub const fn limit(&self) -> &RateLimitConfig {
        &self.limit
    }

    /// How many keys are remembered at a time; 100 000 by default, which takes at most 2.4 MB.
    ///
    /// A key is remembered only until its bucket is full again; from then on it is as if it had never come, and its place
    /// is free. No key that owes anything is forgotten for the sake of another. Where a key may stand is a matter of chance, so
    /// the last few places of a table may stay free while new keys are turned away.
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// What becomes of a call that has no key; they share one quota by default.
    #[must_use]
    pub const fn without_key(mut self, calls: WithoutKey) -> Self {
        self.without_key = calls;
        self
    }

    /// What becomes of a new key's calls when there is no place for it; such keys share one quota by default.
    #[must_use]
    pub const fn when_full(mut self, calls: WhenFull) -> Self {
        self.when_full = calls;
        self
    }

    pub(in super::super) fn rules(&self) -> Result<Rules, InvalidRateLimit> {
        if self.max_keys == 0 {
            return Err(InvalidRateLimit::ZeroKeys(self.limit.name));
        }
        self.limit.rules()
    }
}

impl From<RateLimitConfig> for KeyedConfig {
    fn from(limit: RateLimitConfig) -> Self {
        Self::new(limit)
    }
}
