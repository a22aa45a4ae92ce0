//! Leaves a service alone that keeps failing.

mod config;
mod future;
mod handle;
mod layer;
mod service;
mod state;

pub use self::config::{
    CircuitBreakerConfig, InvalidCircuitBreaker, KeyedConfig, LastCalls, OpenFor, TimeWindow, WhenDropped, WithoutKey,
};
pub use self::future::ResponseFuture;
pub use self::handle::{Changes, CircuitBreaker, KeyedCircuitBreaker, KeyedSnapshot, Permit};
pub use self::layer::{CircuitBreakerLayer, KeyedCircuitBreakerLayer};
pub use self::service::{CircuitBreakerService, KeyedCircuitBreakerService};
pub use self::state::{Change, Counts, ProbeCounts, Snapshot, State};
pub use crate::rejection::{Open, TripReason};
