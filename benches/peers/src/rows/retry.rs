use std::time::Duration;

use buttress::retry::{Backoff, BudgetConfig, RetryConfig, RetryLayer};
use tower::{Layer, ServiceExt};

use super::{BARE, Rows, failed, good};
use crate::calls::{always, now, through};
use crate::inner::Bare;

pub(super) fn layer(config: RetryConfig) -> RetryLayer {
    RetryLayer::new(config).expect("valid")
}

pub(super) fn add(rows: &mut Rows) {
    rows.ours("retry, no budget", BARE, || {
        through(layer(RetryConfig::new().without_budget()).layer(Bare), always(2), good)
    });
    rows.ours("retry", BARE, || through(layer(RetryConfig::new()).layer(Bare), always(2), good));
    rows.ours("retry, budget not full", BARE, || through(used_up().layer(Bare), always(2), good));
    rows.ours("retry, budget used up", BARE, || through(used_up().layer(Bare), always(1), failed));
    rows.ours("retry, one retry", BARE, || through(layer(at_once().without_budget()).layer(Bare), always(1), failed));
}

fn at_once() -> RetryConfig {
    RetryConfig::new().max_attempts(2).backoff(Backoff::constant(Duration::ZERO))
}

/// Its calls pay in so little that it stays as it is.
fn used_up() -> RetryLayer {
    let layer = layer(at_once().budget(BudgetConfig::new().ratio(1e-6).per_second(0.0).capacity(1_000_000)));
    while layer.budget().is_some_and(|budget| budget.available() >= 1.0) {
        now(layer.layer(Bare).oneshot(1)).expect_err("an odd number");
    }
    layer
}
