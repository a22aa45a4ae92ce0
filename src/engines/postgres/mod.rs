//! Postgres.

mod connection;
mod idempotency;
mod reached;
mod transaction;
