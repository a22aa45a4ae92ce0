//! Settings that cannot work say so.

use std::time::Duration;

use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, InvalidIdempotency};

use crate::world::{SEC, store};

#[test]
fn settings_that_cannot_work_are_refused_and_say_which_they_are() {
    let config = || IdempotencyConfig::new().name("orders");
    let millis = Duration::from_millis;
    let cases = [
        (config().lease(millis(99)), "`orders`: the lease must be at least 100ms, and is 99ms"),
        (
            config().store_timeout(11 * SEC),
            "`orders`: the store's timeout must be at most a third of the lease, and is 11s",
        ),
        (config().store_timeout(Duration::ZERO), "`orders`: the store's timeout must not be 0"),
        (config().longest_run(29 * SEC), "`orders`: the longest run must be at least as long as the lease, and is 29s"),
        (
            config().retention(630 * SEC),
            "`orders`: the retention must be longer than two of the longest runs and a lease, and is 630s",
        ),
        (config().max_running(0), "`orders`: the number of requests that run at a time must not be 0"),
        (
            config().max_running(1 << 29),
            "`orders`: the number of requests that run at a time must be at most 268435456, and is 536870912",
        ),
    ];
    for (config, says) in cases {
        let invalid: InvalidIdempotency = IdempotencyLayer::new(config, store()).expect_err(says);
        assert_eq!(invalid.to_string(), says);
    }
    let edges = config().lease(millis(750)).longest_run(millis(750)).retention(millis(2251)).max_running(1 << 28);
    let _valid = IdempotencyLayer::new(edges, store()).expect("valid");
}
