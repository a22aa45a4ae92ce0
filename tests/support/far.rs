//! A store on the other end of a line.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::idempotency::{
    Begin, Capabilities, Claim, Commit, Fingerprint, MemoryStore, Owner, RecordKey, Store, StoreError,
};
use bytes::Bytes;
use tokio::time::sleep;

/// A store that can be cut off, slowed down, or lose its answers.
#[derive(Clone)]
pub(crate) struct Far<S = MemoryStore> {
    pub(crate) store: S,
    pub(crate) link: Arc<Mutex<Link>>,
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) takes: Duration,
    pub(crate) is_down: bool,
    pub(crate) loses_answers: bool,
    /// Who is there already is served.
    pub(crate) takes_no_claims: bool,
    pub(crate) begun: u32,
    pub(crate) completed: u32,
    pub(crate) renewed: u32,
    pub(crate) looked: u32,
    /// The last one that was made.
    pub(crate) claim: Option<Claim>,
}

impl<S> Far<S> {
    pub(crate) fn to(store: S) -> Self {
        Self { store, link: Arc::default() }
    }

    pub(crate) fn set(&self, set: impl FnOnce(&mut Link)) {
        set(&mut self.link.lock().expect("no panic"));
    }

    pub(crate) fn link(&self) -> Link {
        *self.link.lock().expect("no panic")
    }

    async fn over<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let before = self.link();
        sleep(before.takes).await;
        if self.link().is_down {
            return Err(StoreError::Unavailable(Arc::new("down".into())));
        }
        let answer = asked.await;
        if before.loses_answers { Err(StoreError::Ambiguous(Arc::new("lost".into()))) } else { answer }
    }
}

impl<S: Store> Store for Far<S> {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        self.set(|link| (link.begun, link.claim) = (link.begun + 1, Some(claim)));
        if self.link().takes_no_claims {
            return Err(StoreError::Unavailable(Arc::new("no claims".into())));
        }
        self.over(self.store.begin(key, claim)).await
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        self.set(|link| link.completed += 1);
        self.over(self.store.complete(key, claim, answer)).await
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        self.set(|link| link.renewed += 1);
        self.over(self.store.renew(key, owner, lease)).await
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.over(self.store.release(key, owner)).await
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        self.over(self.store.park(key, claim, why)).await
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.set(|link| link.looked += 1);
        self.over(self.store.look(key, fingerprint)).await
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        self.over(self.store.resolve(key, answer)).await
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        self.over(self.store.purge(limit)).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
