use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::Sqlite;

use crate::clock::Moment;
use crate::engines::sql::SqlStore;
use crate::idempotency::state::Record;
use crate::idempotency::{Begin, Capabilities, Claim, Commit, Fingerprint, Owner, RecordKey, Store, StoreError};

/// So many rows go at once: nobody waits long for them.
const PURGED_AT_ONCE: u32 = 1000;

type Known = Option<Record>;
type Fence<'a> = &'a mut dyn FnMut() -> u64;

impl Store for SqlStore<Sqlite> {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        // A claim of somebody who is gone would be in the way of all others until its lease is over.
        self.decide_if_awaited(key, move |known: &mut Known, now: Moment, fence: Fence<'_>| {
            Record::begin(known, &claim, now, fence)
        })
        .await
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        self.decide(key, move |known: &mut Known, now: Moment, _: Fence<'_>| {
            Record::complete(known, &claim, answer.clone(), now)
        })
        .await
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        self.decide(key, move |known: &mut Known, now: Moment, _: Fence<'_>| Record::renew(known, owner, lease, now))
            .await
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.decide(key, move |known: &mut Known, now: Moment, _: Fence<'_>| Record::release(known, owner, now)).await
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        let why: Arc<str> = why.into();
        self.decide(key, move |known: &mut Known, now: Moment, _: Fence<'_>| Record::park(known, &claim, &why, now))
            .await
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.decide(key, move |known: &mut Known, now: Moment, _: Fence<'_>| {
            Record::look(known.as_ref(), fingerprint, now)
        })
        .await
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        self.decide(key, move |known: &mut Known, now: Moment, _: Fence<'_>| {
            Record::resolve(known, answer.clone(), now)
        })
        .await
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        let mut purged = 0;
        while purged < limit {
            let most = PURGED_AT_ONCE.min(limit - purged);
            let gone = self.forget(most).await?;
            purged += gone;
            if gone < most {
                break;
            }
        }
        Ok(purged)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().durable().shared()
    }
}
