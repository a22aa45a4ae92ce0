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
    /// How often the rules have changed, twice; odd while they do (a seqlock).
    version: AtomicU64,
}

/// What a bucket and its rules are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) full_at: u64,
    pub(super) rules: [u64; 2],
}

/// What came of a look without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage<E> {
    Passed,
    /// By rules that were changed meanwhile: they have left a number that the new ones may not allow.
    PassedByOldRules,
    Refused(E),
    /// Nobody passes without the lock.
    Held,
}

impl Gate {
    pub(super) fn new(rules: [u64; 2]) -> Self {
        Self { word: AtomicU64::new(0), rules: rules.map(AtomicU64::new), version: AtomicU64::new(0) }
    }

    /// Asks `decide` for the bucket's next number, again if somebody was faster; it reads and writes nothing else.
    #[inline]
    pub(super) fn pass<E>(&self, decide: impl Fn(Seen) -> Result<u64, E>) -> Passage<E> {
        let mut word = self.word.load(Ordering::Acquire);
        while word & HELD == 0 {
            let version = self.version.load(Ordering::Acquire);
            let seen = Seen { full_at: word, rules: self.read_rules() };
            // Whoever has read any new rule sees here that they change.
            if version & 1 == 1 || self.version.load(Ordering::Acquire) != version {
                break;
            }
            match decide(seen) {
                Err(refused) => return Passage::Refused(refused),
                Ok(next) => match self.word.compare_exchange(word, next, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) if self.version.load(Ordering::Acquire) == version => return Passage::Passed,
                    Ok(_) => return Passage::PassedByOldRules,
                    Err(now) => word = now,
                },
            }
        }
        Passage::Held
    }

    /// Nobody passes from here on. Only for whoever has the lock.
    pub(super) fn hold(&self) -> Seen {
        let full_at = self.word.fetch_or(HELD, Ordering::AcqRel) & !HELD;
        Seen { full_at, rules: self.read_rules() }
    }

    /// Changes the rules. Only for whoever holds the gate.
    pub(super) fn set_rules(&self, rules: [u64; 2]) {
        self.version.fetch_add(1, Ordering::AcqRel);
        for (rule, new) in self.rules.iter().zip(rules) {
            rule.store(new, Ordering::Release);
        }
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Leaves the bucket's number behind, and lets others pass unless the gate stays held. Only for whoever holds it.
    pub(super) fn leave(&self, full_at: u64, stays_held: bool) {
        self.word.store(if stays_held { full_at | HELD } else { full_at }, Ordering::Release);
    }

    fn read_rules(&self) -> [u64; 2] {
        [self.rules[0].load(Ordering::Acquire), self.rules[1].load(Ordering::Acquire)]
    }
}
