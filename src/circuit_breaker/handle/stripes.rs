use std::sync::{Mutex, PoisonError};

use super::allowance::Allowance;
use crate::circuit_breaker::state::Buckets;
use crate::clock::Moment;
use crate::striped::Striped;

/// The good calls within a time window, counted apart by the threads that make them.
#[derive(Debug)]
pub(super) struct Stripes(Striped<Stripe>);

#[derive(Debug)]
struct Stripe {
    /// To count into the current bucket.
    allowance: Allowance,
    good: Mutex<Good>,
}

/// What is counted, and in which generation. Older counts are dropped when somebody needs the place.
#[derive(Debug)]
struct Good {
    generation: u64,
    buckets: Buckets,
    granted: u32,
}

/// What became of a good call that was to be counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Yes,
    /// The stripe still counts for an earlier generation.
    NotYet,
    /// A later generation has begun.
    Stale,
}

impl Stripes {
    /// `buckets` are as they begin, before any generation.
    pub(super) fn new(buckets: &Buckets) -> Self {
        Self(Striped::new(|| Stripe {
            allowance: Allowance::none(),
            good: Mutex::new(Good { generation: 0, buckets: buckets.emptied(), granted: 0 }),
        }))
    }

    /// Counts without a lock, if this thread's stripe allows that.
    #[inline]
    pub(super) fn count(&self, generation: u64, now: Moment) -> bool {
        // Who is overtaken by the end of the bucket counts into the next one, as an earlier time is no time passed.
        self.0.mine_by_now().is_some_and(|mine| mine.allowance.take(generation, now.to_nanos()))
    }

    /// Counts in turn.
    pub(super) fn record(&self, generation: u64, now: Moment) -> Counted {
        self.0.mine().record(generation, now)
    }

    /// Counts in this thread's stripe for `generation` from here on.
    pub(super) fn begin(&self, generation: u64, buckets: Buckets) {
        self.0.mine().with(|good| {
            if good.generation < generation {
                (good.generation, good.buckets) = (generation, buckets);
            }
        });
    }

    /// How many were counted in `generation` and are still within the window.
    pub(super) fn sum(&self, generation: u64, now: Moment) -> u32 {
        let of_one = |good: &mut Good| match good.generation == generation {
            true => good.buckets.sum(now).calls,
            false => 0,
        };
        self.0.iter().fold(0, |sum: u32, stripe| sum.saturating_add(stripe.with(of_one)))
    }

    /// Takes out all that was counted in `generation`, which is about to end.
    pub(super) fn take(&self, generation: u64) -> Vec<Buckets> {
        let of_one = |good: &mut Good| {
            let empty = good.buckets.emptied();
            (good.generation == generation).then(|| std::mem::replace(&mut good.buckets, empty))
        };
        self.0.iter().filter_map(|stripe| stripe.with(of_one)).collect()
    }
}

impl Stripe {
    fn record(&self, generation: u64, now: Moment) -> Counted {
        self.with(|good| {
            if good.generation == generation {
                good.buckets.record_good(now);
                Counted::Yes
            } else if good.generation < generation {
                Counted::NotYet
            } else {
                Counted::Stale
            }
        })
    }

    fn with<T>(&self, action: impl FnOnce(&mut Good) -> T) -> T {
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = self.allowance.revoke(&mut good.granted);
        good.buckets.pass_good(counted);
        let value = action(&mut good);
        // A generation that begins has its buckets at the beginning of time. What were granted then could be taken by somebody
        // who has compared the time with the end of an earlier one's, and be lost with those buckets.
        good.granted = if good.buckets.have_begun() { Allowance::MOST } else { 0 };
        self.allowance.grant(good.granted, good.generation, good.buckets.ends().to_nanos());
        value
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_generation_that_begins_grants_nothing_before_it_is_told_the_time() {
        let now = Moment::EPOCH + Duration::from_secs(86_400);
        let buckets = Buckets::new(Duration::from_secs(10));
        let stripes = Stripes::new(&buckets);
        stripes.begin(1, buckets.emptied());
        stripes.record(1, now);
        assert!(stripes.0.mine().allowance.take(1, now.to_nanos()), "the control");
        stripes.begin(2, buckets.emptied());
        // Whoever has compared the time with the end of generation 1 does so no more.
        assert!(!stripes.0.mine().allowance.take(2, 0), "it would be forgotten with the buckets it is counted in");
        stripes.record(2, now);
        assert_eq!(stripes.sum(2, now), 1);
    }
}
