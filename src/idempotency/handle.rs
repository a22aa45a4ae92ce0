mod execution;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::execution::Execution;
pub(super) use self::execution::Keeper;
pub(super) use self::waiting::{Waiter, Waiting};
use super::config::IdempotencyConfig;
use crate::clock;
use crate::rejection::{RefusalReason, Refused};

/// When there may be a place again, another server, or a store that is reached.
const SOON: Duration = Duration::from_secs(1);

/// The hold on an [`IdempotencyLayer`](super::IdempotencyLayer) and all its services: how much is running, and how to let it
/// come to its end.
#[derive(Clone)]
pub struct Idempotency(Arc<Running>);

/// What all services of a layer share.
pub(super) struct Shared<St, I, P> {
    pub(super) running: Arc<Running>,
    pub(super) store: Arc<St>,
    pub(super) identify: Arc<I>,
    pub(super) keep: Arc<P>,
}

impl<St, I, P> Clone for Shared<St, I, P> {
    fn clone(&self) -> Self {
        let Self { running, store, identify, keep } = self;
        Self { running: running.clone(), store: store.clone(), identify: identify.clone(), keep: keep.clone() }
    }
}

/// One of the places to run in, until it is dropped.
pub(super) struct Place {
    running: Arc<Running>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    fn of(running: Arc<Running>, permit: OwnedSemaphorePermit) -> Self {
        running.taken.fetch_add(1, Ordering::Relaxed);
        Self { running, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What all services of a layer have in common, whatever they wrap.
pub(super) struct Running {
    pub(super) rules: IdempotencyConfig,
    places: Arc<Semaphore>,
    /// How many have one; whoever drains takes those that are free.
    taken: AtomicUsize,
    is_draining: AtomicBool,
    pub(super) waiting: Waiting,
}

impl Running {
    pub(super) fn new(rules: IdempotencyConfig) -> Self {
        let places = Arc::new(Semaphore::new(rules.max_running));
        let waiting = Waiting::new(rules.wait);
        Self { rules, places, taken: AtomicUsize::new(0), is_draining: AtomicBool::new(false), waiting }
    }

    /// A place to run in, until it is dropped.
    pub(super) fn place(self: &Arc<Self>) -> Result<Place, RefusalReason> {
        // Asked after there is a place: whoever drains waits for all of them.
        let place = self.places.clone().try_acquire_owned();
        match place {
            _ if self.is_draining.load(Ordering::SeqCst) => Err(RefusalReason::Draining),
            Ok(permit) => Ok(Place::of(self.clone(), permit)),
            Err(_) => Err(RefusalReason::TooManyRunning),
        }
    }

    pub(super) const fn refused(&self, reason: RefusalReason) -> Refused {
        let refused = Refused::new(self.rules.name, reason);
        match reason {
            RefusalReason::Interrupted
            | RefusalReason::TooManyRunning
            | RefusalReason::Draining
            | RefusalReason::StoreFull
            | RefusalReason::StoreUnavailable => refused.with_retry_after(SOON),
            _ => refused,
        }
    }
}

impl Idempotency {
    pub(super) const fn new(running: Arc<Running>) -> Self {
        Self(running)
    }

    /// How many requests run now, also those whose sender has gone.
    #[must_use]
    pub fn running(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Refuses new requests from now on, and waits until all that run have come to their end, and what came of them is
    /// recorded; `false` if `patience` ends before. Then somebody else may take over what still runs when its lease ends.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.0.is_draining.store(true, Ordering::SeqCst);
        let all = u32::try_from(self.0.rules.max_running).unwrap_or(u32::MAX);
        clock::within(patience, self.0.places.acquire_many(all)).await.is_some()
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").field("name", &self.0.rules.name).field("running", &self.running()).finish()
    }
}
