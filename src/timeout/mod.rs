//! Fails a call that takes too long.
//!
//! The limit counts from the moment the wrapped service first has to wait, until its answer; over HTTP that is the head
//! of the response. An answer that is ready in the same instant as the limit still counts. When the limit has passed,
//! the call is dropped first and refused then, so whatever it held is free again.
//!
//! A request may come with a [deadline](crate::deadline). Then the call may take its own limit or what is left of the
//! deadline, whichever is less, counted from the call; a request that is past its deadline is refused without calling
//! the service.
//!
//! # When to choose it
//!
//! Around everything that waits for somebody else. At the door of a server it is a promise to the client and gets the
//! longest limit; around one attempt of an outbound call it gets a short one, *inside* the retry and the circuit breaker,
//! so that both see the attempt fail. A timeout outside them only drops their work, and a dropped call teaches a breaker
//! nothing.
//!
//! It costs nothing while the service answers at its first poll: no timer, and without a deadline no look at the clock.
//!
//! # What it does not bound
//!
//! - *Waiting until the service is ready.* The layer is ready when the wrapped service is, and until then nobody has called.
//!   A full `ConcurrencyLimit` or `Buffer` inside can keep a caller waiting for ever. Where that may happen, shed the load,
//!   or put a [fallback](crate::fallback) between: it is always ready and waits inside the call, which a timeout around it
//!   bounds.
//! - *The response body.* Put [`http::BodyDeadline`](crate::http::BodyDeadline) beside it.
//!
//! A request that is refused because it came past its deadline leaves the service as ready as it was: what the service has
//! reserved for the call, such as a permit of a `ConcurrencyLimit`, stays reserved until that same value is called again or
//! dropped, as everywhere in tower.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use buttress::timeout::{TimeoutConfig, TimeoutLayer};
//! use buttress::{BoxError, Rejection};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let lookup = service_fn(|seconds: u64| async move {
//!     tokio::time::sleep(Duration::from_secs(seconds)).await;
//!     Ok::<_, BoxError>("found")
//! });
//! let lookup = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(2)).name("lookup"))?)
//!     .service(lookup);
//!
//! assert_eq!(lookup.clone().oneshot(1).await?, "found");
//! let error = lookup.oneshot(3).await.unwrap_err();
//! assert!(matches!(Rejection::find(&*error), Some(Rejection::Elapsed(_))));
//! # Ok(())
//! # }
//! ```

mod config;
mod future;
mod layer;
mod service;
mod state;

pub use self::config::{ConfiguredLimit, InvalidTimeout, LimitOf, TimeoutConfig};
pub use self::future::ResponseFuture;
pub use self::layer::TimeoutLayer;
pub use self::service::Timeout;
pub use crate::rejection::Elapsed;
