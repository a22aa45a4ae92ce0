use std::num::NonZeroU32;
use std::time::Duration;

use super::{InvalidRateLimit, Quota};
use crate::clock::nanos;
use crate::name::Name;

/// Faster than that, a nanosecond more between two tokens would be more than a thousandth.
const SHORTEST_INTERVAL: u64 = 1_000;

/// An empty bucket must be full again after this time, in nanoseconds; longer, and times would not fit any more.
const LONGEST_REFILL: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;

/// A quota that can be kept, in time.
///
/// The time between two tokens is longer than zero. Its seconds are fewer than 2³² (a hundred years), and a [`Duration`] that
/// is known to have no more is turned into nanoseconds, as `governor` does for each decision, without 128-bit arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Rules {
    seconds: u32,
    nanos: u32,
    pub(in super::super) burst: NonZeroU32,
}

impl Rules {
    pub(in super::super) fn new(interval: Duration, burst: NonZeroU32) -> Self {
        let seconds = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX);
        Self { seconds, nanos: interval.subsec_nanos(), burst }
    }

    /// Between two tokens.
    #[inline]
    pub(in super::super) const fn interval(self) -> Duration {
        Duration::new(self.seconds as u64, self.nanos)
    }

    /// How long an empty bucket takes to be full.
    pub(in super::super) fn refill(self) -> Duration {
        self.interval() * self.burst.get()
    }

    /// As numbers that fit atomics.
    pub(in super::super) const fn to_words(self) -> [u64; 2] {
        [(self.seconds as u64) << 32 | self.nanos as u64, self.burst.get() as u64]
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "each half is meant")]
    pub(in super::super) fn from_words([interval, burst]: [u64; 2]) -> Self {
        let burst = NonZeroU32::new(burst as u32).unwrap_or(NonZeroU32::MIN);
        Self { seconds: (interval >> 32) as u32, nanos: interval as u32, burst }
    }
}

impl Quota {
    pub(in super::super) fn rules(self, name: &Name) -> Result<Rules, InvalidRateLimit> {
        let Self { amount, per, burst } = self;
        if amount == 0 {
            return Err(InvalidRateLimit::ZeroAmount(*name));
        }
        let Some(burst) = NonZeroU32::new(burst.unwrap_or(amount)) else {
            return Err(InvalidRateLimit::ZeroBurst(*name));
        };
        let period = nanos(per);
        if period < SHORTEST_INTERVAL.saturating_mul(u64::from(amount)) {
            return Err(InvalidRateLimit::TooFast { name: *name, amount, per });
        }
        let interval = period.div_ceil(u64::from(amount));
        match interval.checked_mul(u64::from(burst.get())) {
            Some(refill) if refill <= LONGEST_REFILL => Ok(Rules::new(Duration::from_nanos(interval), burst)),
            _ => Err(InvalidRateLimit::TooSlow { name: *name, amount, per, burst: burst.get() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    fn rules(quota: Quota) -> Result<Rules, InvalidRateLimit> {
        quota.rules(&"orders".into())
    }

    fn interval(quota: Quota) -> Option<u128> {
        rules(quota).ok().map(|rules| rules.interval().as_nanos())
    }

    #[test]
    fn the_time_between_two_tokens_is_rounded_up() {
        assert_eq!(interval(Quota::per_second(1000)), Some(1_000_000));
        assert_eq!(interval(Quota::per_second(3)), Some(333_333_334));
        assert_eq!(interval(Quota::per_second(700_000)), Some(1_429), "not the 1428 that let 280 too many pass");
        assert_eq!(interval(Quota::per_second(1_000_000)), Some(1_000));
        assert_eq!(interval(Quota::per_hour(1)), Some(3_600_000_000_000));
        assert_eq!(interval(Quota::per_minute(60)), interval(Quota::per_second(1)));
    }

    #[test]
    fn the_burst_is_what_was_asked_for_or_the_amount() {
        let burst = |quota| rules(quota).map(|rules| rules.burst.get());
        assert_eq!(burst(Quota::per_second(1000)), Ok(1000));
        assert_eq!(burst(Quota::per_second(1000).burst(1)), Ok(1));
        assert_eq!(burst(Quota::per_second(1).burst(1000)), Ok(1000));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let name = || Name::from("orders");
        let zero = Quota::per_second(0);
        assert_eq!(rules(zero), Err(InvalidRateLimit::ZeroAmount(name())));
        assert_eq!(rules(Quota::per_second(1).burst(0)), Err(InvalidRateLimit::ZeroBurst(name())));
        for (amount, per) in [(1_000_001, SECOND), (1, Duration::ZERO), (1, Duration::from_nanos(999))] {
            let too_fast = InvalidRateLimit::TooFast { name: name(), amount, per };
            assert_eq!(rules(Quota::per(amount, per)), Err(too_fast));
        }
        for (amount, per, burst) in [(1, YEAR, 101), (1, Duration::MAX, 1), (u32::MAX, Duration::MAX, u32::MAX)] {
            let too_slow = InvalidRateLimit::TooSlow { name: name(), amount, per, burst };
            assert_eq!(rules(Quota::per(amount, per).burst(burst)), Err(too_slow));
        }
        assert!(rules(Quota::per(1, YEAR).burst(100)).is_ok());
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rules_survive_the_way_into_words_and_back() {
        for quota in [Quota::per_second(1_000_000), Quota::per(3, SECOND).burst(u32::MAX), Quota::per(1, 100 * YEAR)] {
            let rules = rules(quota).expect("valid");
            assert_eq!(Rules::from_words(rules.to_words()), rules);
            assert_eq!(rules.interval().as_nanos(), nanos(quota.per).div_ceil(quota.amount.into()).into());
        }
    }

    proptest! {
        #[test]
        fn no_quota_lets_more_pass_than_it_says(amount in 1..=u32::MAX, nanos: u64, burst: u32) {
            let per = Duration::from_nanos(nanos);
            if let Ok(rules) = rules(Quota::per(amount, per).burst(burst)) {
                let interval = rules.interval().as_nanos();
                prop_assert!(interval * u128::from(amount) >= per.as_nanos());
                prop_assert!((interval - 1) * u128::from(amount) < per.as_nanos());
                prop_assert!(rules.refill() <= Duration::from_nanos(LONGEST_REFILL));
            }
        }
    }
}
