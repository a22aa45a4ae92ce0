//! What can be wrong with a store, put before one that is right.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use buttress::idempotency::{
    Acquired, Begin, Capabilities, Claim, Commit, Fingerprint, Owner, RecordKey, Store, StoreError,
};
use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bug {
    /// Everybody runs.
    NoLock,
    /// A fence is of the record, and begins anew with it.
    FenceFromOne,
}

#[derive(Clone)]
pub(crate) struct Careless<S> {
    store: S,
    bug: Bug,
    /// The next one, of all instances.
    fence: Arc<AtomicU64>,
}

impl<S> Careless<S> {
    pub(crate) fn new(store: S, bug: Bug, fence: &Arc<AtomicU64>) -> Self {
        Self { store, bug, fence: fence.clone() }
    }
}

impl<S: Store> Store for Careless<S> {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        let next = || self.fence.fetch_add(1, Ordering::SeqCst);
        Ok(match (self.bug, self.store.begin(key, claim).await?) {
            (Bug::NoLock, Begin::Acquired(acquired)) => Begin::Acquired(Acquired { fence: next(), ..acquired }),
            (Bug::NoLock, Begin::Running { .. }) => Begin::Acquired(Acquired { fence: next(), attempt: 1 }),
            (Bug::FenceFromOne, Begin::Acquired(Acquired { attempt, .. })) => {
                Begin::Acquired(Acquired { fence: attempt.into(), attempt })
            }
            (_, begin) => begin,
        })
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        self.store.complete(key, claim, answer).await
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        self.store.renew(key, owner, lease).await
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.store.release(key, owner).await
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        self.store.park(key, claim, why).await
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.store.look(key, fingerprint).await
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        self.store.resolve(key, answer).await
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        self.store.purge(limit).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
