//! Requests that are run once, under paused time.

mod answers;
mod far;
mod runs;
mod settings;
mod store_gone;
mod waiting;
mod world;
