//! The circuit breaker as a service, under paused time.
