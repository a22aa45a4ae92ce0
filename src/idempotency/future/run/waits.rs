use std::time::Duration;

use tokio::sync::futures::OwnedNotified;

use super::pauses;
use crate::clock::Moment;
use crate::idempotency::config::RecordKey;
use crate::idempotency::handle::{Running, Waiter};

/// A run that ends elsewhere tells nobody here, so the store is asked at least this often.
const LONGEST: Duration = Duration::from_millis(500);

/// Somebody who waits for the end of a run, here or elsewhere.
pub(super) struct Waits<'a> {
    waiter: Waiter<'a>,
    until: Moment,
    next: Duration,
}

impl<'a> Waits<'a> {
    pub(super) fn enter(running: &'a Running, key: RecordKey) -> Option<Self> {
        let (waiter, longest) = running.waiting.enter(key)?;
        Some(Self { waiter, until: Moment::now() + longest, next: pauses::FIRST })
    }

    /// The end of the request, if it comes to it in this process.
    pub(super) fn ended(&self) -> OwnedNotified {
        self.waiter.ended()
    }

    /// How long to wait before it is asked again, for a run that ends elsewhere.
    pub(super) fn pause(&mut self) -> Option<Duration> {
        let left = self.until.since(Moment::now());
        let pause = self.next.min(left);
        self.next = (self.next * 2).min(LONGEST);
        (!left.is_zero()).then_some(pause)
    }
}
