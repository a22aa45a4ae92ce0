//! A request that is repeated is answered with what came of it the first time, and not run again.
//!
//! A customer clicks twice, a client retries because an answer was lost, a queue delivers again: the layer runs the request
//! once, and tells the others what came of it. They are told apart from other requests by a key, such as the header
//! `Idempotency-Key` or the number of an order.
//!
//! | a request whose key | is |
//! |---|---|
//! | nobody has sent | run, in a task of its own: a sender that goes away does not stop it |
//! | is of one that is running | refused, and told to come back in 5 s or when its lease ends, whichever is sooner ([`Running`](RefusalReason::Running), over HTTP 409 with `Retry-After`); or it [waits](IdempotencyConfig::wait) for the one answer |
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
//! let keys = IdempotencyKeys::new().scope(|_: &Parts| Some(("the one tenant", "order.create")));
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
//! - A **lease** keeps others from a request that is being run: for 30 s, and the run renews it every ten. If its process
//!   crashes, nobody renews it, and when the 30 s are over, the next one that repeats the request takes over: its handler is
//!   told that there was [a run before](Execution::is_recovered), and should look what that one did.
//! - A **fence** is a number that is larger for each run of a request. A process that stood still for longer than its lease
//!   does not know that it was taken over from. Nobody can stop it, but the database that it writes to can refuse it: the
//!   handler writes its [fence](Execution::fence) (`Execution::current()`) beside what the request changes, and nothing where
//!   there is a larger one (`UPDATE orders SET state = 'paid', pay_fence = 17 WHERE order_no = 1 AND pay_fence <= 17`). Compare
//!   fences of one request only: each operation has a column of its own, and where two requests may change the same row, their
//!   keys belong beside their fences. What cannot refuse, such as a payment provider, is to be sent one key of its own for
//!   all runs, derived from the order and the operation, or [what the request is recorded under](Execution::key).
//! - **Retention** is for how long what came of a request is remembered. It must be longer than anybody repeats one.
//!
//! Nobody knows what came of a request whose handler says so, failed in a way that tells nothing, or crashed or hung as often as
//! a request [may be run](IdempotencyConfig::max_attempts): then it is **parked**, and repeated ones are refused
//! ([`OutcomeUnknown`](RefusalReason::OutcomeUnknown)) until somebody finds out and [says so](IdempotencyLayer::resolve), or the
//! retention is over.
//!
//! # What it promises, and what it does not
//!
//! While the store keeps its records, a request is run again only if the run before, or whoever looked into it, said that
//! nothing came of it, or if it lost its lease: its process crashed or stood still, it did not reach the store for as long as a
//! lease, or it hung for longer than a [run may take](IdempotencyConfig::longest_run). That is what fences are for; so many
//! runs there are at most ([`max_attempts`](IdempotencyConfig::max_attempts)). Requests that may be
//! [run without the store](WhenUnavailable::Run) may be run twice while it is not reached. A store that is
//! [not durable](Capabilities::durable) forgets with its process, and so [`MemoryStore`] does not outlive a crash. Where two
//! effects must not be at any price, let the effect's own store say no as well: by the fence, by a unique index, or by
//! [one transaction](IdempotencyLayer::in_transactions) for both, where the records are in the same database.
//!
//! A run does not inherit the deadline of who sent the request: what was begun is done. A server that shuts down stops taking
//! requests first, and then lets what was begun come to its end:
//!
//! ```no_run
//! # async fn serve() {}
//! # async fn f(once: buttress::idempotency::IdempotencyLayer<buttress::idempotency::MemoryStore>) {
//! let idempotency = once.idempotency(); // before the layer goes into the router
//! serve().await; // until the graceful shutdown is over
//! if !idempotency.drain(std::time::Duration::from_secs(30)).await {
//!     eprintln!("{} are left running", idempotency.running());
//! }
//! # }
//! ```
//!
//! # When to choose it
//!
//! Around what has an effect and is asked for over a network. Outside of it belongs what concerns a sender: limits, timeouts
//! (who is told "too late" and asks again gets the answer), authentication; inside of it what concerns the effect: breaker,
//! retries. A refusal by them lets the request be run again, unless a retry or a fallback of this crate has made another call
//! in the same run. Of what a handler has done by itself before it passes such a refusal on, nothing is known: it has to say so
//! (over HTTP by [`Effect`](crate::http::Effect)). A retry belongs around what the handler calls, with a key of its own, and not
//! around the handler, which it would run several times in one run.

mod config;
mod future;
mod handle;
mod layer;
mod memory;
mod service;
pub(crate) mod state;
mod store;

pub use self::config::{
    Fingerprint, Global, IdempotencyConfig, Identified, Identify, InvalidIdempotency, InvalidRecordKey, Keep, Kept,
    NotSaid, Parts, RecordKey, RunOnce, ScopeOf, ToParts, Unreadable, Verdict, Wait, WhenUnavailable,
};
pub use self::future::ResponseFuture;
pub use self::handle::{
    Enlist, Execution, HandTransaction, Idempotency, InTransaction, InTransactions, Locked, OnItsOwn,
};
pub use self::layer::IdempotencyLayer;
pub use self::memory::MemoryStore;
pub use self::service::IdempotencyService;
pub use self::state::{Acquired, Begin, Claim, Commit, Owner};
pub use self::store::{Capabilities, Store, StoreError, Transactional};
pub use crate::rejection::{RefusalReason, Refused};
