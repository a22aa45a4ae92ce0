use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::circuit_breaker::state::Buckets;
use crate::clock::Moment;
use crate::striped::Striped;

/// The good calls within a time window, counted apart by the threads that make them.
#[derive(Debug)]
pub(super) struct Stripes(Striped<Mutex<Good>>);

/// What is counted, and in which generation. Older counts are dropped when somebody needs the place.
#[derive(Debug)]
struct Good {
    generation: u64,
    buckets: Buckets,
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
        Self(Striped::new(|| Mutex::new(Good { generation: 0, buckets: buckets.emptied() })))
    }

    #[inline]
    pub(super) fn record(&self, generation: u64, now: Moment) -> Counted {
        let mut good = self.mine();
        if good.generation == generation {
            good.buckets.record_good(now);
            Counted::Yes
        } else if good.generation < generation {
            Counted::NotYet
        } else {
            Counted::Stale
        }
    }

    /// Counts in this thread's stripe for `generation` from here on.
    pub(super) fn begin(&self, generation: u64, buckets: Buckets) {
        let mut good = self.mine();
        if good.generation < generation {
            *good = Good { generation, buckets };
        }
    }

    /// How many were counted in `generation` and are still within the window.
    pub(super) fn sum(&self, generation: u64, now: Moment) -> u32 {
        let of_one = |mut good: MutexGuard<'_, Good>| match good.generation == generation {
            true => good.buckets.sum(now).calls,
            false => 0,
        };
        self.0.iter().fold(0, |sum: u32, stripe| sum.saturating_add(of_one(lock(stripe))))
    }

    /// Takes out all that was counted in `generation`, which is about to end.
    pub(super) fn take(&self, generation: u64) -> Vec<Buckets> {
        let counted = self.0.iter().map(lock).filter(|good| good.generation == generation);
        counted
            .map(|mut good| {
                let empty = good.buckets.emptied();
                std::mem::replace(&mut good.buckets, empty)
            })
            .collect()
    }

    #[inline]
    fn mine(&self) -> MutexGuard<'_, Good> {
        lock(self.0.mine())
    }
}

#[inline]
fn lock(stripe: &Mutex<Good>) -> MutexGuard<'_, Good> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}
