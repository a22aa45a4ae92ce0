//! A request that is repeated is answered with what came of it the first time, and never run twice.

mod config;
mod execution;
mod future;
mod handle;
mod layer;
mod memory;
mod parts;
mod service;
mod state;
mod store;

pub use self::config::{
    Global, IdempotencyConfig, Identified, Identify, InvalidIdempotency, Keep, Kept, NotSaid, RunOnce, ScopeOf,
    Unreadable, Verdict, Wait, WhenUnavailable,
};
pub use self::execution::Execution;
pub use self::future::ResponseFuture;
pub use self::handle::Idempotency;
pub use self::layer::IdempotencyLayer;
pub use self::memory::MemoryStore;
pub use self::parts::{Parts, ToParts};
pub use self::service::IdempotencyService;
pub use self::store::{Acquired, Begin, Capabilities, Claim, Commit, Fingerprint, Owner, RecordKey, Store, StoreError};
pub use crate::rejection::{RefusalReason, Refused};
