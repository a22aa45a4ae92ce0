use std::time::Duration;

use super::{CircuitBreakerConfig, InvalidCircuitBreaker, Rules};

/// The settings of circuit breakers by key.
///
/// A [`CircuitBreakerConfig`] alone will do: the breakers by key then have these defaults.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct KeyedConfig {
    pub(in super::super) breaker: CircuitBreakerConfig,
    pub(in super::super) max_keys: usize,
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(in super::super) forget_after: Duration,
    pub(in super::super) without_key: WithoutKey,
}

/// What becomes of a call that has no key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WithoutKey {
    /// All of them share one breaker.
    #[default]
    Share,
    /// It passes, and is not counted.
    Pass,
}

impl KeyedConfig {
    /// For each key a breaker with these settings; at most 10 000 keys, each forgotten when it was not used for 10 minutes.
    #[must_use]
    pub const fn new(breaker: CircuitBreakerConfig) -> Self {
        Self { breaker, max_keys: 10_000, forget_after: Duration::from_secs(600), without_key: WithoutKey::Share }
    }

    /// How many keys have a breaker of their own; 10 000 by default, which takes up to 20 MB (and, with a time window, 256
    /// bytes more for each key and processor). A new key beyond that takes the place of one that was not used lately, and
    /// whose circuit is closed or has come to the end of its open time. If there is none, it shares the
    /// [overflow](crate::circuit_breaker::KeyedCircuitBreaker::overflow).
    ///
    /// Refusals name the key, until the process has kept a mebibyte of such names. From then on new keys are refused by the
    /// name of all; their changes are told with the key as before.
    #[must_use]
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// A key that was not used for this time is forgotten, and begins anew when it comes again; 10 minutes by default. Keys
    /// are looked through as new ones come, so without new keys they stay.
    #[must_use]
    pub const fn forget_after(mut self, idle: Duration) -> Self {
        self.forget_after = idle;
        self
    }

    /// What becomes of a call that has no key; they share one breaker by default.
    #[must_use]
    pub const fn without_key(mut self, calls: WithoutKey) -> Self {
        self.without_key = calls;
        self
    }

    pub(in super::super) fn rules(&self) -> Result<Rules, InvalidCircuitBreaker> {
        if self.max_keys == 0 {
            return Err(InvalidCircuitBreaker::ZeroKeys(self.breaker.name));
        }
        if self.forget_after.is_zero() {
            return Err(InvalidCircuitBreaker::ZeroForgetAfter(self.breaker.name));
        }
        self.breaker.rules()
    }
}

impl Default for KeyedConfig {
    fn default() -> Self {
        Self::new(CircuitBreakerConfig::new())
    }
}

impl From<CircuitBreakerConfig> for KeyedConfig {
    fn from(breaker: CircuitBreakerConfig) -> Self {
        Self::new(breaker)
    }
}
