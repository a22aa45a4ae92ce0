//! The same calls through the layers and functions of others.
//!
//! Each is set up like ours beside it, as far as it can be, and otherwise in its own favour: what is a function is called as
//! one, without a service around it, and what is a service without `Clone` is not shared.

mod breaker;
mod cache_fallback;
mod fallback;
mod http;
mod limiter;
mod retry;
mod stack;
mod timeout;

use std::fmt::Debug;

use super::Rows;

const TOWER: &str = "tower";
const TOWER_RESILIENCE: &str = "tower-resilience";

pub(super) fn add(rows: &mut Rows) {
    timeout::add(rows);
    breaker::add(rows);
    limiter::add(rows);
    http::add(rows);
    retry::add(rows);
    fallback::add(rows);
    cache_fallback::add(rows);
    stack::add(rows);
}

/// As [`super::good`], for the peer's own error.
fn good<E: Debug>(answer: &Result<u64, E>) -> bool {
    matches!(answer, Ok(2))
}
