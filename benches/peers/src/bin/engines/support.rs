//! Servers of a program's own, as the tests have them.
#![allow(dead_code, reason = "a bench kills and freezes none")]

#[path = "../../../../../tests/postgres/database.rs"]
pub(crate) mod database;
#[path = "../../../../../tests/redis/server.rs"]
pub(crate) mod redis_server;
#[path = "../../../../../tests/support/server.rs"]
pub(crate) mod server;
