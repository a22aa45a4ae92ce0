mod budget;
mod purse;

use std::sync::{Arc, Mutex, PoisonError};

pub use self::budget::Budget;
pub(super) use self::budget::Paid;
use super::config::Rules;
use super::state::Tokens;
use crate::attempt::Attempt;
use crate::clock::Moment;
use crate::jitter::Jitter;
use crate::telemetry;

/// What all calls of a layer share, also by way of a clone.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) rules: Rules,
    pub(super) budget: Option<Budget>,
    /// Where the waits of calls come from that are to be the same each time.
    seeded: Option<Arc<Mutex<Jitter>>>,
}

impl Shared {
    pub(super) fn new(rules: Rules, budget: Option<Budget>) -> Self {
        let seeded = rules.seed.map(|seed| Arc::new(Mutex::new(Jitter::seeded(seed))));
        Self { rules, budget, seeded }
    }

    /// A call succeeded at its first attempt.
    #[inline]
    pub(super) fn first_succeeded(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    /// A call succeeded at this attempt.
    pub(super) fn succeeded(&self, attempt: Attempt) {
        if attempt.is_retry() {
            telemetry::retry_succeeded(&self.rules.name, attempt);
        } else {
            self.first_succeeded();
        }
    }

    /// Pays for a retry; `None` if there is not enough.
    pub(super) fn pay(&self, tokens: Tokens, now: Moment) -> Option<Paid> {
        self.budget.as_ref().map_or(Some(Paid::nothing()), |budget| budget.pay(tokens, now))
    }

    /// Chance for one call; no two have the same.
    pub(super) fn jitter(&self) -> Jitter {
        let fork = |source: &Arc<Mutex<Jitter>>| source.lock().unwrap_or_else(PoisonError::into_inner).fork();
        self.seeded.as_ref().map_or_else(Jitter::new, fork)
    }
}
