use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgDatabaseError, PgPool, PgSeverity};
use sqlx::{Error, Postgres, query_as, raw_sql};

use super::pool::Connection;
use super::reached::Reached;
use crate::engines::sql::{SqlStore, sealed};
use crate::idempotency::StoreError;

/// A statement whose rows were changed under it says nothing, and the next one sees the change. Of 32 that race for a key one
/// wins, so that who is left behind every time was left behind by that many others.
pub(super) const TRIES: u32 = 100;

/// Longer than anybody waits, and within what the database can add to its time.
const A_THOUSAND_YEARS: Duration = Duration::from_secs(1000 * 365 * 86_400);

/// Where records are kept, and where handlers write.
#[derive(Clone)]
pub struct Pools {
    pub(super) records: Connection,
    pub(super) transactions: PgPool,
}

impl sealed::Engine for Postgres {
    type Connection = Pools;

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
    /// use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer};
    /// use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
    ///
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = "postgres://shop@localhost/shop".parse::<PgConnectOptions>()?;
    /// // Nobody waits for what takes longer than the layer does, and the server gives it up.
    /// let server = server.options([("statement_timeout", "2s"), ("client_connection_check_interval", "1s")]);
    /// // And what a process that stands still has begun.
    /// let server = server.options([("idle_in_transaction_session_timeout", "30s")]);
    /// let pool = PgPoolOptions::new().max_connections(16).connect_with(server).await?;
    /// let store = SqlStore::<Postgres>::new(pool);
    /// store.migrate().await?;
    /// let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?;
    /// # let _ = once;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Give it a pool of its own: requests that wait for connections which others use are refused. A call that is cut off, as
    /// the layer does after its time, closes its connection. What it asked for may go on in the server until that sees so,
    /// which the settings above bound.
    ///
    /// Each operation is one statement, which is repeated if another one was faster, or two where a request is completed by whom
    /// it is not any more; whoever asks what is known already writes nothing. They are prepared and kept: behind a PgBouncer that
    /// pools transactions, either that keeps them as well (`max_prepared_statements`), or the options of the pool say
    /// [`statement_cache_capacity(0)`](sqlx::postgres::PgConnectOptions::statement_cache_capacity).
    ///
    /// A request that is acquired takes an advisory lock for that statement, numbered by the first 64 bits of its key, and
    /// [`migrate`](Self::migrate) takes 7163680517295269729. The numbers are those that advisory locks of yours in the same
    /// database have: where one is the same as yours, one waits for the other.
    ///
    /// The only clock is that of the database. If it is set on, all leases are over at once that end before what it says then,
    /// and what runs may be run again; if it is set back, leases last longer. Fences are drawn from a sequence, and do not
    /// depend on it.
    ///
    /// Records are as durable as the database is told to be, which the store [promises](crate::idempotency::Capabilities) as if
    /// it was told the most: with `synchronous_commit = off`, or after a failover to a replica that was not waited for, the last
    /// ones may be forgotten. What they say is run is run again then, as if for the first time, and fences may begin again at one
    /// that was given before: what keeps the second effect out is a unique index where that is written.
    ///
    /// By default a pool asks whether a connection is still there before it gives it away, which is a round trip of its own;
    /// without ([`test_before_acquire`](sqlx::pool::PoolOptions::test_before_acquire)), what is asked of each connection first
    /// after the server was gone is [in doubt](StoreError::Ambiguous), and asked again by the layer.
    ///
    /// If a call is cut off while a connection is made, that is made all the same, within five seconds and no more than one of
    /// them at a time: so the database is also reached where connections take longer to be made than a call may.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { connection: Pools { records: Connection::new(pool.clone()), transactions: pool } }
    }

    /// Takes the connections of [transactions](crate::idempotency::IdempotencyLayer::in_transactions) from another pool, of the same database. By
    /// default it is the same one.
    ///
    /// Each run has one from when it first writes until it is answered. Where such runs may be more than the pool has
    /// connections, nothing else gets one: new requests are refused, and leases end, since they are not renewed. Nothing is
    /// done twice by that, since who has lost the lease commits nothing.
    #[must_use]
    pub fn transactions_from(mut self, pool: PgPool) -> Self {
        self.connection.transactions = pool;
        self
    }

    /// Makes the table, its index and the sequence of its fences, unless they are there. Programs that do so at once do not
    /// disturb each other. A role that finds them needs no right to make tables.
    ///
    /// # Errors
    ///
    /// The database is not reached, or they are to be made and the role may not.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let are_there = "SELECT to_regclass('buttress_idempotency') IS NOT NULL \
                         AND to_regclass('buttress_idempotency_fence') IS NOT NULL";
        let mut connection = self.reach().await?;
        if let Some((true,)) = connection.fetch_optional(query_as(are_there)).await.map_err(failed)? {
            return Ok(());
        }
        connection.execute(raw_sql(Self::SCHEMA)).await.map_err(failed)?;
        Ok(())
    }

    /// Nothing is sent before there is a connection.
    pub(super) async fn reach(&self) -> Result<Reached, StoreError> {
        let connection = self.connection.records.acquire().await;
        connection.map(Reached::new).map_err(|error| StoreError::Unavailable(Arc::new(error.into())))
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
    let is_the_end = is_the_end(&error);
    let cause = |error: Error| Arc::new(error.into());
    match error {
        // It may have been so while it committed, whatever the code says.
        Error::Database(_) if is_the_end => StoreError::Ambiguous(cause(error)),
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

/// Whether it ends the connection, or the server.
fn is_the_end(error: &Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

fn code(error: &Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// As the database is told of durations.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(A_THOUSAND_YEARS).as_micros()).unwrap_or(i64::MAX)
}
