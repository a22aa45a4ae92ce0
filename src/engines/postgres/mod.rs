//! Postgres.

mod connection;
mod idempotency;
mod reached;
