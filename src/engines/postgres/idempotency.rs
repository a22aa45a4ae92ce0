use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs};
use sqlx::{FromRow, Postgres, query, query_as};

use super::connection::{TRIES, failed, is_to_be_repeated, micros};
use crate::clock::sleep;
use crate::engines::sql::SqlStore;
use crate::idempotency::{
    Acquired, Begin, Capabilities, Claim, Commit, Fingerprint, Owner, RecordKey, Store, StoreError,
};

/// So many rows go in one transaction: nobody waits long for it, and it is begun seldom.
const PURGED_AT_ONCE: u32 = 1000;

/// In milliseconds.
const LONGEST_PAUSE: u32 = 10;

/// What `begin.sql` and `look.sql` say, and the fence, the attempt, the outcome and the microseconds that are left.
type Said = (i16, i64, i64, Option<Vec<u8>>, Option<i64>);

impl Store for SqlStore<Postgres> {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        let statement = || {
            query_as(include_str!("sql/begin.sql"))
                .bind(key.as_bytes())
                .bind(claim.fingerprint.as_bytes())
                .bind(claim.owner.as_bytes())
                .bind(micros(claim.lease))
                .bind(micros(claim.retention))
                .bind(lock(key))
        };
        self.until_it_says(statement).await.and_then(read)
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        // Nearly always it is run by its owner: then one short statement is all.
        let said = match self.first(|| completing(COMPLETE_OWN, key, claim, &answer)).await? {
            Some(said) => said,
            None => self.until_it_says(|| completing(include_str!("sql/complete.sql"), key, claim, &answer)).await?,
        };
        match said {
            (0_i16,) => Ok(Commit::Stored),
            (1,) => Ok(Commit::Recreated),
            _ => Ok(Commit::Lost),
        }
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        let statement =
            || query(include_str!("sql/renew.sql")).bind(key.as_bytes()).bind(owner.as_bytes()).bind(micros(lease));
        Ok(self.count(statement).await? > 0)
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        let statement = || query_as(include_str!("sql/release.sql")).bind(key.as_bytes()).bind(owner.as_bytes());
        let (is_released,) = self.until_it_says(statement).await?;
        Ok(is_released)
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        let statement = || {
            query_as(include_str!("sql/park.sql"))
                .bind(key.as_bytes())
                .bind(claim.fingerprint.as_bytes())
                .bind(claim.owner.as_bytes())
                .bind(micros(claim.retention))
                .bind(why.as_bytes())
        };
        let (is_parked,) = self.until_it_says(statement).await?;
        Ok(is_parked)
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        let statement = || query_as(include_str!("sql/look.sql")).bind(key.as_bytes()).bind(fingerprint.as_bytes());
        self.first(statement).await?.map(read).transpose()
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        let statement = || match &answer {
            Some(answer) => query(include_str!("sql/resolve.sql")).bind(key.as_bytes()).bind(&**answer),
            None => query(include_str!("sql/resolve_as_nothing.sql")).bind(key.as_bytes()),
        };
        Ok(self.count(statement).await? > 0)
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        let mut purged = 0;
        while purged < limit {
            let most = PURGED_AT_ONCE.min(limit - purged);
            let gone = self.count(|| query(include_str!("sql/purge.sql")).bind(i64::from(most))).await?;
            let gone = u32::try_from(gone).unwrap_or(most);
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

impl SqlStore<Postgres> {
    /// Repeats a statement that was overtaken as well: it says nothing where the row that it saw was changed before it came to it.
    async fn until_it_says<'q, T>(
        &self,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments>,
    ) -> Result<T, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut connection = self.reach().await?;
        for tried in 0..TRIES {
            match connection.fetch_optional(statement()).await {
                Ok(Some(said)) => return Ok(said),
                Ok(None) => {}
                Err(error) if is_to_be_repeated(&error) => {}
                Err(error) => return Err(failed(error)),
            }
            pause(tried).await;
        }
        Err(overtaken())
    }

    async fn first<'q, T>(
        &self,
        statement: impl Fn() -> QueryAs<'q, Postgres, T, PgArguments>,
    ) -> Result<Option<T>, StoreError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut connection = self.reach().await?;
        for tried in 0..TRIES {
            match connection.fetch_optional(statement()).await {
                Err(error) if is_to_be_repeated(&error) => pause(tried).await,
                said => return said.map_err(failed),
            }
        }
        Err(overtaken())
    }

    /// How many rows the statement has changed.
    async fn count<'q>(&self, statement: impl Fn() -> Query<'q, Postgres, PgArguments>) -> Result<u64, StoreError> {
        let mut connection = self.reach().await?;
        for tried in 0..TRIES {
            match connection.execute(statement()).await {
                Err(error) if is_to_be_repeated(&error) => pause(tried).await,
                done => return done.map(|done| done.rows_affected()).map_err(failed),
            }
        }
        Err(overtaken())
    }
}

/// Completes a request that its owner runs.
pub(super) const COMPLETE_OWN: &str = include_str!("sql/complete_own.sql");

pub(super) fn completing<'q>(
    statement: &'static str,
    key: &'q RecordKey,
    claim: Claim,
    answer: &'q [u8],
) -> QueryAs<'q, Postgres, (i16,), PgArguments> {
    query_as(statement)
        .bind(key.as_bytes())
        .bind(claim.fingerprint.as_bytes().to_owned())
        .bind(claim.owner.as_bytes().to_owned())
        .bind(micros(claim.retention))
        .bind(answer)
}

/// Those who are overtaken again and again let each other go ahead.
async fn pause(tried: u32) {
    sleep(Duration::from_millis(fastrand::u64(0..=u64::from(tried.min(LONGEST_PAUSE))))).await;
}

fn overtaken() -> StoreError {
    StoreError::Unavailable(Arc::new("others have changed the record again and again".into()))
}

/// Whoever draws a fence for a key is alone with it. Two keys that have one lock wait for each other.
fn lock(key: &RecordKey) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *key.as_bytes();
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}

fn read((says, fence, attempt, outcome, micros_left): Said) -> Result<Begin, StoreError> {
    let corrupt = |what: &'static str| StoreError::Corrupt(Arc::new(what.into()));
    match says {
        0 => Ok(Begin::Acquired(Acquired {
            fence: u64::try_from(fence).map_err(|_| corrupt("a fence is negative"))?,
            attempt: u32::try_from(attempt).map_err(|_| corrupt("an attempt is no 32-bit number"))?,
        })),
        1 => {
            let left = micros_left.and_then(|left| u64::try_from(left).ok());
            Ok(Begin::Running { left: Duration::from_micros(left.unwrap_or(0).max(1)) })
        }
        2 => Ok(Begin::Done(outcome.ok_or_else(|| corrupt("it is done, and nothing came of it"))?.into())),
        3 => Ok(Begin::Mismatch),
        4 => {
            let why = outcome.and_then(|why| String::from_utf8(why).ok());
            Ok(Begin::Parked(why.ok_or_else(|| corrupt("why it is parked is no text"))?.into()))
        }
        _ => Err(corrupt("it is in no phase that there is")),
    }
}
