//! The store is cut off, slow, or loses its answers.

use std::future::Ready;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::MayCarryRejection;
use buttress::clock::Moment;
use buttress::idempotency::{
    Execution, IdempotencyConfig, IdempotencyLayer, MemoryStore, RefusalReason, WhenUnavailable,
};
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::far::Far;
use crate::support::numbers::Numbers;
use crate::world::{Failure, Order, SEC, layer_on, once, order, reason, slow, store};

#[tokio::test(start_paused = true)]
async fn without_the_store_nothing_is_run_unless_it_may_be_run_twice() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    far.set(|link| link.is_down = true);
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let start = Moment::now();
    let refused = service.call(order(1)).await;
    assert_eq!(Moment::now().since(start), Duration::ZERO);
    assert_eq!(refused.as_ref().expect_err("refused").rejection().and_then(|refused| refused.retry_after()), Some(SEC));
    assert_eq!(reason(refused), RefusalReason::StoreUnavailable);
    far.set(|link| (link.is_down, link.takes) = (false, SEC));
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::StoreUnavailable);
    assert_eq!(Moment::now().since(start), Duration::from_millis(250), "it is not waited for");
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    far.set(|link| link.is_down = true);
    let run = IdempotencyConfig::new().when_unavailable(WhenUnavailable::Run);
    let mut service = layer_on(far, run).layer(slow(&calls));
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
    assert_eq!(service.call(order(1)).await.expect("an answer"), 12);
}

#[tokio::test(start_paused = true)]
async fn records_in_memory_are_of_one_process_and_end_with_it() {
    let (calls, records) = (Arc::default(), store());
    let here = || layer_on(Far::to(records.clone()), IdempotencyConfig::new()).layer(slow(&calls));
    assert_eq!(here().call(order(1)).await.expect("an answer"), 11);
    assert_eq!(here().call(order(1)).await.expect("the same answer"), 11);
    let mut elsewhere = layer_on(Far::to(store()), IdempotencyConfig::new()).layer(slow(&calls));
    assert_eq!(elsewhere.call(order(1)).await.expect("another answer"), 12, "it is run again");
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_made_again_and_one_that_nobody_hears_of_is_forgotten() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    // Slower than it is waited for: the claim is made, and nobody is told.
    far.set(|link| (link.takes, link.loses_answers) = (Duration::from_millis(100), true));
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::StoreUnavailable);
    assert_eq!(far.link().begun, 2, "an answer that is lost is asked for again");
    assert_eq!(far.store.len(), 1, "the control: there is a claim");
    far.set(|link| link.loses_answers = false);
    sleep(SEC).await;
    assert_eq!(far.store.len(), 0, "nobody would have run it until its lease ends");
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_goes_while_the_store_is_asked_leaves_no_claim_that_nobody_runs() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    far.set(|link| link.takes = Duration::from_millis(200));
    let mut call = tokio_test::task::spawn(service.call(order(1)));
    assert!(call.poll().is_pending());
    sleep(Duration::from_millis(50)).await;
    drop(call);
    sleep(3 * SEC).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "it was run to its end");
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_request_is_recorded_when_the_store_is_back_and_its_sender_has_it_at_once() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC / 2).await;
    far.set(|link| link.is_down = true);
    let start = Moment::now();
    assert_eq!(call.await.expect("no panic").expect("the true answer"), 11);
    assert_eq!(Moment::now().since(start), SEC / 2);
    sleep(2 * SEC).await;
    far.set(|link| link.is_down = false);
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::Running, "the lease holds");
    sleep(2 * SEC).await;
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 11);
    assert!(far.link().completed > 2, "it was asked again and again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_store_that_is_lost_changes_nothing_about_what_is_recorded() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC / 2).await;
    far.set(|link| link.loses_answers = true);
    assert_eq!(call.await.expect("no panic").expect("the true answer"), 11);
    far.set(|link| link.loses_answers = false);
    sleep(2 * SEC).await;
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 11);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn who_was_cut_off_for_longer_than_its_lease_is_taken_over_from_and_answers_what_was_recorded() {
    let far = Far::to(store());
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(if run == 1 { 60 * SEC } else { SEC }).await;
            Ok::<_, Failure>(run)
        }
    });
    // Two instances of a program, one of which does not reach the store that both use.
    let here = Far::to(far.store.clone());
    let mut cut_off = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner.clone());
    let mut other = layer_on(here, IdempotencyConfig::new()).layer(inner);
    let first = tokio::spawn(cut_off.call(order(1)));
    sleep(SEC).await;
    far.set(|link| link.is_down = true);
    sleep(31 * SEC).await;
    assert_eq!(other.call(order(1)).await.expect("an answer"), 2, "the lease is over");
    far.set(|link| link.is_down = false);
    assert_eq!(first.await.expect("no panic").expect("what was recorded"), 2);
    assert_eq!(other.call(order(1)).await.expect("the same"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_a_store_that_is_slow_to_renew_the_lease() {
    let far = Far::to(store());
    let inner = service_fn(async |_: Order| {
        sleep(Duration::from_millis(10_010)).await;
        Ok::<_, Failure>(1)
    });
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner);
    let start = Moment::now();
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC).await;
    // The lease is renewed after ten seconds, and that takes as long as it may.
    far.set(|link| link.takes = Duration::from_millis(200));
    assert_eq!(call.await.expect("no panic").expect("an answer"), 1);
    assert_eq!(Moment::now().since(start), Duration::from_millis(10_210), "to record it takes as long, once");
}

#[tokio::test(start_paused = true)]
async fn what_was_run_without_the_store_is_recorded_if_it_is_there_again() {
    let (calls, far) = (Arc::default(), Far::to(store()));
    let config = IdempotencyConfig::new().when_unavailable(WhenUnavailable::Run);
    let mut service = layer_on(far.clone(), config).layer(slow(&calls));
    // The claim is made, and nobody is told.
    far.set(|link| link.loses_answers = true);
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC / 2).await;
    assert_eq!(far.store.len(), 1, "the control: there is a claim");
    far.set(|link| link.loses_answers = false);
    assert_eq!(call.await.expect("no panic").expect("an answer"), 11);
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 11);
}

#[tokio::test(start_paused = true)]
async fn a_panic_without_the_store_comes_to_whoever_sent_the_request() {
    let far = Far::to(store());
    far.set(|link| link.is_down = true);
    let inner = service_fn(|_: Order| -> Ready<Result<u32, Failure>> {
        assert!(Execution::current().is_none(), "there is no fence without a store");
        panic!("on purpose")
    });
    let config = IdempotencyConfig::new().when_unavailable(WhenUnavailable::Run);
    let layer = layer_on(far, config);
    let call = tokio::spawn(layer.layer(inner).oneshot(order(1)));
    let panic = call.await.expect_err("it panics").into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(layer.idempotency().running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_takes_nothing_new_and_tells_what_it_knows() {
    let calls = Arc::default();
    let one = MemoryStore::new(NonZeroUsize::MIN);
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), one).expect("valid").identify(once()).keep(Numbers);
    let mut service = layer.layer(slow(&calls));
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
    assert_eq!(reason(service.call(order(2)).await), RefusalReason::StoreFull);
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 11);
    sleep(24 * 60 * 60 * SEC).await;
    assert_eq!(service.call(order(2)).await.expect("there is room"), 22);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_renew_its_lease_knows_when_it_has_lost_it() {
    for (down_for, is_lost) in [(25 * SEC, false), (40 * SEC, true)] {
        let far = Far::to(store());
        let inner = service_fn(async |_: Order| {
            let run = Execution::current().expect("it runs once");
            sleep(60 * SEC).await;
            Ok::<_, Failure>(u32::from(run.is_lost()))
        });
        let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner);
        let call = tokio::spawn(service.call(order(1)));
        sleep(SEC).await;
        far.set(|link| link.is_down = true);
        sleep(down_for).await;
        far.set(|link| link.is_down = false);
        assert_eq!(call.await.expect("no panic").expect("an answer"), u32::from(is_lost));
    }
}
