mod execution;
mod transaction;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, TryAcquireError};

pub use self::execution::Execution;
pub(super) use self::execution::Keeper;
pub(super) use self::transaction::{Ended, Enlistment};
pub use self::transaction::{Enlist, HandTransaction, InTransaction, InTransactions, Locked, OnItsOwn};
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
pub(super) struct Shared<St, I, P, T> {
    pub(super) running: Arc<Running>,
    pub(super) store: Arc<St>,
    pub(super) identify: Arc<I>,
    pub(super) keep: Arc<P>,
    pub(super) enlist: T,
}

impl<St, I, P, T: Clone> Clone for Shared<St, I, P, T> {
    fn clone(&self) -> Self {
        let Self { running, store, identify, keep, enlist } = self;
        Self {
            running: running.clone(),
            store: store.clone(),
            identify: identify.clone(),
            keep: keep.clone(),
            enlist: enlist.clone(),
        }
    }
}

/// One of the places to run in, until it is dropped.
pub(super) struct Place(Arc<Running>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.add_permits(1);
        if self.0.places.is_closed() {
            self.0.given_back.notify_waiters();
        }
    }
}

/// What all services of a layer have in common, whatever they wrap.
pub(super) struct Running {
    pub(super) rules: IdempotencyConfig,
    /// Closed by whoever drains.
    places: Semaphore,
    /// Told to whoever drains.
    given_back: Notify,
    pub(super) waiting: Waiting,
}

impl Running {
    pub(super) fn new(rules: IdempotencyConfig) -> Self {
        let (places, waiting) = (Semaphore::new(rules.max_running), Waiting::new(rules.wait));
        Self { rules, places, given_back: Notify::new(), waiting }
    }

    /// A place to run in, until it is dropped.
    pub(super) fn place(self: &Arc<Self>) -> Result<Place, RefusalReason> {
        match self.places.try_acquire() {
            Ok(permit) => {
                permit.forget();
                Ok(Place(self.clone()))
            }
            Err(TryAcquireError::NoPermits) => Err(RefusalReason::TooManyRunning),
            Err(TryAcquireError::Closed) => Err(RefusalReason::Draining),
        }
    }

    pub(super) const fn refused(&self, reason: RefusalReason) -> Refused {
        let refused = Refused::new(self.rules.name, reason);
        match reason {
            RefusalReason::Interrupted
            | RefusalReason::RolledBack
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
        self.0.rules.max_running - self.0.places.available_permits()
    }

    /// Refuses new requests from now on, and waits until all that run have come to their end, and what came of them is
    /// recorded; `false` if `patience` ends before. Then somebody else may take over what still runs when its lease ends.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.0.places.close();
        let all_are_back = async {
            loop {
                // Before it is asked how many there are: else the last one could come back in between.
                let given_back = self.0.given_back.notified();
                if self.running() == 0 {
                    return;
                }
                given_back.await;
            }
        };
        clock::within(patience, all_are_back).await.is_some()
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").field("name", &self.0.rules.name).field("running", &self.running()).finish()
    }
}
