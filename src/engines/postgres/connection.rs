use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Error, Postgres, raw_sql};

use crate::engines::sql::{SqlStore, sealed};
use crate::idempotency::StoreError;

/// A statement whose rows were changed under it says nothing, and the next one sees the change. Of 32 that race for a key one
/// wins, so that who is left behind every time was left behind by that many others.
pub(super) const TRIES: u32 = 100;

/// Longer than anybody waits, and within what the database can add to its time.
const A_THOUSAND_YEARS: Duration = Duration::from_secs(1000 * 365 * 86_400);

impl sealed::Engine for Postgres {
    type Connection = PgPool;

    const NAME: &'static str = "postgres";
}

impl SqlStore<Postgres> {
    /// What [`migrate`](Self::migrate) runs, for whoever keeps all that changes a database in one place. To run it again
    /// changes nothing.
    pub const SCHEMA: &'static str = include_str!("sql/schema.sql");

    /// Records in a database that is reached by a pool of yours, in the first schema of its search path.
    ///
    /// ```no_run
    /// use buttress::engines::{Postgres, SqlStore};
    /// use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, StoreError};
    /// use sqlx::postgres::PgPoolOptions;
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = PgPoolOptions::new().max_connections(16).connect("postgres://shop@localhost/shop").await?;
    /// let store = SqlStore::<Postgres>::new(pool);
    /// store.migrate().await?;
    /// let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?;
    /// # let _ = once;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The only clock is that of the database. Each operation is one statement, which is repeated if another one was faster,
    /// and whoever asks what is known already writes nothing.
    ///
    /// Records are as durable as the database is told to be: with `synchronous_commit = off`, or after a failover to a replica
    /// that was not waited for, the last ones may be forgotten, and what they say is run is run again. A request that is
    /// acquired takes an advisory lock of its key for that statement.
    ///
    /// By default a pool asks whether a connection is still there before it gives it away, which is a round trip of its own;
    /// without ([`test_before_acquire`](sqlx::pool::PoolOptions::test_before_acquire)), what is asked of each connection first
    /// after the server was gone is [in doubt](StoreError::Ambiguous), and asked again by the layer.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { connection: pool }
    }

    /// Makes the table, its index and the sequence of its fences, unless they are there. Programs that do so at once do not
    /// disturb each other.
    ///
    /// # Errors
    ///
    /// The database is not reached, or the role may not make tables.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.reach().await?;
        raw_sql(Self::SCHEMA).execute(&mut *connection).await.map_err(failed)?;
        Ok(())
    }

    /// Nothing is sent before there is a connection.
    pub(super) async fn reach(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        self.connection.acquire().await.map_err(|error| StoreError::Unavailable(Arc::new(error.into())))
    }
}

/// What is to become of a statement that failed.
pub(super) fn is_to_be_repeated(error: &Error) -> bool {
    // Where transactions are isolated by more than the default, or two statements wait for each other.
    matches!(code(error).as_deref(), Some("40001" | "40P01"))
}

/// A statement that was sent has failed.
pub(super) fn failed(error: Error) -> StoreError {
    let code = code(&error);
    let code = code.as_deref();
    let cause = |error: Error| Arc::new(error.into());
    match error {
        Error::Database(_) => match code {
            Some("53100") => StoreError::Full,
            Some("XX001" | "XX002") => StoreError::Corrupt(cause(error)),
            // The connection is lost, the server ends, or it says itself that it does not know.
            Some("40003") => StoreError::Ambiguous(cause(error)),
            Some(code) if code.starts_with("08") || code.starts_with("57P") => StoreError::Ambiguous(cause(error)),
            // Whatever else it refuses, it has undone.
            _ => StoreError::Unavailable(cause(error)),
        },
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::TypeNotFound { .. } => {
            StoreError::Corrupt(cause(error))
        }
        _ => StoreError::Ambiguous(cause(error)),
    }
}

fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// As the database is told of durations.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(A_THOUSAND_YEARS).as_micros()).unwrap_or(i64::MAX)
}
