use std::time::Duration;

/// How long to wait before each retry.
///
/// The wait grows by a factor from one retry to the next, up to a cap, and chance takes a part of it away, so that callers
/// that failed together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use buttress::retry::{Backoff, Spread};
///
/// let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2)).spread(Spread::Equal);
/// assert_eq!(backoff.ceiling(1), Duration::from_millis(50));
/// assert_eq!(backoff.ceiling(3), Duration::from_millis(200));
/// assert_eq!(backoff.ceiling(30), Duration::from_secs(2));
/// ```
///
/// The kinds of spread, and that full is the best of them at the same load:
/// [Exponential Backoff And Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) (2015).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Backoff {
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(in super::super) base: Duration,
    pub(in super::super) factor: f64,
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(in super::super) cap: Duration,
    pub(in super::super) spread: Spread,
}

/// Which part of a wait is left to chance (the jitter). No wait is ever longer than the cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Spread {
    /// All of it: from nothing to the whole wait.
    #[default]
    Full,
    /// Half of it: from half the wait to the whole.
    Equal,
    /// From the base to three times the wait before, up to the cap, which must be longer than the base; the factor plays
    /// no part.
    Decorrelated,
    /// None. Callers that failed together come back together: for a single caller, and for tests.
    None,
}

impl Backoff {
    /// At first up to `base`, each time twice as much, up to `cap`; fully spread.
    #[must_use]
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self { base, factor: 2.0, cap, spread: Spread::Full }
    }

    /// The same `wait` each time, fully spread.
    #[must_use]
    pub const fn constant(wait: Duration) -> Self {
        Self { base: wait, factor: 1.0, cap: wait, spread: Spread::Full }
    }

    /// By how much the wait grows each time; at least 1.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Which part of a wait is left to chance.
    #[must_use]
    pub const fn spread(mut self, spread: Spread) -> Self {
        self.spread = spread;
        self
    }

    /// The longest that the wait before retry number `retry`, counted from 1, can be.
    #[must_use]
    pub fn ceiling(&self, retry: u32) -> Duration {
        let times = match self.spread {
            // The longest wait is three times the longest before.
            Spread::Decorrelated => 3_f64.powf(f64::from(retry)),
            Spread::Full | Spread::Equal | Spread::None => self.factor.powf(f64::from(retry.saturating_sub(1))),
        };
        if self.base.is_zero() {
            return Duration::ZERO;
        }
        // The settings may not be checked yet.
        let nanos = self.base.as_nanos() as f64 * times.max(1.0);
        if nanos < self.cap.as_nanos() as f64 { Duration::from_secs_f64(nanos / 1e9) } else { self.cap }
    }
}

impl Default for Backoff {
    /// From 100 ms, twice as much each time, up to 10 s, fully spread. 100 ms is longer than most hiccups, and 10 s about as
    /// long as anybody waits for an answer.
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100), Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_wait_doubles_up_to_the_cap() {
        let backoff = Backoff::default();
        let ceilings: Vec<_> = (1..=9).map(|retry| backoff.ceiling(retry).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.ceiling(u32::MAX), 10_000 * MS);
    }

    #[test]
    fn a_constant_wait_is_always_the_same() {
        for retry in [1, 2, 1000] {
            assert_eq!(Backoff::constant(7 * MS).ceiling(retry), 7 * MS);
        }
    }

    #[test]
    fn settings_that_are_not_checked_yet_have_a_ceiling_too() {
        for factor in [-2.0, 0.0, f64::NAN, f64::INFINITY, 1e200] {
            let nothing = Backoff::exponential(Duration::ZERO, Duration::from_secs(10)).factor(factor);
            let something = Backoff::default().factor(factor);
            for retry in [1, 2, 3, 1100, u32::MAX] {
                assert_eq!(nothing.ceiling(retry), Duration::ZERO);
                assert!((100 * MS..=10_000 * MS).contains(&something.ceiling(retry)), "{factor}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_ceiling_is_from_base_to_cap_and_never_falls(base: u64, more: u64, factor in 1.0..1e9, retry in 1..u32::MAX) {
            let (base, cap) = (Duration::from_nanos(base), Duration::from_nanos(base) + Duration::from_nanos(more));
            let backoff = Backoff::exponential(base, cap).factor(factor);
            let ceiling = backoff.ceiling(retry);
            prop_assert!(ceiling <= cap);
            prop_assert!(ceiling >= Duration::from_secs_f64(base.as_secs_f64() * (1.0 - 1e-9)));
            prop_assert!(backoff.ceiling(retry + 1) >= ceiling);
        }
    }
}
