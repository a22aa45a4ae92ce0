//! A quota for each key: places, those who find none, and those who have no key.

use std::net::IpAddr;
use std::time::Duration;

use buttress::rate_limit::{
    KeyedConfig, KeyedRateLimiter, LimitReason, Limited, Quota, RateLimitConfig, RateLimitLayer, WhenFull, WithoutKey,
};
use buttress::{BoxError, Rejection};
use tokio::time::advance;
use tower::{Layer, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

fn config(quota: Quota) -> KeyedConfig {
    KeyedConfig::new(RateLimitConfig::new(quota).name("clients"))
}

fn keys<K: std::hash::Hash>(config: KeyedConfig) -> KeyedRateLimiter<K> {
    KeyedRateLimiter::new(config).expect("valid")
}

fn reason(taken: Result<(), Limited>) -> Option<LimitReason> {
    taken.err().map(|limited| limited.reason())
}

#[tokio::test(start_paused = true)]
async fn every_key_has_a_bucket_of_its_own() {
    let keys = keys::<String>(config(Quota::per_second(1).burst(2)));
    keys.try_take("a", 2).expect("both");
    assert_eq!(keys.peek("a", 1), keys.try_take("a", 1));
    assert_eq!(keys.try_take("a", 1).expect_err("none").retry_after(), Some(SEC));
    keys.try_take("b", 1).expect("one of two");
    assert_eq!([keys.remaining("a"), keys.remaining("b"), keys.remaining("c")], [0, 1, 2]);
    keys.drain("b");
    assert_eq!((keys.remaining("b"), keys.get("b").full_in), (0, 2 * SEC));
    assert_eq!(keys.snapshot().keys, 2, "a look makes no key");
    advance(2 * SEC).await;
    assert_eq!((keys.snapshot().keys, keys.remaining("a")), (0, 2), "forgotten, and nothing is lost by it");
}

#[tokio::test(start_paused = true)]
async fn keys_are_looked_up_by_what_they_borrow_as() {
    let names = keys::<String>(config(Quota::per_hour(1)));
    names.try_take(&"x".to_owned(), 1).expect("the first");
    names.try_take("x", 1).expect_err("the same");
    let numbers = keys::<u64>(config(Quota::per_hour(1)));
    numbers.try_take(&7, 1).expect("the first");
    numbers.try_take(&7_u64, 1).expect_err("the same");
    let addresses = keys::<IpAddr>(config(Quota::per_hour(1)));
    addresses.try_take(&IpAddr::from([127, 0, 0, 1]), 1).expect("the first");
}

/// Peers forget a limited key when others need its place, or keep all keys for ever.
#[tokio::test(start_paused = true)]
async fn a_limited_key_stays_limited_while_a_million_others_pass() {
    let keys = keys::<u64>(config(Quota::per_hour(1)).max_keys(10_000));
    keys.try_take(&0, 1).expect("a token");
    for key in 1..=1_000_000 {
        let _ = keys.try_take(&key, 1);
        if key % 1000 == 0 {
            assert_eq!(reason(keys.try_take(&0, 1)), Some(LimitReason::QuotaUsedUp));
        }
    }
    let snapshot = keys.snapshot();
    assert!(snapshot.keys <= 10_000, "{} keys", snapshot.keys);
    assert!(snapshot.bytes <= 24 * 10_000, "{} bytes", snapshot.bytes);
    assert!(snapshot.calls_overflowed >= 990_000);
    advance(3600 * SEC).await;
    keys.try_take(&0, 1).expect("its time has passed");
    let fresh = 2_000_000..2_005_000;
    assert!(fresh.clone().all(|key| keys.try_take(&key, 1).is_ok()), "places of those whose time has passed are free");
    assert!(keys.snapshot().calls_overflowed < 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_take_at_most_24_bytes_each() {
    for max_keys in [1_000_000, 3_000_000] {
        let keys = keys::<u64>(config(Quota::per_hour(1)).max_keys(max_keys));
        for key in 0..1_000_000 {
            let _ = keys.try_take(&key, 1);
        }
        let (keys, bytes) = (keys.snapshot().keys, keys.snapshot().bytes);
        assert!(keys >= 980_000, "{keys} keys have found a place");
        assert!(bytes <= 24 * 1_000_000, "{bytes} bytes");
        assert!(bytes <= 24 * keys, "{bytes} bytes for {keys} keys");
    }
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_place_shares_a_bucket_or_is_refused_and_is_counted() {
    let shares = keys::<u32>(config(Quota::per_hour(1).burst(2)).max_keys(3));
    for key in 0..3 {
        shares.try_take(&key, 1).expect("a place");
    }
    shares.try_take(&3, 1).expect("one of the shared two");
    shares.try_take(&4, 1).expect("the other");
    let refused = shares.try_take(&5, 1).expect_err("both are gone");
    assert_eq!((refused.name().as_str(), refused.reason()), ("clients[overflow]", LimitReason::QuotaUsedUp));
    shares.try_take(&0, 1).expect("whoever has a place keeps it");
    assert_eq!((shares.snapshot().calls_overflowed, shares.overflow().remaining()), (3, 0));

    let refuses = keys::<u32>(config(Quota::per_hour(1).burst(2)).max_keys(1).when_full(WhenFull::Refuse));
    refuses.try_take(&0, 1).expect("a place");
    assert_eq!(refuses.try_take(&1, 1), Err(Limited::new("clients".into(), LimitReason::TooManyKeys)));
    refuses.try_take(&1, 0).expect("what costs nothing needs no place");
    refuses.try_take(&0, 1).expect("whoever has a place keeps it");
    assert_eq!(refuses.snapshot().calls_overflowed, 1);
}

#[tokio::test(start_paused = true)]
async fn in_a_full_table_a_look_says_what_a_call_would_meet_and_counts_nothing() {
    let refuses = keys::<u32>(config(Quota::per_hour(1)).max_keys(1).when_full(WhenFull::Refuse));
    refuses.try_take(&0, 1).expect("a place");
    let peeked = refuses.peek(&1, 1);
    assert_eq!(refuses.snapshot().calls_overflowed, 0);
    assert_eq!(peeked, refuses.try_take(&1, 1));
    assert_eq!(reason(refuses.try_take(&1, 2)), Some(LimitReason::CostAboveBurst));
    assert_eq!(refuses.snapshot().calls_overflowed, 1, "what can never pass has not looked for a place");
    refuses.drain(&2);
    assert_eq!(refuses.remaining(&2), 0, "who is emptied by hand has a place");
}

/// Two who changed the settings at the same time had their way with some of the keys each, for good.
#[test]
fn however_many_change_the_quota_all_keys_have_the_same() {
    let keys = keys::<u32>(config(Quota::per_hour(1)));
    for _ in 0..300 {
        let all_came = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for burst in [7, 8] {
                let (keys, all_came) = (&keys, &all_came);
                scope.spawn(move || {
                    all_came.wait();
                    keys.reconfigure(&RateLimitConfig::new(Quota::per_hour(1).burst(burst))).expect("valid");
                });
            }
        });
        let burst = keys.overflow().snapshot().burst;
        assert!((0..1000).all(|key| keys.get(&key).burst == burst));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_needs_to_be_hashed_and_nothing_else() {
    #[derive(Hash)]
    struct Tenant(u32);
    let layer =
        RateLimitLayer::by_key(config(Quota::per_hour(1)), |tenant: &u32| Some(Tenant(*tenant))).expect("valid");
    let service = layer.layer(service_fn(async |_: u32| Ok::<_, BoxError>(())));
    service.clone().oneshot(1).await.expect("a token");
    service.oneshot(1).await.expect_err("none left");
    assert_eq!(layer.limits().limiter().remaining(&Tenant(1)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_key_shares_a_bucket_is_refused_or_passes_and_is_counted() {
    for (choice, passes, refused) in [
        (WithoutKey::Share, 2, Some(LimitReason::QuotaUsedUp)),
        (WithoutKey::Refuse, 0, Some(LimitReason::WithoutKey)),
        (WithoutKey::Pass, 5, None),
    ] {
        let keys = keys::<u32>(config(Quota::per_hour(1).burst(2)).without_key(choice));
        let layer = RateLimitLayer::of_keys(keys.clone(), |key: &Option<u32>| *key);
        let service = layer.clone().layer(service_fn(async |_| Ok::<_, BoxError>(())));
        let waiting = layer.wait().layer(service_fn(async |_| Ok::<_, BoxError>(())));
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(service.clone().oneshot(None).await);
        }
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), passes);
        let last = answers.pop().expect("five").err().and_then(|error| Rejection::find(&*error));
        let last = last.map(|rejection| match rejection {
            Rejection::RateLimited(limited) => limited.reason(),
            other => panic!("{other:?}"),
        });
        assert_eq!(last, refused);
        service.oneshot(Some(1)).await.expect("a call with a key is not concerned");
        assert_eq!(keys.snapshot().calls_without_key, 5);
        if choice != WithoutKey::Share {
            assert_eq!(waiting.oneshot(None).await.is_ok(), choice == WithoutKey::Pass);
            assert_eq!(keys.snapshot().calls_without_key, 6);
        }
    }
}

/// A peer took from the bucket of all before it asked that of the one: a single client used up everybody's.
#[tokio::test(start_paused = true)]
async fn who_is_over_its_own_limit_takes_nothing_from_the_limit_of_all() {
    let all = RateLimitLayer::new(RateLimitConfig::new(Quota::per_hour(100)).name("all")).expect("valid");
    let limiter = all.limits().clone();
    let each = keys::<u32>(config(Quota::per_hour(10)));
    let service = all.and_by_key(each, |key: &u32| Some(*key)).layer(service_fn(async |_| Ok::<_, BoxError>(())));
    let mut passed = 0;
    for _ in 0..1000 {
        passed += u32::from(service.clone().oneshot(1).await.is_ok());
    }
    assert_eq!((passed, limiter.remaining()), (10, 90));
    service.oneshot(2).await.expect("the others have theirs");
}

#[tokio::test(start_paused = true)]
async fn together_with_others_a_full_table_shares_as_it_does_alone() {
    let each = keys::<u32>(config(Quota::per_hour(1)).max_keys(1));
    let all = RateLimitLayer::new(RateLimitConfig::new(Quota::per_hour(100)).name("all")).expect("valid");
    let limiter = all.limits().clone();
    let service =
        all.and_by_key(each.clone(), |key: &u32| Some(*key)).layer(service_fn(async |_| Ok::<_, BoxError>(())));
    let mut passed = Vec::new();
    for key in 0..3 {
        passed.push(service.clone().oneshot(key).await.is_ok());
    }
    assert_eq!(passed, [true, true, false], "a place, the shared bucket, nothing");
    assert_eq!((each.snapshot().calls_overflowed, limiter.remaining()), (2, 98));
}

#[tokio::test(start_paused = true)]
async fn another_quota_is_that_of_every_key() {
    let keys = keys::<u32>(config(Quota::per_hour(1).burst(3)));
    for key in 0..100 {
        keys.try_take(&key, 3).expect("a full bucket");
    }
    keys.reconfigure(&RateLimitConfig::new(Quota::per_second(1).burst(5))).expect("valid");
    for key in 0..100 {
        assert_eq!(keys.try_take(&key, 1).expect_err("still empty").retry_after(), Some(SEC));
    }
    keys.try_take(&100, 5).expect("a new key has the new burst");
    assert_eq!((keys.without_key().snapshot().burst, keys.overflow().snapshot().burst), (5, 5));
}
