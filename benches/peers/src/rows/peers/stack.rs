use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;

use super::super::{HOUR, Rows};
use super::{TOWER_RESILIENCE, breaker, fallback, good, limiter, retry, timeout};
use crate::calls::{always, through};
use crate::inner::{Bare, WaitsOnce};

const AT_ONCE: &[&str] = &["all five"];
const WAITS_ONCE: &[&str] = &["all five, waits once"];

const TOWERS: &str = "tower, its three: rate limit, retry, timeout";

macro_rules! five {
    ($inner:expr) => {
        ServiceBuilder::new()
            .layer(fallback::resilience())
            .layer(limiter::resilience())
            .layer(retry::resilience())
            .layer(breaker::counting())
            .layer(timeout::resilience())
            .service($inner)
    };
}

macro_rules! three {
    ($inner:expr) => {
        ServiceBuilder::new()
            .layer(limiter::tower())
            .layer(retry::tower())
            .layer(TimeoutLayer::new(HOUR))
            .service($inner)
    };
}

pub(super) fn add(rows: &mut Rows) {
    rows.peer(TOWER_RESILIENCE, AT_ONCE, || through(five!(Bare), always(2), good));
    rows.peer(TOWER_RESILIENCE, WAITS_ONCE, || through(five!(WaitsOnce), always(2), good));
    rows.peer(TOWERS, AT_ONCE, || through(three!(Bare), always(2), good));
    rows.peer(TOWERS, WAITS_ONCE, || through(three!(WaitsOnce), always(2), good));
}
