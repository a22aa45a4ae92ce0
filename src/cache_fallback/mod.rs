//! Answers a call that fails from memory: with the last good answer to the same request.
//!
//! The service is asked first, always; while it answers, the caller notices nothing, and the layer remembers what it says.
//! When a call fails, the caller gets what was remembered, as long as that is not too old. It is marked
//! [`Degraded`](crate::outcome::Degraded) where it has a place for it, over HTTP with its `Age` and a `Cache-Status` too, and an
//! event says so. If nothing is remembered, the failure comes out untouched.
//!
//! Which failures it stands in for: by default those that neither the request nor its sender is to blame for
//! (`Error`, `TimedOut`, `Expired`, `Refused` in [the table of meanings](crate::outcome)); choose others with
//! [`CacheFallbackConfig::on`].
//!
//! # When to choose it
//!
//! When an old answer is better than none: a catalogue, a profile, an exchange rate. How old is too old is yours to say, and
//! there is no default for it. Never for what must be true now, such as what is in stock, or paid. If there is something
//! honest to say without an answer of old ("pay later", an empty list), choose the [fallback](crate::fallback), or put it
//! around this layer for the first request that fails.
//!
//! It stands outside of whatever can refuse or give up: retry, circuit breaker, timeout. Where the breaker is open, an answer
//! from memory costs no call.
//!
//! By itself it spares its service no calls. Answers from memory are told when there are no others; where they are to be told
//! before that, there is [read-through](#read-through).
//!
//! # Which requests have the same answer
//!
//! For plain values a closure says so, which finds a [key](CacheFallbackLayer::key) in the request; the answer is cloned. Over
//! HTTP the presets know: [`http_server`](CacheFallbackLayer::http_server) and
//! [`http_client`](CacheFallbackLayer::http_client). For anything else there is [`Remember`].
//!
//! What one user may see, another may not: a key that does not tell them apart tells one what the other was told.
//!
//! # How long, and what goes
//!
//! An answer counts as old as its request. It stands in until it is
//! [`stale_if_error`](CacheFallbackConfig::new) old, or as old as its service [allows](Allowed), whichever is sooner. Whatever
//! has changed is [forgotten](Memory::forget): no answer to a request that was sent before that is remembered after it, and of
//! two requests the answer to the one that was sent later is remembered. A call that is dropped remembers nothing.
//!
//! # Read-through
//!
//! [`read_through`](CacheFallbackLayer::read_through) makes it a cache as well. An answer that is
//! [fresh](ReadThroughConfig::new) is told at once, whether the service is ready or not. One that no longer is, is told for some
//! time more if that is [wanted](ReadThroughConfig::stale_while_revalidate), while another one is asked for in the background; if
//! that fails, it is tried again after a second, and then after twice as long each time, up to 64 s.
//!
//! Else the service is asked, once for all who ask for the same at the same time. The call is made for the first of them, in a
//! task of its own: it goes on for some [time](ReadThroughConfig::call_within) and its answer is remembered, even if that one
//! has gone. The others wait for as long as they like, and are told the same answer, or the one of old if it fails. If nothing
//! can be told, since it has failed, panicked or taken too long, one of them makes another call for the rest; after that each
//! asks alone. Each asks alone too where the answer turns out to be nobody else's, and for a second after that nobody waits for
//! an answer under that key. Who waits for calls that all fail waits for three of them. So put what limits how many calls are
//! made at a time, and the circuit breaker, inside: a service that fails with nothing remembered is asked by all who waited.
//!
//! In that task nothing is in scope of what its caller has there ([`Deadline`](crate::Deadline), [`Attempt`](crate::Attempt), or your
//! own task-locals): the call is for others too.
//!
//! Who asks after something was [forgotten](Memory::forget) does not wait for a call from before.
//!
//! ```
//! use std::num::NonZeroU64;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use std::time::Duration;
//! use buttress::BoxError;
//! use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore, ReadThroughConfig};
//! use tower::{Layer, Service, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! static ASKED: AtomicU32 = AtomicU32::new(0);
//! let rates = service_fn(async |_currency: &'static str| {
//!     ASKED.fetch_add(1, Relaxed);
//!     Ok::<_, BoxError>(1.08)
//! });
//! let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
//! let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(600)), store)?
//!     .key(|currency: &&'static str| Some(*currency))
//!     .read_through(ReadThroughConfig::new(Duration::from_secs(5)))?;
//! let mut rates = layer.layer(rates);
//!
//! assert_eq!(rates.call("EUR").await?, 1.08);
//! assert_eq!(rates.call("EUR").await?, 1.08, "it is fresh");
//! assert_eq!(ASKED.load(Relaxed), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Processes that share answers
//!
//! A process that has just been started remembers nothing, and one of several has not been told what the others have. A
//! [`MemoryStore`] that stands [over](MemoryStore::over) a [`Store`] puts there what it keeps, and asks it when a call has
//! failed and it has nothing itself, or, with [read-through](#read-through), before the call; what it is answered it keeps, as
//! old as it is, and for no longer than its service allowed. Ready-made is `engines::redis::RedisCache` (feature `redis`), and
//! for HTTP `http::StoredResponseCodec`; plain values have a [`Codec`] of your own.
//!
//! A call that succeeds without read-through, and one that is answered from memory, do not wait for it. What is put or
//! forgotten is told in the background: up to 64 answers at a time, beyond which they are kept in memory alone. If it is gone,
//! does not answer in time or has no room, nothing is there: a call waits for as long as the store says, for Redis 50 ms, and
//! not at all once its circuit is open. A read-through that has found nothing asks once more if the call then fails.
//!
//! An answer is not put within a second of another one under its key, unless that was of another variant, allowed something
//! else, could not be put, or has been forgotten here since. So what is found may be a second older than what there was to find. One
//! that may not stand in for a failure takes those of before with it.
//!
//! What is [forgotten](Memory::forget) is forgotten there too, by key; where all or [some](Memory::forget_where) keys are, all are
//! there. While it is not yet, or if it cannot be told, this process does not believe what it finds there of the time before.
//! Others do, and so does this one when it has been started again: where a copy of old must not be told by any, its time must be
//! short.
//!
//! A service that is not [ready](#readiness) is waited for, whatever others have.
//!
//! # Readiness
//!
//! The layer itself is always ready. Whether the wrapped service is, it finds out in `call`, and a service that fails to become
//! ready has failed. One that is not ready is waited for, for [50 ms](CacheFallbackConfig::ready_within); then a call is
//! answered from memory, if that is possible, and waits on if it is not.
//!
//! The wrapped service must be `Clone`. One clone serves all calls for as long as each of them finds it ready, and the next
//! call after one that did not asks a new clone.
//!
//! # Example
//!
//! ```
//! use std::num::NonZeroU64;
//! use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
//! use std::time::Duration;
//! use buttress::BoxError;
//! use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore};
//! use tower::{Layer, Service, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! static IS_UP: AtomicBool = AtomicBool::new(true);
//! let rates = service_fn(async |_currency: &'static str| {
//!     if IS_UP.load(Relaxed) { Ok(1.08) } else { Err(BoxError::from("down")) }
//! });
//! // A rate may be ten minutes old, and all of them together may take a mebibyte.
//! let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
//! let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(600)), store)?;
//! let memory = layer.memory();
//! let mut rates = layer.key(|currency: &&'static str| Some(*currency)).layer(rates);
//!
//! assert_eq!(rates.call("EUR").await?, 1.08);
//! IS_UP.store(false, Relaxed);
//! assert_eq!(rates.call("EUR").await?, 1.08, "from memory");
//! assert!(rates.call("CHF").await.is_err(), "nobody has asked for it before");
//! assert_eq!(memory.counts().stood_in, 1);
//! # Ok(())
//! # }
//! ```

mod config;
mod future;
mod handle;
mod layer;
mod memory;
mod service;
mod state;
mod store;

pub use self::config::{CacheFallbackConfig, InvalidCacheFallback, InvalidReadThrough, ReadThroughConfig};
pub use self::future::{ReadThroughFuture, ResponseFuture};
pub use self::handle::{
    Accepts, Asks, Because, Clones, Counts, Memory, Recalled, Remember, Share, SizeOf, Slot, Snapshot, TypeSize, Unsaid,
};
pub use self::layer::{CacheFallbackLayer, ReadThroughLayer};
pub use self::memory::{InvalidMemory, MemoryStore};
pub use self::service::{CacheFallback, ReadThrough};
pub use self::state::Allowed;
pub use self::store::{Codec, Entry, Found, Store};
