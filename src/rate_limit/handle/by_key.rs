use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bucket::Bounds;
use super::member::{Member, Members, Refused};
use super::table::Table;
use super::waiting::Taking;
use super::{RateLimiter, Snapshot, together};
use crate::clock::Moment;
use crate::deadline::Deadline;
use crate::name::Name;
use crate::rate_limit::config::{InvalidRateLimit, KeyedConfig, RateLimitConfig};
use crate::rejection::Limited;
use crate::telemetry;

/// A quota for each key: to watch it, to take a hand in it, and to use it without tower.
///
/// Clones are the same limiter. It does not keep the keys, only 64 bits of each, computed with a secret that differs from
/// limiter to limiter: two keys share a bucket with a chance of one in 2⁶⁴, and nobody can choose keys that do. In refusals,
/// events and header fields each key's bucket is called after the limiter (`clients`), the shared ones
/// `clients[without a key]` and `clients[overflow]`.
///
/// ```
/// use buttress::rate_limit::{KeyedRateLimiter, Quota, RateLimitConfig};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let logins = KeyedRateLimiter::<String>::new(RateLimitConfig::new(Quota::per_minute(5)).name("logins"))?;
/// for _ in 0..5 {
///     logins.try_take("mallory", 1)?;
/// }
/// logins.try_take("mallory", 1).unwrap_err();
/// logins.try_take("alice", 1)?;
/// # Ok(())
/// # }
/// ```
pub struct KeyedRateLimiter<K> {
    table: Arc<Table>,
    keys: PhantomData<fn(&K)>,
}

/// A rate limiter by key at a moment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedSnapshot {
    /// How many keys have less than their full burst.
    pub keys: usize,
    /// How many calls stand in the lines of keys.
    pub waiting: usize,
    /// The bytes of all places, taken or not.
    pub bytes: usize,
    /// The bucket that calls without a key share.
    pub without_key: Snapshot,
    /// How many such calls there were.
    pub calls_without_key: u64,
    /// The bucket that keys share which find no place.
    pub overflow: Snapshot,
    /// How many calls of such keys there were.
    pub calls_overflowed: u64,
}

impl<K: Hash> KeyedRateLimiter<K> {
    /// A limiter with these settings, with every key's bucket full.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] says which setting cannot work.
    pub fn new(config: impl Into<KeyedConfig>) -> Result<Self, InvalidRateLimit> {
        let config = config.into();
        let rules = config.rules()?;
        Ok(Self { table: Arc::new(Table::new(config, rules)), keys: PhantomData })
    }

    /// What it is called in events and refusals.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.table.name()
    }

    /// Takes `cost` tokens of `key` if there are as many; as [`RateLimiter::try_take`].
    ///
    /// # Errors
    ///
    /// [`Limited`] says after which time there would be as many, if there can be.
    pub fn try_take<Q>(&self, key: &Q, cost: u32) -> Result<(), Limited>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.take_key(self.table.fingerprint(key), cost)
    }

    /// Waits for `cost` tokens of `key`, in turn with all others who wait for that key; as [`RateLimiter::take`].
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::take`].
    ///
    /// # Panics
    ///
    /// As [`RateLimiter::take`].
    pub fn take<Q>(&self, key: &Q, cost: u32) -> Taking
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Taking::new(Ok(Members::from(self.member(key))), cost, None)
    }

    /// The same, but not beyond `deadline`.
    ///
    /// # Errors
    ///
    /// As [`RateLimiter::take`].
    ///
    /// # Panics
    ///
    /// As [`RateLimiter::take`].
    pub fn take_before<Q>(&self, key: &Q, cost: u32, deadline: Deadline) -> Taking
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Taking::new(Ok(Members::from(self.member(key))), cost, Some(deadline))
    }

    /// Whether `key` has so many tokens at this moment; it takes none.
    ///
    /// # Errors
    ///
    /// [`Limited`], as [`try_take`](Self::try_take).
    pub fn peek<Q>(&self, key: &Q, cost: u32) -> Result<(), Limited>
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        Ok(together::peek(self.member(key).into(), cost, Moment::now())?)
    }

    /// How many tokens `key` has.
    #[must_use]
    pub fn remaining<Q>(&self, key: &Q) -> u32
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.get(key).remaining
    }

    /// The bucket of `key` at this moment; a full one if it never came.
    #[must_use]
    pub fn get<Q>(&self, key: &Q) -> Snapshot
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.member(key).snapshot(Moment::now())
    }

    /// Takes all tokens that `key` has; as [`RateLimiter::drain`].
    pub fn drain<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + ?Sized,
    {
        self.member(key).drain(Moment::now());
        telemetry::rate_limit_drained(self.name());
    }

    /// All there is to know of it at this moment. It looks at every place, which takes a while where there are many.
    #[must_use]
    pub fn snapshot(&self) -> KeyedSnapshot {
        let (now, table) = (Moment::now(), &self.table);
        let (keys, bytes) = table.size(now);
        KeyedSnapshot {
            keys,
            waiting: table.waiting(),
            bytes,
            without_key: self.without_key().snapshot(),
            calls_without_key: table.calls_without_key.load(Ordering::Relaxed),
            overflow: self.overflow().snapshot(),
            calls_overflowed: table.calls_overflowed.load(Ordering::Relaxed),
        }
    }

    /// The limiter that calls without a key share.
    #[must_use]
    pub fn without_key(&self) -> RateLimiter {
        RateLimiter::of(self.table.without_key.clone())
    }

    /// The limiter that keys share which find no place.
    #[must_use]
    pub fn overflow(&self) -> RateLimiter {
        RateLimiter::of(self.table.overflow.clone())
    }

    /// Goes on under other settings, every key; as [`RateLimiter::reconfigure`]. How many keys there may be, and what becomes
    /// of the others, stays.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] says which setting cannot work, and nothing has changed.
    pub fn reconfigure(&self, config: &RateLimitConfig) -> Result<(), InvalidRateLimit> {
        let rules = config.quota.rules(self.name())?;
        let _woken = self.table.adopt(rules, Bounds::from(config));
        telemetry::rate_limit_reconfigured(self.name(), rules.interval(), rules.burst.get());
        Ok(())
    }

    /// What a call is counted in; nothing if it passes for want of a key.
    pub(super) fn member_of(&self, key: Option<&K>) -> Result<Option<Member>, Limited> {
        match key {
            Some(key) => Ok(Some(self.member(key))),
            None => Ok(self.table.keyless()?.cloned().map(Member::Bucket)),
        }
    }

    #[inline]
    pub(super) fn take_of(&self, key: Option<&K>, cost: u32) -> Result<(), Limited> {
        match key {
            Some(key) => self.take_key(self.table.fingerprint(key), cost),
            None => self.take_without_key(cost),
        }
    }

    #[inline(never)]
    fn take_without_key(&self, cost: u32) -> Result<(), Limited> {
        match self.table.keyless()? {
            Some(bucket) => bucket.take(cost, Moment::now()),
            None => Ok(()),
        }
    }

    #[inline]
    fn take_key(&self, fingerprint: u64, cost: u32) -> Result<(), Limited> {
        if cost == 0 {
            return Ok(());
        }
        let now = Moment::now();
        match self.table.pass(fingerprint, cost, now) {
            Some(Ok(())) => Ok(()),
            Some(Err(verdict)) => Err(Refused::by(self.name(), verdict, now).limited),
            None => self.take_slowly(fingerprint, cost, now),
        }
    }

    #[cold]
    fn take_slowly(&self, fingerprint: u64, cost: u32, now: Moment) -> Result<(), Limited> {
        Ok(together::take(&mut Member::Key(self.table.clone(), fingerprint).into(), cost, now)?)
    }

    fn member<Q: Hash + ?Sized>(&self, key: &Q) -> Member {
        Member::Key(self.table.clone(), self.table.fingerprint(key))
    }
}

impl<K> Clone for KeyedRateLimiter<K> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), keys: PhantomData }
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter").field("name", self.table.name()).finish_non_exhaustive()
    }
}
