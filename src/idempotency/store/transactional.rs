use std::future::Future;

use bytes::Bytes;

use super::{Store, StoreError};
use crate::idempotency::config::RecordKey;
use crate::idempotency::state::{Claim, Commit};

/// A store whose records can be written in the transaction that holds what a request asks for as well.
pub trait Transactional: Store {
    /// Holds what is written until it is committed. Dropped before, it undoes all of it.
    type Transaction: Send + 'static;

    /// Begins a transaction.
    fn transaction(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Records what came of a request as [`complete`](Store::complete) does, in this transaction, and commits it; undoes it, if
    /// the request is [lost](Commit::Lost).
    ///
    /// Whoever asks for the same request to be claimed, completed or released while it is being committed is told what holds
    /// when that has ended, or is not told.
    ///
    /// # Errors
    ///
    /// [`Ambiguous`](StoreError::Ambiguous) if it may be committed, now or later. After any other error all of it is undone.
    fn complete_in(
        &self,
        transaction: Self::Transaction,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> impl Future<Output = Result<Commit, StoreError>> + Send;
}
