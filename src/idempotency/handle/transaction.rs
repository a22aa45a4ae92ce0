mod enlist;
mod slot;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

pub(in super::super) use self::enlist::{Ended, Enlistment};
pub use self::enlist::{Enlist, HandTransaction, InTransactions, OnItsOwn};
use self::slot::Slot;
use crate::idempotency::store::StoreError;

/// The transaction that a request is run in, for whoever runs it: what is written in it is committed with what came of the
/// request, or undone.
///
/// It is begun when it is first [locked](Self::lock), and ends with the answer, as
/// [the layer](crate::idempotency::IdempotencyLayer::in_transactions) tells. Clones are of the same one.
pub struct InTransaction<Tx>(Arc<Slot<Tx>>);

/// A [transaction](InTransaction) that nobody else writes in.
///
/// Drop it before the answer: all that was done in a transaction which somebody still holds then is undone.
pub struct Locked<Tx> {
    slot: Arc<Slot<Tx>>,
    /// Here until it is dropped.
    held: Option<OwnedMutexGuard<Option<Tx>>>,
}

impl<Tx: Send + 'static> InTransaction<Tx> {
    /// Waits for whoever writes in it, and begins it if nobody has. Whoever has it locked already waits for themselves, for as
    /// long as the run may take.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it could not be begun, or has ended.
    pub async fn lock(&self) -> Result<Locked<Tx>, StoreError> {
        let held = self.0.lock().await?;
        Ok(Locked { slot: self.0.clone(), held: Some(held) })
    }

    /// Undoes what was done in it, whatever the answer is. Nothing more can be done in it.
    pub fn roll_back(&self) {
        self.0.end();
    }
}

impl<Tx> Drop for Locked<Tx> {
    fn drop(&mut self) {
        drop(self.held.take());
        self.slot.tidy();
    }
}

const HELD: &str = "it is held until it is dropped";

impl<Tx> Deref for Locked<Tx> {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        self.held.as_ref().and_then(|held| held.as_ref()).expect(HELD)
    }
}

impl<Tx> DerefMut for Locked<Tx> {
    fn deref_mut(&mut self) -> &mut Tx {
        self.held.as_mut().and_then(|held| held.as_mut()).expect(HELD)
    }
}

impl<Tx> Clone for InTransaction<Tx> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Tx> fmt::Debug for InTransaction<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTransaction").field("was_asked_for", &self.0.was_asked_for()).finish_non_exhaustive()
    }
}

impl<Tx> fmt::Debug for Locked<Tx> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}
