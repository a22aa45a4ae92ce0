use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use crate::circuit_breaker::state::Buckets;
use crate::clock::Moment;

/// More would cost memory, and a failure the time to look at them all.
const MOST_STRIPES: usize = 64;

/// The good calls within a time window, counted apart by the threads that make them. As long as there are no more threads
/// than processors, and none has ended, no thread writes what another one writes.
#[derive(Debug)]
pub(super) struct Stripes(Box<[Stripe]>);

#[derive(Debug)]
#[repr(align(128))]
struct Stripe(Mutex<Good>);

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
    /// For as many threads as the machine runs at a time; `buckets` are as they begin, before any generation.
    pub(super) fn new(buckets: &Buckets) -> Self {
        let threads = available_parallelism().map_or(1, usize::from).next_power_of_two().min(MOST_STRIPES);
        let stripe = || Stripe(Mutex::new(Good { generation: 0, buckets: buckets.emptied() }));
        Self((0..threads).map(|_| stripe()).collect())
    }

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
        self.0.iter().fold(0, |sum: u32, stripe| sum.saturating_add(of_one(stripe.lock())))
    }

    /// Takes out all that was counted in `generation`, which is about to end.
    pub(super) fn take(&self, generation: u64) -> Vec<Buckets> {
        let counted = self.0.iter().map(Stripe::lock).filter(|good| good.generation == generation);
        counted
            .map(|mut good| {
                let empty = good.buckets.emptied();
                std::mem::replace(&mut good.buckets, empty)
            })
            .collect()
    }

    fn mine(&self) -> MutexGuard<'_, Good> {
        self.0[number_of_thread() & (self.0.len() - 1)].lock()
    }
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, Good> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads count themselves as they come, so that neighbours in time do not share a stripe.
fn number_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}
