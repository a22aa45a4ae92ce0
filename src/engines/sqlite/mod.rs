//! A file of SQLite.

mod clock;
mod connection;
mod file;
mod idempotency;
mod records;
mod row;
mod steady;
mod writer;
