use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use sqlx::postgres::{PgConnection, PgPool, PgTransaction};
use sqlx::{Connection as _, Error, Postgres, query, query_as, raw_sql};
use tokio::runtime::Handle;

use super::connection::failed;
use super::idempotency::{COMPLETE_OWN, completing};
use crate::engines::sql::SqlStore;
use crate::idempotency::{Claim, RecordKey, StoreError, Transactional};

/// What a handler does to these settings is undone before its answer is recorded, wherever that belongs. The number is that of
/// this transaction and of no other.
const REMEMBER: &str = "SELECT current_setting('role'), current_setting('search_path'), txid_current()";

/// Does and says nothing where the transaction that began so has ended.
const GO_BACK: &str =
    "SELECT set_config('role', $1, true), set_config('search_path', $2, true) WHERE txid_current() = $3";

/// What was asked for and given up may have failed, and `sqlx` 0.9 tells of each such failure before it asks for anything more.
/// Nobody leaves more than a few.
const UNHEARD: u32 = 16;

/// A transaction in Postgres, which a request is [run in](crate::idempotency::IdempotencyLayer::in_transactions). It is written in as
/// in any connection: `query.execute(&mut **transaction)`.
///
/// - A part of what is done in it can be undone by a transaction inside ([`begin`](sqlx::Connection::begin) of it, and `rollback`).
///   One inside that fails to begin, or is dropped while it does, ends the whole with `sqlx` 0.9, and so does SQL of the handler's
///   own (`COMMIT`, `ROLLBACK`). What was written after that is committed by itself. So nobody knows what came of such a request,
///   and it is parked ([`OutcomeUnknown`](crate::idempotency::RefusalReason::OutcomeUnknown)), also if it failed. Nobody asks of a run
///   that is stopped, or still holds it in the end, or has [rolled it back](crate::idempotency::InTransaction::roll_back) itself.
/// - A statement that is given up, by a timeout of the handler's, may be carried out all the same, and is committed with the rest.
/// - It is isolated as the database says. A lease is renewed meanwhile, and where transactions are isolated by more than
///   `READ COMMITTED` that is a change which keeps all that last longer than a third of a lease from being committed.
/// - Give the pool a `statement_timeout` and an `idle_in_transaction_session_timeout`: a process that stands still holds its
///   locks until the server ends its session.
pub struct PostgresTransaction {
    /// Here until it is committed.
    begun: Option<PgTransaction<'static>>,
    role: String,
    search_path: String,
    number: i64,
}

const HERE: &str = "it is there until it is committed";

impl Deref for PostgresTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.begun.as_ref().expect(HERE)
    }
}

impl DerefMut for PostgresTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.begun.as_mut().expect(HERE)
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        // One that was ended by something else may be in another one by now that `sqlx` does not know of: given back so, it would
        // take along whatever is written next.
        if let Some(mut ended) = self.begun.take().filter(|transaction| !transaction.is_in_transaction())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                for _ in 0..UNHEARD {
                    let Err(Error::Database(_)) = raw_sql("ROLLBACK").execute(&mut *ended).await else {
                        break;
                    };
                }
            });
        }
    }
}

impl PostgresTransaction {
    async fn begin(pool: PgPool) -> Result<Self, Error> {
        let mut begun = pool.begin().await?;
        let (role, search_path, number) = query_as(REMEMBER).fetch_one(&mut *begun).await?;
        Ok(Self { begun: Some(begun), role, search_path, number })
    }

    /// Whatever was set in it, the record is written as if that had not been.
    async fn go_back(&mut self) -> Result<(), StoreError> {
        let begun = self.begun.as_mut().expect(HERE);
        if !begun.is_in_transaction() {
            return Err(has_ended());
        }
        let go_back = query(GO_BACK).bind(&self.role).bind(&self.search_path).bind(self.number);
        let gone_back = go_back.fetch_optional(&mut **begun).await.map_err(undone)?;
        gone_back.map(drop).ok_or_else(has_ended)
    }
}

impl fmt::Debug for PostgresTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTransaction").finish_non_exhaustive()
    }
}

impl Transactional for SqlStore<Postgres> {
    type Transaction = PostgresTransaction;

    async fn transaction(&self) -> Result<PostgresTransaction, StoreError> {
        let pool = self.connection.transactions.clone();
        // One that is given up while it begins goes back into the pool as it is (sqlx 0.9), and what others write on that
        // connection is never committed. So it begins in any case.
        let begun = tokio::spawn(PostgresTransaction::begin(pool)).await;
        let begun = begun.map_err(|ended| StoreError::Unavailable(Arc::new(ended.into())))?;
        begun.map_err(|error| StoreError::Unavailable(Arc::new(error.into())))
    }

    async fn complete_in(
        &self,
        mut transaction: PostgresTransaction,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> Result<bool, StoreError> {
        transaction.go_back().await?;
        let completed = completing(COMPLETE_OWN, key, claim, &answer).fetch_optional(&mut *transaction).await;
        let is_own = completed.map_err(undone)?.is_some();
        if is_own {
            transaction.begun.take().expect(HERE).commit().await.map_err(failed)?;
        }
        Ok(is_own)
    }

    async fn roll_back(&self, mut transaction: PostgresTransaction) -> Result<(), StoreError> {
        match transaction.go_back().await {
            Err(ended @ StoreError::Corrupt(_)) => Err(ended),
            // It is undone as well where a statement has failed, and nothing else can be asked of it.
            Ok(()) | Err(_) => transaction.begun.take().expect(HERE).rollback().await.map_err(undone),
        }
    }
}

fn has_ended() -> StoreError {
    StoreError::Corrupt(Arc::new("the transaction has ended before its run".into()))
}

/// What was not asked to be committed is not, whatever became of the question before.
fn undone(error: Error) -> StoreError {
    StoreError::Unavailable(Arc::new(error.into()))
}
