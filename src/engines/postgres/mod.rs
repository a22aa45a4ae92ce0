//! Postgres.

mod connection;
mod idempotency;
