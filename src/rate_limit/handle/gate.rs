//! What a call reads without a lock. It knows nothing of time or quotas, so that `tests/loom` builds this very file.

use crate::sync::{AtomicU64, Ordering};

/// Set while somebody who has the lock decides: about several buckets at once, about new rules, or for as long as there
/// is a line.
const HELD: u64 = 1 << 63;

/// A bucket's one number, and the two that say what may become of it.
#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU64,
    rules: [AtomicU64; 2],
}

/// What a bucket and its rules are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) full_at: u64,
    pub(super) rules: [u64; 2],
}

impl Gate {
    pub(super) fn new(rules: [u64; 2]) -> Self {
        Self { word: AtomicU64::new(0), rules: rules.map(AtomicU64::new) }
    }

    /// Asks `decide` for the bucket's next number, again if somebody was faster; it reads and writes nothing else. `None`
    /// while the gate is held.
    #[inline]
    pub(super) fn pass<E>(&self, decide: impl Fn(Seen) -> Result<u64, E>) -> Option<Result<(), E>> {
        let mut word = self.word.load(Ordering::Acquire);
        while word & HELD == 0 {
            let decided = decide(Seen { full_at: word, rules: self.read_rules() });
            // Whoever has seen any new rule sees here that the gate was held meanwhile.
            let now = match decided {
                Ok(next) => match self.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return Some(Ok(())),
                    Err(now) => now,
                },
                Err(refused) => match self.word.load(Ordering::Acquire) {
                    now if now == word => return Some(Err(refused)),
                    now => now,
                },
            };
            word = now;
        }
        None
    }

    /// What the bucket and its rules are. `None` while the gate is held.
    pub(super) fn look(&self) -> Option<Seen> {
        self.pass(Err)?.err()
    }

    /// Nobody passes from here on. Only for whoever has the lock.
    pub(super) fn hold(&self) -> Seen {
        let full_at = self.word.fetch_or(HELD, Ordering::AcqRel) & !HELD;
        Seen { full_at, rules: self.read_rules() }
    }

    /// Changes the rules. Only for whoever holds the gate; it must leave another number behind than it found.
    pub(super) fn set_rules(&self, rules: [u64; 2]) {
        for (rule, new) in self.rules.iter().zip(rules) {
            rule.store(new, Ordering::Release);
        }
    }

    /// Leaves the bucket's number behind, and lets others pass unless the gate stays held. Only for whoever holds it.
    pub(super) fn leave(&self, full_at: u64, stays_held: bool) {
        self.word.store(if stays_held { full_at | HELD } else { full_at }, Ordering::Release);
    }

    fn read_rules(&self) -> [u64; 2] {
        [self.rules[0].load(Ordering::Acquire), self.rules[1].load(Ordering::Acquire)]
    }
}
