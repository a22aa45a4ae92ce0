use std::fmt;
use std::sync::Arc;

use tower::Layer;

use super::config::{IdempotencyConfig, InvalidIdempotency, Keep, NotSaid, RecordKey, Verdict};
use super::handle::{Idempotency, Running, Shared};
use super::service::IdempotencyService;
use super::store::{Store, StoreError};
use crate::rejection::AsError;

/// Runs a request once, however often it is sent; [the module](super) tells the whole story.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct IdempotencyLayer<St, I = NotSaid, P = NotSaid, R = AsError> {
    shared: Shared<St, I, P>,
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
        let shared = Shared { running, store, identify: Arc::new(NotSaid), keep: Arc::new(NotSaid) };
        Ok(Self { shared, reject: AsError })
    }
}

impl<St, I, P, R> IdempotencyLayer<St, I, P, R> {
    /// Learns of each request what it is recorded under.
    pub fn identify<I2>(self, identify: I2) -> IdempotencyLayer<St, I2, P, R> {
        let Shared { running, store, keep, .. } = self.shared;
        IdempotencyLayer { shared: Shared { running, store, identify: Arc::new(identify), keep }, reject: self.reject }
    }

    /// Learns of each answer what is kept of it.
    pub fn keep<P2>(self, keep: P2) -> IdempotencyLayer<St, I, P2, R> {
        let Shared { running, store, identify, .. } = self.shared;
        IdempotencyLayer { shared: Shared { running, store, identify, keep: Arc::new(keep) }, reject: self.reject }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> IdempotencyLayer<St, I, P, R2> {
        IdempotencyLayer { shared: self.shared, reject }
    }

    /// What is running, and how to let it come to its end.
    #[must_use]
    pub fn idempotency(&self) -> Idempotency {
        Idempotency::new(self.shared.running.clone())
    }
}

impl<St: Store, I, P, R> IdempotencyLayer<St, I, P, R> {
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

impl<St, I, P, R: Clone> Clone for IdempotencyLayer<St, I, P, R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), reject: self.reject.clone() }
    }
}

impl<S, St, I, P, R: Clone> Layer<S> for IdempotencyLayer<St, I, P, R> {
    type Service = IdempotencyService<S, St, I, P, R>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService { inner, shared: self.shared.clone(), reject: self.reject.clone() }
    }
}

impl<St, I, P, R> fmt::Debug for IdempotencyLayer<St, I, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer").field("name", &self.shared.running.rules.name).finish_non_exhaustive()
    }
}
