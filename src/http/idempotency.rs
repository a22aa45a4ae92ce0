//! Requests of HTTP that are run once.

mod key;
mod record;
