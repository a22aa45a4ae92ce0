//! What else may become of a transaction.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use buttress::engines::SqlStore;
use buttress::http::Effect;
use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::Acquire;
use tokio::sync::Notify;

use super::*;

async fn count(database: &Database, what: &str) -> i64 {
    database.ask(&format!("SELECT count(*) FROM {what}")).await
}

/// A connection that goes back into the pool while a transaction begins on it would take whatever is written next along, and
/// never commit it: records too, where they have the same pool.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_given_up_while_it_begins_is_not_left_open() {
    let database = with_orders().await;
    let pool = database.pool_without_tests(1);
    let store = SqlStore::<Postgres>::new(pool.clone());
    store.migrate().await.expect("a table");
    let app = instance_of(&store, IdempotencyConfig::new(), async |Extension(transaction): Write, number: String| {
        if number == "gives up" {
            assert!(transaction.lock().now_or_never().is_none(), "the control: it waits for the database");
            return Extension(Effect::None).into_response();
        }
        StatusCode::CREATED.into_response()
    });
    order(&app, "gives up").await;
    assert_eq!(order(&app, "7").await.0, StatusCode::CREATED);
    assert_eq!(count(&database, "buttress_idempotency WHERE phase = 1").await, 1, "others see it");
    assert!(!store_is_in_a_transaction(&database).await);
}

/// Begins one inside and gives that up, until the answer is not there at once.
fn give_up_one_inside(transaction: &mut PostgresTransaction) {
    while let Some(Ok(_)) = transaction.begin().now_or_never() {}
}

type Ends = for<'a> fn(&'a mut PostgresTransaction) -> BoxFuture<'a, ()>;

type Answers = fn() -> StatusCode;

/// What ends a transaction before its run, and whether something is written by itself after that.
const ENDS: [(&str, Ends, bool); 4] = [
    (
        "given-up",
        |held| {
            async {
                give_up_one_inside(held);
                // And then one that nobody ends.
                give_up_one_inside(held);
            }
            .boxed()
        },
        false,
    ),
    (
        "not-begun",
        |held| {
            async {
                query("SELECT 1 / 0").execute(&mut **held).await.expect_err("it fails");
                held.begin().await.map(drop).expect_err("nothing can be begun after that");
                write(held, "apart").await.expect("written by itself");
            }
            .boxed()
        },
        true,
    ),
    (
        "by-hand",
        |held| {
            async {
                query("ROLLBACK").execute(&mut **held).await.expect("it ends");
                write(held, "apart").await.expect("written by itself");
            }
            .boxed()
        },
        true,
    ),
    (
        "in-another",
        |held| {
            async {
                query("ROLLBACK").execute(&mut **held).await.expect("it ends");
                write(held, "apart").await.expect("written by itself");
                query("BEGIN").execute(&mut **held).await.expect("it begins");
            }
            .boxed()
        },
        true,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_knows_what_came_of_a_transaction_that_a_part_of_it_has_ended() {
    let database = with_orders().await;
    let store = database.store(4).await;
    let answers: [(&str, Answers); 3] = [
        ("final", || StatusCode::CREATED),
        ("failed", || StatusCode::INTERNAL_SERVER_ERROR),
        ("panics", || std::panic::resume_unwind(Box::new("on purpose"))),
    ];
    for (how, ends, is_apart) in ENDS {
        for (what, answer) in answers {
            let app = instance(&store, IdempotencyConfig::new(), move |transaction| async move {
                ends(&mut transaction.lock().await.expect("it has begun")).await;
                answer().into_response()
            });
            let number = format!("{how}-{what}");
            for _ in 0..2 {
                let (status, text) = order(&app, &number).await;
                assert!(status == 409 && text.contains("idempotency-outcome-unknown"), "{number}: {status}: {text}");
            }
            assert_eq!(orders(&database, &number).await, 0, "{number}");
            let apart = database.run("DELETE FROM orders WHERE number = 'apart'").await;
            assert_eq!(apart, u64::from(is_apart), "{number}: the control: something has come of it, once");
            no_connection_is_left_in_a_transaction(&database).await;
        }
    }
}

/// What it is told then belongs to what was asked before.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_yet_to_hear_of_a_failure_is_not_left_in_a_transaction() {
    let database = with_orders().await;
    let store = database.store(4).await;
    let were_given_up = Arc::new(AtomicBool::new(false));
    let gives_up = were_given_up.clone();
    let app = instance(&store, IdempotencyConfig::new(), move |transaction| {
        let gives_up = gives_up.clone();
        async move {
            let mut held = transaction.lock().await.expect("it has begun");
            query("SELECT 1 / 0").execute(&mut **held).await.expect_err("it fails");
            // The first is refused, after that, and the second begins another transaction.
            let are_given_up = held.begin().now_or_never().is_none() && held.begin().now_or_never().is_none();
            gives_up.store(are_given_up, Ordering::SeqCst);
            StatusCode::CREATED.into_response()
        }
    });
    // Until both answers come later.
    for number in 0_u32.. {
        let (status, text) = order(&app, &number.to_string()).await;
        assert!(status == 409 && text.contains("idempotency-outcome-unknown"), "{status}: {text}");
        no_connection_is_left_in_a_transaction(&database).await;
        if were_given_up.load(Ordering::SeqCst) {
            break;
        }
    }
}

async fn no_connection_is_left_in_a_transaction(database: &Database) {
    let is_none = format!("SELECT NOT ({IN_A_TRANSACTION})");
    tokio::time::timeout(60 * SEC, database.until(&is_none)).await.expect("none is left in one");
}

/// With a unique index, who has taken over would wait for who was taken over from.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_to_be_taken_over_from_holds_nothing() {
    let database = with_orders().await;
    database.run("ALTER TABLE orders ADD UNIQUE (number)").await;
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (begun.clone(), may_end.clone());
    let config = IdempotencyConfig::new().lease(2 * SEC).store_timeout(SEC / 2);
    let slow = instance(&database.store(4).await, config, move |_| {
        let (begins, ends) = (begins.clone(), ends.clone());
        async move {
            begins.notify_one();
            ends.notified().await;
            StatusCode::CREATED.into_response()
        }
    });
    let zombie = tokio::spawn(async move { order(&slow, "7").await });
    begun.notified().await;
    // As after a pause of the process: its lease is over, and it does not know.
    database.run("UPDATE buttress_idempotency SET lease_until = clock_timestamp()").await;
    let app = instance(&database.store(4).await, IdempotencyConfig::new(), created);
    let told =
        tokio::time::timeout(60 * SEC, order(&app, "7")).await.expect("it does not wait for the other one to end");
    assert_eq!(told.0, StatusCode::CREATED);
    may_end.notify_one();
    assert_eq!(zombie.await.expect("no panic").0, StatusCode::CREATED, "told what came of the other one");
    assert_eq!(orders(&database, "7").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_sets_in_its_transaction_does_not_concern_the_record() {
    let database = with_orders().await;
    let store = database.store(4).await;
    database.run("CREATE ROLE tenant").await;
    database.run("GRANT ALL ON orders TO tenant").await;
    database.run("CREATE SCHEMA tenant").await;
    database.run("CREATE TABLE tenant.buttress_idempotency (LIKE public.buttress_idempotency INCLUDING ALL)").await;
    let settings = ["SET LOCAL ROLE tenant", "SET LOCAL search_path TO tenant, public", "RESET ALL"];
    for (number, sets) in ["7", "8", "9"].into_iter().zip(settings) {
        let app = instance(&store, IdempotencyConfig::new(), move |transaction| async move {
            let mut held = transaction.lock().await.expect("it has begun");
            query(sets).execute(&mut **held).await.expect("it is set");
            StatusCode::CREATED.into_response()
        });
        for _ in 0..2 {
            assert_eq!(order(&app, number).await.0, StatusCode::CREATED, "{sets}");
        }
        assert_eq!(orders(&database, number).await, 1, "{sets}");
    }
    assert_eq!(count(&database, "tenant.buttress_idempotency").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_lost_its_record_commits_nothing() {
    let database = with_orders().await;
    let pool = database.pool(1);
    let app = instance(&database.store(4).await, IdempotencyConfig::new(), move |_| {
        let pool = pool.clone();
        async move {
            query("DELETE FROM buttress_idempotency").execute(&pool).await.expect("gone");
            StatusCode::CREATED.into_response()
        }
    });
    let (status, text) = order(&app, "7").await;
    assert!(status == 503 && text.contains("idempotency-interrupted"), "{status}: {text}");
    assert_eq!(orders(&database, "7").await, 0);
}
