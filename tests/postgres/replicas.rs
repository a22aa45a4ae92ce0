//! A replica that takes the place of a database.

use std::process::Command;

use buttress::idempotency::{Begin, Commit, Owner, Store};
use bytes::Bytes;

use crate::database::Database;
use crate::{acquire, claim, key};

/// What a failover loses that waits for no replica: the claims, and so the same is run twice, the second time by a fence that
/// may be smaller. What is left to say no is a unique index where the orders are.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_over_knows_nothing_of_what_did_not_reach_it() {
    let database = Database::start().await;
    let store = database.store(4).await;
    database.run("CREATE TABLE orders (number int PRIMARY KEY, fence bigint)").await;
    let replica = database.replica().await;
    let known = acquire(&store, 1, claim(Owner::random())).await;
    replica.until("SELECT EXISTS (SELECT FROM buttress_idempotency)").await;

    let sender: i32 = database.ask("SELECT pid FROM pg_stat_replication").await;
    let stopped = Command::new("kill").args(["-STOP", &sender.to_string()]).status().expect("the command kill");
    assert!(stopped.success(), "there is one that tells the replica");
    // Of a sequence the replica knows what is drawn from it in advance, which are 32 at a time.
    for of in 3..50 {
        acquire(&store, of, claim(Owner::random())).await;
    }
    let lost = claim(Owner::random());
    let first = acquire(&store, 2, lost).await;
    database.server().signal_all("KILL");
    assert!(replica.ask("SELECT pg_promote()").await, "it takes over");

    let promoted = replica.store(4).await;
    let running = promoted.begin(&key(1), claim(Owner::random())).await.expect("said");
    assert!(matches!(running, Begin::Running { .. }), "the control: it knows what did reach it: {running:?}");
    let second = acquire(&promoted, 2, claim(Owner::random())).await;
    assert_eq!(second.attempt, 1, "nothing is known of the first one");
    assert!(known.fence < second.fence && second.fence <= first.fence, "{known:?}, {first:?}, then {second:?}");

    let write = async |fence: u64| {
        replica.run(&format!("INSERT INTO orders VALUES (2, {fence}) ON CONFLICT (number) DO NOTHING")).await
    };
    assert_eq!(write(second.fence).await, 1);
    assert_eq!(write(first.fence).await, 0, "both write, and there is one order");
    let said = promoted.complete(&key(2), lost, Bytes::from_static(b"coffee")).await.expect("said");
    assert_eq!(said, Commit::Lost, "the first one is told when it is done");
}
