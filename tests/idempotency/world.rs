//! Orders, and the layer that has each of them carried out once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::Error;
use buttress::idempotency::{
    IdempotencyConfig, IdempotencyLayer, Identify, MemoryStore, RefusalReason, RunOnce, ScopeOf,
};
use tokio::time::sleep;
use tower::{Service, service_fn};

use crate::support::far::Far;
use crate::support::numbers::Numbers;

pub(crate) const SEC: Duration = Duration::from_secs(1);

pub(crate) type Failure = Error<&'static str>;

#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) number: u32,
    pub(crate) cents: u32,
}

pub(crate) fn order(number: u32) -> Order {
    Order { number, cents: 100 }
}

pub(crate) fn once() -> RunOnce<
    impl ScopeOf<Order> + Clone + Send + Sync + 'static,
    impl Fn(&Order) -> Option<u32> + Clone + Send + Sync + 'static,
    impl Fn(&Order) -> u32 + Clone + Send + Sync + 'static,
> {
    RunOnce::new()
        .scope(|_: &Order| Some(("shop", "order.create")))
        .key(|order: &Order| (order.number != 0).then_some(order.number))
        .fingerprint(|order: &Order| order.cents)
}

pub(crate) fn store() -> MemoryStore {
    MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"))
}

pub(crate) fn layer(
    config: IdempotencyConfig,
) -> IdempotencyLayer<MemoryStore, impl Identify<Order, Request = Order, Future: 'static>, Numbers> {
    IdempotencyLayer::new(config, store()).expect("valid").identify(once()).keep(Numbers)
}

pub(crate) fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> RefusalReason {
    match result {
        Err(Error::Rejected(buttress::Rejection::Idempotency(refused))) => refused.reason(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Takes a while, and counts how often it was called.
pub(crate) fn slow(
    calls: &Arc<AtomicU32>,
) -> impl Service<Order, Response = u32, Error = Failure, Future: Send> + Clone + Send + 'static {
    let calls = calls.clone();
    service_fn(move |order: Order| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(SEC).await;
            Ok(order.number * 10 + call)
        }
    })
}

pub(crate) fn layer_on(
    store: Far,
    config: IdempotencyConfig,
) -> IdempotencyLayer<Far, impl Identify<Order, Request = Order, Future: 'static>, Numbers> {
    IdempotencyLayer::new(config, store).expect("valid").identify(once()).keep(Numbers)
}
