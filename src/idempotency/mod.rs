//! A request that is repeated is answered with what came of it the first time, and never run twice.

mod memory;
mod parts;
mod state;
mod store;

pub use self::memory::MemoryStore;
pub use self::parts::{Parts, ToParts};
pub use self::store::{Acquired, Begin, Capabilities, Claim, Commit, Fingerprint, Owner, RecordKey, Store, StoreError};
pub use crate::rejection::{RefusalReason, Refused};
