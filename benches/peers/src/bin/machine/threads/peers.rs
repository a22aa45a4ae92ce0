use std::num::NonZeroU32;
use std::time::Duration;

use failsafe::{CircuitBreaker, Config, backoff, failure_policy};
use governor::{Quota, RateLimiter};
use recloser::Recloser;
use tower::{Layer, ServiceBuilder};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_fallback::FallbackLayer;
use tower_resilience_ratelimiter::RateLimiterLayer;
use tower_resilience_retry::RetryLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;

use super::Row;
use crate::bare::Bare;

const SECOND: Duration = Duration::from_secs(1);

/// Its window of time would take longer with each call in it, and so its breakers count calls.
fn resilience() -> impl Iterator<Item = Row> {
    let breaker = || CircuitBreakerLayer::builder().sliding_window_size(100).build().expect("valid");
    let plenty = 1_000_000_000;
    let limiter =
        || RateLimiterLayer::builder().limit_for_period(plenty).refresh_period(SECOND).build().expect("valid");
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::value(7))
        .layer(limiter())
        .layer(RetryLayer::builder().max_attempts(3).build())
        .layer(breaker())
        .layer(TimeLimiterLayer::builder().timeout_duration(3600 * SECOND).build())
        .service(Bare::<String>::new());
    [
        Row::of_service("breaker: tower-resilience", breaker().layer(Bare::<()>::new())),
        Row::of_service("limiter: tower-resilience", limiter().layer(Bare::<()>::new())),
        Row::of_service("stack: tower-resilience", stack),
    ]
    .into_iter()
}

pub(super) fn rows() -> impl Iterator<Item = Row> {
    let in_a_row = failure_policy::consecutive_failures(5, backoff::constant(SECOND));
    let in_a_row = Config::new().failure_policy(in_a_row).build();
    let rate = Config::new().build();
    let recloser = Recloser::custom().build();
    let plenty = Quota::per_second(NonZeroU32::new(1_000_000).expect("not zero")).allow_burst(NonZeroU32::MAX);
    let governor = RateLimiter::direct(plenty);
    let good = || Ok::<_, ()>(());
    let functions = [
        Row::of_function("breaker: failsafe, consecutive failures", move || in_a_row.call(good).expect("closed")),
        Row::of_function("breaker: failsafe, its default", move || rate.call(good).expect("closed")),
        Row::of_function("breaker: recloser", move || recloser.call(good).expect("closed")),
        Row::of_function("limiter: governor", move || governor.check().expect("plenty")),
    ];
    resilience().chain(functions)
}
