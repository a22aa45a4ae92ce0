//! Whoever waits for the answer of the one that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use buttress::Error;
use buttress::clock::Moment;
use buttress::idempotency::{IdempotencyConfig, RefusalReason, Wait, WhenUnavailable};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::far::Far;
use crate::world::{Failure, Order, SEC, layer, layer_on, order, reason, slow, store};

#[tokio::test(start_paused = true)]
async fn whoever_may_wait_gets_the_one_answer_when_it_is_there() {
    let calls = Arc::default();
    let service = layer(IdempotencyConfig::new().wait(Wait::up_to(5 * SEC))).layer(slow(&calls));
    let start = Moment::now();
    let all = futures::future::join_all((0..10).map(|_| service.clone().oneshot(order(3)))).await;
    assert!(all.into_iter().all(|answer| answer.expect("an answer") == 31));
    assert_eq!(Moment::now().since(start), SEC, "nobody waits for longer than the run takes");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn more_wait_than_may_and_longer_than_they_may() {
    let calls = Arc::default();
    let wait = Wait::up_to(SEC / 2).for_each_key(2);
    let service = layer(IdempotencyConfig::new().wait(wait)).layer(slow(&calls));
    let all = futures::future::join_all((0..5).map(|_| service.clone().oneshot(order(3)))).await;
    assert_eq!(all.into_iter().map(|answer| u32::from(answer.is_ok())).sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_who_wait_hear_the_one_answer_and_hold_no_place() {
    let calls = Arc::default();
    let wait = Wait::up_to(2 * SEC).for_each_key(200);
    let layer = layer(IdempotencyConfig::new().max_running(4).wait(wait));
    let service = layer.layer(slow(&calls));
    let mut all = Vec::new();
    for _ in 0..200 {
        all.push(tokio::spawn(service.clone().oneshot(order(3))));
        // So that each finds a place to ask in.
        tokio::task::yield_now().await;
    }
    sleep(SEC / 2).await;
    assert_eq!(layer.idempotency().running(), 1, "199 wait");
    let others: Vec<_> = [4, 5, 6].map(|number| tokio::spawn(service.clone().oneshot(order(number)))).into();
    for other in others {
        other.await.expect("no panic").expect("there are places");
    }
    let answers = futures::future::join_all(all).await;
    assert!(answers.into_iter().all(|answer| answer.expect("no panic").expect("an answer") == 31));
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn who_waits_while_the_layer_drains_hears_the_answer_all_the_same() {
    let calls = Arc::default();
    let layer = layer(IdempotencyConfig::new().wait(Wait::default()));
    let mut service = layer.layer(slow(&calls));
    let first = tokio::spawn(service.call(order(3)));
    tokio::task::yield_now().await;
    let second = tokio::spawn(service.call(order(3)));
    sleep(SEC / 2).await;
    assert!(layer.idempotency().drain(SEC).await);
    assert_eq!(first.await.expect("no panic").expect("an answer"), 31);
    assert_eq!(second.await.expect("no panic").expect("the same answer"), 31);
    assert_eq!(reason(service.call(order(3)).await), RefusalReason::Draining);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_run_that_comes_to_nothing_runs_it_anew() {
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(SEC).await;
            if run == 0 { Err(Error::Inner("busy")) } else { Ok(7) }
        }
    });
    let mut service = layer(IdempotencyConfig::new().wait(Wait::default())).layer(inner);
    let first = tokio::spawn(service.call(order(3)));
    tokio::task::yield_now().await;
    let others = [service.call(order(3)), service.call(order(3))].map(tokio::spawn);
    first.await.expect("no panic").expect_err("busy");
    for other in others {
        assert_eq!(other.await.expect("no panic").expect("an answer"), 7);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2, "one of the two ran it");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_run_elsewhere_asks_the_store_until_it_has_ended() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let mut here = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let mut there = layer_on(far.clone(), IdempotencyConfig::new().wait(Wait::default())).layer(slow(&calls));
    let first = tokio::spawn(here.call(order(3)));
    tokio::task::yield_now().await;
    let start = Moment::now();
    let second = tokio::spawn(there.call(order(3)));
    // That the store is not reached for a while is nothing to whoever has time.
    sleep(SEC / 10).await;
    far.set(|link| link.is_down = true);
    sleep(SEC / 2).await;
    far.set(|link| link.is_down = false);
    assert_eq!(second.await.expect("no panic").expect("the answer"), 31);
    assert!(Moment::now().since(start) <= 3 * SEC / 2, "it is asked each half second at least");
    assert_eq!(first.await.expect("no panic").expect("the answer"), 31);
    assert_eq!((calls.load(Ordering::SeqCst), far.link().begun), (1, 2), "to look is no claim");
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_makes_room_for_others() {
    for wait in [Wait::up_to(SEC / 4).for_each_key(1), Wait::up_to(SEC / 4).in_all(1)] {
        let calls = Arc::default();
        let mut service = layer(IdempotencyConfig::new().wait(wait)).layer(slow(&calls));
        let first = tokio::spawn(service.call(order(3)));
        tokio::task::yield_now().await;
        for _ in 0..3 {
            let start = Moment::now();
            let waits = tokio::spawn(service.call(order(3)));
            tokio::task::yield_now().await;
            assert_eq!(reason(service.call(order(3)).await), RefusalReason::Running);
            assert_eq!(Moment::now(), start, "there is no room for a second one");
            assert_eq!(reason(waits.await.expect("no panic")), RefusalReason::Running);
            assert_eq!(Moment::now().since(start), SEC / 4);
        }
        first.await.expect("no panic").expect("an answer");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_does_not_run_it_without_the_store() {
    let (runs, far) = (Arc::new(AtomicU32::new(0)), Far::to(store()));
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        counter.fetch_add(1, Ordering::SeqCst);
        async {
            sleep(SEC).await;
            Err::<u32, Failure>(Error::Inner("busy"))
        }
    });
    let config = IdempotencyConfig::new().wait(Wait::default()).when_unavailable(WhenUnavailable::Run);
    let mut service = layer_on(far.clone(), config).layer(inner);
    let first = tokio::spawn(service.call(order(3)));
    tokio::task::yield_now().await;
    let second = tokio::spawn(service.call(order(3)));
    sleep(SEC / 2).await;
    far.set(|link| link.takes_no_claims = true);
    first.await.expect("no panic").expect_err("busy");
    assert_eq!(reason(second.await.expect("no panic")), RefusalReason::StoreUnavailable);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    service.call(order(3)).await.expect_err("busy");
    assert_eq!(runs.load(Ordering::SeqCst), 2, "the control: who has not waited runs it");
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_goes_away_asks_no_more() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let mut service = layer_on(far.clone(), IdempotencyConfig::new().wait(Wait::up_to(10 * SEC))).layer(slow(&calls));
    let first = tokio::spawn(service.call(order(3)));
    tokio::task::yield_now().await;
    let mut waits = tokio_test::task::spawn(service.call(order(3)));
    assert!(waits.poll().is_pending());
    sleep(SEC / 10).await;
    let asked = far.link().looked;
    assert!(asked > 0, "the control: it asks");
    drop(waits);
    sleep(SEC / 2).await;
    assert_eq!(far.link().looked, asked, "nobody listens");
    first.await.expect("no panic").expect("an answer");
}
