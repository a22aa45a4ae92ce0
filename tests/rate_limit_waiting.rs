//! Calls that wait in line for their tokens, in paused time.

mod support;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buttress::clock::Moment;
use buttress::rate_limit::{
    KeyedConfig, KeyedRateLimiter, LimitReason, Limited, Quota, RateLimitConfig, RateLimitLayer, RateLimiter, Taking,
    WhenFull,
};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Deadline, DeadlineOf, Rejection};
use futures::future::join_all;
use proptest::prelude::*;
use support::drops;
use tokio::sync::Semaphore;
use tokio::time::{advance, sleep, timeout};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn config(quota: Quota) -> RateLimitConfig {
    RateLimitConfig::new(quota).name("pace")
}

fn limiter(config: RateLimitConfig) -> RateLimiter {
    RateLimiter::new(config).expect("valid")
}

fn refused(reason: LimitReason, wait: Duration) -> Limited {
    Limited::new("pace".into(), reason).with_retry_after(wait)
}

fn limited(error: &BoxError) -> Limited {
    match Rejection::find(&**error) {
        Some(Rejection::RateLimited(limited)) => limited,
        other => panic!("not refused by a limiter: {other:?}"),
    }
}

/// Answers when it was called.
async fn when(_: u32) -> Result<Moment, BoxError> {
    Ok(Moment::now())
}

fn waiting(limiter: &RateLimiter, cost: u32) -> Spawn<Taking> {
    let mut waiting = spawn(limiter.take(cost));
    assert_pending!(waiting.poll());
    waiting
}

#[tokio::test(start_paused = true)]
async fn a_leaky_bucket_lets_calls_pass_at_an_even_pace_and_in_order() {
    let layer = RateLimitLayer::new(RateLimitConfig::leaky(Quota::per_second(10), 5).name("pace")).expect("valid");
    let service = layer.wait().layer(service_fn(when));
    let start = Moment::now();
    let answers = join_all((0..8).map(|number| service.clone().oneshot(number))).await;
    for (place, answer) in (0..).zip(answers) {
        match answer {
            Ok(at) => assert_eq!(at.since(start), 100 * MS * place),
            Err(error) => {
                assert!(place >= 6, "one passes at once, and five wait");
                assert_eq!(limited(&error), refused(LimitReason::LineFull, 600 * MS));
            }
        }
    }
}

/// A peer slept for all the time that a call may wait before it said what it knew from the first.
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_known_to_be_too_long_is_refused_at_once() {
    let limiter = limiter(config(Quota::per_second(1)).max_wait(2 * SEC));
    limiter.try_take(1).expect("a token");
    let first = waiting(&limiter, 1);
    let _second = waiting(&limiter, 1);
    let mut third = spawn(limiter.take(1));
    assert_eq!(assert_ready_err!(third.poll()), refused(LimitReason::WaitTooLong, 3 * SEC));
    let mut never = spawn(limiter.take(2));
    assert_eq!(assert_ready_err!(never.poll()).reason(), LimitReason::CostAboveBurst);
    drop(first);
    drop(waiting(&limiter, 1));
    let mut within = spawn(limiter.take_before(1, Deadline::within(SEC)));
    assert_eq!(assert_ready_err!(within.poll()), refused(LimitReason::WaitTooLong, 2 * SEC), "the deadline is nearer");
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_beyond_its_deadline() {
    #[derive(Clone)]
    struct Soon(Duration);
    impl DeadlineOf<u32> for Soon {
        fn deadline_of(&self, _: &u32, _: &buttress::clock::Now) -> Option<Deadline> {
            Some(Deadline::within(self.0))
        }
    }
    let waiting = |within| {
        let layer = RateLimitLayer::new(config(Quota::per_second(1))).expect("valid").wait().deadline_of(Soon(within));
        layer.limits().drain();
        layer.layer(service_fn(when)).oneshot(1)
    };
    let start = Moment::now();
    assert_eq!(limited(&waiting(SEC - MS).await.expect_err("too long")), refused(LimitReason::WaitTooLong, SEC));
    assert_eq!(Moment::now(), start, "at once");
    assert_eq!(waiting(SEC).await.expect("in time").since(start), SEC);
}

/// In a peer, a call that gave up waiting kept the tokens it had reserved.
#[tokio::test(start_paused = true)]
async fn whoever_leaves_the_line_has_spent_nothing_and_those_behind_move_up() {
    let limiter = limiter(config(Quota::per_second(1)));
    limiter.try_take(1).expect("a token");
    let mut line: Vec<_> = (0..5).map(|_| waiting(&limiter, 1)).collect();
    assert_eq!(limiter.snapshot().waiting, 5);
    advance(SEC / 2).await;
    drop(line.remove(3));
    drop(line.remove(1));
    let first = line.remove(0);
    assert_eq!(limiter.snapshot().waiting, 3);
    assert!(!line[0].is_woken());
    drop(first);
    assert!(line[0].is_woken(), "whoever is first now sleeps for its tokens");
    assert!(!line[1].is_woken(), "the others sleep for nothing");
    assert_pending!(line[0].poll());
    advance(SEC / 2).await;
    assert_ready_ok!(line[0].poll());
    advance(SEC).await;
    assert!(line[1].is_woken());
    assert_ready_ok!(line[1].poll());
    assert_eq!((limiter.snapshot().waiting, limiter.remaining()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_anywhere_a_waiting_call_leaves_the_line_as_it_was() {
    type World = (RateLimiter, RateLimitLayer);
    let world = || {
        let limiter = limiter(config(Quota::per_second(1)));
        limiter.try_take(1).expect("a token");
        (limiter.clone(), RateLimitLayer::of(limiter))
    };
    let call = |(_, layer): &mut World| {
        let service = service_fn(async |_: u32| {
            sleep(SEC / 4).await;
            Ok::<_, BoxError>(())
        });
        layer.clone().wait().layer(service).oneshot(1)
    };
    drops::at_every_point(2, world, call, async |(limiter, layer): World, _| {
        assert_eq!(limiter.snapshot().waiting, 0);
        let before = Moment::now();
        layer.wait().layer(service_fn(when)).oneshot(1).await.expect("in time");
        assert!(Moment::now().since(before) <= SEC);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_the_first_in_line_is_ever_woken() {
    let limiter = limiter(config(Quota::per_second(100)).max_waiting(100));
    limiter.drain();
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = (0..100).map(|_| {
        let (mut taking, polls) = (Box::pin(limiter.take(1)), polls.clone());
        tokio::spawn(std::future::poll_fn(move |cx: &mut Context<'_>| {
            polls.fetch_add(1, Ordering::SeqCst);
            taking.as_mut().poll(cx)
        }))
    });
    for waiter in join_all(counted).await {
        waiter.expect("no panic").expect("its turn");
    }
    let polls = polls.load(Ordering::SeqCst);
    assert!(polls <= 3 * 100, "{polls} polls: to join, to be the first, to take");
}

/// In a peer, calls that waited for a token kept the wrapped service's permits from those who did not wait.
#[tokio::test(start_paused = true)]
async fn whoever_waits_holds_no_place_in_the_wrapped_service() {
    let permits = Arc::new(Semaphore::new(1));
    let inner = ConcurrencyLimit::with_semaphore(service_fn(when), permits.clone());
    let layer = RateLimitLayer::new(config(Quota::per_second(1))).expect("valid").wait();
    layer.limits().drain();
    let mut service = layer.layer(inner);
    let start = Moment::now();
    let mut waits = spawn(service.ready().await.expect("always").call(1));
    assert_pending!(waits.poll());
    assert_eq!(permits.available_permits(), 1);
    let taken = permits.clone().acquire_owned().await.expect("open");
    advance(SEC).await;
    assert_pending!(waits.poll(), "the tokens are there, and the service is not ready");
    assert_eq!(service.limits().remaining(), 0);
    drop(taken);
    assert_eq!(assert_ready_ok!(waits.poll()).since(start), SEC);
}

#[tokio::test(start_paused = true)]
async fn a_line_is_planned_anew_when_what_lies_before_it_changes() {
    let limiter = limiter(config(Quota::per_second(1)).max_wait(3 * SEC));
    limiter.try_take(1).expect("a token");
    let mut line: Vec<_> = (0..3).map(|_| waiting(&limiter, 1)).collect();
    advance(SEC / 2).await;
    limiter.drain();
    assert!(line.iter().all(Spawn::is_woken));
    assert_pending!(line[0].poll());
    assert_pending!(line[1].poll());
    assert_eq!(assert_ready_err!(line[2].poll()), refused(LimitReason::WaitTooLong, 3 * SEC), "3.5 s in all");

    limiter.reconfigure(&config(Quota::per_second(10).burst(10)).max_wait(3 * SEC)).expect("valid");
    for waiter in &mut line[..2] {
        assert!(waiter.is_woken());
        assert_pending!(waiter.poll());
    }
    advance(100 * MS).await;
    assert!(line[0].is_woken(), "ten times as fast");
}

#[tokio::test(start_paused = true)]
async fn another_quota_that_can_never_serve_the_first_in_line_refuses_it() {
    let limiter = limiter(config(Quota::per_second(1).burst(5)));
    limiter.drain();
    let (mut dear, mut cheap) = (waiting(&limiter, 5), waiting(&limiter, 1));
    limiter.reconfigure(&config(Quota::per_second(1).burst(2))).expect("valid");
    assert_eq!(assert_ready_err!(dear.poll()).reason(), LimitReason::CostAboveBurst);
    drop(dear);
    assert_pending!(cheap.poll());
    advance(SEC).await;
    assert_ready_ok!(cheap.poll());
}

#[tokio::test(start_paused = true)]
async fn a_limiter_without_a_line_refuses_at_once() {
    let limiter = limiter(config(Quota::per_second(1)).max_waiting(0));
    limiter.take(1).await.expect("a token is there");
    assert_eq!(limiter.take(1).await, Err(refused(LimitReason::LineFull, SEC)));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_bounds_the_wait_too() {
    let layer = RateLimitLayer::new(config(Quota::per_hour(1))).expect("valid").wait();
    layer.limits().drain();
    let limiter = layer.limits().clone();
    let timeout = TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("a limit");
    let error = timeout.layer(layer.layer(service_fn(when))).oneshot(1).await.expect_err("too slow");
    assert!(matches!(Rejection::find(&*error), Some(Rejection::Elapsed(_))));
    assert_eq!(limiter.snapshot().waiting, 0);
}

// By key, and in several lines.

#[tokio::test(start_paused = true)]
async fn every_key_has_a_line_of_its_own() {
    let keys = KeyedRateLimiter::<&str>::new(config(Quota::per_second(1)).max_waiting(2)).expect("valid");
    let start = Moment::now();
    let wait = async |key: &'static str| {
        keys.take(key, 1).await?;
        Ok::<_, Limited>((key, Moment::now().since(start)))
    };
    let done = join_all(["a", "a", "a", "b", "a", "b"].map(wait)).await;
    let expected = [
        Ok(("a", Duration::ZERO)),
        Ok(("a", SEC)),
        Ok(("a", 2 * SEC)),
        Ok(("b", Duration::ZERO)),
        Err(refused(LimitReason::LineFull, 3 * SEC)),
        Ok(("b", SEC)),
    ];
    assert_eq!(done, expected);
    assert_eq!(keys.snapshot().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_those_who_wait_for_the_same_key() {
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_second(1))).expect("valid");
    keys.try_take(&1, 1).expect("a token");
    let mut waits = spawn(keys.take(&1, 1));
    assert_pending!(waits.poll());
    assert_eq!(keys.snapshot().waiting, 1);
    advance(SEC).await;
    assert_eq!(keys.try_take(&1, 1), Err(refused(LimitReason::QuotaUsedUp, SEC)));
    keys.try_take(&2, 1).expect("another key is not concerned");
    assert_ready_ok!(waits.poll());
    keys.drain(&1);
    let mut waits = spawn(keys.take(&1, 1));
    assert_pending!(waits.poll());
    keys.reconfigure(&config(Quota::per_second(1000))).expect("valid");
    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    advance(MS).await;
    assert_ready_ok!(waits.poll());
}

/// One key's long line must not keep the others from what all share.
#[tokio::test(start_paused = true)]
async fn a_call_stands_before_a_shared_bucket_only_when_its_own_key_would_let_it_pass() {
    let all = limiter(config(Quota::per_second(10).burst(1)));
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_second(1).burst(1))).expect("valid");
    let layer = RateLimitLayer::of(all.clone()).and_by_key(keys.clone(), |key: &u32| Some(*key)).wait();
    let service = layer.layer(service_fn(when));
    let start = Moment::now();
    let answers = join_all([1, 1, 1, 2, 3, 1].map(|key| service.clone().oneshot(key))).await;
    let at = answers.into_iter().map(|answer| answer.expect("its turn").since(start));
    assert_eq!(at.collect::<Vec<_>>(), [Duration::ZERO, SEC, 2 * SEC, 100 * MS, 200 * MS, 3 * SEC]);
    assert_eq!((all.snapshot().waiting, keys.snapshot().waiting), (0, 0));
}

/// A call that waited for one limit stood in the line of the other as well, which shut out everybody else for an hour.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_one_limit_keeps_nobody_from_another() {
    for swapped in [false, true] {
        let mut limiters = [(); 2].map(|()| limiter(config(Quota::per_hour(1))));
        if swapped {
            limiters.reverse();
        }
        let [slow, quick] = limiters;
        quick.reconfigure(&config(Quota::per_second(1000))).expect("valid");
        slow.drain();
        let service = RateLimitLayer::of(slow.clone()).and(quick.clone()).wait().layer(service_fn(when));
        let mut waits = spawn(service.oneshot(1));
        assert_pending!(waits.poll());
        advance(SEC).await;
        assert_eq!(quick.try_take(1000), Ok(()));
        assert_eq!((slow.snapshot().waiting, quick.snapshot().waiting), (1, 0));
    }
}

/// It was refused for want of a place in the line of a bucket that had tokens for it.
#[tokio::test(start_paused = true)]
async fn nobody_needs_a_place_in_the_line_of_a_bucket_that_lets_it_pass() {
    let all = limiter(config(Quota::per_second(100)).max_waiting(0));
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_second(1))).expect("valid");
    let layer = RateLimitLayer::of(all).and_by_key(keys, |key: &u32| Some(*key)).wait();
    let service = layer.layer(service_fn(when));
    let start = Moment::now();
    service.clone().oneshot(1).await.expect("a token of both");
    assert_eq!(service.oneshot(1).await.expect("its key's turn").since(start), SEC);
}

/// Calls of one key waited for their key's turn, to be told then that the wait for what all share would be too long.
#[tokio::test(start_paused = true)]
async fn a_wait_known_to_be_too_long_for_any_of_the_limits_is_refused_at_once() {
    let all = limiter(config(Quota::per(1, 10 * SEC)));
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_second(1)).max_wait(25 * SEC)).expect("valid");
    all.drain();
    let layer = RateLimitLayer::of(all).and_by_key(keys, |key: &u32| Some(*key)).wait();
    let service = layer.layer(service_fn(when));
    let start = Moment::now();
    let calls = (0..5).map(|_| {
        let call = service.clone().oneshot(1);
        tokio::spawn(async move { (call.await.is_ok(), Moment::now().since(start)) })
    });
    let ended: Vec<_> = join_all(calls).await.into_iter().map(|call| call.expect("no panic")).collect();
    let at_once = (false, Duration::ZERO);
    assert_eq!(ended, [(true, 10 * SEC), (true, 20 * SEC), at_once, at_once, at_once]);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_from_line_to_line_stays_before_those_who_came_later() {
    let (a, b) = (limiter(config(Quota::per_second(1))), limiter(config(Quota::per(1, 4 * SEC))));
    b.drain();
    let both = RateLimitLayer::of(a.clone()).and(b.clone()).wait().layer(service_fn(when));
    let mut of_both = spawn(both.oneshot(1));
    assert_pending!(of_both.poll());
    assert_eq!((a.snapshot().waiting, b.snapshot().waiting), (0, 1), "b keeps it longer");
    a.try_take(1).expect("a is not concerned");
    let mut of_a = waiting(&a, 1);
    advance(SEC).await;
    assert_ready_ok!(of_a.poll());
    advance(3 * SEC - MS).await;
    a.drain();
    let (mut second, mut third) = (waiting(&a, 1), waiting(&a, 1));
    advance(MS).await;
    assert_pending!(of_both.poll());
    assert_eq!((a.snapshot().waiting, b.snapshot().waiting), (3, 1), "now a keeps it, and it keeps its place at b");
    advance(SEC).await;
    assert_pending!(second.poll());
    assert_ready_ok!(of_both.poll());
    assert!(second.is_woken());
    advance(SEC).await;
    assert_pending!(third.poll());
    assert_ready_ok!(second.poll());
}

/// The first of a key's line went on to the line of all and left its token lying, with which the next went on, and the next:
/// all of one key's calls stood before the bucket of all, in the way of everybody else's.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_what_all_share_keeps_its_place_in_its_keys_line() {
    let all = limiter(config(Quota::per_second(10).burst(1)).max_waiting(2));
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_second(1).burst(1))).expect("valid");
    let layer = RateLimitLayer::of(all.clone()).and_by_key(keys.clone(), |key: &u32| Some(*key)).wait();
    let service = layer.layer(service_fn(when));
    let start = Moment::now();
    let calls: Vec<_> = (0..8).map(|_| tokio::spawn(service.clone().oneshot(1))).collect();
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(keys.snapshot().waiting, 7);
    advance(SEC - MS).await;
    all.try_take(1).expect("somebody else's token");
    sleep(2 * MS).await;
    assert_eq!(all.snapshot().waiting, 1);
    let ended = join_all(calls).await.into_iter().map(|call| call.expect("no panic").expect("its turn").since(start));
    let expected = [0, 1099, 2099, 3099, 4099, 5099, 6099, 7099].map(|ms| MS * ms);
    assert_eq!(ended.collect::<Vec<_>>(), expected);
}

/// It had the token of one when the other was short and the other way round, and gave up its place each time.
#[tokio::test(start_paused = true)]
async fn a_call_of_several_limits_is_not_overtaken_for_ever() {
    let [a, b] = [(); 2].map(|()| limiter(config(Quota::per_second(1))));
    a.drain();
    advance(SEC / 2).await;
    b.drain();
    let both = RateLimitLayer::of(a.clone()).and(b.clone()).wait().layer(service_fn(when));
    let call = tokio::spawn(both.oneshot(1));
    tokio::task::yield_now().await;
    for limiter in [a, b] {
        for _ in 0..2 {
            let limiter = limiter.clone();
            tokio::spawn(async move { while limiter.take(1).await.is_ok() {} });
        }
    }
    let start = Moment::now();
    timeout(1000 * SEC, call).await.expect("it has its turn").expect("no panic").expect("a token of both");
    assert!(Moment::now().since(start) <= 3 * SEC);
}

#[tokio::test(start_paused = true)]
async fn what_a_call_that_is_elsewhere_leaves_over_others_may_take() {
    let (wide, narrow) = (limiter(config(Quota::per_hour(1).burst(3))), limiter(config(Quota::per_second(1))));
    narrow.drain();
    wide.drain();
    let both = RateLimitLayer::of(wide.clone()).and(narrow.clone()).wait().layer(service_fn(when));
    let mut call = spawn(both.oneshot(1));
    assert_pending!(call.poll());
    assert_eq!((wide.snapshot().waiting, narrow.snapshot().waiting), (1, 0));
    wide.reconfigure(&config(Quota::per_second(1).burst(3))).expect("valid");
    advance(3 * SEC - MS).await;
    narrow.drain();
    advance(MS).await;
    assert_pending!(call.poll());
    assert_eq!(
        (wide.snapshot().waiting, narrow.snapshot().waiting),
        (1, 1),
        "it waits at one and is away at the other"
    );
    assert_eq!(wide.try_take(3), Err(refused(LimitReason::QuotaUsedUp, SEC)), "one of three is kept for it");
    wide.try_take(1).expect("and two are not");
    let mut behind = spawn(wide.take(1));
    assert_ready_ok!(behind.poll());
    let mut behind = waiting(&wide, 1);
    advance(SEC).await;
    assert_ready_ok!(call.poll());
    assert!(behind.is_woken());
    assert_ready_ok!(behind.poll());
    assert_eq!((wide.snapshot().waiting, narrow.snapshot().waiting), (0, 0));
}

// The bounds of a wait.

#[tokio::test(start_paused = true)]
async fn a_line_may_be_full_for_those_who_come_but_not_for_those_who_move() {
    let (a, b) = (limiter(config(Quota::per(1, 10 * SEC))), limiter(config(Quota::per_second(1)).max_waiting(1)));
    a.drain();
    let both = RateLimitLayer::of(a).and(b.clone()).wait().layer(service_fn(when));
    let mut call = spawn(both.oneshot(1));
    assert_pending!(call.poll());
    advance(10 * SEC - MS).await;
    b.drain();
    let mut newcomer = waiting(&b, 1);
    advance(MS).await;
    assert_pending!(call.poll());
    advance(SEC).await;
    assert_ready_ok!(call.poll());
    assert_pending!(newcomer.poll());
}

#[tokio::test(start_paused = true)]
async fn bounds_that_change_anywhere_hold_everywhere() {
    for (before, after) in [(100, 6), (6, 100)] {
        let (a, b) = (limiter(config(Quota::per(1, 5 * SEC))), config(Quota::per(1, 4 * SEC)));
        let with = |seconds: u32| b.clone().max_wait(SEC * seconds);
        let b = limiter(with(before));
        a.drain();
        let both = RateLimitLayer::of(a).and(b.clone()).wait().layer(service_fn(when));
        let mut call = spawn(both.oneshot(1));
        assert_pending!(call.poll());
        b.reconfigure(&with(after)).expect("valid");
        advance(5 * SEC - MS).await;
        b.drain();
        advance(MS).await;
        if after < before {
            assert_eq!(limited(&assert_ready_err!(call.poll())).reason(), LimitReason::WaitTooLong, "9 s of 6");
        } else {
            assert_pending!(call.poll(), "9 s of 100");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn behind_somebody_who_does_not_move_nobody_waits_longer_than_it_may() {
    let limiter = limiter(config(Quota::per_second(1)));
    limiter.drain();
    let _kept_and_not_polled = waiting(&limiter, 1);
    let start = Moment::now();
    let second = timeout(3600 * SEC, limiter.take_before(1, Deadline::within(5 * SEC))).await;
    assert_eq!(second.expect("it gives up").expect_err("no turn").reason(), LimitReason::WaitTooLong);
    assert!(Moment::now().since(start) <= 5 * SEC + 2 * MS);
    assert_eq!(limiter.snapshot().waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn those_in_line_wait_as_long_as_the_new_settings_say() {
    let limiter = limiter(config(Quota::per_second(1)).max_wait(2 * SEC));
    limiter.drain();
    let mut waits = waiting(&limiter, 1);
    limiter.reconfigure(&config(Quota::per(1, 10 * SEC)).max_wait(100 * SEC)).expect("valid");
    limiter.drain();
    assert_pending!(waits.poll());
    limiter.reconfigure(&config(Quota::per(1, 10 * SEC)).max_wait(SEC)).expect("valid");
    assert_eq!(assert_ready_err!(waits.poll()).reason(), LimitReason::WaitTooLong);
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_burst_does_not_stand_in_a_keys_line() {
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_second(1))).expect("valid");
    keys.drain(&1);
    let mut waits = spawn(keys.take(&1, 1));
    assert_pending!(waits.poll());
    assert_eq!(keys.try_take(&1, 2).expect_err("never").reason(), LimitReason::CostAboveBurst);
    let mut never = spawn(keys.take(&1, 2));
    assert_eq!(assert_ready_err!(never.poll()).reason(), LimitReason::CostAboveBurst);
}

struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_holds_up_nobody_else() {
    let limiter = limiter(config(Quota::per_second(1)));
    limiter.drain();
    let mut first = Box::pin(limiter.take(1));
    let waker = Waker::from(Arc::new(PanicsWhenWoken));
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let second = tokio::spawn(limiter.take(1));
    tokio::task::yield_now().await;
    assert_eq!(limiter.snapshot().waiting, 2);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| limiter.drain())).expect_err("the first panics");
    drop(first);
    let second = timeout(3600 * SEC, second).await.expect("the second has its turn");
    second.expect("no panic").expect("a token");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_several_limits_and_leaves_leaves_nothing_behind() {
    let (all, some) = (limiter(config(Quota::per_second(1))), limiter(config(Quota::per_second(1))));
    all.drain();
    let service = RateLimitLayer::of(all.clone()).and(some.clone()).wait().layer(service_fn(when));
    let mut calls: Vec<_> = (0..3).map(|_| spawn(service.clone().oneshot(1))).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let in_lines = || all.snapshot().waiting + some.snapshot().waiting;
    assert_eq!(in_lines(), 3);
    drop(calls.remove(0));
    assert!(calls[0].is_woken());
    assert_pending!(calls[0].poll());
    advance(SEC).await;
    assert_ready_ok!(calls[0].poll());
    calls.clear();
    assert_eq!(in_lines(), 0);
    assert_eq!((all.remaining(), some.remaining()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn two_limits_in_either_order_cannot_wait_for_each_other() {
    let (a, b) = (limiter(config(Quota::per_second(3))), limiter(config(Quota::per_second(2))));
    let there = RateLimitLayer::of(a.clone()).and(b.clone()).wait().layer(service_fn(when));
    let back = RateLimitLayer::of(b.clone()).and(a.clone()).wait().layer(service_fn(when));
    let both = |number: u32| if number.is_multiple_of(2) { there.clone() } else { back.clone() }.oneshot(number);
    let calls = join_all((0..40).map(both));
    let answers = timeout(60 * SEC, calls).await.expect("nobody waits for ever");
    assert!(answers.iter().all(Result::is_ok));
}

/// The places of keys that waited were free just when their turn came. Newcomers took them, and nobody remembered what
/// those took who had waited: twice as much passed.
#[tokio::test(start_paused = true)]
async fn what_somebody_takes_who_has_waited_is_remembered_in_a_full_table_too() {
    for number in [4, 100] {
        let limits = KeyedConfig::new(config(Quota::per_second(1).burst(2))).max_keys(number as usize);
        let keys = KeyedRateLimiter::<u32>::new(limits).expect("valid");
        let mut line: Vec<_> = (0..number)
            .map(|key| {
                keys.try_take(&key, 2).expect("a full bucket");
                let mut waits = spawn(keys.take(&key, 2));
                assert_pending!(waits.poll());
                waits
            })
            .collect();
        advance(2 * SEC).await;
        for fresh in 1000..1000 + number {
            let _ = keys.try_take(&fresh, 1);
        }
        for waits in &mut line {
            assert_ready_ok!(waits.poll());
        }
        advance(SEC).await;
        let over = (0..number).filter(|key| keys.try_take(key, 2).is_ok()).count();
        assert_eq!(over, 0, "of {number} keys so many had four within a second");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_waited_for_a_key_finds_a_place_in_a_full_table() {
    let limits = KeyedConfig::new(config(Quota::per_second(1))).max_keys(2).when_full(WhenFull::Refuse);
    let keys = KeyedRateLimiter::<u32>::new(limits).expect("valid");
    keys.try_take(&1, 1).expect("a place");
    let mut waits = spawn(keys.take(&1, 1));
    assert_pending!(waits.poll());
    advance(SEC).await;
    for key in 2..10 {
        let _ = keys.try_take(&key, 1);
    }
    assert_ready_ok!(waits.poll());
    assert_eq!(keys.try_take(&1, 1), Err(refused(LimitReason::QuotaUsedUp, SEC)), "its token is spent");
}

// Whatever happens.

#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    TryTake(u32),
    Wait(u32),
    Drop(prop::sample::Index),
    Poll(prop::sample::Index),
    Drain,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..700_u64).prop_map(Op::Advance),
        4 => (1..4_u32).prop_map(Op::TryTake),
        6 => (1..4_u32).prop_map(Op::Wait),
        3 => any::<prop::sample::Index>().prop_map(Op::Drop),
        6 => any::<prop::sample::Index>().prop_map(Op::Poll),
        1 => Just(Op::Drain),
    ]
}

struct History {
    limiter: RateLimiter,
    waiting: BTreeMap<usize, (u32, Pin<Box<Taking>>)>,
    next: usize,
    passed: Vec<(Moment, u32)>,
    in_order: bool,
}

impl History {
    async fn does(&mut self, op: &Op) {
        match op {
            Op::Advance(millis) => advance(MS * u32::try_from(*millis).expect("short")).await,
            Op::TryTake(cost) => {
                if self.limiter.try_take(*cost).is_ok() {
                    self.passed.push((Moment::now(), *cost));
                    self.in_order &= self.waiting.is_empty();
                }
            }
            Op::Wait(cost) => {
                self.waiting.insert(self.next, (*cost, Box::pin(self.limiter.take(*cost))));
                self.poll(self.next);
                self.next += 1;
            }
            Op::Drop(index) => {
                if let Some(number) = self.one(*index) {
                    self.waiting.remove(&number);
                }
            }
            Op::Poll(index) => {
                if let Some(number) = self.one(*index) {
                    self.poll(number);
                }
            }
            Op::Drain => self.limiter.drain(),
        }
    }

    fn one(&self, index: prop::sample::Index) -> Option<usize> {
        let numbers: Vec<_> = self.waiting.keys().copied().collect();
        (!numbers.is_empty()).then(|| *index.get(&numbers))
    }

    fn poll(&mut self, number: usize) {
        let (cost, taking) = self.waiting.get_mut(&number).expect("it waits");
        let Poll::Ready(taken) = taking.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return;
        };
        if taken.is_ok() {
            self.passed.push((Moment::now(), *cost));
            self.in_order &= self.waiting.keys().next() == Some(&number);
        }
        self.waiting.remove(&number);
    }
}

/// Rate times window and burst hold over every window, whoever comes, waits and leaves.
#[test]
fn within_no_span_of_time_more_passes_than_rate_and_burst() {
    let histories = (proptest::collection::vec(op(), 1..80), 3..6_u32);
    let waited = AtomicUsize::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 500, ..ProptestConfig::default() });
    let result = runner.run(&histories, |(ops, burst)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let limiter = limiter(config(Quota::per_second(4).burst(burst)).max_waiting(6));
            let mut history =
                History { limiter, waiting: BTreeMap::new(), next: 0, passed: Vec::new(), in_order: true };
            for op in &ops {
                history.does(op).await;
                waited.fetch_add(history.waiting.len(), Ordering::SeqCst);
                assert_eq!(history.limiter.snapshot().waiting, history.waiting.len());
            }
            prop_assert!(history.in_order, "somebody was passed");
            let passed = history.passed;
            for (first, (from, _)) in passed.iter().enumerate() {
                let mut total = 0;
                for (to, cost) in &passed[first..] {
                    total += u128::from(*cost);
                    let allowed = u128::from(burst) + to.since(*from).as_millis() / 250;
                    prop_assert!(total <= allowed, "{} of {} within {:?}", total, allowed, to.since(*from));
                }
            }
            // Whoever stays has its turn.
            let rest = history.waiting.into_values().map(|(_, taking)| tokio::spawn(taking));
            let all = join_all(rest.collect::<Vec<_>>());
            prop_assert!(timeout(60 * SEC, all).await.is_ok(), "somebody waits for ever");
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(waited.into_inner() > 1_000, "hardly anybody waited");
}

/// A call of one of three keys, in a table of two, and in what all share; some give up.
#[test]
fn with_keys_and_several_limits_no_more_passes_either() {
    let call = (0..3_usize, 1..3_u32, 0..2_000_u64, prop::option::of(0..3_000_u64));
    let histories = (proptest::collection::vec(call, 1..40), 1..5_u64);
    let passed_in_all = AtomicUsize::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 300, ..ProptestConfig::default() });
    let result = runner.run(&histories, |(calls, drains)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let all = limiter(config(Quota::per_second(4).burst(3)));
            let limits = KeyedConfig::new(config(Quota::per_second(2).burst(2))).max_keys(2);
            let keys = KeyedRateLimiter::<usize>::new(limits).expect("valid");
            let layer = RateLimitLayer::of(all.clone()).and_by_key(keys.clone(), |call: &(usize, u32)| Some(call.0));
            let layer = layer.cost(|call: &(usize, u32)| call.1).wait();
            let service = layer
                .layer(service_fn(async |(key, cost): (usize, u32)| Ok::<_, BoxError>((Moment::now(), key, cost))));
            let start = async |(key, cost, after, gives_up): (usize, u32, u64, Option<u64>)| {
                sleep(Duration::from_millis(after)).await;
                let within = gives_up.map_or(3600 * SEC, Duration::from_millis);
                timeout(within, service.clone().oneshot((key, cost))).await
            };
            let running = join_all(calls.iter().map(|call| start(*call)));
            let drained = async {
                for drain in 0..drains {
                    sleep(400 * MS).await;
                    if drain.is_multiple_of(2) { all.drain() } else { keys.drain(&0) }
                }
            };
            let (ended, ()) = futures::future::join(running, drained).await;
            let mut passed: Vec<_> = ended.into_iter().flatten().map(|call| call.expect("nobody is refused")).collect();
            passed.sort();
            passed_in_all.fetch_add(passed.len(), Ordering::SeqCst);
            let holds = |burst: u128, interval: u128, of: &[(Moment, usize, u32)]| {
                (0..of.len()).all(|first| {
                    let mut total = 0;
                    of[first..].iter().all(|(at, _, cost)| {
                        total += u128::from(*cost);
                        total <= burst + at.since(of[first].0).as_millis() / interval
                    })
                })
            };
            prop_assert!(holds(3, 250, &passed), "all: {:?}", passed);
            // A key that finds no place has the shared bucket besides its own.
            for key in 0..3 {
                let of_key: Vec<_> = passed.iter().filter(|call| call.1 == key).copied().collect();
                prop_assert!(holds(4, 250, &of_key), "key {}: {:?}", key, of_key);
            }
            prop_assert_eq!((all.snapshot().waiting, keys.snapshot().waiting), (0, 0));
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(passed_in_all.into_inner() > 1_000);
}
