//! Orders, each of which is carried out once.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use buttress::Error;
use buttress::idempotency::{
    IdempotencyConfig, IdempotencyLayer, Identify, Keep, Kept, RefusalReason, RunOnce, Store, Unreadable, Verdict,
};
use bytes::Bytes;
use tokio::sync::Notify;
use tower::{Service, service_fn};

pub(crate) type Failure = Error<&'static str>;

#[derive(Clone, Debug)]
pub(crate) struct Order(pub(crate) u32);

/// Numbers are final; an error has had no effect.
pub(crate) struct Numbers;

impl<E: Send> Keep<u32, E> for Numbers {
    type Future = Ready<Kept<u32, E>>;

    fn keep(&self, result: Result<u32, E>) -> Self::Future {
        let verdict = match &result {
            Ok(number) => Verdict::Final(Bytes::copy_from_slice(&number.to_le_bytes())),
            Err(_) => Verdict::NoEffect,
        };
        ready(Kept { result, verdict })
    }

    fn replay(&self, kept: Bytes) -> Result<u32, Unreadable> {
        let bytes = kept.as_ref().try_into().map_err(|_| Unreadable::new("not four bytes"))?;
        Ok(u32::from_le_bytes(bytes))
    }
}

pub(crate) fn layer<S: Store>(
    store: S,
    config: IdempotencyConfig,
) -> IdempotencyLayer<S, impl Identify<Order, Request = Order, Future: 'static>, Numbers> {
    let once = RunOnce::new()
        .scope(|_: &Order| Some("order.create"))
        .key(|order: &Order| Some(order.0))
        .fingerprint(|order: &Order| order.0);
    IdempotencyLayer::new(config, store).expect("valid").identify(once).keep(Numbers)
}

/// Says when it has begun, ends when it is told to, and counts how often it was called.
pub(crate) fn when_told(
    runs: &Arc<AtomicU32>,
    begun: &Arc<Notify>,
    may_end: &Arc<Notify>,
) -> impl Service<Order, Response = u32, Error = Failure, Future: Send> + Clone + Send + 'static {
    let (runs, begun, may_end) = (runs.clone(), begun.clone(), may_end.clone());
    service_fn(move |order: Order| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        let (begun, may_end) = (begun.clone(), may_end.clone());
        async move {
            begun.notify_one();
            may_end.notified().await;
            Ok(order.0 * 10 + run)
        }
    })
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> RefusalReason {
    match result {
        Err(Error::Rejected(buttress::Rejection::Idempotency(refused))) => refused.reason(),
        other => panic!("not refused: {other:?}"),
    }
}
