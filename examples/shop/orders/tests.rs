mod crashes;
mod purges;

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use axum::http::{HeaderMap, Response};
use buttress::idempotency::MemoryStore;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::*;
use crate::payments::payments;

/// A shop, its book, and the keys that its provider was shown.
struct Scene {
    shop: Router,
    book: OrderBook,
    keys: Arc<Mutex<Vec<String>>>,
}

/// The provider answers every charge with `status`, once it may.
async fn scene(without: &[Layer], status: StatusCode, may_answer: Arc<Semaphore>) -> Scene {
    let (charges, keys) = provider(status, may_answer).await;
    let book = OrderBook::default();
    let shop = shop(without, MemoryStore::new(RECORDS), charges, book.clone().into());
    Scene { shop, book, keys }
}

/// Where it takes charges, and the keys that it is shown.
async fn provider(status: StatusCode, may_answer: Arc<Semaphore>) -> (Uri, Arc<Mutex<Vec<String>>>) {
    let keys = Arc::new(Mutex::new(vec![]));
    let seen = keys.clone();
    let answers = async move |headers: HeaderMap| {
        let key = headers["idempotency-key"].to_str().expect("a plain key").to_owned();
        seen.lock().expect("nobody panicked").push(key);
        let _ = may_answer.acquire().await.expect("it is open");
        status
    };
    let address = serve(Router::new().route("/charges", post(answers))).await;
    (format!("http://{address}/charges").parse().expect("an address"), keys)
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}

fn shop(without: &[Layer], records: MemoryStore, charges: Uri, book: Book) -> Router {
    // No try is cut short, however busy the machine is.
    let without = Without::new([&[Layer::Timeout], without].concat());
    let log = Log::start();
    let payments = payments(&without, Duration::from_secs(1), log.clone()).expect("settings that work");
    let service =
        OrderService { without, tenant: "shop".into(), payments, charges, products: Router::new(), book, log };
    service.over(records).expect("settings that work")
}

fn at_once() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

/// Sends an order; the status, whether it is a replay, and the text of the answer.
async fn order(shop: &Router, order: &'static str) -> (StatusCode, bool, Bytes) {
    let order = Request::post("/orders").header(CONTENT_TYPE, "application/json").body(Body::from(order));
    told(shop.clone().oneshot(order.expect("a request")).await.expect("the router answers")).await
}

async fn told(answer: Response<Body>) -> (StatusCode, bool, Bytes) {
    let is_replay = answer.headers().contains_key("idempotency-replayed");
    let status = answer.status();
    (status, is_replay, answer.into_body().collect().await.expect("it is whole").to_bytes())
}

const SEVEN: &str = r#"{"order_no": "7", "cents": 1999}"#;

#[tokio::test]
async fn every_try_of_a_charge_bears_the_key_of_its_order() {
    let Scene { shop, keys, .. } = scene(&[], StatusCode::SERVICE_UNAVAILABLE, at_once()).await;
    assert_eq!(order(&shop, SEVEN).await.0, StatusCode::ACCEPTED);
    assert_eq!(*keys.lock().expect("nobody panicked"), ["order-7"; 4]);
}

#[tokio::test]
async fn without_dedup_every_call_bears_a_key_of_its_own_on_all_its_tries() {
    let Scene { shop, book, keys } = scene(&[Layer::Dedup], StatusCode::SERVICE_UNAVAILABLE, at_once()).await;
    order(&shop, SEVEN).await;
    order(&shop, SEVEN).await;
    let keys = keys.lock().expect("nobody panicked");
    assert_eq!(keys.len(), 8);
    assert!(keys[..4].iter().all(|key| *key == keys[0]) && keys[4..].iter().all(|key| *key == keys[4]));
    assert_ne!(keys[0], keys[4]);
    assert_eq!(book.numbers(), ["7", "7"], "nothing else keeps an order from being entered twice");
}

#[tokio::test]
async fn an_order_that_is_sent_again_is_answered_again_and_neither_entered_nor_charged() {
    for (provider, said, tries) in
        [(StatusCode::CREATED, StatusCode::CREATED, 1), (StatusCode::SERVICE_UNAVAILABLE, StatusCode::ACCEPTED, 4)]
    {
        let Scene { shop, book, keys } = scene(&[], provider, at_once()).await;
        let (status, is_replay, text) = order(&shop, SEVEN).await;
        assert_eq!((status, is_replay), (said, false));
        assert_eq!(order(&shop, SEVEN).await, (said, true, text), "to pay later is an answer like another");
        assert_eq!(book.numbers(), ["7"]);
        assert_eq!(keys.lock().expect("nobody panicked").len(), tries);
    }
}

#[tokio::test]
async fn another_order_of_the_same_number_is_refused() {
    let Scene { shop, book, .. } = scene(&[], StatusCode::CREATED, at_once()).await;
    order(&shop, SEVEN).await;
    let (status, is_replay, _) = order(&shop, r#"{"order_no": "7", "cents": 1}"#).await;
    assert_eq!((status, is_replay), (StatusCode::UNPROCESSABLE_ENTITY, false));
    assert_eq!(book.numbers(), ["7"]);
}

#[tokio::test]
async fn what_is_no_order_gets_the_shops_own_problem_each_time_and_uses_up_no_number() {
    let Scene { shop, book, .. } = scene(&[], StatusCode::CREATED, at_once()).await;
    for wrong in
        ["", "7", r#"{"cents": 1999}"#, r#"{"order_no": "a b", "cents": 1}"#, r#"{"order_no": "7", "cents": 0}"#]
    {
        for _ in 0..2 {
            let (status, is_replay, text) = order(&shop, wrong).await;
            assert_eq!((status, is_replay), (StatusCode::BAD_REQUEST, false), "{wrong}");
            assert!(text.windows(11).any(|part| part == b"Bad request"), "{wrong}");
        }
    }
    let untyped = Request::post("/orders").body(Body::from(SEVEN)).expect("a request");
    let answer = shop.clone().oneshot(untyped).await.expect("the router answers");
    assert_eq!(told(answer).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(order(&shop, SEVEN).await.0, StatusCode::CREATED, "put right, it has its number still");
    assert_eq!(book.numbers(), ["7"]);
}

#[tokio::test]
async fn an_order_is_run_to_its_end_although_nobody_waits_for_it() {
    let may_answer = Arc::new(Semaphore::new(0));
    // However often it is asked for.
    let Scene { shop, book, keys } = scene(&[Layer::Limit], StatusCode::CREATED, may_answer.clone()).await;
    {
        let mut first = pin!(order(&shop, SEVEN));
        while keys.lock().expect("nobody panicked").is_empty() {
            assert!(poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await);
            yield_now().await;
        }
    }
    let (status, is_replay, _) = order(&shop, SEVEN).await;
    assert_eq!((status, is_replay), (StatusCode::CONFLICT, false), "it is being run");
    assert!(book.numbers().is_empty());

    may_answer.add_permits(1);
    let answer = loop {
        match order(&shop, SEVEN).await {
            (StatusCode::CONFLICT, ..) => yield_now().await,
            answer => break answer,
        }
    };
    assert_eq!((answer.0, answer.1), (StatusCode::CREATED, true));
    assert_eq!((book.numbers(), keys.lock().expect("nobody panicked").len()), (vec!["7".into()], 1));
}
