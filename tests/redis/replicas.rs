//! Replicas that must know of a claim.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::time::Duration;

use buttress::engines::redis::{InvalidRedis, RedisStore};
use buttress::idempotency::{Acquired, Begin, Claim, Commit, Store, StoreError};

use crate::server::Redis;
use crate::world::{claim, key, name};

const LONG: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_claim_that_no_replica_knows_of_is_in_doubt() {
    let redis = Redis::start(&[]).await;
    let (store, claim) = (redis.store().await, claim());
    let waits = store.clone().wait(NonZeroU32::MIN, LONG);
    let begin = waits.begin(&key(1), claim).await;
    assert!(matches!(begin, Err(StoreError::Ambiguous(_))), "there is no replica: {begin:?}");
    assert!(matches!(store.begin(&key(1), claim).await, Ok(Begin::Acquired(_))), "who does not wait is told so");
}

#[tokio::test]
async fn a_claim_that_a_replica_knows_of_is_the_owners() {
    let [redis, replica] = primary_and_replica().await;
    let store = redis.store().await.wait(NonZeroU32::MIN, LONG);
    // The first one brings the script as well.
    let begin = store.begin(&key(1), claim()).await.expect("the replica answers");
    assert!(matches!(begin, Begin::Acquired(_)), "{begin:?}");
    let there: u32 = replica.say(&format!("EXISTS {}", name(&key(1)))).await;
    assert_eq!(there, 1, "the replica has it");
    let other = store.begin(&key(1), claim()).await.expect("nobody needs to be waited for");
    assert!(matches!(other, Begin::Running { .. }), "{other:?}");
    let on_replica = RedisStore::new(replica.connection().await).await;
    assert!(matches!(on_replica, Err(InvalidRedis::Denies(_))), "a replica is refused: {on_replica:?}");
    let () = redis.say("REPLICAOF 127.0.0.1 1").await;
    let demoted = store.begin(&key(2), claim()).await;
    assert!(demoted.is_err(), "nothing is begun on what became one: {demoted:?}");
}

#[tokio::test]
async fn a_claim_is_in_doubt_when_replicas_cannot_be_waited_for() {
    let redis = Redis::start(&[]).await;
    let (store, claim) = (redis.store().await.wait(NonZeroU32::MIN, LONG), claim());
    let () = redis.say("ACL SETUSER default -wait").await;
    let begin = store.begin(&key(1), claim).await;
    assert!(matches!(begin, Err(StoreError::Ambiguous(_))), "the script has run: {begin:?}");
    let there: u32 = redis.say(&format!("EXISTS {}", name(&key(1)))).await;
    assert_eq!(there, 1, "the control: it did");
    let () = redis.say("ACL SETUSER default -evalsha").await;
    let begin = store.begin(&key(2), claim).await;
    assert!(matches!(begin, Err(StoreError::Unavailable(_))), "no script has run: {begin:?}");
}

/// Too few replicas are there, and so it writes nothing.
#[tokio::test]
async fn a_server_that_writes_nothing_tells_what_it_knows() {
    let redis = Redis::start(&[]).await;
    let (store, done, ended) = (redis.store().await, claim(), Claim { lease: Duration::ZERO, ..claim() });
    assert!(matches!(store.begin(&key(1), ended).await, Ok(Begin::Acquired(_))));
    assert_eq!(store.complete(&key(2), done, "tea".into()).await.expect("it answers"), Commit::Recreated);
    let () = redis.say("CONFIG SET min-replicas-to-write 1").await;
    assert_eq!(store.begin(&key(2), claim()).await.expect("it is known"), Begin::Done("tea".into()));
    for number in [1, 3] {
        let begin = store.begin(&key(number), claim()).await;
        // Before version 7 an error of a script does not say what it was of.
        let is_refused = matches!(begin, Err(StoreError::Unavailable(_) | StoreError::Ambiguous(_)));
        assert!(is_refused, "nothing can be written: {begin:?}");
    }
    let () = redis.say("CONFIG SET min-replicas-to-write 0").await;
    let begin = store.begin(&key(1), claim()).await;
    assert!(matches!(begin, Ok(Begin::Acquired(Acquired { attempt: 2, .. }))), "nobody had taken over: {begin:?}");
    let begin = store.begin(&key(3), claim()).await;
    assert!(matches!(begin, Ok(Begin::Acquired(Acquired { attempt: 1, .. }))), "nobody had begun it: {begin:?}");
}

/// What a failover loses: the claims that did not reach the replica, and so the same is run twice. What is left to say no is a
/// unique index where the orders are.
#[tokio::test]
async fn a_replica_that_takes_over_knows_nothing_of_what_did_not_reach_it() {
    let [redis, replica] = primary_and_replica().await;
    let (store, known, lost) = (redis.store().await, claim(), claim());
    let waits = store.clone().wait(NonZeroU32::MIN, LONG);
    assert!(matches!(waits.begin(&key(1), known).await, Ok(Begin::Acquired(_))));
    let () = replica.say("REPLICAOF NO ONE").await;
    let Ok(Begin::Acquired(first)) = store.begin(&key(2), lost).await else {
        panic!("who does not wait is told that it is its own");
    };
    let in_doubt = waits.begin(&key(3), claim()).await;
    assert!(matches!(in_doubt, Err(StoreError::Ambiguous(_))), "who waits is not: {in_doubt:?}");

    let promoted = replica.store().await;
    let running = promoted.begin(&key(1), claim()).await.expect("it answers");
    assert!(matches!(running, Begin::Running { .. }), "the control: it knows what did reach it: {running:?}");
    let Ok(Begin::Acquired(second)) = promoted.begin(&key(2), claim()).await else {
        panic!("it knows nothing of the first one");
    };
    assert!(second.attempt == 1 && second.fence > first.fence, "{first:?}, then {second:?}");
    let mut orders = HashMap::new();
    let mut write = |order: u32, fence: u64| match orders.entry(order) {
        Entry::Vacant(free) => *free.insert(fence) == fence,
        Entry::Occupied(_) => false,
    };
    assert!(write(2, second.fence) && !write(2, first.fence), "both write, and there is one order");
    let zombie = promoted.complete(&key(2), lost, "coffee".into()).await;
    assert_eq!(zombie.expect("it answers"), Commit::Lost, "the first one is told when it is done");
}

async fn primary_and_replica() -> [Redis; 2] {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let redis = Redis::start(&["--port", &port.to_string(), "--bind", "127.0.0.1"]).await;
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port.to_string()]).await;
    while !replica.say::<String>("INFO replication").await.contains("master_link_status:up") {
        tokio::time::sleep(LONG).await;
    }
    [redis, replica]
}
