mod budget;
mod purse;

use std::sync::atomic::{AtomicU64, Ordering};

pub use self::budget::Budget;
use super::config::Rules;
use crate::jitter::Jitter;

/// What all calls of a layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) budget: Option<Budget>,
    /// How many calls have failed, where their waits are seeded.
    seeded: AtomicU64,
}

impl Shared {
    pub(super) const fn new(rules: Rules, budget: Option<Budget>) -> Self {
        Self { rules, budget, seeded: AtomicU64::new(0) }
    }

    /// Chance for one call; no two have the same.
    pub(super) fn jitter(&self) -> Jitter {
        match self.rules.seed {
            // Neighbouring seeds must not give neighbouring waits; the generator sees to that.
            Some(seed) => Jitter::seeded(seed.wrapping_add(self.seeded.fetch_add(1, Ordering::Relaxed))),
            None => Jitter::new(),
        }
    }
}
