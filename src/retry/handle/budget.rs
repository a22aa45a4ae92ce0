use std::fmt;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use super::purse::Purse;
use crate::clock::Moment;
use crate::name::Name;
use crate::retry::config::{BudgetConfig, InvalidRetry, Rates, TOKEN};
use crate::retry::state::{Refill, Tokens};

/// What retries are paid from. Clones are the same budget; share one among all layers that call the same service.
///
/// ```
/// use buttress::retry::{Budget, BudgetConfig, RetryConfig, RetryLayer};
///
/// # fn main() -> Result<(), buttress::retry::InvalidRetry> {
/// let budget = Budget::new(BudgetConfig::new().capacity(50))?;
/// let reads = RetryLayer::with_budget(RetryConfig::new().name("reads"), budget.clone())?;
/// let writes = RetryLayer::with_budget(RetryConfig::new().name("writes"), budget.clone())?;
/// assert_eq!(budget.available(), 50.0);
/// # let _ = (reads, writes);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Budget(Arc<Inside>);

struct Inside {
    purse: Purse,
    rates: Rates,
    /// One retry at a time counts what time has paid in; calls that succeed need it not.
    refill: Mutex<Refill>,
}

impl Budget {
    /// A full one.
    ///
    /// # Errors
    ///
    /// [`InvalidRetry`] says which setting cannot work.
    pub fn new(config: BudgetConfig) -> Result<Self, InvalidRetry> {
        Self::of_retry(config, &Name::fixed("budget"))
    }

    /// The one of the retry of this name.
    pub(in super::super) fn of_retry(config: BudgetConfig, name: &Name) -> Result<Self, InvalidRetry> {
        let rates = config.rates(name)?;
        let refill = Mutex::new(Refill::new(Moment::now()));
        Ok(Self(Arc::new(Inside { purse: Purse::holding(rates.capacity), rates, refill })))
    }

    /// How many tokens there are.
    #[must_use]
    pub fn available(&self) -> f64 {
        self.take(0, Moment::now());
        self.0.purse.parts() as f64 / TOKEN as f64
    }

    /// A call succeeded at its first attempt.
    #[inline]
    pub(in super::super) fn deposit(&self) {
        let Inside { purse, rates, .. } = &*self.0;
        purse.deposit(rates.deposit, rates.capacity);
    }

    /// Pays for a retry; `false` if there is not enough.
    pub(in super::super) fn withdraw(&self, tokens: Tokens, now: Moment) -> bool {
        self.take(tokens * TOKEN, now)
    }

    /// What was paid for is not done.
    pub(in super::super) fn give_back(&self, tokens: Tokens) {
        self.0.purse.deposit(tokens * TOKEN, self.0.rates.capacity);
    }

    fn take(&self, parts: u64, now: Moment) -> bool {
        let Inside { purse, rates, refill } = &*self.0;
        let mut refill = refill.lock().unwrap_or_else(PoisonError::into_inner);
        let come = refill.at(now, rates.per_second, rates.capacity);
        purse.withdraw(come, parts, rates.capacity)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("available", &self.available()).finish_non_exhaustive()
    }
}
