use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::rejection::BoxError;

/// Under what a request is recorded: a hash of its scope and its key, so that a store sees neither of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey([u8; 32]);

/// A hash of all that two requests have in common if one repeats the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

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
    /// Nobody knows what came of it, and it is not run again until somebody who finds out has it forgotten.
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

/// What a store cannot do.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum StoreError {
    /// It was not reached, and has done nothing.
    Unavailable(Arc<BoxError>),
    /// It did not answer; what was asked of it may have been done.
    Ambiguous(Arc<BoxError>),
    /// It has no room for another record, and forgets none before its time.
    Full,
    /// A record cannot be read. It is not taken for none.
    Corrupt(Arc<BoxError>),
}

/// What a store promises.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Records outlive the process, and a crash of the machine.
    pub durable: bool,
    /// Several processes use the same records.
    pub shared: bool,
}

/// Where it is recorded which requests are run, and what came of them.
///
/// Each operation is atomic, and time is the store's own. Whatever an owner asks for is done only while the request is its
/// own: another owner's record is never changed.
pub trait Store: Send + Sync + 'static {
    /// Claims a request.
    fn begin(&self, key: &RecordKey, claim: Claim) -> impl Future<Output = Result<Begin, StoreError>> + Send;

    /// Records what came of a request.
    fn complete(
        &self,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> impl Future<Output = Result<Commit, StoreError>> + Send;

    /// Begins the lease anew. `false` if the request is not the owner's any more.
    fn renew(
        &self,
        key: &RecordKey,
        owner: Owner,
        lease: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets the request, of which nothing has come. `false` if it is not the owner's any more.
    fn release(&self, key: &RecordKey, owner: Owner) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Records that nobody knows what came of the request. `false` if it is not the owner's any more.
    fn park(&self, key: &RecordKey, owner: Owner, why: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets up to `limit` records whose time is over, and says how many there were.
    fn purge(&self, limit: u32) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// What this store promises.
    fn capabilities(&self) -> Capabilities;
}

impl RecordKey {
    /// As a store keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Fingerprint {
    /// As a store keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
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

/// The beginning of a hash tells one from the other.
fn hex(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}(")?;
    bytes.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))?;
    f.write_str("..)")
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "RecordKey", &self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "Fingerprint", &self.0)
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "Owner", &self.0)
    }
}

impl StoreError {
    /// It took longer than it may.
    pub(super) fn timed_out() -> Self {
        Self::Ambiguous(Arc::new("it took too long".into()))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable(_) => "the store was not reached",
            Self::Ambiguous(_) => "the store did not say whether it did what it was asked",
            Self::Full => "the store has no room for another record",
            Self::Corrupt(_) => "a record of the store cannot be read",
        })
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(cause) | Self::Ambiguous(cause) | Self::Corrupt(cause) => Some(&***cause),
            Self::Full => None,
        }
    }
}
