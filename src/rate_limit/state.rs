//! What passes, and when: GCRA (ITU-T I.371, the virtual scheduling algorithm), computed by `governor`.
//!
//! A bucket is one [`Moment`]: when it will be full again. What is missing until then is its debt. So an idle bucket needs
//! no refilling, a full one is any moment in the past, and everything is a comparison of times.

mod slots;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{RateLimiter, StateStore};

pub(super) use self::slots::Slots;
use super::config::Rules;
use crate::clock::Moment;

/// Time ends here for buckets (146 years after it began), so that the longest debt still fits beside it.
const LAST: Moment = Moment::from_nanos(1 << 62);

/// Whether so many tokens can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Yes, and then the bucket is full again at this moment.
    Passes(Moment),
    /// Not before this moment.
    Waits(Moment),
    /// The bucket cannot hold as many.
    Never,
}

/// Who decides by some rules. What they come to in `governor` is computed once, for whoever keeps this.
pub(super) struct Decider {
    rules: Rules,
    governor: RateLimiter<Bucket, InItsKey, Told, NoOpMiddleware<Nanos>>,
}

impl Decider {
    #[inline]
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, governor: RateLimiter::new(rules.quota(), InItsKey, Told::default()) }
    }

    pub(super) const fn rules(&self) -> Rules {
        self.rules
    }

    /// Whether `cost` tokens can be had `now` from a bucket that is `full_at` some moment.
    #[inline]
    pub(super) fn decide(&self, full_at: Moment, cost: u32, now: Moment) -> Verdict {
        let Some(cost) = NonZeroU32::new(cost) else {
            return Verdict::Passes(full_at);
        };
        if cost > self.rules.burst {
            return Verdict::Never;
        }
        let bucket = Bucket { full_at: Cell::new(full_at.to_nanos().into()) };
        self.governor.clock().now.set(now.min(LAST).to_nanos().into());
        match self.governor.check_key_n(&bucket, cost) {
            Ok(Ok(())) => Verdict::Passes(Moment::from_nanos(bucket.full_at.get().into())),
            Ok(Err(not_until)) => Verdict::Waits(Moment::from_nanos(not_until.earliest_possible().into())),
            Err(_) => Verdict::Never,
        }
    }
}

impl Rules {
    /// The same for whoever reads the rules anew each time.
    #[inline]
    pub(super) fn decide(self, full_at: Moment, cost: u32, now: Moment) -> Verdict {
        Decider::new(self).decide(full_at, cost, now)
    }

    fn quota(self) -> governor::Quota {
        governor::Quota::with_period(self.interval()).expect("an interval is longer than zero").allow_burst(self.burst)
    }

    /// When the last of `cost` tokens can be had by somebody who lets all others have theirs first; `cost` counts those too.
    pub(super) fn outlook(self, full_at: Moment, cost: u64, now: Moment) -> Moment {
        let nanos = self.interval().as_nanos().saturating_mul(cost.into());
        let paid = full_at.max(now.min(LAST)) + Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX));
        now.max(Moment::EPOCH + paid.since(Moment::EPOCH + self.refill()))
    }

    /// How many tokens there are.
    pub(super) fn remaining(self, full_at: Moment, now: Moment) -> u32 {
        let debt = full_at.since(now).as_nanos();
        let missing = debt.div_ceil(self.interval().as_nanos());
        self.burst.get().saturating_sub(u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// A bucket that has just been emptied.
    pub(super) fn emptied(self, now: Moment) -> Moment {
        now.min(LAST) + self.refill()
    }

    /// A bucket of other rules under these: it owes the same time, but no more than an empty one does.
    pub(super) fn adopt(self, full_at: Moment, now: Moment) -> Moment {
        full_at.min(self.emptied(now))
    }
}

/// A bucket as `governor` is given it.
#[derive(Clone, PartialEq, Eq)]
struct Bucket {
    full_at: Cell<Nanos>,
}

/// Asked of whatever is a key; nobody ever does hash one.
impl Hash for Bucket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.full_at.get().as_u64().hash(state);
    }
}

/// The store that `governor` finds a bucket in, and leaves it in: each is its own key.
struct InItsKey;

impl StateStore for InItsKey {
    type Key = Bucket;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, bucket: &Bucket, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (passed, next) = decide(Some(bucket.full_at.get()))?;
        bucket.full_at.set(next);
        Ok(passed)
    }
}

/// The clock that `governor` reads: first when it starts, which is the beginning of all time, then when it decides.
#[derive(Default)]
struct Told {
    now: Cell<Nanos>,
}

impl Clock for Told {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        self.now.get()
    }
}
