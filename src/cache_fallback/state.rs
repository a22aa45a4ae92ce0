//! How long an answer is good for, and for what.

use std::time::Duration;

use super::config::ReadThroughConfig;
use crate::clock::Moment;

/// How long whoever gave an answer allows it to be used, in its own words; `None` where it says nothing.
///
/// It can only shorten what the [settings](super::CacheFallbackConfig) say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// How old it was when it came.
    pub age: Duration,
    /// How old it may be when it is told without asking.
    pub fresh: Option<Duration>,
    /// For how long it may be told when it is no longer fresh, while another one is asked for.
    pub stale_while_revalidate: Option<Duration>,
    /// How old it may be when it stands in for a failure.
    pub stale_if_error: Option<Duration>,
}

/// How long the settings of a read-through allow answers to be told without asking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Times {
    /// In nanoseconds, as all that is reckoned with for each answer that is told.
    fresh: u64,
    stale_while_revalidate: u64,
    /// In parts of 65536.
    jitter: u64,
}

impl Times {
    pub(super) fn of(config: &ReadThroughConfig) -> Self {
        let ReadThroughConfig { fresh, stale_while_revalidate, jitter, .. } = *config;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a share of one")]
        let jitter = (jitter * 65536.0) as u64;
        Self { fresh: nanos(fresh), stale_while_revalidate: nanos(stale_while_revalidate), jitter }
    }
}

/// Numbers that lie close together, or at regular distances, far from each other (multiplied by the golden ratio, and once more
/// with the upper half in the lower one).
const fn spread(number: u64) -> u64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let product = number.wrapping_mul(GOLDEN);
    (product ^ (product >> 32)).wrapping_mul(GOLDEN)
}

/// Saturates as moments do.
fn nanos(duration: Duration) -> u64 {
    (Moment::EPOCH + duration).to_nanos()
}

/// How an answer stands with whoever would be told it without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// For so long yet.
    Fresh { age: Duration, ttl: Duration },
    /// It was, so long ago, and is told as long as another one is asked for.
    Refreshing { age: Duration, stale_for: Duration },
    /// It is told to nobody before the service was asked.
    Old,
}

/// When an answer was given, and how old it may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    kept_at: Moment,
    /// In nanoseconds, as what follows.
    age_when_kept: u64,
    longest: u64,
    allowed_fresh: u64,
    allowed_stale: u64,
}

impl Life {
    /// Of an answer that is kept now, and may stand in until it is `longest` old unless less is allowed.
    pub(super) fn begin(now: Moment, longest: Duration, allowed: Allowed) -> Self {
        let Allowed { age, fresh, stale_while_revalidate, stale_if_error } = allowed;
        Self {
            kept_at: now,
            age_when_kept: nanos(age),
            longest: nanos(stale_if_error.map_or(longest, |allowed| allowed.min(longest))),
            allowed_fresh: fresh.map_or(u64::MAX, nanos),
            allowed_stale: stale_while_revalidate.map_or(u64::MAX, nanos),
        }
    }

    pub(super) fn age(&self, now: Moment) -> Duration {
        Duration::from_nanos(self.nanos_at(now))
    }

    const fn nanos_at(&self, now: Moment) -> u64 {
        self.age_when_kept.saturating_add(now.to_nanos().saturating_sub(self.kept_at.to_nanos()))
    }

    /// How old it is, if it may stand in for a failure now, where nothing may that is older than `most`.
    pub(super) fn may_stand_in(&self, now: Moment, most: Duration) -> Option<Duration> {
        let age = self.nanos_at(now);
        (age <= self.longest.min(nanos(most))).then_some(Duration::from_nanos(age))
    }

    /// Whether it may be told now without asking; `unasked`: to somebody who takes none that is older than that.
    pub(super) fn standing(&self, now: Moment, times: &Times, unasked: Option<Duration>) -> Standing {
        let (age, fresh_for) = (self.nanos_at(now), self.fresh_for(times));
        if age < fresh_for {
            let is_wanted = unasked.is_none_or(|most| !most.is_zero() && age <= nanos(most));
            let (age, ttl) = (Duration::from_nanos(age), Duration::from_nanos(fresh_for - age));
            return if is_wanted { Standing::Fresh { age, ttl } } else { Standing::Old };
        }
        let stale_for = age - fresh_for;
        // Who says how old it may be takes none that is fresh no more.
        if unasked.is_none() && stale_for < times.stale_while_revalidate.min(self.allowed_stale) {
            return Standing::Refreshing { age: Duration::from_nanos(age), stale_for: Duration::from_nanos(stale_for) };
        }
        Standing::Old
    }

    /// No two answers that come one after the other are fresh for the same time.
    fn fresh_for(&self, times: &Times) -> u64 {
        let longest = times.fresh.min(self.allowed_fresh);
        let chance = spread(self.kept_at.to_nanos()) >> 48;
        let share = (chance * times.jitter) >> 16;
        longest - (longest >> 16) * share
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Moment {
        Moment::EPOCH + seconds * SEC
    }

    #[test]
    fn an_answer_stands_in_until_it_is_as_old_as_it_may_be_and_no_longer() {
        let life = Life::begin(at(10), 30 * SEC, Allowed::default());
        assert_eq!(life.may_stand_in(at(10), Duration::MAX), Some(Duration::ZERO));
        assert_eq!(life.may_stand_in(at(40), Duration::MAX), Some(30 * SEC));
        assert_eq!(life.may_stand_in(at(40) + Duration::from_nanos(1), Duration::MAX), None);
        assert_eq!(life.may_stand_in(Moment::MAX, Duration::MAX), None);
    }

    #[test]
    fn an_answer_that_was_old_when_it_came_is_older_now() {
        let life = Life::begin(at(10), 30 * SEC, Allowed { age: 20 * SEC, ..Allowed::default() });
        assert_eq!(life.may_stand_in(at(20), Duration::MAX), Some(30 * SEC));
        assert_eq!(life.may_stand_in(at(21), Duration::MAX), None);
        let ancient = Life::begin(at(10), Duration::MAX, Allowed { age: Duration::MAX, ..Allowed::default() });
        let ages = Some(Duration::from_nanos(u64::MAX));
        assert_eq!(ancient.may_stand_in(at(20), Duration::MAX), ages, "it is added up without overflow");
    }

    #[test]
    fn whoever_asks_may_want_a_younger_one() {
        let life = Life::begin(at(10), 30 * SEC, Allowed::default());
        assert_eq!(life.may_stand_in(at(15), 5 * SEC), Some(5 * SEC));
        assert_eq!(life.may_stand_in(at(16), 5 * SEC), None);
        assert_eq!(life.may_stand_in(at(41), 90 * SEC), None, "and gets no older one");
    }

    #[test]
    fn a_clock_that_runs_backwards_makes_nothing_older() {
        let life = Life::begin(at(10), 30 * SEC, Allowed::default());
        assert_eq!(life.may_stand_in(at(5), Duration::MAX), Some(Duration::ZERO));
    }

    /// Fresh for 10 s, and told for 20 s more.
    fn times() -> Times {
        Times::of(&ReadThroughConfig::new(10 * SEC).stale_while_revalidate(20 * SEC).jitter(0.0))
    }

    fn plain() -> Life {
        Life::begin(at(0), 60 * SEC, Allowed::default())
    }

    #[test]
    fn an_answer_is_fresh_then_told_while_another_is_asked_for_and_then_told_to_nobody() {
        let (life, instant) = (plain(), Duration::from_nanos(1));
        let fresh = |age: Duration| Standing::Fresh { age, ttl: 10 * SEC - age };
        let refreshing = |age: Duration| Standing::Refreshing { age, stale_for: age - 10 * SEC };
        for (age, standing) in [
            (Duration::ZERO, fresh(Duration::ZERO)),
            (10 * SEC - instant, fresh(10 * SEC - instant)),
            (10 * SEC, refreshing(10 * SEC)),
            (30 * SEC - instant, refreshing(30 * SEC - instant)),
            (30 * SEC, Standing::Old),
        ] {
            assert_eq!(life.standing(at(0) + age, &times(), None), standing, "{age:?}");
        }
    }

    #[test]
    fn who_wants_a_younger_one_is_told_no_older_one_and_none_that_is_stale() {
        let life = plain();
        assert_eq!(life.standing(at(4), &times(), Some(4 * SEC)), Standing::Fresh { age: 4 * SEC, ttl: 6 * SEC });
        assert_eq!(life.standing(at(4), &times(), Some(3 * SEC)), Standing::Old);
        assert_eq!(life.standing(at(0), &times(), Some(Duration::ZERO)), Standing::Old, "zero is never");
        assert_eq!(life.standing(at(12), &times(), Some(90 * SEC)), Standing::Old);
    }

    #[test]
    fn nothing_is_fresh_for_no_time_at_all() {
        let never = Times::of(&ReadThroughConfig::new(Duration::ZERO).jitter(0.0));
        assert_eq!(plain().standing(at(0), &never, None), Standing::Old);
    }

    #[test]
    fn what_was_allowed_shortens_both_times() {
        let allowed = Allowed { fresh: Some(4 * SEC), stale_while_revalidate: Some(2 * SEC), ..Allowed::default() };
        let life = Life::begin(at(0), 60 * SEC, allowed);
        assert_eq!(life.standing(at(3), &times(), None), Standing::Fresh { age: 3 * SEC, ttl: SEC });
        assert_eq!(life.standing(at(5), &times(), None), Standing::Refreshing { age: 5 * SEC, stale_for: SEC });
        assert_eq!(life.standing(at(6), &times(), None), Standing::Old);
    }

    #[test]
    fn answers_that_come_at_regular_moments_go_at_irregular_ones() {
        let times = Times::of(&ReadThroughConfig::new(1000 * SEC).jitter(0.5));
        let ttl = |second| match Life::begin(at(second), Duration::MAX, Allowed::default()).standing(
            at(second),
            &times,
            None,
        ) {
            Standing::Fresh { ttl, .. } => ttl.as_secs() / 50,
            standing => panic!("{standing:?}"),
        };
        let tenths = (0..200).map(ttl).collect::<std::collections::BTreeSet<_>>();
        assert!(tenths.len() >= 9, "{tenths:?}");
    }

    proptest! {
        #[test]
        fn jitter_takes_no_more_than_its_share(kept_at: u32, fresh in 1..u64::MAX, jitter in 0.0..1.0) {
            let times = Times::of(&ReadThroughConfig::new(Duration::from_nanos(fresh)).jitter(jitter));
            let life = Life::begin(at(kept_at), Duration::MAX, Allowed::default());
            let Standing::Fresh { ttl, .. } = life.standing(at(kept_at), &times, None) else {
                return Err(TestCaseError::fail("it is fresh at first"));
            };
            prop_assert!(ttl <= Duration::from_nanos(fresh));
            prop_assert!(ttl.as_secs_f64() >= fresh as f64 / 1e9 * (1.0 - jitter) * 0.999_999);
        }

        #[test]
        fn what_is_allowed_only_shortens(longest: u32, allowed: Option<u32>, age: u16, later: u32) {
            let allowed = Allowed {
                age: u32::from(age) * SEC,
                stale_if_error: allowed.map(|allowed| allowed * SEC),
                ..Allowed::default()
            };
            let life = Life::begin(at(0), longest * SEC, allowed);
            let reference = u64::from(age) + u64::from(later);
            let most = u64::from(longest).min(allowed.stale_if_error.map_or(u64::MAX, |allowed| allowed.as_secs()));
            let may = (reference <= most).then(|| Duration::from_secs(reference));
            prop_assert_eq!(life.may_stand_in(at(later), Duration::MAX), may);
        }
    }
}
