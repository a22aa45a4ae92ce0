use std::time::Duration;

use crate::clock;

/// A store is asked again after this, and after twice as long each time, up to twenty times.
pub(super) const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);

/// Longer and longer ones.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    pub(super) async fn next(&mut self) {
        clock::sleep(self.0).await;
        self.0 = LONGEST.min(self.0 * 2);
    }
}
