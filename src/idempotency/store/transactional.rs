use std::future::Future;

use bytes::Bytes;

use super::{Store, StoreError};
use crate::idempotency::config::RecordKey;
use crate::idempotency::state::Claim;

/// A store whose records can be written in the transaction that holds what a request asks for as well.
pub trait Transactional: Store {
    /// Holds what is written until it is committed. Dropped before, it undoes all of it.
    type Transaction: Send + 'static;

    /// Begins a transaction. Whoever asks may be gone before it is begun, and then it is undone.
    fn transaction(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Records what came of a request in this transaction, and commits it, if the request is still the claim's and runs. `false`
    /// if it is not, and then all of it is undone: unlike [`complete`](Store::complete), nothing has happened yet that would have to
    /// be recorded in any case.
    ///
    /// Whoever asks for the same request to be [released](Store::release) when it is not known whether it was committed is told
    /// what holds after that, or is not told.
    ///
    /// # Errors
    ///
    /// [`Ambiguous`](StoreError::Ambiguous) if it may be committed, now or later. [`Corrupt`](StoreError::Corrupt) if what was done may
    /// have been done apart from the transaction, and nobody knows what came of the request. After any other error all of it is
    /// undone.
    fn complete_in(
        &self,
        transaction: Self::Transaction,
        key: &RecordKey,
        claim: Claim,
        answer: Bytes,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Undoes what was done in this transaction, also if the answer is not waited for.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](StoreError::Corrupt) if it has ended before: what was done may have been done apart from it, and nobody knows what
    /// came of the request. After any other error all of it is undone.
    fn roll_back(&self, transaction: Self::Transaction) -> impl Future<Output = Result<(), StoreError>> + Send;
}
