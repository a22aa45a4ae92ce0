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

    /// What came of it is not known, and anybody may ask again.
    pub(in super::super) fn is_asked_for_no_more(&self) {
        self.not_before.store(0, Ordering::Relaxed);
    }

    /// It was asked in vain.
    pub(in super::super) fn failed(&self, now: Moment) {
        let (first, longest) = PAUSES;
        let failed = self.failed.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = (first * (1 << failed)).min(longest);
        self.not_before.store((now + pause).to_nanos(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const T0: Moment = Moment::EPOCH;

    #[test]
    fn one_of_many_asks_and_nobody_else_until_then() {
        let refresh = Refresh::default();
        assert!(refresh.is_due(T0) && refresh.claim(T0, T0 + 10 * SEC));
        assert!(!refresh.claim(T0, T0 + 10 * SEC));
        assert!(!refresh.is_due(T0 + 9 * SEC) && !refresh.claim(T0 + 9 * SEC, T0 + 19 * SEC));
        assert!(refresh.is_due(T0 + 10 * SEC) && refresh.claim(T0 + 10 * SEC, T0 + 20 * SEC));
    }

    #[test]
    fn who_asks_in_vain_asks_again_after_twice_as_long_each_time_up_to_a_minute() {
        let (refresh, mut now) = (Refresh::default(), T0);
        for pause in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            refresh.failed(now);
            assert!(!refresh.is_due(now + (pause * SEC - Duration::from_nanos(1))), "{pause}");
            now = now + pause * SEC;
            assert!(refresh.is_due(now), "{pause}");
        }
        (0..100).for_each(|_| refresh.failed(now));
        assert!(refresh.is_due(now + 64 * SEC));
    }
}
