use buttress::Rejection;
use buttress::rate_limit::{KeyedRateLimiter, Quota, RateLimitConfig, RateLimitLayer, RateLimiter};
use tower::Layer;

use super::{BARE, Rows, good};
use crate::calls::{always, through};
use crate::inner::{Answer, Bare, Failed};

const OF_KEYS: &str = "bare, 10 000 keys";

fn plenty() -> RateLimitConfig {
    RateLimitConfig::new(Quota::per_second(1_000_000).burst(u32::MAX))
}

pub(super) fn layer() -> RateLimitLayer {
    RateLimitLayer::new(plenty()).expect("valid")
}

pub(super) fn used_up() -> RateLimitLayer {
    let layer = RateLimitLayer::new(RateLimitConfig::new(Quota::per_hour(1))).expect("valid");
    layer.limits().drain();
    layer
}

pub(super) fn add(rows: &mut Rows) {
    rows.ours("rate limit", BARE, || through(layer().layer(Bare), always(2), good));
    rows.ours("rate limit, waiting if need be", BARE, || through(layer().wait().layer(Bare), always(2), good));
    rows.ours("rate limit, refused", BARE, || through(used_up().layer(Bare), always(2), refused));
    rows.ours("rate limit, two limits", BARE, || {
        through(layer().and(RateLimiter::new(plenty()).expect("valid")).layer(Bare), always(2), good)
    });
    rows.bare(OF_KEYS, || through(Bare, one_of_keys, Answer::is_ok));
    rows.ours("rate limit, by key, 10 000 keys", OF_KEYS, || {
        // Each of them has something to pay back all the time, and so none is forgotten.
        let config = RateLimitConfig::new(Quota::per_hour(1).burst(500_000));
        let keys = KeyedRateLimiter::<u64>::new(config).expect("valid");
        (0..10_000).for_each(|key| keys.try_take(&key, 1).expect("plenty"));
        let by_key = RateLimitLayer::of_keys(keys, |number: &u64| Some(*number));
        through(by_key.layer(Bare), one_of_keys, Answer::is_ok)
    });
    rows.ours("rate limit, by key, refused", OF_KEYS, || {
        let keys = KeyedRateLimiter::<u64>::new(RateLimitConfig::new(Quota::per_hour(1))).expect("valid");
        (0..10_000).for_each(|key| keys.drain(&key));
        let by_key = RateLimitLayer::of_keys(keys, |number: &u64| Some(*number));
        through(by_key.layer(Bare), one_of_keys, refused)
    });
}

/// Even, and so answered.
pub(super) fn one_of_keys(call: u64) -> u64 {
    call * 2 % 10_000
}

fn refused(answer: &Answer) -> bool {
    matches!(answer, Err(Failed::Rejected(Rejection::RateLimited(_))))
}
