use tower::Layer;
use tower::timeout::TimeoutLayer;
use tower_resilience_timelimiter::{FixedTimeout, TimeLimiterLayer};

use super::super::{HOUR, Rows};
use super::{TOWER, TOWER_RESILIENCE, good};
use crate::calls::{always, through};
use crate::inner::{Bare, WaitsOnce};

pub(super) fn resilience() -> TimeLimiterLayer<FixedTimeout> {
    TimeLimiterLayer::builder().timeout_duration(HOUR).build()
}

pub(super) fn add(rows: &mut Rows) {
    let tower = || TimeoutLayer::new(HOUR);
    rows.peer(TOWER, &["timeout"], move || through(tower().layer(Bare), always(2), good));
    rows.peer(TOWER, &["timeout, waits once"], move || through(tower().layer(WaitsOnce), always(2), good));
    rows.peer(TOWER_RESILIENCE, &["timeout"], || through(resilience().layer(Bare), always(2), good));
    rows.peer(TOWER_RESILIENCE, &["timeout, waits once"], || through(resilience().layer(WaitsOnce), always(2), good));
}
