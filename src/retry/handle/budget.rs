use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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
        Self::of_retry(config, &Name::fixed(&"budget"))
    }

    /// The one of the retry of this name.
    pub(in super::super) fn of_retry(config: BudgetConfig, name: &Name) -> Result<Self, InvalidRetry> {
        Ok(Self::full_at(Moment::now(), config.rates(name)?))
    }

    fn full_at(now: Moment, rates: Rates) -> Self {
        let refill = Mutex::new(Refill::new(now));
        Self(Arc::new(Inside { purse: Purse::holding(rates.capacity), rates, refill }))
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

    /// Pays for a retry; `None` if there is not enough.
    pub(in super::super) fn pay(&self, tokens: Tokens, now: Moment) -> Option<Paid> {
        self.withdraw(tokens, now).then(|| Paid { from: Some(self.clone()), tokens })
    }

    fn withdraw(&self, tokens: Tokens, now: Moment) -> bool {
        self.take(tokens * TOKEN, now)
    }

    fn give_back(&self, tokens: Tokens) {
        self.0.purse.deposit(tokens * TOKEN, self.0.rates.capacity);
    }

    fn take(&self, parts: u64, now: Moment) -> bool {
        let Inside { purse, rates, refill } = &*self.0;
        let mut refill = refill.lock().unwrap_or_else(PoisonError::into_inner);
        let come = refill.at(now, rates.per_second, rates.capacity);
        let withdrawal = purse.withdraw(come, parts, rates.capacity);
        if withdrawal.was_full {
            refill.overflowed();
        }
        withdrawal.is_paid
    }
}

/// Tokens for a retry that is not made yet. They go back if it never is.
#[must_use = "tokens that are dropped go back"]
pub(in super::super) struct Paid {
    from: Option<Budget>,
    tokens: Tokens,
}

impl Paid {
    /// For a retry that nobody counts.
    pub(in super::super) const fn nothing() -> Self {
        Self { from: None, tokens: 0 }
    }

    /// The retry is made.
    pub(in super::super) fn spend(&mut self) {
        self.from = None;
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        if let Some(budget) = &self.from {
            budget.give_back(self.tokens);
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("available", &self.available()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model;

    const SEC: Duration = Duration::from_secs(1);
    const T0: Moment = Moment::EPOCH;

    fn budget(config: BudgetConfig) -> Budget {
        Budget::full_at(T0, config.rates(&Name::fixed(&"test")).expect("valid"))
    }

    /// How many retries it pays for at once.
    fn drain(budget: &Budget, now: Moment) -> u32 {
        (0..).take_while(|_| budget.withdraw(1, now)).count().try_into().expect("no more than the capacity")
    }

    #[test]
    fn it_begins_full_and_ends() {
        let budget = budget(BudgetConfig::new().capacity(7));
        assert_eq!(drain(&budget, T0), 7);
        assert_eq!(drain(&budget, T0), 0);
    }

    #[test]
    fn every_ratio_is_exact() {
        for tenths in 1..=25_u32 {
            let budget = budget(BudgetConfig::new().ratio(f64::from(tenths) / 10.0).per_second(0.0).capacity(1000));
            drain(&budget, T0);
            (0..100).for_each(|_| budget.deposit());
            assert_eq!(drain(&budget, T0), tenths * 10, "a ratio of {tenths} tenths");
            // What is too little for a retry is not lost.
            let needed = 10_u32.div_ceil(tenths);
            (0..needed - 1).for_each(|_| budget.deposit());
            assert_eq!(drain(&budget, T0), 0, "a ratio of {tenths} tenths");
            budget.deposit();
            assert_eq!(drain(&budget, T0), tenths * needed / 10, "a ratio of {tenths} tenths");
        }
    }

    #[test]
    fn time_pays_in_exactly_and_a_day_no_more_than_fits() {
        let budget = budget(BudgetConfig::new().per_second(3.0).capacity(50));
        drain(&budget, T0);
        assert_eq!(drain(&budget, T0 + SEC), 3);
        assert_eq!((1..=3000).map(|ms| drain(&budget, T0 + SEC + Duration::from_millis(ms))).sum::<u32>(), 9);
        assert_eq!(drain(&budget, T0 + 86_400 * SEC), 50, "an idle day is made up for in one step");
        assert_eq!(drain(&budget, T0 + 86_400 * 365 * 100 * SEC), 50);
        assert_eq!(drain(&budget, T0), 0, "time that runs backwards is no time passed");
        assert_eq!(drain(&budget, T0 + 86_400 * 365 * 100 * SEC), 0, "and what has passed pays in once");
    }

    #[test]
    fn a_retry_after_a_timeout_costs_two_or_nothing() {
        let budget = budget(BudgetConfig::new().per_second(0.0).capacity(3));
        assert!(budget.withdraw(2, T0));
        assert!(!budget.withdraw(2, T0));
        assert!(budget.withdraw(1, T0), "what was refused has taken nothing");
    }

    #[test]
    fn what_is_not_spent_goes_back_and_never_more_than_fits() {
        let budget = budget(BudgetConfig::new().ratio(1.0).per_second(0.0).capacity(3));
        let paid = budget.pay(2, T0).expect("it is full");
        assert!(budget.pay(2, T0).is_none());
        drop(paid);
        budget.pay(2, T0).expect("it is full again").spend();
        let paid = budget.pay(1, T0).expect("one is left");
        (0..3).for_each(|_| budget.deposit());
        drop(paid);
        assert_eq!(drain(&budget, T0), 3);
    }

    #[derive(Clone, Copy, Debug)]
    enum Op {
        Deposit(u32),
        Withdraw(Tokens),
        GiveBack(Tokens),
    }

    /// In billionths of parts, and each moment is counted as it passes.
    struct Eager {
        rates: Rates,
        held: u128,
        at: Duration,
    }

    impl Eager {
        const PART: u128 = 1_000_000_000;

        fn full(rates: Rates) -> Self {
            Self { rates, held: u128::from(rates.capacity) * Self::PART, at: Duration::ZERO }
        }

        fn put(&mut self, billionths: u128) {
            self.held = (self.held + billionths).min(u128::from(self.rates.capacity) * Self::PART);
        }

        fn step(&mut self, now: Duration, op: Op, is_off_by_one: bool) -> bool {
            self.put(now.saturating_sub(self.at).as_nanos() * u128::from(self.rates.per_second));
            self.at = self.at.max(now);
            match op {
                Op::Deposit(times) => self.put(u128::from(times) * u128::from(self.rates.deposit) * Self::PART),
                Op::GiveBack(tokens) => self.put(u128::from(tokens * TOKEN) * Self::PART),
                Op::Withdraw(tokens) => {
                    let cost = u128::from(tokens * TOKEN + u64::from(is_off_by_one)) * Self::PART;
                    let left = self.held.checked_sub(cost);
                    self.held = left.unwrap_or(self.held);
                    return left.is_some();
                }
            }
            true
        }
    }

    fn step(budget: &Budget, now: Duration, op: Op) -> bool {
        match op {
            Op::Deposit(times) => (0..times).for_each(|_| budget.deposit()),
            Op::GiveBack(tokens) => budget.give_back(tokens),
            Op::Withdraw(tokens) => return budget.withdraw(tokens, T0 + now),
        }
        true
    }

    fn operations() -> impl Strategy<Value = Op> {
        prop_oneof![
            2 => (1..20_u32).prop_map(Op::Deposit),
            6 => (1..=2_u64).prop_map(Op::Withdraw),
            1 => (1..=2_u64).prop_map(Op::GiveBack),
        ]
    }

    const SETTINGS: [BudgetConfig; 2] = [
        BudgetConfig::new().ratio(0.1).per_second(0.3).capacity(3),
        BudgetConfig::new().ratio(0.333_333).per_second(1.7).capacity(4),
    ];

    #[test]
    fn it_agrees_with_one_that_counts_every_moment() {
        for config in SETTINGS {
            let rates = config.rates(&Name::fixed(&"test")).expect("valid");
            let subject = || {
                let (budget, mut latest) = (budget(config), Duration::ZERO);
                move |now, op: &Op| {
                    // It is told the time with retries alone, so both are told of a clock that stops instead of running back.
                    latest = latest.max(now);
                    step(&budget, latest, *op)
                }
            };
            let eager = |is_off_by_one| {
                move || {
                    let mut eager = Eager::full(rates);
                    move |now, op: &Op| eager.step(now, *op, is_off_by_one)
                }
            };
            model::agree(operations(), subject, eager(false));
            let difference = model::differs(operations(), subject, eager(true));
            assert!(difference.is_some(), "a reference that is off by a millionth of a token is found out");
        }
    }

    #[test]
    fn threads_that_pay_in_and_take_out_at_once_lose_nothing() {
        const TIMES: u32 = 20_000;
        let budget = budget(BudgetConfig::new().ratio(0.5).per_second(0.0).capacity(1_000_000));
        drain(&budget, T0);
        let start = Barrier::new(4);
        let paid: u32 = std::thread::scope(|scope| {
            let depositors = [(); 2].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    (0..TIMES).for_each(|_| budget.deposit());
                })
            });
            let takers = [(); 2].map(|()| {
                scope.spawn(|| {
                    start.wait();
                    (0..TIMES).map(|_| u32::from(budget.withdraw(1, T0))).sum::<u32>()
                })
            });
            depositors.into_iter().for_each(|thread| thread.join().expect("no panic"));
            takers.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(paid + drain(&budget, T0), TIMES, "half a token for each of twice as many");
    }
}
