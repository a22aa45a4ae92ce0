use std::time::Duration;

use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::http::StatusCode;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, ServiceBuilder};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::GlobalKeyExtractor;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_ratelimiter::RateLimiterLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;

use super::{Server, within};

const LIMIT: Duration = Duration::from_secs(30);

pub(super) const ALL: [Server; 3] = [
    // Its rate limit cannot be cloned, and so cannot stand around a route without a queue.
    ("tower, timeout and concurrency limit", || {
        let stack = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(async |_: BoxError| StatusCode::SERVICE_UNAVAILABLE))
            .layer(GlobalConcurrencyLimitLayer::new(1_000_000))
            .layer(TimeoutLayer::new(LIMIT));
        Ok(within(stack))
    }),
    ("tower_governor, limiter", || {
        let mut plenty = GovernorConfigBuilder::default().key_extractor(GlobalKeyExtractor);
        let plenty = plenty.per_nanosecond(1_000).burst_size(u32::MAX).finish().ok_or("a rate")?;
        Ok(within(GovernorLayer::<_, _, Body>::new(plenty)))
    }),
    // Its fallbacks, the layer and the breaker's own, stand around no route of axum: one needs requests that are `Clone`, the
    // other such that are `Sync`.
    ("tower-resilience, without fallback", || {
        let second = Duration::from_secs(1);
        let limiter = RateLimiterLayer::builder().limit_for_period(1_000_000_000).refresh_period(second).build()?;
        // With a handle, since else each service that the layer makes has a breaker of its own.
        let (breaker, _) = CircuitBreakerLayer::builder().sliding_window_size(100).build_with_handle()?;
        let stack = ServiceBuilder::new()
            .layer(HandleErrorLayer::new(async |_| StatusCode::SERVICE_UNAVAILABLE))
            .layer(limiter)
            .layer(breaker)
            .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build());
        Ok(within(stack))
    }),
];
