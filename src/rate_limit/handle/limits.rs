use std::fmt;
use std::hash::Hash;

use super::member::Members;
use super::together;
use super::{KeyedRateLimiter, RateLimiter};
use crate::clock::Moment;
use crate::key::KeyOf;
use crate::rejection::Limited;

/// What calls are counted in: a [`RateLimiter`], one [`ByKey`], or a pair of such, as deep as you like.
///
/// A call takes its tokens from all of them or from none.
#[diagnostic::on_unimplemented(
    message = "a `{Req}` cannot be counted in `{Self}`",
    note = "the key's closure needs the type of its parameter, and finds an `Option`: `|request: &{Req}| Some(..)`"
)]
pub trait Limits<Req>: Sealed {
    /// Takes `cost` tokens for `request` from all of them or from none, for use without tower.
    ///
    /// # Errors
    ///
    /// [`Limited`] names the one that has kept it longest, or for good.
    #[inline]
    fn try_take(&self, request: &Req, cost: u32) -> Result<(), Limited> {
        self.members(request)?.take(cost, Moment::now())
    }

    /// All that the call is counted in.
    #[doc(hidden)]
    fn add_to(&self, members: &mut Members, request: &Req) -> Result<(), Limited>;

    #[doc(hidden)]
    fn members(&self, request: &Req) -> Result<Members, Limited> {
        let mut members = Members::default();
        self.add_to(&mut members, request)?;
        Ok(members)
    }
}

/// Only what is told by this crate can be counted in.
pub trait Sealed {}

impl Sealed for RateLimiter {}

impl<Req> Limits<Req> for RateLimiter {
    fn add_to(&self, members: &mut Members, _: &Req) -> Result<(), Limited> {
        members.add(self.member());
        Ok(())
    }

    #[inline]
    fn try_take(&self, _: &Req, cost: u32) -> Result<(), Limited> {
        self.bucket.take(cost, Moment::now())
    }
}

/// A rate limiter by key, and who tells the key.
pub struct ByKey<K, F> {
    limiter: KeyedRateLimiter<K>,
    key_of: F,
}

impl<K, F> ByKey<K, F> {
    pub(in super::super) const fn new(limiter: KeyedRateLimiter<K>, key_of: F) -> Self {
        Self { limiter, key_of }
    }

    /// The limiter, to watch it and to take a hand in it.
    pub const fn limiter(&self) -> &KeyedRateLimiter<K> {
        &self.limiter
    }
}

impl<K, F: Clone> Clone for ByKey<K, F> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), key_of: self.key_of.clone() }
    }
}

impl<K, F> Sealed for ByKey<K, F> {}

impl<K, F, Req> Limits<Req> for ByKey<K, F>
where
    K: Hash,
    F: KeyOf<Req, Key = K>,
{
    fn add_to(&self, members: &mut Members, request: &Req) -> Result<(), Limited> {
        if let Some(member) = self.limiter.member_of(self.key_of.key_of(request).as_ref())? {
            members.add(member);
        }
        Ok(())
    }

    #[inline]
    fn try_take(&self, request: &Req, cost: u32) -> Result<(), Limited> {
        self.limiter.take_of(self.key_of.key_of(request).as_ref(), cost)
    }
}

impl<A: Sealed, B: Sealed> Sealed for (A, B) {}

impl<A, B, Req> Limits<Req> for (A, B)
where
    A: Limits<Req>,
    B: Limits<Req>,
{
    fn add_to(&self, members: &mut Members, request: &Req) -> Result<(), Limited> {
        self.0.add_to(members, request)?;
        self.1.add_to(members, request)
    }
}

impl<K, F> fmt::Debug for ByKey<K, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl Members {
    /// Takes `cost` tokens from each, or from none.
    pub(in super::super) fn take(&mut self, cost: u32, now: Moment) -> Result<(), Limited> {
        Ok(together::take(self, cost, now)?)
    }
}
