use std::convert::Infallible;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, TimeWindow};
use buttress::fallback::{Failed, FallbackLayer};
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use tower::ServiceBuilder;

use super::{Server, within};

pub(super) const ALL: [Server; 5] = [
    ("buttress", || {
        let stack = ServiceBuilder::new()
            .layer(FallbackLayer::default().http_server().with(usual))
            .layer(RateLimitLayer::new(plenty())?.http_server())
            .layer(CircuitBreakerLayer::new(window())?.http_server())
            .layer(TimeoutLayer::new(limit())?.http_server());
        Ok(within(stack))
    }),
    ("buttress, fallback", || Ok(within(FallbackLayer::default().http_server().with(usual)))),
    ("buttress, limiter", || Ok(within(RateLimitLayer::new(plenty())?.http_server()))),
    ("buttress, breaker", || Ok(within(CircuitBreakerLayer::new(window())?.http_server()))),
    ("buttress, timeout", || Ok(within(TimeoutLayer::new(limit())?.http_server()))),
];

fn usual(_: Failed<Response, Infallible>) -> Result<Response, Infallible> {
    Ok("the usual answer".into_response())
}

fn plenty() -> RateLimitConfig {
    RateLimitConfig::new(Quota::per_second(1_000_000).burst(u32::MAX))
}

fn window() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new().time_window(TimeWindow::new(Duration::from_secs(10)))
}

fn limit() -> TimeoutConfig {
    TimeoutConfig::new(Duration::from_secs(30))
}
