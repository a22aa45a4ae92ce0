//! Postgres.

mod connection;
mod idempotency;
mod pool;
mod reached;
mod transaction;

pub use self::transaction::PostgresTransaction;
