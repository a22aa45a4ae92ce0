//! What becomes of what a handler writes in its transaction, by what it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::response::IntoResponse;
use buttress::http::{Effect, InExtensions};
use buttress::idempotency::InTransaction;
use bytes::Bytes;
use futures::stream;
use tokio::sync::oneshot;

use super::*;
use crate::support::books::{Books, Draft, Line};

type Write = Extension<InTransaction<Draft>>;

fn books() -> Books {
    Books::new(store())
}

/// Writes the number of its call, and answers what `answer` makes of the transaction.
fn writing<A>(books: &Books, calls: &Calls, answer: A) -> Router
where
    A: Fn(InTransaction<Draft>) -> Response<Body> + Clone + Send + Sync + 'static,
{
    let calls = calls.clone();
    let write = async move |Extension(transaction): Write| {
        transaction.lock().await.expect("it begins").numbers.push(calls.count());
        answer(transaction)
    };
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), books.clone()).expect("valid");
    let layer = layer.http_server(IdempotencyKeys::new().global_scope(), Body::new).in_transactions(InExtensions);
    Router::new().fallback(routing::post(write)).layer(layer)
}

/// What is written, and how often it was run, after a request and the same once more; and whether that was a replay.
async fn after_two(answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> (Vec<u32>, u32, bool) {
    let (books, calls) = (books(), Calls::default());
    let app = writing(&books, &calls, move |_| answer());
    let expected = send(&app, order()).await.status();
    let again = send(&app, order()).await;
    assert!(again.status() == expected || !is_a_replay(&again), "{expected}, then {again:?}");
    (books.written(), calls.so_far(), is_a_replay(&again))
}

#[tokio::test]
async fn what_is_written_is_committed_with_an_answer_that_is_final() {
    for status in [200, 201, 202, 303, 400, 402, 404, 409, 422] {
        let answer = move || StatusCode::from_u16(status).expect("a status").into_response();
        assert_eq!(after_two(answer).await, (vec![1], 1, true), "{status}");
    }
}

#[tokio::test]
async fn what_is_written_is_undone_with_an_answer_that_has_no_effect() {
    for status in [401, 403, 408, 413, 429, 500, 501, 502, 503, 504, 599] {
        let answer = move || StatusCode::from_u16(status).expect("a status").into_response();
        assert_eq!(after_two(answer).await, (vec![], 2, false), "{status}");
    }
    let none = || (Extension(Effect::None), "nothing").into_response();
    assert_eq!(after_two(none).await, (vec![], 2, false));
    let panics = || -> Response<Body> { std::panic::resume_unwind(Box::new("on purpose")) };
    assert_eq!(after_two(panics).await, (vec![], 2, false));
}

#[tokio::test]
async fn a_failure_that_is_final_is_told_again_and_what_it_wrote_is_undone() {
    let failed = || (StatusCode::BAD_GATEWAY, Extension(Effect::Final)).into_response();
    assert_eq!(after_two(failed).await, (vec![], 1, true));
}

#[tokio::test]
async fn what_is_written_is_undone_when_nobody_knows_what_came_of_the_request() {
    let unknown = || (Extension(Effect::Unknown), "who knows").into_response();
    assert_eq!(after_two(unknown).await, (vec![], 1, false));
}

#[tokio::test]
async fn what_is_written_is_undone_with_an_answer_that_breaks_off() {
    let broken = || Body::from_stream(stream::iter([Ok(Bytes::from_static(b"te")), Err("broken")])).into_response();
    assert_eq!(after_two(broken).await, (vec![], 2, false));
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_committed_before_an_answer_is_sent_that_is_too_long_to_be_told_again() {
    let (books, calls) = (books(), Calls::default());
    let app = writing(&books, &calls, |_| {
        let endless = Body::from_stream(stream::pending::<std::io::Result<Bytes>>());
        let response = Response::builder().status(StatusCode::CREATED).header("location", "/orders/7");
        response.body(endless).expect("a response")
    });
    let first = tokio::time::timeout(Duration::from_secs(60), send(&app, order())).await.expect("a head");
    assert_eq!((first.status(), books.written()), (StatusCode::CREATED, vec![1]));
    assert_not_replayable(send(&app, order()).await).await;
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test]
async fn who_is_not_told_of_what_was_undone_is_told_that_it_was() {
    let (books, calls) = (books(), Calls::default());
    let app = writing(&books, &calls, |_| StatusCode::CREATED.into_response());
    books.line(Line::Refuses);
    let undone = send(&app, order()).await;
    assert_eq!(undone.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(undone).await.contains("urn:problem-type:buttress:idempotency-rolled-back"));
    books.line(Line::Sound);
    assert_eq!(send(&app, order()).await.status(), StatusCode::CREATED);
    assert_eq!((books.written(), calls.so_far()), (vec![2], 2));
}

#[tokio::test]
async fn a_task_that_holds_the_transaction_beyond_the_answer_has_it_undone() {
    let (books, calls) = (books(), Calls::default());
    let app = writing(&books, &calls, |transaction| {
        let (holds, held) = oneshot::channel();
        tokio::spawn(async move {
            let mut transaction = transaction.lock().await.expect("it has begun");
            transaction.numbers.push(99);
            holds.send(()).expect("it is waited for");
            std::future::pending::<()>().await;
        });
        // The answer is whole when the task has the transaction.
        let held = async move { held.await.map(|()| Bytes::from_static(b"tea")) };
        Body::from_stream(stream::once(held)).into_response()
    });
    let undone = send(&app, order()).await;
    assert_eq!(undone.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(undone).await.contains("urn:problem-type:buttress:idempotency-rolled-back"));
    assert_eq!((books.written(), calls.so_far()), (vec![], 1));
}

#[tokio::test]
async fn an_answer_that_breaks_off_and_is_final_all_the_same_commits_nothing() {
    let broken = || {
        let body = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"te")), Err("broken")]));
        (Extension(Effect::Final), body).into_response()
    };
    let (books, calls) = (books(), Calls::default());
    let app = writing(&books, &calls, move |_| broken());
    send(&app, order()).await;
    send(&app, order()).await;
    assert_eq!((books.written(), calls.so_far()), (vec![], 1));
}

/// As a handler answers that makes a 500 of every error.
#[tokio::test]
async fn a_transaction_that_cannot_be_begun_now_may_be_begun_when_it_is_sent_again() {
    let books = books();
    let link = books.records.clone();
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), books.clone()).expect("valid");
    let layer = layer.http_server(IdempotencyKeys::new().global_scope(), Body::new).in_transactions(InExtensions);
    let is_first = Arc::new(AtomicBool::new(true));
    let write = async move |Extension(transaction): Write| {
        link.set(|link| link.is_down = is_first.swap(false, Ordering::SeqCst));
        let status = match transaction.lock().await {
            Ok(mut draft) => {
                draft.numbers.push(7);
                StatusCode::CREATED
            }
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        link.set(|link| link.is_down = false);
        status
    };
    let app = Router::new().fallback(routing::post(write)).layer(layer);
    assert_eq!(send(&app, order()).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(send(&app, order()).await.status(), StatusCode::CREATED);
    assert_eq!(books.written(), [7]);
}

#[tokio::test]
async fn a_service_that_fails_in_its_transaction_is_run_again() {
    let (books, calls) = (books(), Calls::default());
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), books.clone()).expect("valid");
    let layer = layer.http_server(IdempotencyKeys::new().global_scope(), Body::new).in_transactions(InExtensions);
    let counted = calls.clone();
    let fails = tower::service_fn(move |request: Request<Body>| {
        let calls = counted.clone();
        async move {
            let transaction = request.extensions().get::<InTransaction<Draft>>().expect("it is run in one");
            transaction.lock().await.expect("it begins").numbers.push(calls.count());
            Err::<Response<Body>, tower::BoxError>("it fails".into())
        }
    });
    let service = tower::Layer::layer(&layer, fails);
    for runs in 1..=2 {
        service.clone().oneshot(order()).await.expect_err("it fails");
        assert_eq!((books.written(), calls.so_far()), (vec![], runs));
    }
}

#[tokio::test]
async fn a_request_without_a_key_is_given_no_transaction() {
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), books()).expect("valid");
    let keys = IdempotencyKeys::new().global_scope().key_optional();
    let layer = layer.http_server(keys, Body::new).in_transactions(InExtensions);
    let has_one = async |transaction: Option<Write>| transaction.is_some().to_string();
    let app = Router::new().fallback(routing::post(has_one)).layer(layer);
    assert_eq!(text(send(&app, post_to("/orders", None, "tea")).await).await, "false");
    assert_eq!(text(send(&app, order()).await).await, "true", "the control");
}
