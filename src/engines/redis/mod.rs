//! Records in Redis, for processes that share them, and answers that they keep for each other.
//!
//! ```no_run
//! use buttress::engines::redis::{Connection, RedisStore, connection_config};
//! use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer};
//! use redis::Client;
//!
//! # async fn f() -> Result<(), buttress::BoxError> {
//! let client = Client::open("redis://127.0.0.1/")?;
//! let store = RedisStore::new(Connection::new(client, connection_config())?).await?;
//! let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?;
//! # let _ = once;
//! # Ok(())
//! # }
//! ```
//!
//! # What a server of records must be
//!
//! - It must have `maxmemory-policy noeviction`, which is [looked at](RedisStore::new) at the start and not again: a record that
//!   makes room for another one is a request that is run twice. Where there is no room, a new request is
//!   [refused](crate::idempotency::StoreError::Full); one that is known is answered or taken over, and what came of one that was
//!   begun is recorded, all the same.
//! - Its user may do `INFO`, `SCRIPT LOAD`, `EVALSHA` and, in scripts, `TIME`, `GET`, `GETEX`, `SET` and `DEL`; and `WAIT`
//!   where [replicas](RedisStore::wait) are waited for. All but the last is tried at the start, on the key `check` of the
//!   prefix. Who loses the right to one of them later is told that what it asked for is
//!   [in doubt](crate::idempotency::StoreError::Ambiguous), and the record still says that the request was begun.
//! - All time is the server's, to which it does not matter whose clocks in your processes are wrong. Its own must not leap: one
//!   that is set on by more than a lease ends all leases at once, also of requests that are still run.
//! - It writes what it is told to its disk before it answers (`appendonly yes`, `appendfsync always`), or else it forgets what
//!   came last when it crashes: up to a second of it by `appendfsync everysec`, and all since the last snapshot without.
//! - One whose replica takes its place forgets what had not reached that one. [`RedisStore::wait`] makes that less likely, and
//!   nothing rules it out: that is why this store does not call itself [durable](crate::idempotency::Capabilities::durable).
//!   A request whose claim is lost is run again, as if for the first time. Where two effects must not be at any price, let the
//!   effect's own store say no as well, by a unique index on what must be there once; by the
//!   [fence](crate::idempotency::Acquired::fence) it can tell the later one only if the clock of the replica is not behind, or
//!   else the fences of requests that it does not know are smaller than those before.
//!
//! Tested with Redis 7.0 and 6.2, and with Valkey 9.1. A cluster is refused.
//!
//! # What is there
//!
//! A request is one value, under the [prefix](RedisStore::with_prefix) and what it is
//! [recorded under](crate::idempotency::RecordKey), as events write that. It expires when it need not be remembered any more,
//! so there is nothing to purge. Whatever is asked of it is one script, in one round trip.
//!
//! A fence is the server's time in microseconds, or one more than the one before: it is larger also after a record has been
//! forgotten, or the server has forgotten everything, unless its clock was set back in between, or a replica took its
//! place whose clock is behind.
//!
//! # A server of answers
//!
//! A [`RedisCache`] is the second level of a [cache fallback](crate::cache_fallback#processes-that-share-answers). It need not be
//! the server that has the records, and best is not: answers are large, and may make room for each other.
//!
//! ```no_run
//! use std::num::NonZeroU64;
//! use std::time::Duration;
//! use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore};
//! use buttress::engines::redis::{Connection, RedisCache, connection_config};
//! use buttress::http::StoredResponseCodec;
//! use redis::Client;
//!
//! # async fn f() -> Result<(), buttress::BoxError> {
//! let cache = RedisCache::new(Connection::new(Client::open("redis://127.0.0.1/")?, connection_config())?);
//! let circuit = cache.breaker().clone();
//! let store = MemoryStore::new(NonZeroU64::new(64 << 20).expect("not zero")).over(cache, StoredResponseCodec);
//! let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(600)), store)?;
//! # let _ = (circuit, layer);
//! # Ok(())
//! # }
//! ```
//!
//! - It may be gone, slow or full: then there is no second level. Any `maxmemory-policy` will do, and nothing need be written to a
//!   disk. One that makes room may also throw away that something was forgotten; an answer that was under way then may be kept.
//! - Its user may do `SCRIPT LOAD`, `EVALSHA` and, in scripts, `TIME`, `GET`, `SET`, `DEL`, `EXISTS`, `HGET`, `HSET`, `HDEL` and
//!   `PEXPIRE`. Nothing is tried at the start.
//! - All time is the server's. Its clock must not be set back: what is there then seems younger by as much.
//! - A cluster will do only if the [prefix](RedisCache::prefix) names its slot (`{cache}:`), and then all is in that one.
//! - Answers are not encrypted. Who can write there can have anything told.
//!
//! What is there under a key is a hash, whose [name](RedisCache::name_of) is the prefix and the SHA-256 of the key, in hexadecimal
//! digits: keys are long, and may say whose they are. It holds up to eight variants and expires with the last of them, or five
//! minutes after something in it was forgotten, whichever is later. One key does not expire, `epoch`: it says from when on
//! everything is known, and where it is missing nothing is.

mod cache_fallback;
mod check;
mod connection;
mod idempotency;

pub use self::cache_fallback::{RedisCache, RedisCacheError};
pub use self::check::InvalidRedis;
pub use self::connection::{Connection, connection_config};
pub use self::idempotency::RedisStore;
