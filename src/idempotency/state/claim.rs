use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::idempotency::config::{Fingerprint, hex};

/// Who runs a request: drawn at random for each time it is run, so that nobody is taken for somebody who was there before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner([u8; 16]);

/// What a request wants from a store: to be run by `owner`, if nobody runs it and nobody has.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What the request is.
    pub fingerprint: Fingerprint,
    /// Who would run it.
    pub owner: Owner,
    /// For how long the owner keeps it without renewing it.
    pub lease: Duration,
    /// For how long anything is remembered of it.
    pub retention: Duration,
}

/// What a store says to a [`Claim`].
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The request is the owner's to run. Said again to an owner that asks again, since an answer may be lost on its way.
    Acquired(Acquired),
    /// Somebody else runs it, and has so much left of the lease.
    Running {
        /// Until somebody else may take over, unless the lease is renewed.
        left: Duration,
    },
    /// It was run, and this came of it.
    Done(Bytes),
    /// Another request was recorded under this key.
    Mismatch,
    /// Nobody knows what came of it, and it is not run again until somebody who finds out
    /// [says so](crate::idempotency::Store::resolve).
    Parked(Arc<str>),
}

/// A request that is an owner's to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquired {
    /// Larger each time that anybody acquires the request, also after all that was known of it is forgotten. Whoever writes
    /// what the request asks for may refuse a fence that is smaller than one that was there before: that is of an owner who
    /// has been taken over from and does not know it.
    pub fence: u64,
    /// How often it was acquired since it was last forgotten, from 1.
    pub attempt: u32,
}

impl Acquired {
    /// Whether somebody ran it before whose lease ended before anything was known to have come of it.
    #[must_use]
    pub const fn is_recovered(&self) -> bool {
        self.attempt > 1
    }
}

/// What a store says to an owner that is done.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// What came of it is recorded; said again to an owner that says so again.
    Stored,
    /// Somebody else has taken over, and what the owner says is not recorded.
    Lost,
    /// Nothing was known of the request any more. What came of it is recorded all the same, since it did happen.
    Recreated,
}

impl Owner {
    /// Another one than all before it.
    #[must_use]
    pub fn random() -> Self {
        Self(*uuid::Uuid::new_v4().as_bytes())
    }

    /// As a store keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// What [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "Owner", &self.0)
    }
}
