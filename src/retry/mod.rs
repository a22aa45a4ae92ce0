//! Sends a request again when it failed.
//!
//! The caller waits a little longer and gets an answer after all; or the last one that there really was, as it was: a retry
//! has no refusals of its own. Between the attempts it waits, each time up to twice as long, and chance takes a part of the wait
//! away, so that callers that failed together do not come back together.
//!
//! Retries can do harm: a service that fails because it has too much to do gets more of it. These do not:
//!
//! - **They are paid for.** A [budget](Budget), which all calls of the layer share, pays for a retry to every five calls that
//!   succeed, and for three a second. While everything fails, there are hardly more calls than without retries.
//! - **They heed what the service says**: `Retry-After` and the like are waited for, and `Failure::is_final` ends the call.
//!   Also the refusals of our own layers further in say when they end.
//! - **They end with the caller's patience.** A wait that does not fit the [deadline](RetryLayer::deadline_of) is not begun.
//! - **They do not multiply.** What is done within an attempt that is itself a retry is
//!   [sent once](RetryConfig::max_attempts_within_retry); over HTTP also from one service to the next, where they
//!   [say so](crate::http::InboundAttempts).
//! - **They repeat only what may be repeated**: over HTTP what is idempotent, by its method or by an `Idempotency-Key`; elsewhere
//!   what [`may_repeat`](RetryLayer::may_repeat) says, by default everything. And what was certainly
//!   [never sent](RetryLayer::never_sent).
//!
//! | what became of an attempt ([the meanings](crate::outcome)) | what is done, by default |
//! |---|---|
//! | `Error`, `RequestTimeout`, `TimedOut` | wait, and try again; after a timeout it costs two tokens |
//! | `Throttled` | the same |
//! | `Refused` | the same, if the refusal says when it ends |
//! | `Permanent`, `Expired` | nothing |
//!
//! A hint, such as `Retry-After` of whatever failure, is waited for, and the backoff comes on top of it; where that has no
//! [spread](Spread::None), the longer of the two counts. If that does not fit the deadline, or is longer than the
//! [longest hint](RetryConfig::longest_hint), the call is over at once.
//!
//! An error is an `Error`, whatever the client means by it: also that the caller made the request wrongly, which no retry
//! cures and no breaker should count. Where the client tells such errors apart,
//! [classify](crate::http::ClientStack::classify) them as what they are to the service: a success, since it did nothing wrong.
//!
//! # When to choose it
//!
//! Around calls to something that fails now and then and is well the next moment: a network, a service of many instances. Not
//! around what fails for long, which a [circuit breaker](crate::circuit_breaker) is for; inside the retry it ends the attempts
//! for all. And in one place of a chain of services only, that next to what fails.
//!
//! Put a [timeout](crate::timeout) around it for the whole, and another inside it for each attempt. Where the outer one
//! [tells its deadline](crate::timeout::TimeoutLayer::export_with), the retry ends before it with the last real outcome,
//! unless the service takes until then to become ready.
//!
//! # What is sent again
//!
//! The wrapped service must be `Clone` (in a box: tower's `BoxCloneSyncService`), and the request too, unless
//! [`replay`](RetryLayer::replay) says how to send it again. A copy is made before the first attempt, and only of what may
//! be retried; the last attempt is given what was kept. Each attempt but the first is made by a clone of the service, once
//! that is ready; one that fails to become ready ends the call with its error.
//!
//! The answer decides, over HTTP the head of the response: what fails in the body later is not retried. The last answer is
//! dropped before the wait, and what it holds is free.
//!
//! # What can be seen
//!
//! Each failure is an event at `DEBUG` (target `buttress`, `layer = "retry"`): `retrying` with the `wait`, or `not retried`
//! with a `reason`, one of `kind_not_retried`, `not_repeatable` (it may not be sent twice), `not_copied` (it cannot be),
//! `attempts_used_up`, `service_forbids`, `hint_too_long`, `no_time_left`, `budget_used_up`. A call that succeeds after
//! a failure is `succeeded in the end`. What the budget holds says [`Budget::available`].
//!
//! # Example
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use buttress::BoxError;
//! use buttress::retry::{RetryConfig, RetryLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! static CALLS: AtomicU32 = AtomicU32::new(0);
//! let shaky = service_fn(|name: String| async move {
//!     match CALLS.fetch_add(1, Ordering::Relaxed) {
//!         0 | 1 => Err(BoxError::from("connection reset")),
//!         _ => Ok(format!("hello {name}")),
//!     }
//! });
//! let steady = ServiceBuilder::new().layer(RetryLayer::new(RetryConfig::new())?).service(shaky);
//!
//! assert_eq!(steady.oneshot("Ada".to_owned()).await?, "hello Ada");
//! assert_eq!(CALLS.load(Ordering::Relaxed), 3);
//! # Ok(())
//! # }
//! ```
//!
//! # What it costs
//!
//! A call that succeeds at once copies the request, the service and what the setters were given, and allocates only what
//! those copies do. It reads no clock. It writes what other threads write only where the budget is not full, and where a copy
//! does: that of a service whose layers share state counts a reference for each of them.

mod config;
mod future;
mod handle;
mod layer;
mod service;
mod state;

pub use self::config::{
    AnyRequest, Backoff, BudgetConfig, Cloned, Copied, InvalidRetry, MayRepeat, NeverSent, NotKnown, OnAttempt, Replay,
    RetryConfig, RetryWhen, Spread, Untold,
};
pub use self::future::ResponseFuture;
pub use self::handle::Budget;
pub use self::layer::RetryLayer;
pub use self::service::Retry;
pub use crate::outcome::Kinds;
