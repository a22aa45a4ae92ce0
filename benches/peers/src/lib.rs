//! What each layer adds to a bare service, ours and (feature `peers`) those of others: the rows, once for all who measure
//! them.
//!
//! `src/bin/rows.rs` makes their calls for `scripts/bench` to count, and times them.

mod calls;
mod inner;
pub mod rows;
