//! A store that is gone between the beginning of a run and its end, and back later: the same over every engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::idempotency::{Begin, Fingerprint, IdempotencyConfig, RefusalReason, Store};
use bytes::Bytes;
use tokio::sync::Notify;
use tower::{Layer, Service};

use super::orders::{Order, key, layer, reason, when_told};

/// Of an order that is begun before the engine is `gone`, and ends before it is `back`. `another` store is that of an instance
/// which knows nothing of the first one.
pub(crate) async fn what_came_of_it_is_recorded_in_the_end<E, S: Store>(
    mut engine: E,
    store: impl Store,
    gone: impl AsyncFnOnce(&mut E),
    back: impl AsyncFnOnce(&mut E),
    another: impl AsyncFnOnce(&E) -> S,
) {
    let (runs, begun, may_end) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let config = IdempotencyConfig::new().store_timeout(Duration::from_secs(1));
    let one = layer(store, config.clone());
    let mut service = one.layer(when_told(&runs, &begun, &may_end));
    let answer = tokio::spawn(service.call(Order(1)));
    begun.notified().await;
    gone(&mut engine).await;
    may_end.notify_one();
    assert_eq!(
        answer.await.expect("no panic").expect("the true answer"),
        11,
        "whoever sent it is told what came of it"
    );
    assert_eq!(one.idempotency().running(), 1, "the control: it is not recorded yet");
    assert_eq!(reason(service.call(Order(1)).await), RefusalReason::StoreUnavailable, "nor is it run meanwhile");
    back(&mut engine).await;
    assert!(one.idempotency().drain(Duration::from_secs(60)).await, "it is recorded in the end");
    let another = another(&engine).await;
    let recorded = another.look(&key(1), Fingerprint::of(&1_u32)).await.expect("said");
    assert_eq!(recorded, Some(Begin::Done(Bytes::copy_from_slice(&11_u32.to_le_bytes()))));
    let mut another = layer(another, config).layer(when_told(&runs, &begun, &may_end));
    assert_eq!(another.call(Order(1)).await.expect("the same answer"), 11);
    assert_eq!(runs.load(Ordering::SeqCst), 1, "it was run once");
}
