//! A store that commits what is written in a transaction together with its records.

use std::sync::{Arc, Mutex};

use buttress::idempotency::{
    Begin, Capabilities, Claim, Commit, Fingerprint, MemoryStore, Owner, RecordKey, Store, StoreError, Transactional,
};
use bytes::Bytes;

use crate::support::far::Far;

/// What becomes of a transaction that is to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Line {
    #[default]
    Sound,
    /// It cannot be committed.
    Refuses,
    /// It is committed, and nobody is told.
    LosesTheAnswer,
    /// It is not, and nobody is told.
    LosesTheQuestion,
    /// It has ended by itself before, and what was written is there.
    HasEnded,
}

/// Records on the other end of a line, and beside them the numbers that were written.
#[derive(Clone)]
pub(crate) struct Books {
    pub(crate) records: Far<MemoryStore>,
    written: Arc<Mutex<Vec<u32>>>,
    line: Arc<Mutex<Line>>,
    begun: Arc<Mutex<u32>>,
    open: Arc<()>,
}

/// What is written and not committed.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) numbers: Vec<u32>,
    _is_open: Arc<()>,
}

impl Books {
    pub(crate) fn new(records: MemoryStore) -> Self {
        let (written, line, begun, open) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        Self { records: Far::to(records), written, line, begun, open }
    }

    pub(crate) fn written(&self) -> Vec<u32> {
        self.written.lock().expect("no panic").clone()
    }

    pub(crate) fn line(&self, line: Line) {
        *self.line.lock().expect("no panic") = line;
    }

    /// How many transactions there were.
    pub(crate) fn begun(&self) -> u32 {
        *self.begun.lock().expect("no panic")
    }

    /// How many are neither committed nor undone.
    pub(crate) fn open(&self) -> usize {
        // Clones of these books have none of their own.
        Arc::strong_count(&self.open) - Arc::strong_count(&self.begun)
    }

    fn apart(&self, numbers: Vec<u32>) -> StoreError {
        self.written.lock().expect("no panic").extend(numbers);
        StoreError::Corrupt(Arc::new("it has ended".into()))
    }
}

fn nobody_says() -> StoreError {
    StoreError::Ambiguous(Arc::new("nobody says".into()))
}

impl Transactional for Books {
    type Transaction = Draft;

    async fn transaction(&self) -> Result<Draft, StoreError> {
        if self.records.link().is_down {
            return Err(StoreError::Unavailable(Arc::new("down".into())));
        }
        *self.begun.lock().expect("no panic") += 1;
        Ok(Draft { numbers: Vec::new(), _is_open: self.open.clone() })
    }

    async fn complete_in(
        &self,
        Draft { numbers, .. }: Draft,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> Result<bool, StoreError> {
        let line = *self.line.lock().expect("no panic");
        match line {
            Line::Refuses => return Err(StoreError::Unavailable(Arc::new("it cannot be committed".into()))),
            Line::LosesTheQuestion => return Err(nobody_says()),
            Line::HasEnded => return Err(self.apart(numbers)),
            Line::Sound | Line::LosesTheAnswer => {}
        }
        let is_own = self.records.store.renew(key, claim.owner, claim.lease).await?;
        if is_own {
            self.records.store.complete(key, claim, answer).await?;
            self.written.lock().expect("no panic").extend(numbers);
        }
        if line == Line::Sound { Ok(is_own) } else { Err(nobody_says()) }
    }

    async fn roll_back(&self, Draft { numbers, .. }: Draft) -> Result<(), StoreError> {
        let line = *self.line.lock().expect("no panic");
        match line {
            Line::HasEnded => Err(self.apart(numbers)),
            Line::LosesTheQuestion => std::future::pending().await,
            Line::Sound | Line::Refuses | Line::LosesTheAnswer => Ok(()),
        }
    }
}

impl Store for Books {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        self.records.begin(key, claim).await
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        self.records.complete(key, claim, answer).await
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: std::time::Duration) -> Result<bool, StoreError> {
        self.records.renew(key, owner, lease).await
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.records.release(key, owner).await
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        self.records.park(key, claim, why).await
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.records.look(key, fingerprint).await
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        self.records.resolve(key, answer).await
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        self.records.purge(limit).await
    }

    fn capabilities(&self) -> Capabilities {
        self.records.capabilities()
    }
}
