//! A plain store, and what can be wrong with it.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::clock::Moment;
use buttress::idempotency::{
    Acquired, Begin, Capabilities, Claim, Commit, Fingerprint, MemoryStore, Owner, RecordKey, Store, StoreError,
};
use bytes::Bytes;

/// What a store can do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bug {
    None,
    /// Everybody runs.
    NoLock,
    /// Whoever comes late writes and renews all the same.
    NoOwnerCheck,
    /// Who goes away takes the claim along.
    ReleaseOnDrop,
    /// A fence is of the record, and gone with it.
    FenceFromOne,
}

/// A plain store, right but for its bug; it does not share a line with those of the crate.
#[derive(Clone)]
pub(crate) struct Plain {
    bug: Bug,
    records: Arc<Mutex<HashMap<RecordKey, Record>>>,
    fence: Arc<Mutex<u64>>,
}

#[derive(Clone)]
pub(crate) struct Record {
    owner: Owner,
    acquired: Acquired,
    until: Moment,
    done: Option<Done>,
}

#[derive(Clone)]
pub(crate) enum Done {
    With(Bytes),
    Parked,
}

impl Record {
    fn known(&self, now: Moment) -> Option<Begin> {
        match &self.done {
            Some(Done::With(kept)) => Some(Begin::Done(kept.clone())),
            Some(Done::Parked) => Some(Begin::Parked("why".into())),
            None => (self.until > now).then(|| Begin::Running { left: self.until.since(now) }),
        }
    }
}

impl Plain {
    pub(crate) fn new(bug: Bug) -> Self {
        Self { bug, records: Arc::default(), fence: Arc::default() }
    }

    /// A client has gone.
    pub(crate) fn release_all_running(&self) {
        if self.bug != Bug::ReleaseOnDrop {
            return;
        }
        self.records.lock().expect("no panic").retain(|_, record| record.done.is_some());
    }

    /// Does something about a record that is this owner's, or nobody's; `false` if it is another's.
    fn own(&self, key: &RecordKey, owner: Owner, on: impl FnOnce(&mut HashMap<RecordKey, Record>)) -> bool {
        let mut records = self.records.lock().expect("no panic");
        let is_own = match records.get(key) {
            Some(record) => (record.owner == owner || self.bug == Bug::NoOwnerCheck) && record.done.is_none(),
            None => return true,
        };
        if is_own {
            on(&mut records);
        }
        is_own
    }
}

impl Store for Plain {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        let (mut records, now) = (self.records.lock().expect("no panic"), Moment::now());
        let before = records.get(key);
        if let Some(record) = before.filter(|record| record.owner == claim.owner && record.done.is_none()) {
            return Ok(Begin::Acquired(record.acquired));
        }
        match before.and_then(|record| record.known(now)) {
            Some(Begin::Running { .. }) if self.bug == Bug::NoLock => {}
            Some(known) => return Ok(known),
            None => {}
        }
        let attempt = match before {
            None => 1,
            Some(record) if self.bug == Bug::NoLock => record.acquired.attempt,
            Some(record) => record.acquired.attempt + 1,
        };
        let fence = if self.bug == Bug::FenceFromOne {
            before.map_or(1, |record| record.acquired.fence + 1)
        } else {
            let mut fence = self.fence.lock().expect("no panic");
            *fence += 1;
            *fence
        };
        let acquired = Acquired { fence, attempt };
        records.insert(*key, Record { owner: claim.owner, acquired, until: now + claim.lease, done: None });
        Ok(Begin::Acquired(acquired))
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        let mut records = self.records.lock().expect("no panic");
        match records.get_mut(key) {
            Some(record) if record.owner != claim.owner && self.bug != Bug::NoOwnerCheck => Ok(Commit::Lost),
            Some(record) => {
                record.done = Some(Done::With(answer));
                Ok(Commit::Stored)
            }
            None => {
                let (acquired, done) = (Acquired { fence: 0, attempt: 1 }, Some(Done::With(answer)));
                records.insert(*key, Record { owner: claim.owner, acquired, until: Moment::EPOCH, done });
                Ok(Commit::Recreated)
            }
        }
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        let until = Moment::now() + lease;
        let mut is_there = false;
        let is_own = self.own(key, owner, |records| {
            is_there = records.get_mut(key).map(|record| record.until = until).is_some();
        });
        Ok(is_own && is_there)
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        Ok(self.own(key, owner, |records| match records.get_mut(key) {
            // What the run before it did, nobody knows.
            Some(record) if record.acquired.attempt > 1 => {
                (record.owner, record.until) = (Owner::random(), Moment::EPOCH);
                record.acquired.attempt -= 1;
            }
            _ => _ = records.remove(key),
        }))
    }

    async fn park(&self, key: &RecordKey, claim: Claim, _: &str) -> Result<bool, StoreError> {
        let is_own = self.own(key, claim.owner, |records| {
            records.entry(*key).and_modify(|record| record.done = Some(Done::Parked));
        });
        let records = self.records.lock().expect("no panic");
        Ok(is_own || records.get(key).is_some_and(|record| record.owner == claim.owner))
    }

    async fn look(&self, key: &RecordKey, _: Fingerprint) -> Result<Option<Begin>, StoreError> {
        Ok(self.records.lock().expect("no panic").get(key).and_then(|record| record.known(Moment::now())))
    }

    async fn resolve(&self, key: &RecordKey, _: Option<Bytes>) -> Result<bool, StoreError> {
        Ok(self.records.lock().expect("no panic").remove(key).is_some())
    }

    async fn purge(&self, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        MemoryStore::new(NonZeroUsize::MIN).capabilities()
    }
}
