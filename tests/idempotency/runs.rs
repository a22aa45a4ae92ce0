//! What runs, for how long, and what it knows of itself.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use std::time::Duration;

use buttress::clock::Moment;
use buttress::idempotency::{
    Begin, Claim, Execution, Fingerprint, IdempotencyConfig, IdempotencyLayer, Owner, RecordKey, RefusalReason, Store,
};
use buttress::{Error, MayCarryRejection};
use tokio::time::sleep;
use tower::{Layer, Service, service_fn};

use crate::support::far::Far;
use crate::support::numbers::Numbers;
use crate::world::{Failure, Order, SEC, layer, layer_on, once, order, reason, slow, store};

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_when_its_sender_has_gone() {
    let calls = Arc::default();
    let mut service = layer(IdempotencyConfig::new()).layer(slow(&calls));
    let mut call = tokio_test::task::spawn(service.call(order(4)));
    assert!(call.poll().is_pending());
    tokio::task::yield_now().await;
    drop(call);
    assert_eq!(reason(service.call(order(4)).await), RefusalReason::Running);
    sleep(2 * SEC).await;
    assert_eq!(service.call(order(4)).await.expect("an answer"), 41);
}

#[tokio::test(start_paused = true)]
async fn a_long_run_keeps_its_lease_and_knows_its_fence() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let runs = seen.clone();
    let inner = service_fn(move |_: Order| {
        let runs = runs.clone();
        async move {
            let run = Execution::current().expect("it runs once");
            runs.lock().expect("no panic").push((run.fence(), run.attempt(), run.is_recovered()));
            sleep(150 * SEC).await;
            let later = Execution::current().expect("it still runs");
            assert!(later.fence() == run.fence() && !later.is_lost());
            Ok::<_, Failure>(1)
        }
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    let call = tokio::spawn(service.call(order(1)));
    for _ in 0..14 {
        sleep(10 * SEC).await;
        assert_eq!(reason(service.call(order(1)).await), RefusalReason::Running);
        assert!(Execution::current().is_none(), "it is nobody else's");
    }
    assert_eq!(call.await.expect("no panic").expect("an answer"), 1);
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.len(), 1);
    assert!(seen[0].0 > 0 && seen[0].1 == 1 && !seen[0].2);
    assert!(Execution::current().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_taken_over_from_and_knows_it() {
    let (lost, fences) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counter, seen) = (lost.clone(), fences.clone());
    let inner = service_fn(move |_: Order| {
        let (counter, seen) = (counter.clone(), seen.clone());
        async move {
            let run = Execution::current().expect("it runs once");
            seen.lock().expect("no panic").push((run.fence(), run.is_recovered()));
            if run.attempt() == 1 {
                assert!(!run.is_lost());
                run.lost().await;
                assert!(run.is_lost());
                counter.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Ok::<_, Failure>(run.attempt())
        }
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    let _hangs = tokio::spawn(service.call(order(1)));
    sleep(299 * SEC).await;
    assert_eq!(lost.load(Ordering::SeqCst), 0);
    sleep(2 * SEC).await;
    assert_eq!(lost.load(Ordering::SeqCst), 1, "it is not renewed any more");
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::Running);
    sleep(31 * SEC).await;
    assert_eq!(service.call(order(1)).await.expect("an answer"), 2);
    let fences = fences.lock().expect("no panic");
    assert!(matches!(fences[..], [(first, false), (second, true)] if first < second));
}

#[tokio::test(start_paused = true)]
async fn whoever_drains_waits_for_what_runs_and_nothing_new_is_run() {
    let calls = Arc::default();
    let layer = layer(IdempotencyConfig::new().max_running(2));
    let mut service = layer.layer(slow(&calls));
    let calls = [service.call(order(1)), service.call(order(2))].map(tokio::spawn);
    tokio::task::yield_now().await;
    assert_eq!(layer.idempotency().running(), 2);
    let refused = service.call(order(3)).await;
    assert_eq!(
        refused.as_ref().expect_err("no place").rejection().and_then(|refused| refused.retry_after()),
        Some(SEC)
    );
    assert_eq!(reason(refused), RefusalReason::TooManyRunning);
    assert!(!layer.idempotency().drain(SEC / 2).await, "they are not done yet");
    assert_eq!(reason(service.call(order(3)).await), RefusalReason::Draining);
    assert!(layer.idempotency().drain(SEC).await);
    for call in calls {
        call.await.expect("no panic").expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_stopped_when_its_last_lease_is_over_and_gives_its_place_back() {
    let inner = service_fn(|_: Order| std::future::pending::<Result<u32, Failure>>());
    let layer = layer(IdempotencyConfig::new().max_running(1));
    let mut service = layer.layer(inner);
    let start = Moment::now();
    let call = tokio::spawn(service.call(order(1)));
    sleep(329 * SEC).await;
    assert_eq!(layer.idempotency().running(), 1, "the control");
    assert_eq!(reason(call.await.expect("no panic")), RefusalReason::Interrupted);
    assert_eq!(Moment::now().since(start), 330 * SEC);
    assert_eq!(layer.idempotency().running(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_not_renewed_any_more_when_the_run_has_ended() {
    let far = Far::to(store());
    let inner = service_fn(async |_: Order| {
        sleep(45 * SEC).await;
        Ok::<_, Failure>(1)
    });
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner);
    service.call(order(1)).await.expect("an answer");
    assert_eq!(far.link().renewed, 4, "the control: each ten seconds");
    sleep(100 * SEC).await;
    assert_eq!(far.link().renewed, 4);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_as_late_as_it_may_has_time_to_say_what_came_of_it() {
    let (runs, far) = (Arc::new(AtomicU32::new(0)), Far::to(store()));
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(299 * SEC).await;
            Ok::<_, Failure>(1)
        }
    });
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner);
    let call = tokio::spawn(service.call(order(1)));
    sleep(298 * SEC).await;
    far.set(|link| link.is_down = true);
    assert_eq!(call.await.expect("no panic").expect("an answer"), 1);
    sleep(20 * SEC).await;
    far.set(|link| link.is_down = false);
    sleep(5 * SEC).await;
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 1);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_run_as_often_as_it_may_is_run_again_when_somebody_has_looked() {
    let (runs, store) = (Arc::new(AtomicU32::new(0)), store());
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        async move { if run < 2 { std::future::pending().await } else { Ok::<_, Failure>(run) } }
    });
    let config = IdempotencyConfig::new().max_attempts(NonZeroU32::MIN.saturating_add(1));
    let layer = IdempotencyLayer::new(config, store.clone()).expect("valid").identify(once()).keep(Numbers);
    let mut service = layer.layer(inner);
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::Interrupted);
    for _ in 0..3 {
        assert_eq!(reason(service.call(order(1)).await), RefusalReason::OutcomeUnknown, "there is no third run");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    let key = RecordKey::of(&("shop", "order.create"), &1_u32);
    assert!(store.resolve(&key, None).await.expect("memory"));
    assert_eq!(service.call(order(1)).await.expect("an answer"), 2);
    assert!(!store.resolve(&key, None).await.expect("memory"), "it is known what came of it");
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_to_somebody_who_released_it_records_what_it_did() {
    let far = Far::to(store());
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            match run {
                1 => sleep(60 * SEC).await,
                2 => return Err(Error::Inner("busy")),
                _ => {}
            }
            Ok(run)
        }
    });
    let here = Far::to(far.store.clone());
    let mut cut_off = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner.clone());
    let mut other = layer_on(here, IdempotencyConfig::new()).layer(inner);
    let first = tokio::spawn(cut_off.call(order(1)));
    sleep(SEC).await;
    far.set(|link| link.is_down = true);
    sleep(31 * SEC).await;
    other.call(order(1)).await.expect_err("busy");
    far.set(|link| link.is_down = false);
    assert_eq!(first.await.expect("no panic").expect("an answer"), 1);
    assert_eq!(other.call(order(1)).await.expect("what the first one did"), 1);
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_hears_that_it_was_taken_over_from_claims_nothing() {
    let far = Far::to(store());
    let inner = service_fn(async |_: Order| {
        let run = Execution::current().expect("it runs once");
        if run.attempt() == 1 {
            sleep(150 * SEC).await;
        }
        Ok::<_, Failure>(run.attempt())
    });
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner);
    let first = tokio::spawn(service.call(order(1)));
    sleep(SEC).await;
    far.set(|link| link.is_down = true);
    sleep(40 * SEC).await;
    // Somebody takes over, and is not heard of any more.
    let (key, claim) = (RecordKey::of(&("shop", "order.create"), &1_u32), a_claim());
    assert!(matches!(far.store.begin(&key, claim).await, Ok(Begin::Acquired(run)) if run.attempt == 2));
    sleep(40 * SEC).await;
    far.set(|link| link.is_down = false);
    assert_eq!(first.await.expect("no panic").expect("what it did"), 1);
    assert_eq!(service.call(order(1)).await.expect("an answer"), 3, "the third run, and no fourth");
}

fn a_claim() -> Claim {
    let (lease, retention) = (30 * SEC, 1000 * SEC);
    Claim { fingerprint: Fingerprint::of(&100_u32), owner: Owner::random(), lease, retention }
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_counted_also_while_somebody_drains() {
    let calls = Arc::default();
    let layer = layer(IdempotencyConfig::new());
    let call = tokio::spawn(layer.layer(slow(&calls)).call(order(1)));
    tokio::task::yield_now().await;
    let idempotency = layer.idempotency();
    let drain = tokio::spawn(async move { idempotency.drain(2 * SEC).await });
    tokio::task::yield_now().await;
    assert_eq!(layer.idempotency().running(), 1);
    assert!(drain.await.expect("no panic"));
    assert_eq!(layer.idempotency().running(), 0);
    call.await.expect("no panic").expect("an answer");
}

/// It was renewed only after a pause, and the pauses grew longer than the lease.
#[tokio::test(start_paused = true)]
async fn a_short_lease_is_kept_while_the_store_is_away_for_less_than_that() {
    let (far, runs) = (Far::to(store()), Arc::new(AtomicU32::new(0)));
    let (counter, millis) = (runs.clone(), Duration::from_millis);
    let inner = service_fn(move |_: Order| {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(millis(190)).await;
            Ok::<_, Failure>(run)
        }
    });
    let config = IdempotencyConfig::new().lease(millis(300)).store_timeout(millis(100));
    let mut service = layer_on(far.clone(), config).layer(inner);
    let call = tokio::spawn(service.call(order(1)));
    sleep(millis(180)).await;
    far.set(|link| link.is_down = true);
    sleep(millis(165)).await;
    far.set(|link| link.is_down = false);
    assert_eq!(call.await.expect("no panic").expect("an answer"), 1);
    sleep(millis(85)).await;
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 1);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn whenever_its_sender_goes_it_is_run_once() {
    for after in 0..32 {
        let (calls, far) = (Arc::default(), Far::to(store()));
        far.set(|link| link.takes = Duration::from_millis(200));
        let layer = layer_on(far, IdempotencyConfig::new());
        let mut service = layer.layer(slow(&calls));
        let patience = after * Duration::from_millis(50) + Duration::from_millis(25);
        let answer = tokio::time::timeout(patience, service.call(order(1))).await;
        // It takes as long to claim it, a second to run it, and as long to record it.
        assert_eq!(answer.is_ok(), after >= 28, "after {after}: {answer:?}");
        sleep(5 * SEC).await;
        assert_eq!(layer.idempotency().running(), 0);
        assert_eq!(service.call(order(1)).await.expect("the one answer"), 11);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}
