use std::sync::atomic::{AtomicU64, Ordering};

use crate::striped::Striped;

/// How often a [`CacheFallbackLayer`](crate::cache_fallback::CacheFallbackLayer) has decided what.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers that were remembered.
    pub remembered: u64,
    /// Requests that were told an answer that was fresh, without asking.
    pub fresh: u64,
    /// Requests that were told one that was fresh no more, since another one is asked for in the background.
    pub refreshing: u64,
    /// Requests that were told the answer to another one, which was under way.
    pub shared: u64,
    /// Answers that were asked for in the background, and not kept.
    pub refresh_failed: u64,
    /// Failures that an answer stood in for.
    pub stood_in: u64,
    /// Failures that there was none for, or none that was young enough.
    pub missed: u64,
    /// Answers that were not remembered since they are larger than may be.
    pub too_large: u64,
    /// Answers that were not remembered since something had been forgotten, or a later request answered, since they were
    /// asked for.
    pub outdated: u64,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Counted {
    Remembered,
    Fresh,
    Refreshing,
    Shared,
    RefreshFailed,
    StoodIn,
    Missed,
    TooLarge,
    Outdated,
}

/// Counted by each thread for itself: most calls are.
#[derive(Debug)]
pub(in super::super) struct Counters(Striped<[AtomicU64; 9]>);

impl Default for Counters {
    fn default() -> Self {
        Self(Striped::new(Default::default))
    }
}

impl Counters {
    pub(in super::super) fn count(&self, what: Counted) {
        self.0.mine()[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        let sum = |what: Counted| self.0.iter().map(|of_thread| of_thread[what as usize].load(Ordering::Relaxed)).sum();
        Counts {
            remembered: sum(Counted::Remembered),
            fresh: sum(Counted::Fresh),
            refreshing: sum(Counted::Refreshing),
            shared: sum(Counted::Shared),
            refresh_failed: sum(Counted::RefreshFailed),
            stood_in: sum(Counted::StoodIn),
            missed: sum(Counted::Missed),
            too_large: sum(Counted::TooLarge),
            outdated: sum(Counted::Outdated),
        }
    }
}
