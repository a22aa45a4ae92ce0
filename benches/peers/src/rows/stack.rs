use buttress::retry::RetryConfig;
use tower::ServiceBuilder;

use super::{BARE, Rows, WAITS_ONCE, breaker, fallback, good, limiter, retry, timeout};
use crate::calls::{always, through};
use crate::inner::{Bare, WaitsOnce};

/// All five, in the order that the crate's documentation recommends.
macro_rules! five {
    ($inner:expr) => {
        ServiceBuilder::new()
            .layer(fallback::layer())
            .layer(limiter::layer())
            .layer(retry::layer(RetryConfig::new()))
            .layer(breaker::time_window())
            .layer(timeout::layer())
            .service($inner)
    };
}

pub(super) fn add(rows: &mut Rows) {
    rows.ours("all five", BARE, || through(five!(Bare), always(2), good));
    rows.ours("all five, waits once", WAITS_ONCE, || through(five!(WaitsOnce), always(2), good));
    rows.ours("timeout, fallback, timeout", BARE, || {
        let stack = ServiceBuilder::new().layer(timeout::layer()).layer(fallback::layer()).layer(timeout::layer());
        through(stack.service(Bare), always(2), good)
    });
    rows.ours("timeout, fallback, breaker, timeout", BARE, || {
        let stack = ServiceBuilder::new().layer(timeout::layer()).layer(fallback::layer());
        through(stack.layer(breaker::last_calls(100)).layer(timeout::layer()).service(Bare), always(2), good)
    });
}
