//! Replicas that must know of a claim.

use std::num::NonZeroU32;
use std::time::Duration;

use buttress::idempotency::{Begin, Store, StoreError};

use crate::server::Redis;
use crate::world::{claim, key};

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
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let redis = Redis::start(&["--port", &port.to_string(), "--bind", "127.0.0.1"]).await;
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port.to_string()]).await;
    while !replica.say::<String>("INFO replication").await.contains("master_link_status:up") {
        tokio::time::sleep(LONG).await;
    }
    let store = redis.store().await.wait(NonZeroU32::MIN, LONG);
    // The first one brings the script, and a replica says only once a second what it has, unless it is asked.
    let () = redis.say("SCRIPT FLUSH").await;
    let begin = store.begin(&key(1), claim()).await.expect("the replica answers");
    assert!(matches!(begin, Begin::Acquired(_)), "{begin:?}");
    let there: u32 = replica.say(&format!("EXISTS {}", crate::world::name(&key(1)))).await;
    assert_eq!(there, 1, "the replica has it");
    let other = store.begin(&key(1), claim()).await.expect("nobody needs to be waited for");
    assert!(matches!(other, Begin::Running { .. }), "{other:?}");
    let on_replica = replica.store().await.begin(&key(2), claim()).await;
    assert!(on_replica.is_err(), "nothing is begun on a replica: {on_replica:?}");
}
