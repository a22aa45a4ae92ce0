//! One name for the stores that speak SQL.

use std::fmt;

/// Records in a database: `SqlStore<Postgres>` in one that many programs share, `SqlStore<Sqlite>` in a file.
///
/// Records outlive the process. Those whose time is over count for nothing, and are in the way until somebody
/// [purges](crate::idempotency::Store::purge) them: let one task of each process do so now and then, a minute apart or so, with
/// some [`Jitter`](crate::Jitter). Several at once do not disturb each other.
///
/// Both need Rust 1.94, since `sqlx` does; the rest of this crate is content with less.
///
/// Clones share the connection.
pub struct SqlStore<Db: Engine> {
    pub(super) connection: Db::Connection,
}

/// A database that records can be kept in.
///
/// It is sealed: there are no others.
pub trait Engine: sealed::Engine {}

impl<Db: sealed::Engine> Engine for Db {}

pub(super) mod sealed {
    /// A database that records can be kept in.
    pub trait Engine {
        /// How it is reached.
        type Connection: Clone + Send + Sync + 'static;

        /// What it is called.
        const NAME: &'static str;
    }
}

impl<Db: Engine> Clone for SqlStore<Db> {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone() }
    }
}

impl<Db: Engine> fmt::Debug for SqlStore<Db> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("engine", &Db::NAME).finish_non_exhaustive()
    }
}
