//! A request that is repeated is answered with what came of it the first time, and never run twice.

mod config;
mod future;
mod handle;
mod layer;
mod memory;
mod service;
mod state;
mod store;

pub use self::config::{
    Fingerprint, Global, IdempotencyConfig, Identified, Identify, InvalidIdempotency, Keep, Kept, NotSaid, Parts,
    RecordKey, RunOnce, ScopeOf, ToParts, Unreadable, Verdict, Wait, WhenUnavailable,
};
pub use self::future::ResponseFuture;
pub use self::handle::{Execution, Idempotency};
pub use self::layer::IdempotencyLayer;
pub use self::memory::MemoryStore;
pub use self::service::IdempotencyService;
pub use self::state::{Acquired, Begin, Claim, Commit, Owner};
pub use self::store::{Capabilities, Store, StoreError};
pub use crate::rejection::{RefusalReason, Refused};
