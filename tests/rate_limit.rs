//! The rate limiter around a service and by its handle, in paused time.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use buttress::clock::Moment;
use buttress::rate_limit::{
    InvalidRateLimit, KeyedRateLimiter, LimitReason, Limited, Limits, Quota, RateLimitConfig, RateLimitLayer,
    RateLimiter,
};
use buttress::{BoxError, Rejection};
use support::{drops, readiness};
use tokio::time::{advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

const NS: Duration = Duration::from_nanos(1);
const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn config(quota: Quota) -> RateLimitConfig {
    RateLimitConfig::new(quota).name("orders")
}

fn limiter(quota: Quota) -> RateLimiter {
    RateLimiter::new(config(quota)).expect("valid")
}

fn layer(quota: Quota) -> RateLimitLayer {
    RateLimitLayer::of(limiter(quota))
}

fn used_up(wait: Duration) -> Limited {
    Limited::new("orders".into(), LimitReason::QuotaUsedUp).with_retry_after(wait)
}

fn limited(error: &BoxError) -> Limited {
    match Rejection::find(&**error) {
        Some(Rejection::RateLimited(limited)) => limited,
        other => panic!("not refused by a limiter: {other:?}"),
    }
}

async fn echo(number: u32) -> Result<u32, BoxError> {
    Ok(number)
}

#[tokio::test(start_paused = true)]
async fn the_burst_passes_at_once_and_then_one_an_interval() {
    let mut service = layer(Quota::per_second(10).burst(3)).layer(service_fn(echo));
    let mut call = async |number| service.ready().await.expect("ready").call(number).await;
    for number in 0..3 {
        assert_eq!(call(number).await.expect("a token"), number);
    }
    assert_eq!(limited(&call(3).await.expect_err("no token")), used_up(100 * MS));
    advance(100 * MS - NS).await;
    assert_eq!(limited(&call(3).await.expect_err("no token yet")), used_up(NS));
    advance(NS).await;
    assert_eq!(call(3).await.expect("a token"), 3);
    call(3).await.expect_err("one only");
    advance(60 * 86_400 * SEC).await;
    let mut passed = 0;
    for number in 0..10 {
        passed += u32::from(call(number).await.is_ok());
    }
    assert_eq!(passed, 3, "no more than the burst after 60 idle days");
}

/// A peer's bucket held rate and burst together: 1010 of a burst of 10 passed at once.
#[tokio::test(start_paused = true)]
async fn rate_and_burst_have_nothing_to_do_with_each_other() {
    for (quota, burst) in [(Quota::per_second(1000).burst(10), 10), (Quota::per_second(1).burst(1000), 1000)] {
        let limiter = limiter(quota);
        assert_eq!((0..5000).filter(|_| limiter.try_take(1).is_ok()).count(), burst);
    }
}

/// A peer cut the interval to whole nanoseconds: 700 280 passed of 700 000 a second.
#[tokio::test(start_paused = true)]
async fn no_more_than_the_rate_passes_however_it_divides() {
    let limiter = limiter(Quota::per_second(700_000).burst(1000));
    let mut passed = 0;
    for _ in 0..1000 {
        passed += (0..1500).filter(|_| limiter.try_take(1).is_ok()).count();
        advance(MS).await;
    }
    assert!(passed <= 700_000 + 1000, "{passed} passed");
    assert!(passed >= 699_000, "{passed} passed");
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_what_it_costs_or_nothing() {
    let layer = layer(Quota::per_second(1).burst(5)).cost(|number: &u32| *number);
    let mut service = layer.layer(service_fn(echo));
    let mut call = async |cost| service.ready().await.expect("ready").call(cost).await;
    call(3).await.expect("three of five");
    assert_eq!(limited(&call(3).await.expect_err("two are left")), used_up(SEC));
    call(2).await.expect("the two are still there");
    call(0).await.expect("what costs nothing always passes");
    advance(3600 * SEC).await;
    let never = limited(&call(6).await.expect_err("more than there can ever be"));
    assert_eq!(never, Limited::new("orders".into(), LimitReason::CostAboveBurst));
    assert_eq!(never.retry_after(), None, "no wait helps");
    assert_eq!(layer.limits().remaining(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_layer_applied_twice_and_a_cloned_one_share_the_bucket_and_a_new_one_does_not() {
    let layer = layer(Quota::per_hour(2));
    let services = [layer.layer(service_fn(echo)), layer.clone().layer(service_fn(echo))];
    for service in &services {
        service.clone().oneshot(1).await.expect("one of two");
    }
    services[0].clone().oneshot(1).await.expect_err("two are gone");
    let of_the_same = RateLimitLayer::of(layer.limits().clone());
    of_the_same.layer(service_fn(echo)).oneshot(1).await.expect_err("the same bucket");
    let new = RateLimitLayer::new(config(Quota::per_hour(2))).expect("valid");
    new.layer(service_fn(echo)).oneshot(1).await.expect("a bucket of its own");
}

/// A peer took a token in `poll_ready` and lost it with a service that was not called.
#[tokio::test(start_paused = true)]
async fn whoever_gets_ready_and_does_not_call_has_spent_nothing() {
    let layer = layer(Quota::per_hour(2));
    for _ in 0..10 {
        layer.layer(service_fn(echo)).ready().await.expect("ready");
    }
    assert_eq!(layer.limits().remaining(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_has_spent_its_token_and_nothing_else() {
    let world = || layer(Quota::per_hour(3));
    let call = |layer: &mut RateLimitLayer| {
        let service = layer.layer(service_fn(async |number: u32| {
            sleep(SEC).await;
            sleep(SEC).await;
            Ok::<_, BoxError>(number)
        }));
        service.oneshot(1)
    };
    drops::at_every_point(2, world, call, async |layer: RateLimitLayer, polls| {
        assert_eq!(layer.limits().remaining(), if polls == 0 { 3 } else { 2 });
        assert_eq!(layer.layer(service_fn(echo)).oneshot(1).await.expect("a token"), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_wrapped_service_is_only_called_when_it_is_ready() {
    let quota = Quota::per_second(1000).burst(1000);
    readiness::is_kept_by(|inner| layer(quota).layer(inner)).await;
    readiness::is_kept_by(|inner| layer(quota).and(limiter(quota)).layer(inner)).await;
    readiness::is_kept_by(|inner| layer(quota).wait().layer(inner)).await;
    readiness::is_kept_by(|inner| layer(Quota::per_second(1)).wait().layer(inner)).await;
    readiness::is_kept_by(|inner| {
        RateLimitLayer::by_key(config(quota), |number: &u32| Some(*number)).expect("valid").layer(inner)
    })
    .await;
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    for (quota, said) in [
        (Quota::per_second(0), "the amount must be at least 1"),
        (Quota::per_second(1).burst(0), "burst must be at least 1"),
        (Quota::per_second(1_000_001), "the rate must be at most a million a second, and is 1000001 per 1s"),
        (
            Quota::per_hour(1).burst(u32::MAX),
            "a burst of 4294967295 at 1 per 3600s takes more than a hundred years to come back",
        ),
    ] {
        let error = RateLimitLayer::new(config(quota)).expect_err("cannot work");
        assert_eq!(error.to_string(), format!("the rate limiter `orders` cannot work: {said}"));
        assert_eq!(KeyedRateLimiter::<u32>::new(config(quota)).expect_err("cannot work"), error);
        let running = limiter(Quota::per_second(1));
        assert_eq!(running.reconfigure(&RateLimitConfig::new(quota)), Err(error), "by its own name");
        assert_eq!(running.snapshot().burst, 1);
    }
    let keyless = buttress::rate_limit::KeyedConfig::new(config(Quota::per_second(1))).max_keys(0);
    assert_eq!(KeyedRateLimiter::<u32>::new(keyless).err(), Some(InvalidRateLimit::ZeroKeys("orders".into())));
}

// The handle.

#[tokio::test(start_paused = true)]
async fn a_look_takes_nothing() {
    let limiter = limiter(Quota::per_second(1).burst(3));
    for _ in 0..10 {
        assert_eq!(limiter.peek(3), Ok(()));
        assert_eq!(limiter.remaining(), 3);
    }
    limiter.try_take(2).expect("two");
    assert_eq!(limiter.peek(1), Ok(()));
    assert_eq!(limiter.peek(2), Err(used_up(SEC)));
    assert_eq!(limiter.peek(4).expect_err("never").reason(), LimitReason::CostAboveBurst);
    limiter.peek(0).expect("nothing is always there");
    advance(SEC / 2).await;
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.remaining, snapshot.burst, snapshot.interval), (1, 3, SEC));
    assert_eq!((snapshot.next_in, snapshot.full_in, snapshot.waiting), (SEC / 2, 3 * SEC / 2, 0));
    advance(60 * SEC).await;
    let snapshot = limiter.snapshot();
    assert_eq!((snapshot.remaining, snapshot.next_in, snapshot.full_in), (3, Duration::ZERO, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_drained_bucket_fills_as_an_empty_one() {
    let limiter = limiter(Quota::per_second(1).burst(3));
    limiter.drain();
    assert_eq!((limiter.remaining(), limiter.try_take(1)), (0, Err(used_up(SEC))));
    limiter.drain();
    assert_eq!(limiter.try_take(3), Err(used_up(3 * SEC)), "emptier than empty there is not");
    advance(3 * SEC).await;
    limiter.try_take(3).expect("full again");
}

#[tokio::test(start_paused = true)]
async fn another_quota_keeps_the_debt_and_nobody_waits_longer_than_for_an_empty_bucket() {
    let limiter = limiter(Quota::per_minute(1).burst(10));
    limiter.try_take(10).expect("all of them");
    assert_eq!(limiter.try_take(1), Err(used_up(60 * SEC)));
    limiter.reconfigure(&config(Quota::per_second(1).burst(5))).expect("valid");
    assert_eq!(limiter.try_take(5), Err(used_up(5 * SEC)), "ten minutes of debt are an empty bucket here");
    advance(2 * SEC).await;
    limiter.try_take(2).expect("two have come in");
    limiter.reconfigure(&config(Quota::per_second(1).burst(100))).expect("valid");
    assert_eq!(limiter.snapshot().full_in, 5 * SEC, "what was owed still is");
    assert_eq!(limiter.remaining(), 95);
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_line_is_not_passed_by_anybody() {
    let limiter = limiter(Quota::per_second(1).burst(1));
    limiter.try_take(1).expect("a token");
    let mut waits = tokio_test::task::spawn(limiter.take(1));
    assert!(waits.poll().is_pending());
    advance(SEC).await;
    assert_eq!(limiter.try_take(1), Err(used_up(SEC)), "the token is for whoever was there first");
    assert_eq!(limiter.peek(1), Err(used_up(SEC)));
    assert_eq!(limiter.remaining(), 1, "and is still there");
    assert!(waits.is_woken());
    tokio_test::assert_ready_ok!(waits.poll());
    assert_eq!(limiter.snapshot().waiting, 0);
    advance(SEC).await;
    limiter.try_take(1).expect("nobody is in the way");
}

// Many threads.

/// Runs `work` on so many threads at once, each held until all have come.
fn at_once<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    thread::scope(|scope| {
        let (barrier, work) = (&barrier, &work);
        let run = |number| {
            scope.spawn(move || {
                barrier.wait();
                work(number)
            })
        };
        let threads: Vec<_> = (0..threads).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

fn passed(limiter: &RateLimiter, calls: u32) -> u32 {
    (0..calls).map(|_| u32::from(limiter.try_take(1).is_ok())).sum()
}

#[test]
fn eight_threads_get_exactly_the_burst() {
    for _ in 0..20 {
        let limiter = limiter(Quota::per_hour(1).burst(10_000));
        let taken: u32 = at_once(8, |_| passed(&limiter, 5_000)).into_iter().sum();
        assert_eq!((taken, limiter.remaining()), (10_000, 0));
    }
}

#[test]
fn eight_threads_on_one_key_get_exactly_its_burst() {
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_hour(1).burst(1_000))).expect("valid");
    let taken = at_once(8, |_| (0..5_000).map(|call| u32::from(keys.try_take(&(call % 4), 1).is_ok())).sum::<u32>());
    assert_eq!(taken.into_iter().sum::<u32>(), 4 * 1_000);
}

#[test]
fn who_is_refused_by_one_limit_holds_nothing_of_the_other_at_any_time() {
    let (a, b) = (limiter(Quota::per_hour(1).burst(20_000)), limiter(Quota::per_hour(1)));
    b.drain();
    let both = RateLimitLayer::of(a.clone()).and(b.clone()).layer(service_fn(echo));
    let served = at_once(8, |thread| {
        if thread < 4 {
            let refused = (0..5_000).filter(|_| {
                let answer = futures::executor::block_on(both.clone().oneshot(1));
                answer.is_err()
            });
            return (u32::try_from(refused.count()).expect("few"), 0);
        }
        // Whoever would find less than there is at one moment would be refused here.
        (0, passed(&a, 5_000))
    });
    let (refused, admitted) = served.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!((refused, admitted, a.remaining()), (4 * 5_000, 20_000, 0));
}

#[test]
fn several_limits_are_spent_together_by_many_threads() {
    let (a, b) = (limiter(Quota::per_hour(1).burst(3_000)), limiter(Quota::per_hour(1).burst(2_000)));
    let keys = KeyedRateLimiter::<u32>::new(config(Quota::per_hour(1).burst(400))).expect("valid");
    let key_of = |number: &u32| Some(*number % 4);
    let there = RateLimitLayer::of(a.clone()).and(b.clone()).and_by_key(keys.clone(), key_of).layer(service_fn(echo));
    let back = RateLimitLayer::of_keys(keys.clone(), key_of).and(b.clone()).and(a.clone()).layer(service_fn(echo));
    let admitted = AtomicU32::new(0);
    at_once(8, |thread| {
        for number in 0..2_000 {
            let answer = if thread % 2 == 0 {
                futures::executor::block_on(there.clone().oneshot(number))
            } else {
                futures::executor::block_on(back.clone().oneshot(number))
            };
            admitted.fetch_add(u32::from(answer.is_ok()), Ordering::SeqCst);
        }
    });
    let admitted = admitted.into_inner();
    assert_eq!(admitted, 4 * 400, "the four keys are the narrowest");
    assert_eq!((a.remaining(), b.remaining()), (3_000 - admitted, 2_000 - admitted));
}

#[tokio::test(start_paused = true)]
async fn of_several_limits_the_longest_wait_is_told() {
    let (quick, slow) = (limiter(Quota::per_second(1)), limiter(Quota::per_minute(1)));
    let layer = RateLimitLayer::of(quick.clone()).and(slow.clone());
    let service = layer.layer(service_fn(echo));
    service.clone().oneshot(1).await.expect("one of each");
    assert_eq!(limited(&service.clone().oneshot(1).await.expect_err("none left")), used_up(60 * SEC));
    advance(SEC).await;
    assert_eq!(limited(&service.clone().oneshot(1).await.expect_err("one is short")), used_up(59 * SEC));
    assert_eq!(quick.remaining(), 1);
    let dear = layer.cost(|_: &u32| 2).layer(service_fn(echo));
    assert_eq!(limited(&dear.oneshot(1).await.expect_err("never")).reason(), LimitReason::CostAboveBurst);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_given_twice_is_one_limit() {
    let limiter = limiter(Quota::per_hour(2));
    let service = RateLimitLayer::of(limiter.clone()).and(limiter.clone()).layer(service_fn(echo));
    service.oneshot(1).await.expect("a token");
    assert_eq!(limiter.remaining(), 1);
}

#[test]
fn a_quota_changes_under_threads_that_take() {
    let limiter = limiter(Quota::per_hour(1).burst(1_000));
    let all_take = Arc::new(Barrier::new(5));
    thread::scope(|scope| {
        for _ in 0..4 {
            let (limiter, all_take) = (limiter.clone(), all_take.clone());
            scope.spawn(move || {
                limiter.try_take(10).expect("there are many yet");
                all_take.wait();
                while limiter.snapshot().burst != 7 {
                    let _ = limiter.try_take(1);
                }
            });
        }
        all_take.wait();
        for burst in (8..1_000).rev().chain([7]) {
            limiter.reconfigure(&config(Quota::per_hour(1).burst(burst))).expect("valid");
            let snapshot = limiter.snapshot();
            assert!(snapshot.full_in <= snapshot.interval * burst, "{snapshot:?}");
        }
    });
    assert_eq!(limiter.remaining(), 0);
}

/// A call read the seconds of one interval and the nanoseconds of the other, which together were no time at all, and
/// panicked. One that took by the old quota after the new one held left its debt behind: an hour, where now a millisecond
/// is the most.
#[test]
fn quotas_of_an_hour_and_of_a_millisecond_change_places_under_threads_that_take() {
    let (slow, quick) = (config(Quota::per_hour(1)), config(Quota::per_second(1000).burst(1)));
    let limiter = RateLimiter::new(quick.clone()).expect("valid");
    let changes = AtomicU32::new(0);
    let taken: u32 = at_once(4, |thread| {
        if thread == 0 {
            for _ in 0..20_000 {
                limiter.reconfigure(&slow).expect("valid");
                limiter.reconfigure(&quick).expect("valid");
                changes.fetch_add(1, Ordering::SeqCst);
            }
            return 0;
        }
        let mut taken = 0;
        while changes.load(Ordering::SeqCst) < 20_000 {
            taken += u32::from(limiter.try_take(1).is_ok());
        }
        taken
    })
    .into_iter()
    .sum();
    assert!(taken > 0, "nobody took anything meanwhile");
    assert!(limiter.snapshot().full_in <= MS, "{:?}", limiter.snapshot());
}

#[tokio::test(start_paused = true)]
async fn the_same_quota_again_and_again_gives_nothing_away() {
    let config = config(Quota::per_second(1_000_000).burst(1));
    let limiter = RateLimiter::new(config.clone()).expect("valid");
    limiter.try_take(1).expect("a token");
    for _ in 0..1000 {
        limiter.reconfigure(&config).expect("valid");
    }
    assert_eq!(limiter.try_take(1), Err(used_up(Duration::from_micros(1))));
}

#[tokio::test(start_paused = true)]
async fn several_limits_are_taken_from_without_tower_too() {
    let (each, all) = (limiter(Quota::per_hour(1)), limiter(Quota::per_hour(5)));
    let layer = RateLimitLayer::of(each).and(all.clone());
    assert_eq!(layer.limits().try_take(&"whatever", 1), Ok(()));
    assert_eq!(layer.limits().try_take(&"whatever", 1), Err(used_up(3600 * SEC)));
    assert_eq!(all.remaining(), 4);
}

#[test]
fn a_limiter_works_outside_of_any_runtime() {
    let limiter = limiter(Quota::per_hour(2));
    let before = Moment::now();
    limiter.try_take(2).expect("two");
    let wait = limiter.try_take(1).expect_err("none").retry_after().expect("a while");
    assert!(wait <= 1800 * SEC && wait >= 1800 * SEC - Moment::now().since(before));
}
