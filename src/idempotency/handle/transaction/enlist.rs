//! How a run comes by a transaction.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::InTransaction;
use super::slot::{Last, Slot};
use crate::idempotency::config::RecordKey;
use crate::idempotency::state::Claim;
use crate::idempotency::store::{StoreError, Transactional};

/// What is done in a request's run beside its record; [`OnItsOwn`] by default, or [`InTransactions`].
///
/// It is sealed: there are no others.
pub trait Enlist<St, Req>: sealed::Enlist<St, Req> {}

impl<T: sealed::Enlist<St, Req>, St, Req> Enlist<St, Req> for T {}

mod sealed {
    use std::sync::Arc;

    use super::Enlistment;

    pub trait Enlist<St, Req>: Clone + Send + Sync + 'static {
        fn enlist(&self, store: &Arc<St>, request: &mut Req) -> Option<Enlistment>;
    }
}

/// The store records what came of a request, and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnItsOwn;

/// What a request asks for may be written in the transaction that records what came of it.
#[derive(Debug)]
pub struct InTransactions<H>(pub(in crate::idempotency) Arc<H>);

impl<H> Clone for InTransactions<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Hands a request the transaction that it is run in. Closures serve, and over HTTP
/// [`InExtensions`](crate::http::InExtensions).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not hand a `{Req}` the transaction `{Tx}` that it is run in",
    note = "`|request: &mut {Req}, transaction: InTransaction<{Tx}>| ..` does, and over HTTP `http::InExtensions`"
)]
pub trait HandTransaction<Req, Tx>: Send + Sync + 'static {
    /// To a request that is to be run.
    fn hand(&self, request: &mut Req, transaction: InTransaction<Tx>);
}

impl<F, Req, Tx> HandTransaction<Req, Tx> for F
where
    F: Fn(&mut Req, InTransaction<Tx>) + Send + Sync + 'static,
{
    fn hand(&self, request: &mut Req, transaction: InTransaction<Tx>) {
        self(request, transaction);
    }
}

/// A transaction that a run may begin.
#[derive(Clone)]
pub struct Enlistment(Arc<dyn Enlisted>);

/// The same, of whatever store.
trait Enlisted: Send + Sync {
    fn was_asked_for(&self) -> bool;

    fn roll_back(&self);

    fn undo(&self) -> Ending<()>;

    fn lose(&self);

    fn commit(&self, key: RecordKey, claim: Claim, answer: Bytes) -> Ending<Ended>;
}

type Ending<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::idempotency) enum Ended {
    /// There is none, or none any more.
    HasNone,
    /// Somebody still held it, and so it is undone.
    TooEarly,
    /// It is undone, since the request is another's.
    Lost,
    /// It is committed, with what came of the run.
    Committed,
}

struct Of<St: Transactional> {
    store: Arc<St>,
    transaction: InTransaction<St::Transaction>,
    is_lost: AtomicBool,
}

impl<St: Transactional> Enlisted for Of<St> {
    fn was_asked_for(&self) -> bool {
        self.transaction.0.was_asked_for()
    }

    fn roll_back(&self) {
        self.transaction.roll_back();
    }

    fn undo(&self) -> Ending<()> {
        let (store, last) = (self.store.clone(), self.transaction.0.end());
        Box::pin(async move {
            match last {
                Last::Has(transaction) => store.roll_back(transaction).await,
                Last::HasNone | Last::TooEarly => Ok(()),
            }
        })
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
        self.roll_back();
    }

    fn commit(&self, key: RecordKey, claim: Claim, answer: Bytes) -> Ending<Ended> {
        let (store, last) = (self.store.clone(), self.transaction.0.end());
        let is_lost = self.is_lost.load(Ordering::SeqCst) && self.was_asked_for();
        Box::pin(async move {
            match last {
                Last::Has(transaction) => match store.complete_in(transaction, &key, claim, answer).await? {
                    true => Ok(Ended::Committed),
                    false => Ok(Ended::Lost),
                },
                Last::HasNone if is_lost => Ok(Ended::Lost),
                Last::HasNone => Ok(Ended::HasNone),
                Last::TooEarly => Ok(Ended::TooEarly),
            }
        })
    }
}

impl Enlistment {
    /// Whether anything may have been done in it, or was to be.
    pub(in crate::idempotency) fn was_asked_for(&self) -> bool {
        self.0.was_asked_for()
    }

    /// Undoes what was done in it. From now on nothing is.
    pub(in crate::idempotency) fn roll_back(&self) {
        self.0.roll_back();
    }

    /// The same, and hears whether that was all that was done. Nothing more is done in it, also if this is not polled.
    pub(in crate::idempotency) fn undo(&self) -> Ending<()> {
        self.0.undo()
    }

    /// Undoes what was done in it, since the request is another's.
    pub(in crate::idempotency) fn lose(&self) {
        self.0.lose();
    }

    /// Commits what was done in it, with what came of the run. From now on nothing is done in it, also if this is not polled.
    pub(in crate::idempotency) fn commit(&self, key: RecordKey, claim: Claim, answer: Bytes) -> Ending<Ended> {
        self.0.commit(key, claim, answer)
    }
}

impl<St, Req> sealed::Enlist<St, Req> for OnItsOwn {
    fn enlist(&self, _: &Arc<St>, _: &mut Req) -> Option<Enlistment> {
        None
    }
}

impl<St, Req, H> sealed::Enlist<St, Req> for InTransactions<H>
where
    St: Transactional,
    H: HandTransaction<Req, St::Transaction>,
{
    fn enlist(&self, store: &Arc<St>, request: &mut Req) -> Option<Enlistment> {
        let slot = Slot::new({
            let store = store.clone();
            move || {
                let store = store.clone();
                async move { store.transaction().await }
            }
        });
        let transaction = InTransaction(Arc::new(slot));
        self.0.hand(request, transaction.clone());
        Some(Enlistment(Arc::new(Of { store: store.clone(), transaction, is_lost: AtomicBool::new(false) })))
    }
}
