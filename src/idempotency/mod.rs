//! A request that is repeated is answered with what came of it the first time, and never run twice.
//!
//! A customer clicks twice, a client retries because an answer was lost, a queue delivers again: the layer runs the request
//! once, and tells the others what came of it. They are told apart from other requests by a key, such as the header
//! `Idempotency-Key` or the number of an order.
//!
//! | a request whose key | is |
//! |---|---|
//! | nobody has sent | run, in a task of its own: a sender that goes away does not stop it |
//! | is of one that is running | refused, and told when to come back ([`Running`](RefusalReason::Running), over HTTP 409 with `Retry-After`); or it [waits](IdempotencyConfig::wait) for the one answer |
//! | is of one that was run | answered with what came of that (over HTTP marked `idempotency-replayed: true`) |
//! | is of another request | refused ([`Mismatch`](RefusalReason::Mismatch), 422) |
//! | is missing or cannot be read | refused (400) |
//!
//! ```
//! use std::num::NonZeroUsize;
//! use axum::{Router, body::Body, routing::post};
//! use buttress::http::IdempotencyKeys;
//! use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, MemoryStore};
//! use http::{Request, request::Parts};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), buttress::BoxError> {
//! // Whose keys these are, and of what: here there is one tenant, and one operation.
//! let keys = IdempotencyKeys::new().scope(|_: &Parts| ("the one tenant", "order.create"));
//! let store = MemoryStore::new(NonZeroUsize::new(100_000).expect("not zero"));
//! let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?.http_server(keys, Body::new);
//! let app: Router = Router::new().route("/orders", post(async || "order 1")).layer(once);
//!
//! let order = || Request::post("/orders").header("idempotency-key", "click-1").body(Body::from("tea"));
//! let first = app.clone().oneshot(order()?).await?;
//! let again = app.oneshot(order()?).await?;
//! assert!(!first.headers().contains_key("idempotency-replayed"));
//! assert_eq!(again.headers()["idempotency-replayed"], "true");
//! # Ok(())
//! # }
//! ```
//!
//! # Four words
//!
//! - A **scope** is what keys are told apart within: the tenant, whose keys nobody else may use up or ask for, and the
//!   operation, since an order is created once and also paid once. It has to be said ([`RunOnce::scope`]).
//! - A **lease** is for how long a request is its run's own. The run says that it still goes on, three times in each lease. A
//!   process that crashes says nothing any more, and when the lease is over, whoever repeats the request takes over: its
//!   handler is told that there was [a run before](Execution::is_recovered), and should look what that one did.
//! - A **fence** is a number that is larger for each run of a request. A process that stood still for longer than its lease
//!   does not know that it was taken over from. Nobody can stop it, but what it writes to can tell: it keeps the largest
//!   [fence](Execution::fence) that it has seen, and refuses a smaller one (`UPDATE orders SET state = 'paid', fence = 17 WHERE
//!   order_no = 1 AND fence <= 17`). What cannot do that, such as a payment provider, is to be sent one key of its own for all
//!   runs, derived from the order and the operation.
//! - **Retention** is for how long what came of a request is remembered. It must be longer than anybody repeats one.
//!
//! # What it promises, and what it does not
//!
//! While the store keeps its records, a request is run again only if the run before ended without anybody knowing how (at most
//! [`max_attempts`](IdempotencyConfig::max_attempts) times), or said that nothing came of it. A store that is
//! [not durable](Capabilities::durable) forgets with its process. Where two effects must not be at any price, let the effect's
//! own store say no as well: by the fence, or by a unique index.
//!
//! A run does not inherit the deadline of who sent the request: what was begun is done.
//!
//! # When to choose it
//!
//! Around what has an effect and is asked for over a network. Outside of it belongs what concerns a sender: limits, timeouts
//! (who is told "too late" and asks again gets the answer), authentication; inside of it what concerns the effect: breaker,
//! retries.

mod config;
mod future;
mod handle;
mod layer;
mod memory;
mod service;
mod state;
mod store;

pub use self::config::{
    Fingerprint, Global, IdempotencyConfig, Identified, Identify, InvalidIdempotency, InvalidRecordKey, Keep, Kept,
    NotSaid, Parts, RecordKey, RunOnce, ScopeOf, ToParts, Unreadable, Verdict, Wait, WhenUnavailable,
};
pub use self::future::ResponseFuture;
pub use self::handle::{Execution, Idempotency};
pub use self::layer::IdempotencyLayer;
pub use self::memory::MemoryStore;
pub use self::service::IdempotencyService;
pub use self::state::{Acquired, Begin, Claim, Commit, Owner};
pub use self::store::{Capabilities, Store, StoreError};
pub use crate::rejection::{RefusalReason, Refused};
