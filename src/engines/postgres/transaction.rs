use std::sync::Arc;

use bytes::Bytes;
use sqlx::Postgres;
use sqlx::postgres::PgTransaction;

use super::connection::{TRIES, failed};
use super::idempotency::{committed, complete, overtaken, pause};
use crate::engines::sql::SqlStore;
use crate::idempotency::{Claim, Commit, RecordKey, StoreError, Transactional};

/// What handlers are given is a [`PgTransaction`]. A part of what is done in it can be undone by a transaction inside
/// (`begin` of it). One that is ended by SQL of the handler's own (`COMMIT`, `ROLLBACK`) keeps together nothing any more.
///
/// It is isolated as the database says, unless the first statement in it says otherwise
/// (`SET TRANSACTION ISOLATION LEVEL SERIALIZABLE`). If it cannot be serialized, it is undone.
impl Transactional for SqlStore<Postgres> {
    type Transaction = PgTransaction<'static>;

    async fn transaction(&self) -> Result<Self::Transaction, StoreError> {
        self.connection.transactions.begin().await.map_err(|error| StoreError::Unavailable(Arc::new(error.into())))
    }

    async fn complete_in(
        &self,
        mut transaction: Self::Transaction,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> Result<Commit, StoreError> {
        let commit = complete_by(&mut transaction, key, claim, &answer).await.map_err(undone)?;
        if commit != Commit::Lost {
            transaction.commit().await.map_err(failed)?;
        }
        Ok(commit)
    }
}

async fn complete_by(
    transaction: &mut PgTransaction<'static>,
    key: &RecordKey,
    claim: Claim,
    answer: &[u8],
) -> Result<Commit, StoreError> {
    for tried in 0..TRIES {
        if let Some(said) = complete(key, claim, answer).fetch_optional(&mut **transaction).await.map_err(failed)? {
            return Ok(committed(said));
        }
        pause(tried).await;
    }
    Err(overtaken())
}

/// What was not asked to be committed is not, whatever became of the question before.
fn undone(error: StoreError) -> StoreError {
    match error {
        StoreError::Ambiguous(cause) => StoreError::Unavailable(cause),
        other => other,
    }
}
