//! Answers something else when a call fails.
//!
//! The caller gets a substitute: a fixed value, what a function makes of the failure, or what another service says.
//! What went wrong stays visible: the answer is marked [`Degraded`](crate::outcome::Degraded) where it has a place for
//! it, and an event says so.
//!
//! | setter | the substitute |
//! |---|---|
//! | [`value`](FallbackLayer::value) | a clone of one value |
//! | [`with`](FallbackLayer::with) | what a function makes of the failure |
//! | [`with_async`](FallbackLayer::with_async) | what a function that may wait makes of it |
//! | [`with_service`](FallbackLayer::with_service) | another service's answer |
//!
//! Which failures it stands in for: by default those that neither the request nor its sender is to blame for
//! (`Error`, `TimedOut`, `Expired`, `Refused` in [the table of meanings](crate::outcome)); choose others with
//! [`FallbackConfig::on`] or decide with [`when`](FallbackLayer::when). Any other answer or error comes out untouched.
//!
//! # When to choose it
//!
//! When there is something honest to say without the service: "pay later", an empty list, the default price. If what you
//! would say is the last good answer, choose the cache fallback. Outermost in a client's stack it covers all that
//! the layers inside can refuse with.
//!
//! # Readiness
//!
//! The layer itself is always ready: whether the wrapped service is, it finds out in `call`, and a service that fails to
//! become ready counts as failed. Who is ready then is called at once, before the future is first polled, as other layers do
//! it. Who is not stands in line from the call on, also while nobody polls the future, and is called there when its turn
//! comes. So a future that is dropped before it is polled is a call that was given up.
//!
//! The wrapped service must be `Clone`. One clone serves all calls for as long as each of them finds it ready. If it has to
//! wait, that call takes it along, and if it fails to become ready or panics it is dropped; the next call asks a new clone
//! of the service as it was wrapped, which nobody has asked for anything.
//!
//! # Example
//!
//! ```
//! use buttress::BoxError;
//! use buttress::fallback::{Failed, FallbackLayer};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! let charge = service_fn(|cents: u64| async move {
//!     if cents < 100 { Ok("paid".to_owned()) } else { Err(BoxError::from("provider down")) }
//! });
//! let charge = ServiceBuilder::new()
//!     .layer(FallbackLayer::default().with(|failed: Failed<_, _>| Ok(format!("pay later: {}", failed.failure))))
//!     .service(charge);
//!
//! assert_eq!(charge.clone().oneshot(50).await?, "paid");
//! assert_eq!(charge.oneshot(500).await?, "pay later: error");
//! # Ok(())
//! # }
//! ```

mod config;
mod future;
mod layer;
mod service;

pub use self::config::{
    Asynchronous, Backup, Failed, FallbackConfig, Function, InvalidFallback, NoSubstitute, NoSummary, Substitute,
    Summary, Trigger, Value,
};
pub use self::future::ResponseFuture;
pub use self::layer::FallbackLayer;
pub use self::service::Fallback;
pub use crate::outcome::Kinds;
