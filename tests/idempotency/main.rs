//! Requests that are run once, under paused time.

mod answers;
mod runs;
mod settings;
mod store_gone;
#[path = "../support/mod.rs"]
mod support;
mod transactions;
mod waiting;
mod world;
