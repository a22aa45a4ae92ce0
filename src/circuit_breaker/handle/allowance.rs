//! What is counted without a lock. It knows nothing of circuits, so that `tests/loom` can try every order of events.

use crate::sync::{AtomicU64, Ordering};

/// So many low bits for how many are left, and the generation's own low bits above them.
const LEFT: u32 = 24;

/// What the owner of a lock lets others do without it: so many times, in one generation and before a time.
///
/// The owner learns how often it was done when it revokes the allowance, and nothing is done afterwards. So that is
/// counted as exactly as under the lock.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: AtomicU64,
    ends: AtomicU64,
}

impl Allowance {
    /// The most that can be granted.
    pub(crate) const MOST: u32 = (1 << LEFT) - 1;

    pub(crate) fn none() -> Self {
        Self { left: AtomicU64::new(0), ends: AtomicU64::new(0) }
    }

    /// Takes one of what is left; `false` if it is none, or for another generation or time.
    #[inline]
    pub(crate) fn take(&self, generation: u64, now: u64) -> bool {
        // Acquire: whoever sees when a new allowance ends finds nothing left of the one before it.
        if now >= self.ends.load(Ordering::Acquire) {
            return false;
        }
        let none_left = generation << LEFT;
        let mut left = self.left.load(Ordering::Relaxed);
        loop {
            // Wraps around where nothing is left, and then it is more than can be.
            let then = left.wrapping_sub(1);
            if then.wrapping_sub(none_left) >= Self::MOST.into() {
                return false;
            }
            match self.left.compare_exchange_weak(left, then, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(newer) => left = newer,
            }
        }
    }

    /// Ends what was `granted`; returns how much of it was taken. Only who has the lock may.
    pub(crate) fn revoke(&self, granted: &mut u32) -> u32 {
        match std::mem::take(granted) {
            0 => 0,
            granted => {
                let left = self.left.swap(0, Ordering::Relaxed) & u64::from(Self::MOST);
                granted - u32::try_from(left).unwrap_or_default()
            }
        }
    }

    /// Allows so much in `generation` before `ends`. Only who has the lock may, after having revoked the last one.
    pub(crate) fn grant(&self, granted: u32, generation: u64, ends: u64) {
        self.ends.store(ends, Ordering::Release);
        self.left.store(generation << LEFT | u64::from(granted), Ordering::Relaxed);
    }
}
