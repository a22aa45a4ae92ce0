//! Lets as many calls pass as a quota says.
//!
//! A bucket holds as many tokens as may pass at once (the *burst*), and tokens flow in at a steady *rate* until it is full.
//! A call takes what it costs; where there is not as much, it is refused at once and told the exact time after which it
//! could have passed, or it waits in line. So within any span of time no more passes than rate times time, and one burst.
//!
//! The caller of a refused call gets [`Rejection::RateLimited`](crate::Rejection::RateLimited); over HTTP that is a 429 with
//! `Retry-After`. An error of your own carries it by [two short impls](crate::Rejection); put
//! [`.check::<Request>()`](crate::Check) at the end of a stack, and the compiler says what is missing.
//!
//! ```
//! use std::time::Duration;
//! use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
//! use buttress::{BoxError, Rejection};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let config = RateLimitConfig::new(Quota::per_second(1000).burst(100)).name("orders");
//! let layer = RateLimitLayer::new(config)?;
//! let limiter = layer.limits().clone();
//! let shop = layer.layer(service_fn(async |order: u32| Ok::<_, BoxError>(order)));
//!
//! for order in 0..100 {
//!     assert_eq!(shop.clone().oneshot(order).await?, order);
//! }
//! let refused = shop.clone().oneshot(100).await.unwrap_err();
//! let wait = Rejection::find(&*refused).and_then(|rejection| rejection.retry_after());
//! assert_eq!(wait, Some(Duration::from_millis(1)));
//! tokio::time::sleep(Duration::from_millis(1)).await;
//! assert_eq!(shop.oneshot(100).await?, 100);
//! assert_eq!(limiter.remaining(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Refuse or wait
//!
//! A server refuses: a line before it only makes its clients wait for what they have given up on. A client that must keep
//! to somebody else's limit waits ([`RateLimitLayer::wait`]). Calls stand in line in the order in which they came, and only
//! the first one sleeps for tokens. Whoever leaves has spent nothing, and those behind it move up. The line has an end
//! ([`max_waiting`](RateLimitConfig::max_waiting)); a wait that is known to be longer than
//! [`max_wait`](RateLimitConfig::max_wait) or than the call's deadline allows is refused at once. While a call waits, it
//! holds no place in the wrapped service. A future that is kept and not polled holds up the line; those behind it wait no
//! longer than they may. A *leaky bucket* is a line before a burst of one: [`RateLimitConfig::leaky`].
//!
//! ```
//! use std::time::Duration;
//! use buttress::BoxError;
//! use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let config = RateLimitConfig::leaky(Quota::per_second(5), 20).max_wait(Duration::from_secs(2));
//! let mailer = RateLimitLayer::new(config)?.wait().layer(service_fn(async |mail: &'static str| Ok::<_, BoxError>(mail)));
//! let start = tokio::time::Instant::now();
//! for mail in ["one", "two", "three"] {
//!     mailer.clone().oneshot(mail).await?;
//! }
//! assert_eq!(start.elapsed(), Duration::from_millis(400)); // 0, 200 and 400 ms
//! # Ok(())
//! # }
//! ```
//!
//! # One for each, and several at once
//!
//! [`RateLimitLayer::by_key`] keeps a bucket for each tenant, user or [address](crate::http::ClientIp), whatever the keys are
//! made of; [`KeyedConfig`] says how many there may be, and what becomes of calls without one. A table of many keys takes at
//! most 24 bytes for each. Nobody has to sweep it: once a key's bucket is full again, its place is free. Before that, no
//! key is forgotten for another.
//!
//! [`and`](RateLimitLayer::and) and [`and_by_key`](RateLimitLayer::and_by_key) count a call in several buckets: it takes its
//! tokens from all of them or from none, and while it is refused nobody else ever finds less than there is. One that waits
//! does so for one bucket at a time, and keeps its place before the others: those who came later get what it leaves over.
//!
//! # What it costs
//!
//! A call that passes one bucket reads the clock, and changes one atomic number that all threads share; a refused call
//! changes nothing. A call by key takes one of many short locks. Several limits take the lock of each, and so do all calls
//! while somebody waits. None of them
//! allocates, but where a call has to wait, or [is announced](RateLimitLayer::announce).
//!
//! # With tower's own layers
//!
//! Never put `Buffer` beneath: it takes in calls as fast as they come. None is needed, since the services that the
//! layer makes are `Clone` when the wrapped one is, and all share the bucket.

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
pub use self::layer::{RateLimitLayer, Refuses, Waits};
pub use self::service::{RateLimit, WaitingRateLimit};
pub use crate::rejection::{LimitReason, Limited};
