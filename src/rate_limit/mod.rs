//! Lets as many calls pass as a quota says.

mod config;
mod future;
mod handle;
mod layer;
mod service;
mod state;

pub use self::config::{CostOf, InvalidRateLimit, KeyedConfig, OneEach, Quota, RateLimitConfig, WhenFull, WithoutKey};
pub use self::future::{ResponseFuture, WaitingFuture};
pub use self::handle::{
    Announce, ByKey, KeyedRateLimiter, KeyedSnapshot, Limits, NotAnnounced, RateLimiter, Snapshot, Standing, Taking,
};
pub use self::layer::{RateLimitLayer, WaitingRateLimitLayer};
pub use self::service::{RateLimit, WaitingRateLimit};
pub use crate::rejection::{LimitReason, Limited};
