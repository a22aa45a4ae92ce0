//! What a handler writes in the transaction of its run is in the database with its answer, or not at all.

mod hindrances;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::{Extension, Router, routing};
use buttress::engines::{Postgres, PostgresTransaction, SqlStore};
use buttress::http::{IdempotencyKeys, InExtensions};
use buttress::idempotency::{Execution, IdempotencyConfig, IdempotencyLayer, InTransaction};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use sqlx::query;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::cut::Line;
use crate::database::{Database, pool};

const SEC: Duration = Duration::from_secs(1);

type Write = Extension<InTransaction<PostgresTransaction>>;

/// Where orders are written. Nothing but the transaction keeps one from being there twice.
async fn with_orders() -> Database {
    let database = Database::start().await;
    database.run("CREATE TABLE orders (number text NOT NULL)").await;
    database
}

async fn write(transaction: &mut PostgresTransaction, number: &str) -> Result<(), sqlx::Error> {
    query("INSERT INTO orders (number) VALUES ($1)").bind(number).execute(&mut **transaction).await.map(drop)
}

fn failed(error: &impl ToString) -> Response<Body> {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}

/// An instance of a program that writes the number of an order, and then does and answers what `then` says.
fn instance<F>(
    store: &SqlStore<Postgres>,
    config: IdempotencyConfig,
    then: impl Fn(InTransaction<PostgresTransaction>) -> F + Clone + Send + Sync + 'static,
) -> Router
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    instance_of(store, config, async move |Extension(transaction): Write, number: String| {
        let written = match transaction.lock().await {
            Ok(mut transaction) => write(&mut transaction, &number).await.map_err(|error| failed(&error)),
            Err(error) => Err(failed(&error)),
        };
        match written {
            Ok(()) => then(transaction).await,
            Err(failed) => failed,
        }
    })
}

fn instance_of<H, T>(store: &SqlStore<Postgres>, config: IdempotencyConfig, order: H) -> Router
where
    H: Handler<T, ()>,
    T: 'static,
{
    let layer = IdempotencyLayer::new(config, store.clone()).expect("valid");
    let keys = IdempotencyKeys::new().global_scope();
    let layer = layer.http_server(keys, Body::new).in_transactions(InExtensions);
    Router::new().route("/orders", routing::post(order)).layer(layer)
}

async fn created(_: InTransaction<PostgresTransaction>) -> Response<Body> {
    StatusCode::CREATED.into_response()
}

async fn order(app: &Router, number: &str) -> (StatusCode, String) {
    let request = Request::post("/orders").header("idempotency-key", number).body(Body::from(number.to_owned()));
    let response = app.clone().oneshot(request.expect("a request")).await.expect("infallible");
    let (head, body) = response.into_parts();
    let text = body.collect().await.expect("a body").to_bytes();
    (head.status, String::from_utf8_lossy(&text).into_owned())
}

async fn orders(database: &Database, number: &str) -> i64 {
    database.ask(&format!("SELECT count(*) FROM orders WHERE number = '{number}'")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_and_its_answer_are_there_at_once_and_who_repeats_it_meanwhile_is_told_that_it_runs() {
    let database = with_orders().await;
    let store = database.store(4).await;
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (begun.clone(), may_end.clone());
    let app = instance(&store, IdempotencyConfig::new(), move |_| {
        let (begins, ends) = (begins.clone(), ends.clone());
        async move {
            begins.notify_one();
            ends.notified().await;
            StatusCode::CREATED.into_response()
        }
    });
    let first = tokio::spawn({
        let app = app.clone();
        async move { order(&app, "7").await }
    });
    begun.notified().await;
    let (status, text) = order(&app, "7").await;
    assert!(status == StatusCode::CONFLICT && text.contains("idempotency-running"), "{status}: {text}");
    assert_eq!(orders(&database, "7").await, 0, "it is not committed");
    may_end.notify_one();
    assert_eq!(first.await.expect("no panic").0, StatusCode::CREATED);
    assert_eq!(orders(&database, "7").await, 1);
    assert_eq!(order(&app, "7").await.0, StatusCode::CREATED, "told again");
    assert_eq!(orders(&database, "7").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_failed_is_not_there_and_is_run_again() {
    let database = with_orders().await;
    let (store, runs) = (database.store(4).await, Arc::new(AtomicU32::new(0)));
    let app = instance(&store, IdempotencyConfig::new(), move |transaction| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        async move {
            match run {
                0 => StatusCode::BAD_GATEWAY.into_response(),
                1 => {
                    let mut held = transaction.lock().await.expect("it has begun");
                    failed(&query("SELECT 1 / 0").execute(&mut **held).await.expect_err("it fails"))
                }
                2 => std::panic::resume_unwind(Box::new("on purpose")),
                _ => StatusCode::CREATED.into_response(),
            }
        }
    });
    for status in [502, 500, 500] {
        assert_eq!(order(&app, "7").await.0, status);
        assert_eq!(orders(&database, "7").await, 0);
    }
    assert_eq!(order(&app, "7").await.0, StatusCode::CREATED);
    assert_eq!(orders(&database, "7").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_does_after_a_statement_that_failed_is_not_committed() {
    let database = with_orders().await;
    let store = database.store(4).await;
    let app = instance(&store, IdempotencyConfig::new(), async |transaction| {
        let mut held = transaction.lock().await.expect("it has begun");
        query("SELECT 1 / 0").execute(&mut **held).await.expect_err("it fails");
        StatusCode::CREATED.into_response()
    });
    let (status, text) = order(&app, "7").await;
    assert!(status == 503 && text.contains("idempotency-rolled-back"), "{status}: {text}");
    assert_eq!(orders(&database, "7").await, 0);
    // Undone inside, it is as if it had not been asked.
    let app = instance(&store, IdempotencyConfig::new(), async |transaction| {
        use sqlx::Acquire;
        let mut held = transaction.lock().await.expect("it has begun");
        let mut part = held.begin().await.expect("a savepoint");
        query("SELECT 1 / 0").execute(&mut *part).await.expect_err("it fails");
        part.rollback().await.expect("undone");
        StatusCode::CREATED.into_response()
    });
    assert_eq!(order(&app, "7").await.0, StatusCode::CREATED);
    assert_eq!(orders(&database, "7").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_committed_is_undone_and_run_again() {
    let database = with_orders().await;
    database.run("ALTER TABLE orders ADD UNIQUE (number) DEFERRABLE INITIALLY DEFERRED").await;
    database.run("INSERT INTO orders VALUES ('7')").await;
    let app = instance(&database.store(4).await, IdempotencyConfig::new(), created);
    let (status, text) = order(&app, "7").await;
    assert!(
        status == 503 && text.contains("idempotency-rolled-back"),
        "it is found out at the commit: {status}: {text}"
    );
    database.run("DELETE FROM orders").await;
    assert_eq!(order(&app, "7").await.0, StatusCode::CREATED);
    assert_eq!(orders(&database, "7").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_a_task_holds_beyond_the_answer_is_undone() {
    let database = with_orders().await;
    let store = database.store(4).await;
    let may_end = Arc::new(Notify::new());
    let ends = may_end.clone();
    let app = instance(&store, IdempotencyConfig::new(), move |transaction| {
        let ends = ends.clone();
        async move {
            let mut held = transaction.lock().await.expect("it has begun");
            tokio::spawn(async move {
                ends.notified().await;
                write(&mut held, "8").await
            });
            StatusCode::CREATED.into_response()
        }
    });
    let (status, text) = order(&app, "7").await;
    assert!(status == 503 && text.contains("idempotency-rolled-back"), "{status}: {text}");
    may_end.notify_one();
    // The connection is given back when all of it is undone.
    while store_is_in_a_transaction(&database).await {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((orders(&database, "7").await, orders(&database, "8").await), (0, 0));
    let app = instance(&store, IdempotencyConfig::new(), created);
    assert_eq!(order(&app, "7").await.0, StatusCode::CREATED);
    assert_eq!(orders(&database, "7").await, 1);
}

const IN_A_TRANSACTION: &str =
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()";

async fn store_is_in_a_transaction(database: &Database) -> bool {
    database.ask(IN_A_TRANSACTION).await
}

const SOCKET: &str = "BUTTRESS_TEST_ORDERS";
const BEGUN: &str = "it has written";

/// In a process that is told of a server: an instance that writes an order and then hangs. Else nothing.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_process_of_its_own() {
    if let Some(socket) = std::env::var_os(SOCKET) {
        let store = SqlStore::<Postgres>::new(pool(socket.as_ref(), 4));
        let app = instance(&store, IdempotencyConfig::new().lease(3 * SEC), |_| {
            println!("\n{BEGUN}");
            std::future::pending()
        });
        order(&app, "7").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_nothing_of_the_order_and_the_next_one_takes_over() {
    let database = with_orders().await;
    let store = database.store(4).await;
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "transactions::as_a_process_of_its_own", "--nocapture"])
        .env(SOCKET, database.folder())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    while lines.next_line().await.expect("lines").expect("it begins") != BEGUN {}
    process.kill().await.expect("it is there");
    let app = instance(&store, IdempotencyConfig::new(), |_| {
        let run = Execution::current().expect("it runs once");
        assert!(run.is_recovered() && run.attempt() == 2, "{run:?}");
        created_now()
    });
    let mut told = order(&app, "7").await;
    assert_eq!(told.0, StatusCode::CONFLICT, "its lease is not over: {told:?}");
    while told.0 == StatusCode::CONFLICT {
        sleep(SEC / 10).await;
        told = order(&app, "7").await;
    }
    assert_eq!(told.0, StatusCode::CREATED, "{told:?}");
    assert_eq!(orders(&database, "7").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_killed_before_the_commit_has_neither_order_nor_answer() {
    let mut database = with_orders().await;
    let store = database.store(4).await;
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, ends) = (begun.clone(), may_end.clone());
    let app = instance(&store, IdempotencyConfig::new().lease(2 * SEC), move |_| {
        let (begins, ends) = (begins.clone(), ends.clone());
        async move {
            begins.notify_one();
            ends.notified().await;
            StatusCode::CREATED.into_response()
        }
    });
    let first = tokio::spawn({
        let app = app.clone();
        async move { order(&app, "7").await }
    });
    begun.notified().await;
    database.server().signal_all("KILL");
    may_end.notify_one();
    let (status, text) = first.await.expect("no panic");
    assert!(status == 503 && text.contains("idempotency-rolled-back"), "{status}: {text}");
    database.up().await;
    assert_eq!(orders(&database, "7").await, 0);
    let app = instance(&database.store(4).await, IdempotencyConfig::new(), created);
    let mut told = order(&app, "7").await;
    while told.0 != StatusCode::CREATED {
        assert!(matches!(told.0.as_u16(), 409 | 503), "{told:?}");
        sleep(SEC / 10).await;
        told = order(&app, "7").await;
    }
    assert_eq!(orders(&database, "7").await, 1);
}

/// The store keeps its own line, and what is written in transactions goes over one that is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_hears_of_is_looked_for() {
    let database = with_orders().await;
    for was_committed in [true, false] {
        let number = if was_committed { "7" } else { "8" };
        let line = Line::to(database.folder());
        let store = database.store(4).await.transactions_from(line.pool());
        let line = Arc::new(line);
        let cuts = line.clone();
        let app = instance(&store, IdempotencyConfig::new(), move |_| {
            if was_committed {
                cuts.cut_when_it_says("COMMIT");
            } else {
                cuts.cut_when_asked("COMMIT");
            }
            created_now()
        });
        let (status, text) = order(&app, number).await;
        assert!(line.was_cut(), "the control");
        if was_committed {
            assert_eq!(status, StatusCode::CREATED, "{text}");
        } else {
            assert!(status == 503 && text.contains("idempotency-rolled-back"), "{status}: {text}");
        }
        assert_eq!(orders(&database, number).await, i64::from(was_committed));
        let app = instance(&store, IdempotencyConfig::new(), created);
        assert_eq!(order(&app, number).await.0, StatusCode::CREATED);
        assert_eq!(orders(&database, number).await, 1);
    }
}

fn created_now() -> std::future::Ready<Response<Body>> {
    std::future::ready(StatusCode::CREATED.into_response())
}

/// Two processes that stand still now and then, for longer than a lease: the other one takes over, and then both write.
/// There is neither a fence nor a unique index.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_there_once_though_two_write_it() {
    const LEASE: Duration = Duration::from_millis(600);
    const ORDERS: u32 = 6;
    let (database, recovered) = (with_orders().await, Arc::new(AtomicU32::new(0)));
    database.store(1).await;
    let processes = [(); 2].map(|()| {
        let (pool, recovered) = (database.pool(8), recovered.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let store = SqlStore::<Postgres>::new(pool);
            let config = IdempotencyConfig::new().lease(LEASE).store_timeout(LEASE / 3);
            let app = instance(&store, config, move |_| {
                if Execution::current().expect("it runs once").is_recovered() {
                    recovered.fetch_add(1, Ordering::SeqCst);
                } else {
                    // Nothing goes on in this process meanwhile.
                    std::thread::sleep(LEASE * 2);
                }
                created_now()
            });
            runtime.block_on(async {
                for number in 0..ORDERS {
                    while order(&app, &number.to_string()).await.0 != StatusCode::CREATED {
                        sleep(LEASE / 10).await;
                    }
                }
            });
        })
    });
    for process in processes {
        tokio::task::spawn_blocking(|| process.join()).await.expect("no panic").expect("no panic");
    }
    for number in 0..ORDERS {
        assert_eq!(orders(&database, &number.to_string()).await, 1, "order {number}");
    }
    assert!(recovered.load(Ordering::SeqCst) > 0, "the control: some were taken over from");
}
