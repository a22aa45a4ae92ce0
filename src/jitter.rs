//! Chance, where many callers must not do the same thing at the same time.

use std::time::Duration;

use fastrand::Rng;

/// A source of random waits.
///
/// It is not `Clone`: a cloned source repeats itself, and callers that repeat each other come back together, which is
/// what jitter is there to prevent. Seed it in a test to see the same waits each time.
///
/// ```
/// use std::time::Duration;
/// use buttress::jitter::Jitter;
///
/// let cap = Duration::from_millis(100);
/// let mut jitter = Jitter::seeded(7);
/// let first = jitter.between(Duration::ZERO, cap);
/// assert!(first <= cap);
/// assert_eq!(Jitter::seeded(7).between(Duration::ZERO, cap), first);
/// ```
#[derive(Debug)]
pub struct Jitter(Rng);

impl Jitter {
    /// A source that differs from every other.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default that differs each time surprises")]
    pub fn new() -> Self {
        Self(Rng::new())
    }

    /// A source that repeats what any other with this seed gives.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Another source, which differs from this one and all that this one makes; the same each time if this one was
    /// [seeded](Self::seeded).
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// A wait from `least` to `most`, both included, all equally likely; `least` if there is nothing in between.
    ///
    /// Both are counted in whole nanoseconds and saturate at 584 years.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let spread = most.saturating_sub(least).as_nanos();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX);
        least.saturating_add(Duration::from_nanos(self.0.u64(0..=spread)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bounds(seed: u64, least: u64, spread: u64) {
            let least = Duration::from_nanos(least);
            let most = least + Duration::from_nanos(spread);
            let wait = Jitter::seeded(seed).between(least, most);
            prop_assert!(least <= wait && wait <= most);
        }
    }

    #[test]
    fn both_bounds_are_reached_and_the_middle_is_the_mean() {
        let mut jitter = Jitter::seeded(1);
        let waits: Vec<u128> =
            (0..10_000).map(|_| jitter.between(Duration::from_nanos(2), Duration::from_nanos(6)).as_nanos()).collect();
        for bound in 2..=6 {
            let hits = waits.iter().filter(|wait| **wait == bound).count();
            assert!((1700..2300).contains(&hits), "{bound} came {hits} times of 2000");
        }
    }

    #[test]
    fn bounds_in_the_wrong_order_give_the_lower_one() {
        let mut jitter = Jitter::seeded(1);
        assert_eq!(jitter.between(Duration::from_secs(2), Duration::from_secs(1)), Duration::from_secs(2));
        assert_eq!(jitter.between(Duration::MAX, Duration::MAX), Duration::MAX);
    }

    #[test]
    fn two_sources_differ_and_one_seed_repeats() {
        let draw = |mut jitter: Jitter| [(); 4].map(|()| jitter.between(Duration::ZERO, Duration::from_secs(1)));
        assert_ne!(draw(Jitter::new()), draw(Jitter::new()));
        assert_eq!(draw(Jitter::seeded(3)), draw(Jitter::seeded(3)));
    }

    #[test]
    fn forks_of_one_seed_differ_from_each_other_and_repeat() {
        let forks = |seed| {
            let mut source = Jitter::seeded(seed);
            [(); 1000].map(|()| source.fork().between(Duration::ZERO, Duration::from_millis(100)).as_secs_f64() * 1e3)
        };
        assert_eq!(forks(3), forks(3));
        let mean = forks(3).iter().sum::<f64>() / 1e3;
        assert!((45.0..55.0).contains(&mean), "{mean}");
        let apart = forks(3).windows(2).map(|two| (two[1] - two[0]).abs()).sum::<f64>() / 999.0;
        assert!((30.0..37.0).contains(&apart), "two that have nothing in common differ by a third on average: {apart}");
    }
}
