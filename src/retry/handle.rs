mod budget;
mod purse;

use std::sync::{Mutex, PoisonError};

pub use self::budget::Budget;
pub(super) use self::budget::Paid;
use super::config::Rules;
use crate::jitter::Jitter;

/// What all calls of a layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) budget: Option<Budget>,
    /// Where the waits of calls come from that are to be the same each time.
    seeded: Option<Mutex<Jitter>>,
}

impl Shared {
    pub(super) fn new(rules: Rules, budget: Option<Budget>) -> Self {
        let seeded = rules.seed.map(|seed| Mutex::new(Jitter::seeded(seed)));
        Self { rules, budget, seeded }
    }

    /// Chance for one call; no two have the same.
    pub(super) fn jitter(&self) -> Jitter {
        let fork = |source: &Mutex<Jitter>| source.lock().unwrap_or_else(PoisonError::into_inner).fork();
        self.seeded.as_ref().map_or_else(Jitter::new, fork)
    }
}
