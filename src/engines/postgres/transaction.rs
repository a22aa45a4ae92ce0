use std::sync::Arc;

use bytes::Bytes;
use sqlx::postgres::PgTransaction;
use sqlx::{Connection as _, Error, Postgres, query};

use super::connection::failed;
use super::idempotency::{COMPLETE_OWN, completing};
use crate::engines::sql::SqlStore;
use crate::idempotency::{Claim, RecordKey, StoreError, Transactional};

/// What a handler does to these settings is undone before its answer is recorded, wherever that belongs. They are there for as
/// long as the transaction.
const BEGIN: &str = "BEGIN; SELECT set_config('buttress.role', current_setting('role'), true), \
                     set_config('buttress.search_path', current_setting('search_path'), true)";

/// Fails if the transaction that began so has ended.
const GO_BACK: &str = "SELECT set_config('role', current_setting('buttress.role'), true), \
                       set_config('search_path', current_setting('buttress.search_path'), true)";

/// What handlers are given is a [`PgTransaction`].
///
/// - A part of what is done in it can be undone by a transaction inside ([`begin`](sqlx::Acquire::begin) of it, and `rollback`).
///   One inside that fails to begin, or is dropped while it does, ends the whole with `sqlx` 0.9, and so does SQL of the handler's
///   own (`COMMIT`, `ROLLBACK`). That is noticed at the end, and the request is
///   [rolled back](crate::idempotency::RefusalReason::RolledBack); what was written afterwards is then committed by itself.
/// - A statement that is given up, by a timeout of the handler's, may be carried out all the same, and is committed with the rest.
/// - It is isolated as the database says. A lease is renewed meanwhile, and where transactions are isolated by more than
///   `READ COMMITTED` that is a change which keeps all that last longer than a third of a lease from being committed.
/// - Give the pool a `statement_timeout` and an `idle_in_transaction_session_timeout`: a process that stands still holds its
///   locks until the server ends its session.
impl Transactional for SqlStore<Postgres> {
    type Transaction = PgTransaction<'static>;

    async fn transaction(&self) -> Result<Self::Transaction, StoreError> {
        let pool = self.connection.transactions.clone();
        // One that is given up while it begins goes back into the pool as it is (sqlx 0.9), and what others write on that
        // connection is never committed. So it begins in any case.
        let begun = tokio::spawn(async move { pool.begin_with(BEGIN).await }).await;
        let begun = begun.map_err(|ended| StoreError::Unavailable(Arc::new(ended.into())))?;
        begun.map_err(|error| StoreError::Unavailable(Arc::new(error.into())))
    }

    async fn complete_in(
        &self,
        mut transaction: Self::Transaction,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> Result<bool, StoreError> {
        let is_own = complete(&mut transaction, key, claim, &answer).await.map_err(undone)?;
        if is_own {
            transaction.commit().await.map_err(failed)?;
        }
        Ok(is_own)
    }
}

async fn complete(
    transaction: &mut PgTransaction<'static>,
    key: &RecordKey,
    claim: Claim,
    answer: &[u8],
) -> Result<bool, Error> {
    if !transaction.is_in_transaction() {
        return Err(Error::Protocol("the transaction has ended before the run".into()));
    }
    query(GO_BACK).execute(&mut **transaction).await?;
    Ok(completing(COMPLETE_OWN, key, claim, answer).fetch_optional(&mut **transaction).await?.is_some())
}

/// What was not asked to be committed is not, whatever became of the question before.
fn undone(error: Error) -> StoreError {
    match failed(error) {
        StoreError::Ambiguous(cause) => StoreError::Unavailable(cause),
        other => other,
    }
}
