//! What is looked at without a lock, in every order in which threads can meet.
//!
//! The files of the library are built a second time here, with loom's locks and atomics in the place of the real ones.

mod circuit_breaker;
mod rate_limit;
mod retry;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}
