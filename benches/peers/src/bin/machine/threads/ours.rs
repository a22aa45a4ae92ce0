use std::time::Duration;

use buttress::Error;
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, TimeWindow};
use buttress::fallback::{Failed, FallbackLayer};
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::{RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use tower::{Layer, ServiceBuilder};

use super::Row;
use crate::bare::Bare;

pub(super) fn rows() -> impl Iterator<Item = Row> {
    let bare = Bare::<Error<()>>::new;
    let breaker = |config| CircuitBreakerLayer::new(config).expect("valid");
    let last_calls = breaker(CircuitBreakerConfig::new().last_calls(LastCalls::new(100)));
    let time_window = || breaker(CircuitBreakerConfig::new().time_window(TimeWindow::new(Duration::from_secs(10))));
    let plenty = Quota::per_second(1_000_000).burst(u32::MAX);
    let limiter = || RateLimitLayer::new(RateLimitConfig::new(plenty)).expect("valid");
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::default().with(|_: Failed<u64, Error<()>>| Ok(7)))
        .layer(limiter())
        .layer(RetryLayer::new(RetryConfig::new()).expect("valid"))
        .layer(time_window())
        .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(3600))).expect("valid"))
        .service(bare());
    [
        Row::of_service("breaker: buttress, last calls", last_calls.layer(bare())),
        Row::of_service("breaker: buttress, time window", time_window().layer(bare())),
        Row::of_service("limiter: buttress", limiter().layer(bare())),
        Row::of_service("stack: buttress", stack),
    ]
    .into_iter()
}
