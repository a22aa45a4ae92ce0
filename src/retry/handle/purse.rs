//! The one number of a budget. It knows nothing of time or settings, so that `tests/loom` builds this very file.

use crate::sync::{AtomicU64, Ordering};

/// Parts of tokens, of which there are never more than its owner allows.
#[derive(Debug)]
pub(super) struct Purse(AtomicU64);

/// What came of asking for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Withdrawal {
    pub(super) is_paid: bool,
    /// There was no room for more.
    pub(super) was_full: bool,
}

impl Purse {
    pub(super) fn holding(parts: u64) -> Self {
        Self(AtomicU64::new(parts))
    }

    #[inline]
    pub(super) fn parts(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A full purse is looked at, and not written; nor is any by nothing.
    #[inline]
    pub(super) fn deposit(&self, parts: u64, capacity: u64) {
        if self.parts() < capacity {
            self.fill(parts, capacity);
        }
    }

    /// Apart, so that whoever finds the purse full has little to carry.
    #[inline(never)]
    fn fill(&self, parts: u64, capacity: u64) {
        let mut held = self.parts();
        while held < capacity && parts > 0 {
            let filled = held.saturating_add(parts).min(capacity);
            match self.0.compare_exchange_weak(held, filled, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => held = now,
            }
        }
    }

    /// Puts in `come`, and takes out `cost` if that can be had, in one step.
    pub(super) fn withdraw(&self, come: u64, cost: u64, capacity: u64) -> Withdrawal {
        let mut held = self.0.load(Ordering::Relaxed);
        loop {
            let filled = held.saturating_add(come).min(capacity);
            let (left, is_paid) = filled.checked_sub(cost).map_or((filled, false), |left| (left, true));
            match self.0.compare_exchange_weak(held, left, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Withdrawal { is_paid, was_full: filled == capacity },
                Err(now) => held = now,
            }
        }
    }
}
