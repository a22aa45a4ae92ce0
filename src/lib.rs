//! Composable tower layers that keep a service standing when what it depends on fails.
//!
//! Each layer wraps any [`tower::Service`] (fallback, cache fallback, retry, idempotency, and a rate limit that waits, any that is `Clone`): an axum router, a hyper server, an outbound hyper, reqwest or tonic client, a
//! job queue. A layer never changes a service's types: the response and the error that come out are those that went in.
//!
//! | layer | what the caller notices |
//! |---|---|
//! | [`timeout`] | a call that takes too long fails, and is dropped |
//! | [`rate_limit`] | more than the agreed rate is refused at once, or waits its turn |
//! | [`circuit_breaker`] | a service that keeps failing is left alone for a while, and calls are refused at once |
//! | [`retry`] | a call that failed is made again, a little later, as long as that helps |
//! | [`idempotency`] | a repeated request is answered with the first one's response, and not run again |
//! | [`fallback`] | a call that failed is answered with something else, and marked |
//! | [`cache_fallback`] | a call that failed is answered with the last good answer, and marked; on request, what is fresh is told without a call, and all who ask at the same time ask once |
//!
//! # A server
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use buttress::timeout::{TimeoutConfig, TimeoutLayer};
//!
//! # fn main() -> Result<(), buttress::timeout::InvalidTimeout> {
//! let door = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)).name("door"))?;
//! let app: Router = Router::new()
//!     .route("/", get(async || "hello"))
//!     .layer(door.http_server().export_deadline());
//! # Ok(())
//! # }
//! ```
//!
//! # A client
//!
//! ```
//! use buttress::Check;
//! use buttress::http::{ClientStackConfig, client_stack};
//! use http::Request;
//! use http_body_util::Full;
//! use hyper::body::Bytes;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::ServiceBuilder;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), buttress::http::InvalidStack> {
//! let client = ServiceBuilder::new()
//!     .layer(client_stack(ClientStackConfig::new())?) // total timeout, retry, circuit breaker, attempt timeout
//!     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
//!     .check::<Request<Full<Bytes>>>();
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! Each layer by itself needs an error that can carry its refusals: a [`BoxError`], one of your own, or
//! `.map_err(buttress::Error::inner)` right before `.service(client)`.
//!
//! # Which order
//!
//! A `ServiceBuilder` is read from the top, outermost first; a chain of axum's `.layer` calls from the bottom. On a single
//! route, put several layers into one `ServiceBuilder`: a chain leaves axum guessing at the error between them.
//!
//! - **Server**: rate limit, cache fallback, timeout, idempotency, handler. What is refused costs nothing more; what comes too
//!   late is answered from memory, if it can be; the promise to the client covers all that is behind it; what was begun goes on
//!   when a client gives up, and whoever asks again gets its answer.
//!   Authentication stands outside of idempotency and of the cache fallback, whose keys are somebody's.
//! - **Client**: fallback or cache fallback, total timeout, retry, circuit breaker, attempt timeout, client. The fallback answers
//!   whatever the others refuse; the attempt's timeout stands inside retry and breaker, so that both see it fail.
//!
//! [`http::client_stack`] and [`http::server_stack`] put them so, with settings that are checked together, but for the cache
//! fallback, which goes around a client's stack.
//!
//! # What holds for every layer
//!
//! - *State lives in the layer.* Cloning a layer, or applying it twice, shares its state; `new` makes new state. So a layer
//!   holds under `axum::serve`, which applies it again for every connection.
//! - *Settings are plain.* `XConfig` holds them, `XLayer::new` checks them together and says which cannot work. What a
//!   layer does by way of a trait or a closure is chosen on the layer, by setters and the presets `.http_server()` and
//!   `.http_client()`.
//! - *Refusals are one type*, [`Rejection`]; [`Reject`] says how one reaches the caller.
//! - *What a call's result means* says [`Classify`], for all layers that act on it.
//! - *Time is tokio's.* `tokio::time::pause` stops a whole stack, so your tests need not wait.
//! - *Dropping a call is safe* at every point.
//! - *A call that succeeds* allocates nothing (but for telling an HTTP service its deadline, where you ask for that,
//!   what a retry copies of an HTTP request, the task and the record of a request that is run once, an answer that is
//!   remembered, and what of an HTTP request has to be known for that), arms no timer unless it has to wait, reads the clock at most once in
//!   each layer that needs the time, and writes nothing that another thread writes (but for the rate limit, whose
//!   number is shared, and a retry's budget while it is not full). What you put into an `Arc` costs a reference
//!   count, and so does what a retry or a rate limit that waits clones for a call, and a fallback for its first one: the
//!   layers inside that share state, and your client. Those of our own breakers are counted apart by threads.
//! - *Every decision is told*, as a [`tracing`](https://docs.rs/tracing) event with target `buttress`.
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `http` | [`http`](mod@http): refusals as responses, outcomes from status codes, deadlines in headers and extensions, bodies that are sent again, ready stacks | yes |
//! | `tracing` | an event for every decision | yes |
//! | `serde` | settings from files, durations as `"250ms"`; [`values`]: plain values as recorded answers | |
//! | `redis`, `postgres`, `sqlite` | [`engines`]: idempotency records that outlive a process, or that several share; the latter two need Rust 1.94; in Redis, answers of the cache fallback too | |
//! | `rfc9111` | [`http::CachedResponses::rfc9111`]: responses are remembered as RFC 9111 has it | |
//! | `test-util` | [`conformance`]: what an engine of your own has to hold | |
//! | `full` | all of these | |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod attempt;
pub mod cache_fallback;
mod check;
pub mod circuit_breaker;
pub mod clock;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod conformance;
pub mod deadline;
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))))]
pub mod engines;
pub mod fallback;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "serde")]
mod human_duration;
pub mod idempotency;
pub mod jitter;
mod key;
#[cfg(test)]
#[path = "../tests/support/model.rs"]
mod model;
mod name;
pub mod outcome;
mod placement;
pub mod rate_limit;
pub mod rejection;
pub mod retry;
mod serving;
mod striped;
mod superseded;
mod sync;
mod telemetry;
pub mod timeout;
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub mod values;

pub use crate::attempt::Attempt;
pub use crate::check::Check;
pub use crate::deadline::{Deadline, DeadlineOf};
pub use crate::jitter::Jitter;
pub use crate::key::KeyOf;
pub use crate::name::Name;
pub use crate::outcome::{
    AnyErrorIsFailure, Classify, Degraded, ErrorsAreFailures, Failure, FailureKind, MarkDegraded, Outcome,
};
pub use crate::rejection::{AsError, BoxError, Error, MayCarryRejection, Reject, Rejection};

/// The code of the README.
#[cfg(all(doctest, feature = "redis", feature = "rfc9111"))]
#[doc = include_str!("../README.md")]
mod readme {}
