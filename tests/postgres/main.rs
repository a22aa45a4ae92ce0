//! Records in Postgres: on real servers, which are killed, frozen and started again.

mod cut;
mod database;
mod histories;
mod processes;
mod replicas;
#[path = "../support/mod.rs"]
mod support;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use buttress::conformance::idempotency;
use buttress::engines::{Postgres, SqlStore};
use buttress::idempotency::{
    Acquired, Begin, Claim, Commit, Fingerprint, IdempotencyConfig, Owner, RecordKey, RefusalReason, Store, StoreError,
};
use bytes::Bytes;
use futures::future::join_all;
use sqlx::query;
use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;
use tower::{Layer, Service};

use crate::cut::Line;
use crate::database::Database;
use crate::support::orders::{Order, layer, reason, when_told};
use crate::support::outage;
use crate::support::reference::says_what_memory_says;

const SEC: Duration = Duration::from_secs(1);

fn key(of: u32) -> RecordKey {
    RecordKey::of(&"test", &of)
}

fn claim(owner: Owner) -> Claim {
    Claim { fingerprint: Fingerprint::of(&1_u8), owner, lease: 30 * SEC, retention: 3600 * SEC }
}

async fn acquire(store: &SqlStore<Postgres>, of: u32, claim: Claim) -> Acquired {
    match store.begin(&key(of), claim).await {
        Ok(Begin::Acquired(acquired)) => acquired,
        other => panic!("it is to be acquired, and the store says {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_postgres_conform() {
    let database = Database::start().await;
    idempotency::check(&database.store(8).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_says_what_memory_says() {
    let database = Database::start().await;
    says_what_memory_says(&database.store(1).await, 0..300).await;
}

/// Two instances, each with connections of its own, and 32 that begin at once in each round.
async fn races(database: &Database) {
    let stores = [database.store(16).await, database.store(16).await];
    for round in 0..100 {
        // In every other round somebody had it whose lease is over.
        let before = if round % 2 == 0 {
            None
        } else {
            let gone = Claim { lease: Duration::ZERO, ..claim(Owner::random()) };
            Some(acquire(&stores[0], round, gone).await)
        };
        let all_there = Arc::new(Barrier::new(32));
        let racers = (0..32).map(|racer| {
            let (store, all_there) = (stores[racer % 2].clone(), all_there.clone());
            tokio::spawn(async move {
                all_there.wait().await;
                store.begin(&key(round), claim(Owner::random())).await
            })
        });
        let said: Vec<Result<Begin, StoreError>> =
            join_all(racers).await.into_iter().map(|racer| racer.expect("no panic")).collect();
        let winners: Vec<Acquired> = said
            .iter()
            .filter_map(|said| match said {
                Ok(Begin::Acquired(acquired)) => Some(*acquired),
                _ => None,
            })
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {said:?}");
        let others = said.iter().filter(|said| matches!(said, Ok(Begin::Running { .. }))).count();
        assert_eq!(others, 31, "round {round}: nobody is told an error: {said:?}");
        match before {
            None => assert_eq!(winners[0].attempt, 1),
            Some(before) => assert!(winners[0].attempt == 2 && winners[0].fence > before.fence),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_that_race_over_two_instances_one_wins_each_time() {
    races(&Database::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_that_race_one_wins_each_time_where_the_disk_is_waited_for() {
    races(&Database::start_with_fsync().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_another_where_transactions_are_isolated_the_most() {
    let database = Database::start().await;
    database.run("ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'").await;
    races(&database).await;
    says_what_memory_says(&database.store(1).await, 0..100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_start_at_once_make_one_table() {
    let database = Database::start().await;
    let stores = join_all((0..16).map(|_| database.store(1))).await;
    let first = acquire(&stores[0], 1, claim(Owner::random())).await;
    stores[1].migrate().await.expect("it is there already");
    assert!(matches!(stores[2].begin(&key(1), claim(Owner::random())).await, Ok(Begin::Running { .. })));
    assert!(acquire(&stores[3], 2, claim(Owner::random())).await.fence > first.fence, "the fences go on");
}

/// A fence that is drawn by one who is not alone with the key may be written after a larger one was, and was released.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_acquires_what_somebody_has_drawn_a_fence_for() {
    let database = Database::start().await;
    let store = database.store(8).await;
    // Whoever inserts has its fence already, and then waits.
    database.run("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END'").await;
    database
        .run("CREATE TRIGGER wait BEFORE INSERT ON buttress_idempotency FOR EACH ROW EXECUTE FUNCTION wait()")
        .await;
    let mut held = database.pool(1).begin().await.expect("a transaction");
    query("SELECT pg_advisory_xact_lock(1)").execute(&mut *held).await.expect("a lock");
    let begin = |store: SqlStore<Postgres>| {
        tokio::spawn(async move { store.begin(&key(1), claim(Owner::random())).await.expect("said") })
    };
    let first = begin(store.clone());
    database.until(&waiting(1, "true")).await;
    let second = begin(store.clone());
    database.until(&waiting(2, "true")).await;
    let has_drawn = waiting(1, "classid = 0 AND objid = 1 AND objsubid = 1");
    assert!(database.ask::<bool>(&has_drawn).await, "the other waits before it draws one");
    held.commit().await.expect("it ends");
    assert!(matches!(first.await.expect("no panic"), Begin::Acquired(_)));
    assert!(matches!(second.await.expect("no panic"), Begin::Running { .. }));
}

fn waiting(many: u32, what: &str) -> String {
    format!("SELECT count(*) = {many} FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND {what}")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_leaves_no_trace_and_draws_no_fence() {
    let database = Database::start().await;
    let store = database.store(4).await;
    let owner = Owner::random();
    let first = acquire(&store, 1, claim(owner)).await;
    assert!(matches!(store.begin(&key(1), claim(Owner::random())).await, Ok(Begin::Running { .. })));
    store.complete(&key(1), claim(owner), Bytes::from_static(b"tea")).await.expect("stored");
    for _ in 0..10 {
        assert!(matches!(store.begin(&key(1), claim(Owner::random())).await, Ok(Begin::Done(_))));
    }
    assert_eq!(acquire(&store, 2, claim(Owner::random())).await.fence, first.fence + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_purged_up_to_a_limit() {
    let database = Database::start().await;
    let store = database.store(4).await;
    let over = |owner| Claim { lease: Duration::ZERO, retention: Duration::ZERO, ..claim(owner) };
    for of in 0..30 {
        acquire(&store, of, over(Owner::random())).await;
    }
    acquire(&store, 30, claim(Owner::random())).await;
    let purged: Vec<u32> = join_all([12, 12].map(|limit| store.purge(limit))).await.into_iter().flatten().collect();
    assert!(purged.iter().all(|purged| *purged <= 12), "{purged:?}");
    let rest = store.purge(u32::MAX).await.expect("purged");
    assert_eq!(purged.iter().sum::<u32>() + rest, 30, "what runs is not over");
    assert_eq!(database.run("DELETE FROM buttress_idempotency").await, 1, "it is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_time_can_be_added_is_remembered_all_the_same() {
    let database = Database::start().await;
    let store = database.store(4).await;
    let owner = Owner::random();
    let for_ever = Claim { lease: Duration::MAX, retention: Duration::MAX, ..claim(owner) };
    acquire(&store, 1, for_ever).await;
    assert!(matches!(store.renew(&key(1), owner, Duration::MAX).await, Ok(true)));
    let said = store.begin(&key(1), claim(Owner::random())).await;
    assert!(matches!(said, Ok(Begin::Running { left }) if left > Duration::from_secs(900 * 365 * 86_400)), "{said:?}");
    assert!(matches!(store.complete(&key(1), for_ever, Bytes::new()).await, Ok(Commit::Stored)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_sense_is_not_taken_for_none() {
    let database = Database::start().await;
    let store = database.store(4).await;
    let owner = Owner::random();
    acquire(&store, 1, claim(owner)).await;
    store.park(&key(1), claim(owner), "why").await.expect("parked");
    let strange = sqlx::query("UPDATE buttress_idempotency SET phase = 0").execute(&database.pool(1)).await;
    assert!(strange.is_err(), "what runs has a lease");
    database.run("ALTER TABLE buttress_idempotency DROP CONSTRAINT buttress_idempotency_check").await;
    database.run("ALTER TABLE buttress_idempotency DROP CONSTRAINT buttress_idempotency_phase_check").await;
    let without_lease = "phase = 0, lease_until = NULL";
    for change in ["outcome = '\\xff'", "outcome = NULL", "phase = 3", without_lease] {
        database.run(&format!("UPDATE buttress_idempotency SET {change}")).await;
        let said = store.begin(&key(1), claim(Owner::random())).await;
        assert!(matches!(said, Err(StoreError::Corrupt(_))), "{change}: {said:?}");
        let said = store.look(&key(1), Fingerprint::of(&1_u8)).await;
        assert!(matches!(said, Err(StoreError::Corrupt(_))), "{change}: {said:?}");
    }
}

/// Of a server that could not write its log, nobody knows whether it wrote that it did what it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_last_is_in_doubt() {
    let database = Database::start().await;
    database.store(1).await;
    let line = Line::to(database.folder());
    let store = SqlStore::<Postgres>::new(line.pool());
    let is_there = async || store.purge(1).await.expect("there is a connection");
    for severity in ["PANIC", "FATAL"] {
        is_there().await;
        line.fail(severity, "53100");
        let said = store.begin(&key(1), claim(Owner::random())).await;
        assert!(line.was_cut() && matches!(said, Err(StoreError::Ambiguous(_))), "{severity}: {said:?}");
    }
    is_there().await;
    line.fail("ERROR", "53100");
    let said = store.begin(&key(1), claim(Owner::random())).await;
    assert!(line.was_cut() && matches!(said, Err(StoreError::Full)), "the control: it goes on, {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_repeated_a_hundred_times_whatever_is_wrong_with_it() {
    let database = Database::start().await;
    let store = database.store(1).await;
    database.run("CREATE SEQUENCE asked").await;
    database
        .run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('asked') % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF; RETURN NULL; END $$",
        )
        .await;
    database
        .run("CREATE TRIGGER refuse BEFORE INSERT ON buttress_idempotency FOR EACH ROW EXECUTE FUNCTION refuse()")
        .await;
    let said = store.begin(&key(1), claim(Owner::random())).await;
    assert!(matches!(said, Err(StoreError::Unavailable(_))), "{said:?}");
    assert!(database.ask::<bool>("SELECT last_value = 100 FROM asked").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_make_no_tables_finds_those_that_are_there() {
    let database = Database::start().await;
    database.store(1).await;
    database.run("CREATE ROLE clerk LOGIN").await;
    database.run("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    database.run("GRANT SELECT, INSERT, UPDATE, DELETE ON buttress_idempotency TO clerk").await;
    database.run("GRANT USAGE ON SEQUENCE buttress_idempotency_fence TO clerk").await;
    let store = SqlStore::<Postgres>::new(database.pool_of("clerk"));
    store.migrate().await.expect("they are there");
    acquire(&store, 1, claim(Owner::random())).await;
    database.run("ALTER TABLE buttress_idempotency RENAME TO gone").await;
    assert!(store.migrate().await.is_err(), "the control: it may make none");
}

/// What was cut off once kept its connection until the server had answered, and the pool with it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_gone_leaves_no_connection_that_waits() {
    let database = Database::start().await;
    let store = database.store(1).await;
    acquire(&store, 1, Claim { lease: Duration::ZERO, ..claim(Owner::random()) }).await;
    let mut held = database.pool(1).begin().await.expect("a transaction");
    query("SELECT FROM buttress_idempotency FOR UPDATE").execute(&mut *held).await.expect("a lock");
    let gone = store.clone();
    let gone = tokio::spawn(async move { gone.begin(&key(1), claim(Owner::random())).await });
    database.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')").await;
    gone.abort();
    assert!(gone.await.expect_err("it is gone").is_cancelled());
    acquire(&store, 2, claim(Owner::random())).await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_is_not_in_doubt_and_what_was_sent_is() {
    let mut database = Database::start().await;
    let store = database.store(1).await;
    let without_table = SqlStore::<Postgres>::new(database.pool(1));
    database.run("ALTER TABLE buttress_idempotency RENAME TO gone").await;
    let refused = without_table.purge(1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "it has undone what it refuses: {refused:?}");
    database.run("ALTER TABLE gone RENAME TO buttress_idempotency").await;

    // Somebody holds the row, so that whoever begins waits within the statement.
    acquire(&store, 1, Claim { lease: Duration::ZERO, ..claim(Owner::random()) }).await;
    let mut held = database.pool(1).begin().await.expect("a transaction");
    query("SELECT FROM buttress_idempotency FOR UPDATE").execute(&mut *held).await.expect("a lock");
    let asked = store.clone();
    let asked = tokio::spawn(async move { asked.begin(&key(1), claim(Owner::random())).await });
    database.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')").await;
    database.server().signal_all("KILL");
    let said = asked.await.expect("no panic");
    assert!(matches!(said, Err(StoreError::Ambiguous(_))), "the connection is lost: {said:?}");
    let said = store.purge(1).await;
    assert!(matches!(said, Err(StoreError::Unavailable(_))), "there is nobody to connect to: {said:?}");
    drop(held);
    database.up().await;
    acquire(&store, 1, claim(Owner::random())).await;
}

/// Whoever waited for a connection once made it, and so one that takes longer than anybody waits was never made.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_takes_longer_than_anybody_waits_is_made_all_the_same() {
    let database = Database::start().await;
    database.store(1).await;
    let line = Line::to_far(database.folder(), 2 * SEC);
    let (runs, begun, may_end) = (Arc::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let config = IdempotencyConfig::new().store_timeout(SEC);
    let far = layer(SqlStore::<Postgres>::new(line.pool()), config);
    let mut service = far.layer(when_told(&runs, &begun, &may_end));
    may_end.notify_one();
    let answered = async {
        loop {
            match service.call(Order(1)).await {
                Ok(answer) => return answer,
                refused => assert_eq!(reason(refused), RefusalReason::StoreUnavailable),
            }
        }
    };
    assert_eq!(timeout(30 * SEC, answered).await.expect("it is reached in the end"), 11);
}

/// Asks with the line cut, and again; in between somebody else sees that it was done.
macro_rules! cut_and_again {
    ($line:ident, $ask:expr, $is_done:expr) => {{
        $line.cut();
        let lost = $ask.await;
        assert!(matches!(lost, Err(StoreError::Ambiguous(_))), "the answer is lost: {lost:?}");
        assert!($line.was_cut() && $is_done, "the control: it was done");
        $ask.await.expect("there is another connection")
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_told_what_was_done_asks_again_and_is_told() {
    let database = Database::start().await;
    let here = database.store(2).await;
    let line = Line::to(database.folder());
    let store = SqlStore::<Postgres>::new(line.pool());
    let look = async |of: u32| here.look(&key(of), Fingerprint::of(&1_u8)).await.expect("said");
    let is_running = async |of: u32| matches!(look(of).await, Some(Begin::Running { .. }));
    let warm_up = async || {
        // Statements that are known to the connection are answered at once.
        let (of, owner) = (u32::MAX, Owner::random());
        store.begin(&key(of), claim(owner)).await.expect("said");
        store.renew(&key(of), owner, SEC).await.expect("said");
        store.release(&key(of), owner).await.expect("said");
        store.begin(&key(of), claim(owner)).await.expect("said");
        store.complete(&key(of), claim(owner), Bytes::new()).await.expect("said");
        store.park(&key(of), claim(owner), "why").await.expect("said");
        database.run(&format!("DELETE FROM buttress_idempotency WHERE key = '\\x{}'", key(of))).await;
    };
    let owner = Owner::random();

    warm_up().await;
    let begun = cut_and_again!(line, store.begin(&key(1), claim(owner)), is_running(1).await);
    assert!(matches!(begun, Begin::Acquired(Acquired { attempt: 1, .. })), "{begun:?}");
    warm_up().await;
    assert!(cut_and_again!(line, store.renew(&key(1), owner, 60 * SEC), is_running(1).await));
    warm_up().await;
    let tea = Bytes::from_static(b"tea");
    let stored = cut_and_again!(line, store.complete(&key(1), claim(owner), tea.clone()), {
        look(1).await == Some(Begin::Done(tea.clone()))
    });
    assert_eq!(stored, Commit::Stored);
    acquire(&here, 2, claim(owner)).await;
    warm_up().await;
    assert!(cut_and_again!(line, store.release(&key(2), owner), look(2).await.is_none()));
    acquire(&here, 3, claim(owner)).await;
    warm_up().await;
    let is_parked = cut_and_again!(line, store.park(&key(3), claim(owner), "why"), {
        look(3).await == Some(Begin::Parked("why".into()))
    });
    assert!(is_parked);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_a_request_is_recorded_when_the_server_is_back() {
    let database = Database::start_with_fsync().await;
    let store = database.store(4).await;
    outage::what_came_of_it_is_recorded_in_the_end(
        database,
        store,
        async |database| database.server().signal_all("KILL"),
        Database::up,
        async |database| database.store(4).await,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_is_waited_for_no_longer_than_the_layer_says() {
    let database = Database::start().await;
    let store = database.store(2).await;
    let (runs, begun, may_end) = (Arc::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let config = IdempotencyConfig::new().store_timeout(5 * SEC);
    let mut service = layer(store.clone(), config).layer(when_told(&runs, &begun, &may_end));
    may_end.notify_one();
    assert_eq!(service.call(Order(1)).await.expect("the control: it is there"), 11);

    let config = IdempotencyConfig::new().store_timeout(SEC / 5);
    let mut impatient = layer(store.clone(), config).layer(when_told(&runs, &begun, &may_end));
    database.server().signal_all("STOP");
    // More than there are connections, all of which wait for the server.
    for order in 1..=4 {
        let refused = impatient.call(Order(order)).await;
        assert_eq!(reason(refused), RefusalReason::StoreUnavailable, "order {order}");
    }
    database.server().signal_all("CONT");
    may_end.notify_one();
    let answer = loop {
        match service.call(Order(5)).await {
            Ok(answer) => break answer,
            refused => assert_eq!(reason(refused), RefusalReason::StoreUnavailable, "its connections come back"),
        }
    };
    assert_eq!((answer, runs.load(Ordering::SeqCst)), (52, 2), "nothing was run meanwhile");
    assert_eq!(service.call(Order(1)).await.expect("what is recorded"), 11);
}
