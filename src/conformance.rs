//! What an engine of your own has to hold, as tests that it passes or fails.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use buttress::conformance::idempotency;
//! use buttress::idempotency::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // In a test of yours: your store, made anew, instead of this one.
//! idempotency::check(&MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"))).await;
//! # }
//! ```

pub mod idempotency;
