//! The locks and atomics of lock-free code, in one place, so that `tests/loom` can put loom's in theirs.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
pub(crate) use std::sync::{Mutex, MutexGuard};
