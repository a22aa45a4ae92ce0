//! Answers from memory when a call fails: the last good answer.

mod config;
mod future;
mod handle;
mod layer;
mod memory;
mod service;
mod state;

pub use self::config::{CacheFallbackConfig, InvalidCacheFallback};
pub use self::future::ResponseFuture;
pub use self::handle::{Asks, Clones, Counts, Memory, Recalled, Remember, SizeOf, Slot, TypeSize, Unsaid};
pub use self::layer::CacheFallbackLayer;
pub use self::memory::{InvalidMemory, MemoryStore};
pub use self::service::CacheFallback;
pub use self::state::Allowed;
