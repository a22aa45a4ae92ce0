//! Replicas that must know of a claim.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::time::Duration;

use buttress::idempotency::{Begin, Commit, Store, StoreError};

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
    let on_replica = replica.store().await.begin(&key(2), claim()).await;
    assert!(on_replica.is_err(), "nothing is begun on a replica: {on_replica:?}");
}

/// What a failover loses, which nothing here can give back: the effect's own store has to say no, by its fence.
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
