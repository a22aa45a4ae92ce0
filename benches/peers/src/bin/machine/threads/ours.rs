use std::time::Duration;

use buttress::Error;
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, TimeWindow};
use buttress::fallback::{Failed, FallbackLayer};
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::{RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use tower::{Layer, Service, ServiceBuilder};

use super::Row;
use crate::bare::Bare;

type Failure = Error<()>;

trait Calls: Service<u64, Response = u64, Error = Failure, Future: Send> + Clone + Send + 'static {}

impl<S: Service<u64, Response = u64, Error = Failure, Future: Send> + Clone + Send + 'static> Calls for S {}

fn breaker(config: CircuitBreakerConfig) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new(config).expect("valid")
}

fn last_calls() -> impl Calls {
    breaker(CircuitBreakerConfig::new().last_calls(LastCalls::new(100))).layer(Bare::new())
}

fn window() -> CircuitBreakerLayer {
    breaker(CircuitBreakerConfig::new().time_window(TimeWindow::new(Duration::from_secs(10))))
}

fn time_window() -> impl Calls {
    window().layer(Bare::new())
}

fn limit() -> RateLimitLayer {
    let plenty = Quota::per_second(1_000_000).burst(u32::MAX);
    RateLimitLayer::new(RateLimitConfig::new(plenty)).expect("valid")
}

fn limiter() -> impl Calls {
    limit().layer(Bare::new())
}

fn stack() -> impl Calls {
    ServiceBuilder::new()
        .layer(FallbackLayer::default().with(|_: Failed<u64, Failure>| Ok(7)))
        .layer(limit())
        .layer(RetryLayer::new(RetryConfig::new()).expect("valid"))
        .layer(window())
        .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(3600))).expect("valid"))
        .service(Bare::new())
}

/// What is not shared shows what the machine gives to two threads that run so much code; the rest is what sharing takes.
pub(super) fn rows() -> impl Iterator<Item = Row> {
    [
        Row::of_service("breaker: buttress, last calls", last_calls()),
        Row::of_services("breaker, not shared: buttress, last calls", last_calls),
        Row::of_service("breaker: buttress, time window", time_window()),
        Row::of_services("breaker, not shared: buttress, time window", time_window),
        Row::of_service("limiter: buttress", limiter()),
        Row::of_services("limiter, not shared: buttress", limiter),
        Row::of_service("stack: buttress", stack()),
        Row::of_services("stack, not shared: buttress", stack),
    ]
    .into_iter()
}
