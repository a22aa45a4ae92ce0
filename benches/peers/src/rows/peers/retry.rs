use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use tower::Layer;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, RetryLayer};
use tower::util::rng::HasherRng;
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer as Resilience};

use super::super::Rows;
use super::{TOWER, TOWER_RESILIENCE, good};
use crate::calls::{always, through};
use crate::inner::{Bare, Failed};

const NO_BUDGET: &str = "retry, no budget";
const BUDGET: &[&str] = &["retry", "retry, budget not full"];

/// With a budget and backoff, as tower's documentation puts them together.
pub(super) fn tower() -> RetryLayer<Budgeted> {
    let (shortest, longest) = (Duration::from_millis(50), Duration::from_secs(10));
    let mut backoff = ExponentialBackoffMaker::new(shortest, longest, 0.99, HasherRng::default()).expect("valid");
    let budget = Arc::new(TpsBudget::new(Duration::from_secs(10), 10, 0.2));
    RetryLayer::new(Budgeted { left: 2, budget, backoff: backoff.make_backoff() })
}

pub(super) fn resilience<E>() -> Resilience<u64, u64, E> {
    let budget = RetryBudgetBuilder::new().token_bucket().build().expect("valid");
    Resilience::exponential_backoff().budget(budget).build()
}

pub(super) fn add(rows: &mut Rows) {
    rows.peer(TOWER, &[NO_BUDGET], || through(RetryLayer::new(Attempts(2)).layer(Bare), always(2), good));
    rows.peer("tower, backoff and TpsBudget", BUDGET, || through(tower().layer(Bare), always(2), good));
    rows.peer(TOWER_RESILIENCE, &[NO_BUDGET], || {
        let layer = Resilience::<u64, u64, Failed>::exponential_backoff().build();
        through(layer.layer(Bare), always(2), good)
    });
    rows.peer(TOWER_RESILIENCE, BUDGET, || through(resilience::<Failed>().layer(Bare), always(2), good));
}

/// So many more, at once.
#[derive(Clone)]
struct Attempts(usize);

impl<Res, E> Policy<u64, Res, E> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<Res, E>) -> Option<Ready<()>> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

#[derive(Clone)]
pub(super) struct Budgeted {
    left: usize,
    budget: Arc<TpsBudget>,
    backoff: ExponentialBackoff,
}

impl<Res, E> Policy<u64, Res, E> for Budgeted {
    type Future = <ExponentialBackoff as Backoff>::Future;

    fn retry(&mut self, _: &mut u64, result: &mut Result<Res, E>) -> Option<Self::Future> {
        if result.is_ok() {
            self.budget.deposit();
            return None;
        }
        if self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        Some(self.backoff.next_backoff())
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}
