//! Whether the machine kept up: a ticker that notes how late it wakes.
//!
//! Storm, shop and provider share the machine with whatever else runs there. When even a bare timer comes late, slow
//! answers say nothing about the shop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(10);

/// Ticks until it is dropped.
pub(crate) struct Lateness {
    worst_micros: Arc<AtomicU64>,
    ticker: JoinHandle<()>,
}

impl Lateness {
    pub(crate) fn watch() -> Self {
        let worst_micros = Arc::new(AtomicU64::new(0));
        let worst = worst_micros.clone();
        let ticker = tokio::spawn(async move {
            loop {
                let due = Instant::now() + TICK;
                tokio::time::sleep_until(due).await;
                let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
                worst.fetch_max(late, Ordering::Relaxed);
            }
        });
        Self { worst_micros, ticker }
    }

    /// The latest it ever woke.
    pub(crate) async fn worst(self) -> Duration {
        // The tick that is under way counts as well: it may be the late one.
        tokio::time::sleep(2 * TICK).await;
        Duration::from_micros(self.worst_micros.load(Ordering::Relaxed))
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}
