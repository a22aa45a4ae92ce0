//! Orders, each of which is carried out once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use buttress::Error;
use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, Identify, RecordKey, RefusalReason, RunOnce, Store};
use tokio::sync::Notify;
use tower::{Service, service_fn};

use super::numbers::Numbers;

pub(crate) type Failure = Error<&'static str>;

#[derive(Clone, Debug)]
pub(crate) struct Order(pub(crate) u32);

const SCOPE: &str = "order.create";

/// What an order is recorded under.
pub(crate) fn key(order: u32) -> RecordKey {
    RecordKey::of(&SCOPE, &order)
}

pub(crate) fn layer<S: Store>(
    store: S,
    config: IdempotencyConfig,
) -> IdempotencyLayer<S, impl Identify<Order, Request = Order, Future: 'static>, Numbers> {
    let once = RunOnce::new()
        .scope(|_: &Order| Some(SCOPE))
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

/// What whoever sent an order is told, in a word.
pub(crate) fn outcome(result: Result<u32, Failure>) -> String {
    match result {
        Ok(answer) => answer.to_string(),
        refused => format!("{:?}", reason(refused)),
    }
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> RefusalReason {
    match result {
        Err(Error::Rejected(buttress::Rejection::Idempotency(refused))) => refused.reason(),
        other => panic!("not refused: {other:?}"),
    }
}
