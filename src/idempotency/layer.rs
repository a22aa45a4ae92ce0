use std::fmt;
use std::sync::Arc;

use tower::Layer;

use super::config::{IdempotencyConfig, InvalidIdempotency, Keep, NotSaid, RecordKey, Verdict};
use super::handle::{Idempotency, InTransactions, OnItsOwn, Running, Shared};
use super::service::IdempotencyService;
use super::store::{Store, StoreError, Transactional};
use crate::rejection::AsError;

/// Runs a request once, however often it is sent; [the module](super) tells the whole story.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct IdempotencyLayer<St, I = NotSaid, P = NotSaid, R = AsError, T = OnItsOwn> {
    shared: Shared<St, I, P, T>,
    reject: R,
}

impl<St> IdempotencyLayer<St> {
    /// A layer with these settings, that records requests in `store`. It has yet to be told how to
    /// [identify](Self::identify) a request, and what to [keep](Self::keep) of an answer.
    ///
    /// # Errors
    ///
    /// [`InvalidIdempotency`] says which setting cannot work.
    pub fn new(config: IdempotencyConfig, store: St) -> Result<Self, InvalidIdempotency> {
        config.check()?;
        let (running, store) = (Arc::new(Running::new(config)), Arc::new(store));
        let (identify, keep, enlist) = (Arc::new(NotSaid), Arc::new(NotSaid), OnItsOwn);
        Ok(Self { shared: Shared { running, store, identify, keep, enlist }, reject: AsError })
    }
}

impl<St, I, P, R, T> IdempotencyLayer<St, I, P, R, T> {
    /// Learns of each request what it is recorded under.
    pub fn identify<I2>(self, identify: I2) -> IdempotencyLayer<St, I2, P, R, T> {
        let Shared { running, store, keep, enlist, .. } = self.shared;
        let shared = Shared { running, store, identify: Arc::new(identify), keep, enlist };
        IdempotencyLayer { shared, reject: self.reject }
    }

    /// Learns of each answer what is kept of it.
    pub fn keep<P2>(self, keep: P2) -> IdempotencyLayer<St, I, P2, R, T> {
        let Shared { running, store, identify, enlist, .. } = self.shared;
        let shared = Shared { running, store, identify, keep: Arc::new(keep), enlist };
        IdempotencyLayer { shared, reject: self.reject }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> IdempotencyLayer<St, I, P, R2, T> {
        IdempotencyLayer { shared: self.shared, reject }
    }

    /// What is running, and how to let it come to its end.
    #[must_use]
    pub fn idempotency(&self) -> Idempotency {
        Idempotency::new(self.shared.running.clone())
    }
}

impl<St: Transactional, I, P, R, T> IdempotencyLayer<St, I, P, R, T> {
    /// Hands each request that is run a transaction of the store: what its handler writes in it is committed with what came of
    /// the request, in one transaction, or undone. Then it is done once, also if the process crashes in the midst of it or stands
    /// still for longer than its lease, without any fence to compare. Over HTTP the transaction is among the request's extensions
    /// ([`http::InExtensions`](crate::http::InExtensions)):
    ///
    /// ```
    /// # #[cfg(feature = "postgres")]
    /// # mod shop {
    /// use axum::body::Body;
    /// use axum::extract::Extension;
    /// use axum::http::StatusCode;
    /// use axum::routing::post;
    /// use buttress::engines::{Postgres, PostgresTransaction, SqlStore};
    /// use buttress::http::{IdempotencyKeys, InExtensions};
    /// use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, InTransaction};
    /// use http::request::Parts;
    /// use sqlx::postgres::PgPool;
    ///
    /// async fn order(
    ///     Extension(transaction): Extension<InTransaction<PostgresTransaction>>,
    ///     number: String,
    /// ) -> Result<(StatusCode, String), (StatusCode, String)> {
    ///     let failed = |error: &dyn std::error::Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    ///     let mut transaction = transaction.lock().await.map_err(|error| failed(&error))?;
    ///     let insert = sqlx::query("INSERT INTO orders (number) VALUES ($1)").bind(&number);
    ///     insert.execute(&mut **transaction).await.map_err(|error| failed(&error))?;
    ///     Ok((StatusCode::CREATED, number)) // committed before it is sent
    /// }
    ///
    /// pub fn app(records: PgPool, orders: PgPool) -> Result<axum::Router, Box<dyn std::error::Error>> {
    ///     let store = SqlStore::<Postgres>::new(records).transactions_from(orders);
    ///     let keys = IdempotencyKeys::new().scope(|_: &Parts| Some(("the one tenant", "order.create")));
    ///     let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?
    ///         .http_server(keys, Body::new)
    ///         .in_transactions(InExtensions);
    ///     Ok(axum::Router::new().route("/orders", post(order)).layer(once))
    /// }
    /// # }
    /// ```
    ///
    /// The claim is committed first, by itself, so that who repeats a request is told at once that it runs. A transaction begins
    /// when the handler first [locks](super::InTransaction::lock) it. It ends when the answer has been read, before any of it is
    /// sent:
    ///
    /// | what came of the run | the transaction | a repeated request |
    /// |---|---|---|
    /// | an answer that is [final](Verdict::Final) | is committed, before any of it is sent | is told it again, or that it was too long to be kept |
    /// | 500 and the like, an error, a panic | is undone | is run, unless the answer [says that it is final](crate::http::Effect::Final) |
    /// | an answer of which nothing came (401, 429 and their like, [`Effect::None`](crate::http::Effect::None)) | is undone | is run |
    /// | nobody knows what ([`Effect::Unknown`](crate::http::Effect::Unknown)) | is undone | is told so |
    /// | the run lost its lease, and somebody else took over | is undone as soon as that is known and nobody holds it | is told what came of the other run |
    /// | the process crashed, or the run was stopped since it took [too long](IdempotencyConfig::longest_run) | is undone | is run when the lease is over |
    /// | an answer, while a task that was left behind still holds the transaction, or one that cannot be committed | is undone | is run; the sender is told that it was [rolled back](super::RefusalReason::RolledBack), and an event why |
    /// | an answer, an error or a panic, after a part of the handler's has ended the transaction | has ended, and what was written afterwards is committed by itself | is told that [nobody knows](super::RefusalReason::OutcomeUnknown), and so is the sender |
    /// | the connection broke while it was committed | one or the other | is told the answer, or run; the sender is told which, or that it was [interrupted](super::RefusalReason::Interrupted) if that cannot be found out at once |
    ///
    /// An answer that refuses, such as 409 or 422, is final too: whoever gives it after having written something takes that back
    /// by [`roll_back`](super::InTransaction::roll_back). What is done outside of the transaction, such as a call of a payment provider,
    /// is not undone with it, and is done again by the next run: give it a key that is the same for all runs, or leave it to
    /// something that reads what was committed. A failure that gRPC tells with a status of 200 is an answer like others.
    ///
    /// All of a run has one transaction: what an attempt wrote that a retry inside has given up, or a handler whose failure a
    /// fallback inside has answered for, is committed with the answer in the end. These belong around what the handler calls.
    ///
    /// Without the store no request is run ([`WhenUnavailable::Run`](crate::idempotency::WhenUnavailable::Run) or not), and one
    /// without a key is given no transaction.
    pub fn in_transactions<H>(self, hand: H) -> IdempotencyLayer<St, I, P, R, InTransactions<H>> {
        let Shared { running, store, identify, keep, .. } = self.shared;
        let shared = Shared { running, store, identify, keep, enlist: InTransactions(Arc::new(hand)) };
        IdempotencyLayer { shared, reject: self.reject }
    }
}

impl<St: Store, I, P, R, T> IdempotencyLayer<St, I, P, R, T> {
    /// For whoever has found out what came of a [parked](Store::park) request: this, which a repeated one is answered with from
    /// now on; it is of the type of the service's results, over HTTP `Ok(response)`. `false` if it is not parked, or if such an
    /// answer is not one that is kept: then say over HTTP that it is [final](crate::http::Effect::Final).
    ///
    /// That nothing came of it, and it is to be run again, says [`Store::resolve`] without an answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store did not do it, or did not say.
    pub async fn resolve<Res, E>(&self, key: &RecordKey, result: Result<Res, E>) -> Result<bool, StoreError>
    where
        P: Keep<Res, E>,
    {
        match self.shared.keep.keep(result).await.verdict {
            Verdict::Final(kept) => self.shared.store.resolve(key, Some(kept)).await,
            Verdict::NoEffect | Verdict::Unknown(_) => Ok(false),
        }
    }
}

impl<St, I, P, R: Clone, T: Clone> Clone for IdempotencyLayer<St, I, P, R, T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), reject: self.reject.clone() }
    }
}

impl<S, St, I, P, R: Clone, T: Clone> Layer<S> for IdempotencyLayer<St, I, P, R, T> {
    type Service = IdempotencyService<S, St, I, P, R, T>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService { inner, shared: self.shared.clone(), reject: self.reject.clone() }
    }
}

impl<St, I, P, R, T> fmt::Debug for IdempotencyLayer<St, I, P, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer").field("name", &self.shared.running.rules.name).finish_non_exhaustive()
    }
}
