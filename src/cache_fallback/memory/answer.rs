use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::cache_fallback::state::Life;
use crate::clock::Moment;

/// So long nobody asks again after one refresh has failed; twice as long after each further one, and no longer than the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));

/// An answer that is remembered.
#[derive(Debug)]
pub(in super::super) struct Answer<V> {
    pub(in super::super) value: V,
    pub(in super::super) life: Life,
    /// When its request was sent.
    pub(in super::super) asked_at: Moment,
    pub(in super::super) bytes: u64,
    pub(in super::super) refresh: Refresh,
}

impl<V> Answer<V> {
    pub(in super::super) fn new(value: V, life: Life, asked_at: Moment, bytes: u64) -> Self {
        Self { value, life, asked_at, bytes, refresh: Refresh::default() }
    }
}

/// When another answer is asked for in the background.
#[derive(Debug, Default)]
pub(in super::super) struct Refresh {
    not_before: AtomicU64,
    failed: AtomicU32,
}

impl Refresh {
    pub(in super::super) fn is_due(&self, now: Moment) -> bool {
        now.to_nanos() >= self.not_before.load(Ordering::Relaxed)
    }

    /// Whether it is for the caller to ask, and for nobody else until then.
    pub(in super::super) fn claim(&self, now: Moment, until: Moment) -> bool {
        let before = self.not_before.load(Ordering::Relaxed);
        let claimed = |before| {
            self.not_before.compare_exchange(before, until.to_nanos(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        now.to_nanos() >= before && claimed(before)
    }

    /// It was asked in vain.
    pub(in super::super) fn failed(&self, now: Moment) {
        let (first, longest) = PAUSES;
        let failed = self.failed.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = (first * (1 << failed)).min(longest);
        self.not_before.store((now + pause).to_nanos(), Ordering::Relaxed);
    }
}
