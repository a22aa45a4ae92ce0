//! What a repeated request is answered.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, Keep, Kept, RefusalReason, Unreadable, Verdict};
use buttress::{Error, MayCarryRejection};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::world::{Failure, Order, SEC, layer, once, order, reason, slow, store};

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_answered_with_what_came_of_the_first() {
    let calls = Arc::default();
    let mut service = layer(IdempotencyConfig::new()).layer(slow(&calls));
    for _ in 0..3 {
        assert_eq!(service.call(order(7)).await.expect("an answer"), 71);
    }
    assert_eq!(service.call(order(8)).await.expect("an answer"), 82);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn of_200_at_once_one_runs_and_the_others_are_told_so() {
    let (calls, conflicts) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let (counter, seen) = (calls.clone(), conflicts.clone());
    let inner = service_fn(move |_: Order| {
        counter.fetch_add(1, Ordering::SeqCst);
        let seen = seen.clone();
        async move {
            seen.acquire_many(199).await.expect("open").forget();
            Ok::<_, Failure>(5)
        }
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    let racers: Vec<_> = (0..200)
        .map(|_| {
            let (call, conflicts) = (service.call(order(1)), conflicts.clone());
            tokio::spawn(async move {
                let result = call.await;
                if result.is_err() {
                    conflicts.add_permits(1);
                }
                result
            })
        })
        .collect();
    let mut answered = 0;
    for racer in racers {
        match racer.await.expect("no panic") {
            Ok(5) => answered += 1,
            other => {
                let refusal = other.as_ref().expect_err("refused").rejection();
                assert_eq!(refusal.and_then(|refusal| refusal.retry_after()), Some(5 * SEC));
                assert_eq!(reason(other), RefusalReason::Running);
            }
        }
    }
    assert_eq!((answered, calls.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(service.oneshot(order(1)).await.expect("an answer"), 5);
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_key_is_refused_and_so_is_one_without_a_key() {
    let calls = Arc::default();
    let mut service = layer(IdempotencyConfig::new()).layer(slow(&calls));
    service.call(order(4)).await.expect("an answer");
    assert_eq!(reason(service.call(Order { number: 4, cents: 101 }).await), RefusalReason::Mismatch);
    assert_eq!(reason(service.call(order(0)).await), RefusalReason::WithoutKey);
    let optional = layer(IdempotencyConfig::new()).identify(once().key_optional()).layer(slow(&calls));
    assert_eq!(optional.clone().oneshot(order(0)).await.expect("an answer"), 2);
    assert_eq!(optional.oneshot(order(0)).await.expect("an answer"), 3);
}

#[tokio::test(start_paused = true)]
async fn what_had_no_effect_is_run_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = calls.clone();
    let inner = service_fn(move |_: Order| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        ready(if call == 0 { Err(Error::Inner("busy")) } else { Ok(9) })
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    service.call(order(1)).await.expect_err("busy");
    assert_eq!(service.call(order(1)).await.expect("an answer"), 9);
}

#[tokio::test(start_paused = true)]
async fn a_panic_comes_to_whoever_sent_the_request_and_it_is_not_run_again() {
    let inner = service_fn(|_: Order| -> Ready<Result<u32, Failure>> { panic!("on purpose") });
    let service = layer(IdempotencyConfig::new()).layer(inner);
    let call = tokio::spawn(service.clone().oneshot(order(1)));
    assert!(call.await.expect_err("it panics").is_panic());
    assert_eq!(reason(service.oneshot(order(1)).await), RefusalReason::OutcomeUnknown);
}

/// Of an error nobody knows what came.
struct InDoubt;

impl Keep<u32, Failure> for InDoubt {
    type Future = Ready<Kept<u32, Failure>>;

    fn keep(&self, result: Result<u32, Failure>) -> Self::Future {
        ready(Kept { result, verdict: Verdict::Unknown("it failed".into()) })
    }

    fn replay(&self, _: Bytes) -> Result<u32, Unreadable> {
        Err(Unreadable::new("nothing is kept"))
    }
}

/// Is never ready, or fails when it is called.
#[derive(Clone)]
struct Fails {
    is_ready: bool,
}

impl Service<Order> for Fails {
    type Response = u32;
    type Error = Failure;
    type Future = Ready<Result<u32, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(if self.is_ready { Ok(()) } else { Err(Error::Inner("closed")) })
    }

    fn call(&mut self, _: Order) -> Self::Future {
        ready(Err(Error::Inner("called")))
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_ready_was_never_called_and_may_be_asked_again() {
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store()).expect("valid").identify(once()).keep(InDoubt);
    let mut service = layer.layer(Fails { is_ready: false });
    for _ in 0..2 {
        assert!(matches!(service.call(order(1)).await, Err(Error::Inner("closed"))));
    }
    let mut service = layer.layer(Fails { is_ready: true });
    assert!(matches!(service.call(order(1)).await, Err(Error::Inner("called"))), "the control");
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::OutcomeUnknown);
}
