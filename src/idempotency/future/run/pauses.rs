use std::time::Duration;

use crate::clock;

/// A store is asked again after this, and after twice as long each time, up to twenty times.
pub(super) const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Longer and longer ones, of which several fit into a lease.
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    pub(super) fn within(lease: Duration) -> Self {
        let longest = LONGEST.min(lease / 6);
        Self { next: FIRST.min(longest), longest }
    }

    pub(super) async fn next(&mut self) {
        clock::sleep(self.next).await;
        self.next = self.longest.min(self.next * 2);
    }
}
