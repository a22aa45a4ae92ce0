//! A small tree that uses every form the rules allow.

use crate::tree::Tree;

pub(crate) fn sound() -> Tree {
    let mut tree = Tree::default();
    for pattern in EMPTY {
        for room in ["mod", "config", "layer", "service", "future"] {
            tree = tree.with(&format!("src/{pattern}/{room}.rs"), "");
        }
    }
    SOUND.iter().fold(tree, |tree, (path, text)| tree.with(path, text))
}

const EMPTY: [&str; 4] = ["rate_limit", "retry", "fallback", "cache_fallback"];

const SOUND: &[(&str, &str)] = &[
    ("src/lib.rs", LIB),
    ("src/telemetry.rs", TELEMETRY),
    ("src/rejection.rs", "use crate::{check::Check, clock::Moment};"),
    ("src/check.rs", "pub trait Check {}"),
    ("src/clock.rs", "use tokio::time::Instant; fn now() { Instant::now() }"),
    ("src/registry.rs", "use crate::http::AsResponse; use crate::timeout::Timeout;"),
    ("src/dashboard/mod.rs", "use crate::{engines, registry}; use http::Request;"),
    ("src/engines/mod.rs", ENGINES),
    ("src/engines/redis/mod.rs", "mod idempotency;"),
    ("src/engines/redis/config.rs", "#[cfg_attr(feature = \"serde\", derive(D))] struct RedisConfig;"),
    ("src/engines/redis/idempotency.rs", REDIS),
    ("src/http/mod.rs", HTTP),
    ("src/http/status.rs", "use bytes::Bytes; use http::StatusCode; use crate::retry::Replay; use super::AsResponse;"),
    // The plainest pattern.
    ("src/timeout/mod.rs", TIMEOUT),
    ("src/timeout/config.rs", CONFIG),
    ("src/timeout/layer.rs", "use super::{config::TimeoutConfig, service::Timeout};"),
    ("src/timeout/service.rs", "use super::future::ResponseFuture; use crate::{clock, rejection::Elapsed, telemetry};"),
    ("src/timeout/future.rs", "use super::state::Limit; async fn wait() { crate::clock::sleep(limit).await }"),
    ("src/timeout/state.rs", STATE),
    // One whose rooms have outgrown their files.
    ("src/circuit_breaker/mod.rs", "mod config; pub use layer::CircuitBreakerLayer;"),
    ("src/circuit_breaker/config/mod.rs", "mod rates; pub use rates::Rates; use super::super::outcome::Outcome;"),
    (
        "src/circuit_breaker/config/rates.rs",
        "use super::Anything; pub enum Rates { #[cfg_attr(feature = \"serde\", serde(skip))] Never }",
    ),
    ("src/circuit_breaker/layer.rs", "use super::handle::CircuitBreaker;"),
    ("src/circuit_breaker/service.rs", "use crate::circuit_breaker::handle::CircuitBreaker;"),
    ("src/circuit_breaker/future.rs", "use super::handle::{CircuitBreaker, Probe};"),
    ("src/circuit_breaker/handle.rs", "use std::sync::{Mutex, atomic::AtomicU64}; use super::state::Phase;"),
    ("src/circuit_breaker/state.rs", "mod windows; use super::config::Rates; use windows::Ring;"),
    ("src/circuit_breaker/state/windows.rs", "use super::Phase; use crate::clock::Moment;"),
    // One that remembers.
    ("src/idempotency/mod.rs", "mod config; pub use self::{memory::MemoryStore, store::Store};"),
    ("src/idempotency/config.rs", "use std::time::Duration;"),
    ("src/idempotency/layer.rs", "use super::store::Store;"),
    ("src/idempotency/service.rs", "use super::memory::MemoryStore; use super::store::Store;"),
    ("src/idempotency/future.rs", "use super::memory::MemoryStore;"),
    ("src/idempotency/memory.rs", "use super::{state::Record, store::Store}; use tokio::sync::Notify;"),
    ("src/idempotency/store.rs", "use super::state::Record;"),
];

const LIB: &str = r#"
//! See `http::Request`, and `crate::timeout`.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
mod telemetry;
#[cfg(any(feature = "redis", feature = "postgres"))]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
/// What remembers outside.
pub mod engines;
#[cfg(feature = "http")]
pub mod http;
pub mod timeout;

#[cfg(feature = "http")]
pub use crate::http::AsResponse;
#[cfg(feature = "serde")]
pub(crate) use self::timeout::TimeoutConfig;
pub use timeout::{Timeout, TimeoutLayer};

pub mod prelude {
    #[cfg(feature = "http")]
    pub use crate::http::AsResponse;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
"#;

const TELEMETRY: &str = r#"
use crate::rejection::Rejection;

pub(crate) fn rejected(rejection: &Rejection) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%rejection);
    if cfg!(feature = "metrics") {}
}
"#;

const ENGINES: &str = r#"
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub use crate::idempotency::Store;
"#;

const REDIS: &str = r"
use crate::circuit_breaker::CircuitBreaker;
use crate::http::AsResponse;
use crate::idempotency::{Store, store::Record};
use bytes::Bytes;
";

const HTTP: &str = r#"
mod status;
#[cfg(feature = "rfc9111")]
mod caching;
#[cfg(feature = "tonic")]
pub use self::status::Grpc;
use crate::{circuit_breaker::CircuitBreakerLayer, rejection::Reject, timeout::TimeoutLayer};
"#;

const TIMEOUT: &str = r"
//! ```
//! use buttress::fallback::Fallback;
//! ```
mod config;
mod state;
pub use self::layer::TimeoutLayer;
pub use crate::rejection::Elapsed;
pub use config::TimeoutConfig;
";

const CONFIG: &str = r#"
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
#[derive(Clone)]
pub struct TimeoutConfig {
    #[cfg_attr(feature = "serde", serde(with = "humantime"))]
    limit: Duration,
}
pub struct Hooks<F: Fn(u8)> {
    #[cfg_attr(feature = "serde", serde(skip))]
    on_timeout: F,
}
#[cfg_attr(not(feature = "serde"), derive(Debug))]
pub(crate) enum Unit {
    #[cfg_attr(feature = "serde", serde(rename = "s"))]
    Seconds(#[cfg_attr(feature = "serde", serde(default))] u64),
}
"#;

const STATE: &str = r#"
//! Not `tokio::time::Instant::now`.
use super::config::TimeoutConfig;
use crate::clock::Moment;
use std::time::Duration;

pub(super) struct Limit { since: Option<Moment> }

#[cfg(test)]
mod tests {
    use super::*;
    use super::super::{TimeoutLayer, layer};
    use crate::fallback::Fallback;
    use http::Request;
    use std::sync::Mutex;

    #[tokio::test]
    async fn waits() { tokio::time::sleep(Moment::now().since(crate::clock::now())).await; println!("done"); }
}
"#;
