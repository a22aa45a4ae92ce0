//! The embedded engines hold what every engine has to.

use std::num::NonZeroUsize;

use buttress::conformance::idempotency;
use buttress::idempotency::MemoryStore;

#[tokio::test(start_paused = true)]
async fn records_in_memory_conform() {
    idempotency::check(&MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"))).await;
}
