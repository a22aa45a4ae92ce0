//! Where a transaction is while nobody writes in it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::idempotency::store::StoreError;

type Begun<Tx> = Pin<Box<dyn Future<Output = Result<Tx, StoreError>> + Send>>;

pub(super) struct Slot<Tx> {
    begin: Box<dyn Fn() -> Begun<Tx> + Send + Sync>,
    transaction: Arc<Mutex<Option<Tx>>>,
    /// Somebody has asked for it.
    was_asked_for: AtomicBool,
    was_begun: AtomicBool,
    /// Nobody writes in it any more: whoever finds it drops it, and so does who gives it back.
    is_over: AtomicBool,
}

/// Who ends a transaction.
pub(super) enum Last<Tx> {
    /// And has it.
    Has(Tx),
    /// And need not do anything about it: it was never begun, or has ended before.
    HasNone,
    /// While somebody else had it, who drops it.
    TooEarly,
}

/// Drops a transaction that is over, for who has given it back.
struct Tidies<'a, Tx>(&'a Slot<Tx>);

impl<Tx> Drop for Tidies<'_, Tx> {
    fn drop(&mut self) {
        self.0.tidy();
    }
}

impl<Tx: Send + 'static> Slot<Tx> {
    pub(super) fn new<F>(begin: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Tx, StoreError>> + Send + 'static,
    {
        Self {
            begin: Box::new(move || Box::pin(begin())),
            transaction: Arc::default(),
            was_asked_for: AtomicBool::new(false),
            was_begun: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    pub(super) async fn lock(&self) -> Result<OwnedMutexGuard<Option<Tx>>, StoreError> {
        self.was_asked_for.store(true, Ordering::SeqCst);
        // Whoever gives up while it stands in line may be given the transaction just then.
        let _tidies = Tidies(self);
        let mut transaction = self.transaction.clone().lock_owned().await;
        self.is_on()?;
        if transaction.is_none() {
            *transaction = Some((self.begin)().await?);
            self.was_begun.store(true, Ordering::SeqCst);
            self.is_on()?;
        }
        Ok(transaction)
    }

    fn is_on(&self) -> Result<(), StoreError> {
        if self.is_over.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(Arc::new("the transaction has ended with its run".into())));
        }
        Ok(())
    }
}

impl<Tx> Slot<Tx> {
    pub(super) fn was_asked_for(&self) -> bool {
        self.was_asked_for.load(Ordering::SeqCst)
    }

    pub(super) fn end(&self) -> Last<Tx> {
        let was_over = self.is_over.swap(true, Ordering::SeqCst);
        // One that is given back in between is found here, or whoever gave it back has found that it is over.
        match self.transaction.try_lock().map(|mut transaction| transaction.take()) {
            // Whoever has ended it first has not come to it yet, and does not want it.
            _ if was_over => Last::HasNone,
            Ok(Some(transaction)) => Last::Has(transaction),
            Ok(None) if !self.was_begun.load(Ordering::SeqCst) => Last::HasNone,
            Ok(None) | Err(_) => Last::TooEarly,
        }
    }

    /// For who has given it back.
    pub(super) fn tidy(&self) {
        if self.is_over.load(Ordering::SeqCst)
            && let Ok(mut transaction) = self.transaction.try_lock()
        {
            *transaction = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    /// Between a transaction that is given back and the look at whether it is over.
    #[tokio::test]
    async fn who_ends_it_once_more_does_not_find_what_another_has_ended() {
        let slot = Slot::new(|| ready(Ok(7)));
        let held = slot.lock().await.expect("it begins");
        assert!(matches!(slot.end(), Last::TooEarly));
        drop(held);
        assert_eq!(*slot.transaction.lock().await, Some(7), "the control: it is still there");
        assert!(matches!(slot.end(), Last::HasNone));
        assert_eq!(*slot.transaction.lock().await, None);
    }
}
