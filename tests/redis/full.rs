//! A server without room.

use std::time::Duration;

use buttress::engines::redis::{InvalidRedis, RedisStore};
use buttress::idempotency::{Acquired, Begin, Claim, Commit, Fingerprint, Store, StoreError};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;

use crate::server::Redis;
use crate::world::{claim, key};

/// Writes until nothing more is taken, which is the control too: what is not of ours is denied.
async fn fill(connection: &mut MultiplexedConnection) {
    for size in [100_000, 1000, 10] {
        loop {
            let mut write = redis::cmd("RPUSH");
            let written = write.arg(format!("filler {size}")).arg("x".repeat(size)).exec_async(connection).await;
            if let Err(denied) = written {
                assert_eq!(denied.code(), Some("OOM"));
                break;
            }
        }
    }
}

#[tokio::test]
async fn without_room_nothing_is_begun_and_all_that_was_begun_comes_to_its_end() {
    let redis = Redis::start(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]).await;
    let (store, mut connection) = (redis.store().await, redis.connection().await);
    let begun: [_; 5] = std::array::from_fn(|_| claim());
    for (number, claim) in (1..).zip(begun) {
        let begin = store.begin(&key(number), claim).await.expect("there is room");
        assert!(matches!(begin, Begin::Acquired(_)), "{begin:?}");
    }
    let [completes, renews, parks, releases, again] = begun;
    let answer = Bytes::from(vec![b'x'; 10_000]);

    fill(&mut connection).await;
    assert!(matches!(store.begin(&key(9), claim()).await, Err(StoreError::Full)), "there is no room");
    assert_eq!(store.complete(&key(1), completes, answer.clone()).await.expect("it is recorded"), Commit::Stored);
    fill(&mut connection).await;
    assert!(store.renew(&key(2), renews.owner, renews.lease).await.expect("it is renewed"));
    fill(&mut connection).await;
    assert!(store.park(&key(3), parks, "why").await.expect("it is parked"));
    fill(&mut connection).await;
    assert!(store.resolve(&key(3), Some(answer.clone())).await.expect("it is resolved"));
    fill(&mut connection).await;
    let begin = store.begin(&key(5), again).await.expect("it is its own");
    assert!(matches!(begin, Begin::Acquired(_)), "{begin:?}");
    fill(&mut connection).await;
    let unknown = store.complete(&key(6), claim(), answer.clone()).await;
    assert_eq!(unknown.expect("it did happen"), Commit::Recreated);
    fill(&mut connection).await;
    assert!(store.park(&key(7), claim(), "why").await.expect("it did happen"));
    fill(&mut connection).await;
    assert!(matches!(store.begin(&key(9), claim()).await, Err(StoreError::Full)), "there is no room to this day");
    assert!(RedisStore::new(connection).await.is_ok(), "a process that starts finds what was begun");
    assert_eq!(store.begin(&key(1), claim()).await.expect("it answers"), Begin::Done(answer));
    assert!(store.release(&key(4), releases.owner).await.expect("it is released"));
}

#[tokio::test]
async fn without_room_what_is_known_is_told_and_a_lease_that_has_ended_is_taken_over_from() {
    let redis = Redis::start(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]).await;
    let (store, mut connection) = (redis.store().await, redis.connection().await);
    let [done, parked, runs] = [(); 3].map(|()| claim());
    let ended = Claim { lease: Duration::ZERO, ..claim() };
    for (number, claim) in (1..).zip([done, parked, runs, ended]) {
        let begin = store.begin(&key(number), claim).await.expect("there is room");
        assert!(matches!(begin, Begin::Acquired(_)), "{begin:?}");
    }
    assert_eq!(store.complete(&key(1), done, "tea".into()).await.expect("it is recorded"), Commit::Stored);
    assert!(store.park(&key(2), parked, "why").await.expect("it is parked"));

    fill(&mut connection).await;
    let other = claim();
    assert_eq!(store.begin(&key(1), other).await.expect("it is known"), Begin::Done("tea".into()));
    assert_eq!(store.begin(&key(2), other).await.expect("it is known"), Begin::Parked("why".into()));
    let running = store.begin(&key(3), other).await.expect("it is known");
    assert!(matches!(running, Begin::Running { .. }), "{running:?}");
    let another = Claim { fingerprint: Fingerprint::of(&2_u8), ..other };
    assert_eq!(store.begin(&key(3), another).await.expect("it is known"), Begin::Mismatch);
    let taken_over = store.begin(&key(4), other).await.expect("it is known");
    assert!(matches!(taken_over, Begin::Acquired(Acquired { attempt: 2, .. })), "{taken_over:?}");
    fill(&mut connection).await;
    assert!(matches!(store.begin(&key(9), other).await, Err(StoreError::Full)), "the control: there is no room");
}

#[tokio::test]
async fn a_server_that_forgets_what_it_has_no_room_for_is_refused() {
    for policy in ["volatile-lru", "allkeys-lru", "volatile-ttl"] {
        let redis = Redis::start(&["--maxmemory-policy", policy]).await;
        match RedisStore::new(redis.connection().await).await {
            Err(InvalidRedis::Evicts(said)) => assert_eq!(&*said, policy),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_say_what_it_forgets_is_refused() {
    let redis = Redis::start(&["--rename-command", "INFO", "nobody-knows-this"]).await;
    let refused = RedisStore::new(redis.connection().await).await.expect_err("it does not say");
    assert!(matches!(refused, InvalidRedis::Unknown(_)), "{refused:?}");
}

#[tokio::test]
async fn a_server_of_a_cluster_is_refused() {
    let redis = Redis::start(&["--cluster-enabled", "yes"]).await;
    let refused = RedisStore::new(redis.connection().await).await;
    assert!(matches!(refused, Err(InvalidRedis::Cluster)), "{refused:?}");
}
