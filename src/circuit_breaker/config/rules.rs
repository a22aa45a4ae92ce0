use std::time::Duration;

use super::{CircuitBreakerConfig, InvalidCircuitBreaker, WhenDropped};
use crate::name::Name;

/// As many as a breaker remembers one by one.
const MOST_CALLS: u32 = 2048;

const MOST_PROBES: u32 = 32;

/// Below that a window's buckets would be shorter than what a clock can tell apart.
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);

const DEFAULT_MINIMUM: u32 = 20;
const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Trips by rates among exactly the last calls.
///
/// It reacts as fast as there is traffic, and remembers for as long as there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct LastCalls {
    calls: u32,
    #[cfg_attr(feature = "serde", serde(default = "default_failure_rate"))]
    failure_rate: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    slow_rate: Option<f64>,
    #[cfg_attr(feature = "serde", serde(default))]
    minimum_calls: Option<u32>,
}

/// Trips by rates within a time that moves along.
///
/// Time is counted in ten buckets, so what is remembered is between nine and ten tenths of the window. It costs one clock
/// reading a call.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct TimeWindow {
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    length: Duration,
    #[cfg_attr(feature = "serde", serde(default = "default_failure_rate"))]
    failure_rate: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    slow_rate: Option<f64>,
    #[cfg_attr(feature = "serde", serde(default))]
    minimum_calls: Option<u32>,
}

const fn default_failure_rate() -> f64 {
    0.5
}

macro_rules! rates {
    ($window:ty) => {
        impl $window {
            /// Trips when at least this share of the calls failed; more than 0, at most 1, to the millionth. 0.5 by default.
            #[must_use]
            pub const fn failure_rate(mut self, rate: f64) -> Self {
                self.failure_rate = rate;
                self
            }

            /// Trips when at least this share of the calls was
            /// [slow](crate::circuit_breaker::CircuitBreakerConfig::slow_call_threshold); more than 0, at most 1, to the
            /// millionth. Not at all by default.
            #[must_use]
            pub const fn slow_rate(mut self, rate: f64) -> Self {
                self.slow_rate = Some(rate);
                self
            }

            /// Trips only when there were at least this many `calls`; 20 by default, or all of the last calls if those are
            /// fewer.
            #[must_use]
            pub const fn minimum_calls(mut self, calls: u32) -> Self {
                self.minimum_calls = Some(calls);
                self
            }
        }
    };
}

rates!(LastCalls);
rates!(TimeWindow);

impl LastCalls {
    /// The last `calls`, 1 to 2048. A call that means nothing to the breaker is none of them.
    #[must_use]
    pub const fn new(calls: u32) -> Self {
        Self { calls, failure_rate: default_failure_rate(), slow_rate: None, minimum_calls: None }
    }
}

impl TimeWindow {
    /// The calls of the last `length`, at least 10 ms.
    #[must_use]
    pub const fn new(length: Duration) -> Self {
        Self { length, failure_rate: default_failure_rate(), slow_rate: None, minimum_calls: None }
    }
}

/// The settings, checked, and as the decision asks for them.
#[derive(Clone, Debug)]
pub(in super::super) struct Rules {
    pub(in super::super) consecutive_failures: Option<u32>,
    pub(in super::super) last_calls: Option<(u32, Rates)>,
    pub(in super::super) time_window: Option<(Duration, Rates)>,
    pub(in super::super) slow_call_threshold: Option<Duration>,
    pub(in super::super) first_open: Duration,
    pub(in super::super) longest_open: Duration,
    pub(in super::super) jitter: f64,
    pub(in super::super) longest_hint: Duration,
    pub(in super::super) stable_after: Duration,
    pub(in super::super) permitted_probes: usize,
    pub(in super::super) successes_to_close: u32,
    pub(in super::super) allowed_failures: u32,
    pub(in super::super) probe_lease: Duration,
    pub(in super::super) dropped_fails: bool,
}

/// When the calls of a window are too bad.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Rates {
    pub(in super::super) minimum_calls: u32,
    pub(in super::super) failures: Rate,
    pub(in super::super) slow: Option<Rate>,
}

/// A share in millionths, so that 7 of 100 is exactly 0.07.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Rate(u32);

impl Rate {
    pub(in super::super) fn is_reached(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 1_000_000 >= u128::from(self.0) * u128::from(whole)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was compared with both ends")]
    fn new(rate: f64) -> Option<Self> {
        // What a product of fractions lacks is added, and what does not fill a millionth is dropped: two thirds are reached
        // by 2 of 3.
        let millionths = (rate * 1e6 + 1e-3).floor();
        (1.0..=1e6).contains(&millionths).then_some(Self(millionths as u32))
    }
}

impl CircuitBreakerConfig {
    /// Trips by this window, where it was given no rule.
    #[allow(dead_code, reason = "asked only by the ready stacks of the feature `http`")]
    pub(crate) fn or_time_window(self, window: TimeWindow) -> Self {
        if self.has_rule() { self } else { self.time_window(window) }
    }

    const fn has_rule(&self) -> bool {
        self.consecutive_failures.is_some() || self.last_calls.is_some() || self.time_window.is_some()
    }

    /// What the decision is made by.
    pub(in super::super) fn rules(&self) -> Result<Rules, InvalidCircuitBreaker> {
        let name = || self.name;
        let last_calls = if self.has_rule() { self.last_calls } else { Some(LastCalls::new(100)) };

        if self.consecutive_failures == Some(0) {
            return Err(InvalidCircuitBreaker::ZeroConsecutiveFailures(name()));
        }
        let last_calls = last_calls.map(|window| window.checked(&self.name)).transpose()?;
        let time_window = self.time_window.map(|window| window.checked(&self.name)).transpose()?;
        let rates = last_calls.iter().map(|(_, rates)| rates).chain(time_window.iter().map(|(_, rates)| rates));
        let has_slow_rate = rates.into_iter().any(|rates| rates.slow.is_some());
        match self.slow_call_threshold {
            Some(Duration::ZERO) => return Err(InvalidCircuitBreaker::ZeroSlowCallThreshold(name())),
            Some(_) if !has_slow_rate => return Err(InvalidCircuitBreaker::NoSlowRate(name())),
            None if has_slow_rate => return Err(InvalidCircuitBreaker::NoSlowCallThreshold(name())),
            _ => {}
        }
        let (first, longest) = (self.open_for.first, self.open_for.longest.unwrap_or(self.open_for.first));
        if first.is_zero() || longest < first {
            return Err(InvalidCircuitBreaker::OpenFor { name: name(), first, longest });
        }
        let jitter = self.open_for.jitter;
        if !(0.0..=1.0).contains(&jitter) {
            return Err(InvalidCircuitBreaker::Jitter { name: name(), jitter });
        }
        let probes = self.permitted_probes;
        if !(1..=MOST_PROBES).contains(&probes) {
            return Err(InvalidCircuitBreaker::PermittedProbes { name: name(), probes });
        }
        if self.successes_to_close == 0 {
            return Err(InvalidCircuitBreaker::ZeroSuccessesToClose(name()));
        }
        let lease = self.lease();
        if lease.is_zero() {
            return Err(InvalidCircuitBreaker::ZeroProbeLease(name()));
        }
        Ok(Rules {
            consecutive_failures: self.consecutive_failures,
            last_calls,
            time_window,
            slow_call_threshold: self.slow_call_threshold,
            first_open: first,
            longest_open: longest,
            jitter,
            longest_hint: self.longest_hint,
            stable_after: self.stable_after,
            permitted_probes: probes as usize,
            successes_to_close: self.successes_to_close,
            allowed_failures: self.allowed_failures,
            probe_lease: lease,
            dropped_fails: self.when_dropped == WhenDropped::Failure,
        })
    }

    /// How long a probe may take.
    pub(crate) fn lease(&self) -> Duration {
        let slow = self.slow_call_threshold.map(|threshold| threshold.saturating_mul(2));
        self.probe_lease.or(slow).unwrap_or(DEFAULT_LEASE)
    }

    /// How long what happened is remembered, where that is counted in time.
    #[allow(dead_code, reason = "asked only by the ready stacks of the feature `http`")]
    pub(crate) fn window(&self) -> Option<Duration> {
        self.time_window.map(|window| window.length)
    }

    /// Whether a call can be too slow, whatever its answer.
    #[allow(dead_code, reason = "asked only by the ready stacks of the feature `http`")]
    pub(crate) const fn has_slow_calls(&self) -> bool {
        self.slow_call_threshold.is_some()
    }
}

impl LastCalls {
    fn checked(self, name: &Name) -> Result<(u32, Rates), InvalidCircuitBreaker> {
        let Self { calls, failure_rate, slow_rate, minimum_calls } = self;
        if !(1..=MOST_CALLS).contains(&calls) {
            return Err(InvalidCircuitBreaker::LastCalls { name: *name, calls });
        }
        let minimum = minimum_calls.unwrap_or(calls.min(DEFAULT_MINIMUM));
        if minimum > calls {
            return Err(InvalidCircuitBreaker::MinimumCalls { name: *name, minimum });
        }
        Ok((calls, Rates::checked(name, minimum, failure_rate, slow_rate)?))
    }
}

impl TimeWindow {
    fn checked(self, name: &Name) -> Result<(Duration, Rates), InvalidCircuitBreaker> {
        let Self { length, failure_rate, slow_rate, minimum_calls } = self;
        if length < SHORTEST_WINDOW {
            return Err(InvalidCircuitBreaker::TimeWindow { name: *name, length });
        }
        let minimum = minimum_calls.unwrap_or(DEFAULT_MINIMUM);
        Ok((length, Rates::checked(name, minimum, failure_rate, slow_rate)?))
    }
}

impl Rates {
    fn checked(name: &Name, minimum: u32, failures: f64, slow: Option<f64>) -> Result<Self, InvalidCircuitBreaker> {
        if minimum == 0 {
            return Err(InvalidCircuitBreaker::MinimumCalls { name: *name, minimum });
        }
        let rate = |setting, rate| Rate::new(rate).ok_or(InvalidCircuitBreaker::Rate { name: *name, setting, rate });
        let slow = slow.map(|slow| rate("slow_rate", slow)).transpose()?;
        Ok(Self { minimum_calls: minimum, failures: rate("failure_rate", failures)?, slow })
    }
}
