//! What passes, and when: GCRA (ITU-T I.371, the virtual scheduling algorithm), computed by `governor`.
//!
//! A bucket is one [`Moment`]: when it will be full again. What is missing until then is its debt. So an idle bucket needs
//! no refilling, a full one is any moment in the past, and everything is a comparison of times.

mod slots;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, RateLimiter, StateStore};

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

impl Rules {
    /// Whether `cost` tokens can be had `now` from a bucket that is `full_at` some moment.
    #[inline]
    pub(super) fn decide(self, full_at: Moment, cost: u32, now: Moment) -> Verdict {
        let Some(cost) = NonZeroU32::new(cost) else {
            return Verdict::Passes(full_at);
        };
        if cost > self.burst {
            return Verdict::Never;
        }
        let scratch = Scratch { full_at: Nanos::from(full_at.to_nanos()), next: Cell::default() };
        let told = Told { now: Nanos::from(now.min(LAST).to_nanos()), has_started: Cell::new(false) };
        let limiter = RateLimiter::<_, _, _, NoOpMiddleware<Nanos>>::new(self.quota(), scratch, told);
        match limiter.check_n(cost) {
            Ok(Ok(())) => Verdict::Passes(Moment::from_nanos(limiter.into_state_store().next.get().into())),
            Ok(Err(not_until)) => Verdict::Waits(Moment::from_nanos(not_until.earliest_possible().into())),
            Err(_) => Verdict::Never,
        }
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

/// The store that `governor` finds a bucket in, and leaves it in.
struct Scratch {
    full_at: Nanos,
    next: Cell<Nanos>,
}

impl StateStore for Scratch {
    type Key = NotKeyed;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (passed, next) = decide(Some(self.full_at))?;
        self.next.set(next);
        Ok(passed)
    }
}

/// The clock that `governor` reads: first when it starts, which is the beginning of all time, then when it decides.
struct Told {
    now: Nanos,
    has_started: Cell<bool>,
}

impl Clock for Told {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        if self.has_started.replace(true) { self.now } else { Nanos::default() }
    }
}
