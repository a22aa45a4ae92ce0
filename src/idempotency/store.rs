mod transactional;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::transactional::Transactional;
use super::config::{Fingerprint, RecordKey};
use super::state::{Begin, Claim, Commit, Owner};
use crate::rejection::BoxError;

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
    /// A record cannot be read, and is not taken for none. Or a transaction has [ended before its run](Transactional::complete_in), and
    /// what was done may have been done apart from it.
    Corrupt(Arc<BoxError>),
}

/// What a store promises.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Records outlive the process, and a crash of the machine.
    pub durable: bool,
    /// Several processes use the same records.
    pub shared: bool,
}

/// Where it is recorded which requests are run, and what came of them.
///
/// Each operation is atomic, and time is the store's own. Whatever an owner asks for is done only while the request is its
/// own: another owner's record is never changed. An answer may be lost on its way, and so whoever asks for the same again is
/// told the same.
pub trait Store: Send + Sync + 'static {
    /// Claims a request: it is the claim's if nothing is known of it or all of that is over, and if it is running and the lease
    /// is over, by a larger fence and as the next attempt. Another fingerprint is told before anything else; the owner who has it
    /// already is told the same again, with a lease anew.
    fn begin(&self, key: &RecordKey, claim: Claim) -> impl Future<Output = Result<Begin, StoreError>> + Send;

    /// Records what came of a request, for as long as the claim's retention from now on, also if nothing is known of it any
    /// more.
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

    /// Forgets the run, of which nothing has come, and the request with it if there was no run before. Of a run before nobody
    /// knows what came: then the next one is told that there was one, and the request is nobody's until then.
    ///
    /// `false` if it is somebody else's, or something has come of it; `true` as well if it is nobody's already.
    fn release(&self, key: &RecordKey, owner: Owner) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Records that nobody knows what came of the request, also if nothing is known of it any more. `false` if it is somebody
    /// else's, or something has come of it; `true` to an owner that says so again.
    fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What [`begin`](Self::begin) would say, without a claim; `None` if the request would be acquired.
    fn look(
        &self,
        key: &RecordKey,
        fingerprint: Fingerprint,
    ) -> impl Future<Output = Result<Option<Begin>, StoreError>> + Send;

    /// For whoever has found out what came of a [parked](Self::park) request: this, which a repeated one is answered with from
    /// now on; or nothing, and then it is run again. `false` if it is not parked.
    ///
    /// A request is found by what it is recorded under: [`RecordKey::of`] its scope and its key, both of the types that the layer
    /// is given (1 as a `u32` is another key than as a `u64`), [`Execution::key`](super::Execution::key), or as events write it.
    /// [`IdempotencyLayer::resolve`](super::IdempotencyLayer::resolve) makes an answer into what is kept of it.
    fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Forgets up to `limit` records whose time is over, and says how many there were.
    fn purge(&self, limit: u32) -> impl Future<Output = Result<u32, StoreError>> + Send;

    /// What this store promises.
    fn capabilities(&self) -> Capabilities;
}

impl Capabilities {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { durable: false, shared: false }
    }

    /// Records outlive the process, and a crash of the machine.
    #[must_use]
    pub const fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Several processes use the same records.
    #[must_use]
    pub const fn shared(mut self) -> Self {
        self.shared = true;
        self
    }
}

impl StoreError {
    /// The same, when something that was asked for before may have been done.
    pub(super) fn in_doubt(self) -> Self {
        match self {
            Self::Unavailable(cause) => Self::Ambiguous(cause),
            other => other,
        }
    }

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
            Self::Corrupt(_) => "a record of the store cannot be read, or relied upon",
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
