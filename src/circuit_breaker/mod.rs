//! Leaves a service alone that keeps failing.
//!
//! While the circuit is *closed*, calls pass and are counted. When too many fail, it *opens*: calls are refused at once,
//! without the service, so that its callers do not wait for what will fail, and it can recover. After a while the circuit
//! is *half-open*: a few calls pass as probes, and when they succeed it closes again.
//!
//! ```text
//!                      a rule trips
//!      closed ──────────────────────────► open ◄───────────────┐
//!        ▲                                 │                   │
//!        │                                 │ the open time     │ a probe fails, or
//!        │ enough probes                   │ is over, and      │ has no answer within
//!        │ have succeeded                  ▼ a call comes      │ its lease
//!        └──────────────────────────── half-open ──────────────┘
//!
//!      force_open, force_closed, disable: from each of them, until reset, which closes
//! ```
//!
//! The caller of a refused call gets [`Rejection::CircuitOpen`](crate::Rejection::CircuitOpen) with the reason and what is left
//! of the open time; over HTTP that is a 503 with `Retry-After`. An error of your own carries it by
//! [two short impls](crate::Rejection); put [`.check::<Request>()`](crate::Check) at the end of a stack, and the compiler says what is missing.
//!
//! ```
//! use std::time::Duration;
//! use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, OpenFor, State};
//! use buttress::{BoxError, Rejection};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let config = CircuitBreakerConfig::new()
//!     .name("payments")
//!     .consecutive_failures(3)
//!     .open_for(OpenFor::fixed(Duration::from_secs(10)));
//! let layer = CircuitBreakerLayer::new(config)?;
//! let breaker = layer.breaker().clone();
//! let payments = layer.layer(service_fn(async |works: bool| if works { Ok("paid") } else { Err(BoxError::from("down")) }));
//!
//! for _ in 0..3 {
//!     payments.clone().oneshot(false).await.unwrap_err();
//! }
//! assert_eq!(breaker.state(), State::Open);
//! let refused = payments.clone().oneshot(true).await.unwrap_err();
//! assert!(matches!(Rejection::find(&*refused), Some(Rejection::CircuitOpen(_))));
//!
//! tokio::time::advance(Duration::from_secs(10)).await;
//! assert_eq!(payments.oneshot(true).await?, "paid"); // the probe
//! assert_eq!(breaker.state(), State::Closed);
//! # Ok(())
//! # }
//! ```
//!
//! # Over HTTP
//!
//! ```
//! # fn main() -> Result<(), buttress::circuit_breaker::InvalidCircuitBreaker> {
//! use axum::extract::{MatchedPath, Request};
//! use axum::{Router, routing::get};
//! use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
//!
//! // One breaker for all routes and connections: clones of a layer share it.
//! let one = CircuitBreakerLayer::new(CircuitBreakerConfig::new().name("reports"))?.http_server();
//! let app: Router = Router::new().route("/daily", get(async || "sun")).layer(one);
//!
//! // One for each route.
//! let route = |request: &Request| request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
//! let each = CircuitBreakerLayer::by_key(CircuitBreakerConfig::new().name("routes"), route)?.http_server();
//! let app: Router = app.route("/weekly", get(async || "rain")).layer(each);
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! # Where to put it
//!
//! Around calls to something that can fail for a while and does not get well by being asked: a provider, a database, a
//! slow neighbour. One breaker for each thing that fails by itself: a breaker that several hosts share opens for all when
//! one is down; [`by_key`](CircuitBreakerLayer::by_key) makes one for each.
//!
//! - **A timeout goes inside**, so that a call without an answer is a failure. Where the timeout is outside and not yours, it
//!   drops the call, and a dropped call means nothing by default; choose [`WhenDropped::Failure`] there.
//! - **A retry goes outside**: each attempt counts, and a refusal says how long to wait. With the retry inside, the breaker
//!   sees only what was still failing after all attempts, and sees it late.
//! - **A fallback goes outside**, to answer what is refused.
//!
//! # Which rule
//!
//! Every rule that is set can trip the circuit, and they go well together. A rule is looked at when a call has failed or was
//! slow; a good call never opens.
//!
//! | rule | sees | does not see | cost of a good call |
//! |---|---|---|---|
//! | [`consecutive_failures`](CircuitBreakerConfig::consecutive_failures) | a service that is down, at once, with little traffic too | one that fails half the time: the next success starts the row anew | nothing |
//! | [`last_calls`](CircuitBreakerConfig::last_calls) | partial failure, as fast as there is traffic | that the failures are from last night | nothing, while all of the last calls were good |
//! | [`time_window`](CircuitBreakerConfig::time_window) | partial failure of now | anything with too few calls in the window | a clock reading |
//! | a `slow_rate` of either | a service that answers too late to be of use | | two clock readings |
//!
//! *Numbers.* More failures in a row than chance makes: at a failure rate of 10 % on a good day, 5 in a row come once in
//! 100 000 calls, 10 once in ten thousand million. A rate well above that of a good day, over enough calls that luck does not
//! decide: 50 % of 100, at least 20. The open time as long as the service needs to recover at best, and
//! growing with jitter, so that many clients neither hammer it nor come back together. More than one success to close where
//! a single good answer proves little.
//!
//! # What counts
//!
//! What a result means says [`Classify`](crate::Classify), by [its table](crate::outcome): errors and timeouts are failures,
//! a refusal further in and a 408 say nothing about the service. A 429 says nothing either while the circuit is closed; as
//! the answer to a probe it is a failure, and its `Retry-After` prolongs the open time. A panic is a failure. An answer to a call from
//! before the last change of state changes nothing, and is counted as [stale](Snapshot::stale).
//!
//! A probe that takes longer than its [lease](CircuitBreakerConfig::probe_lease) has failed, which is found out when the next
//! call comes: no circuit waits for ever for an answer that does not come.
//!
//! # Who is ready when
//!
//! While the circuit is open the layer is ready at once, whatever the wrapped service says, and the call is refused. Who
//! waits for the wrapped service to get ready is woken when the circuit opens, and refused. While the
//! circuit is open, a service that has said it is ready refuses its next call, also one that comes after the open time;
//! whoever waits in between asks for readiness again. What a service had reserved for a
//! call before, such as a permit of a `ConcurrencyLimit`, stays reserved until that same value is called again or dropped, as
//! everywhere in tower. A probe's place is reserved before the wrapped service is asked whether it is ready, and its lease
//! runs from there; the call has a lease of its own. A place that is reserved and not used within its lease is free again,
//! and no failure. A service that fails to get ready has failed a call.
//!
//! # Who sees it, who may interfere
//!
//! [`CircuitBreakerLayer::breaker`] is the handle: [`snapshot`](CircuitBreaker::snapshot),
//! [`changes`](CircuitBreaker::changes) as they happen, [`force_open`](CircuitBreaker::force_open) and the like,
//! [`reconfigure`](CircuitBreaker::reconfigure) while it runs, and [`try_acquire`](CircuitBreaker::try_acquire) to use it without
//! tower. [`observe_only`](CircuitBreakerConfig::observe_only) tries settings on live traffic and refuses nothing. Every change and
//! every refusal is an event.
//!
//! A call of a healthy service reads what is written only when the circuit changes, and writes nothing. A clone of a service
//! counts a reference, as clones of most services do; a call does not.
//!
//! A breaker takes at most 2 KiB, and more for each processor: 256 bytes with a time window, 128 bytes once it is cloned;
//! whatever the traffic. The memory of one that is dropped is kept for the next; its [name](crate::Name) is kept for good.

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
