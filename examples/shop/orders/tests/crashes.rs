//! What a service that was killed leaves to the next one. Here both are in this process, and the records are those of a store
//! that outlives the first.

use std::future::pending;

use tokio::runtime::Runtime;

use super::*;
use crate::port::Port;

/// Runs until it is killed, in the middle of whatever it does.
struct Killable(Option<Runtime>);

impl Killable {
    /// A service that is sent an order.
    fn ordering(records: &MemoryStore, charges: &Uri, book: Book) -> Self {
        let runtime = Runtime::new().expect("threads");
        let (records, charges) = (records.clone(), charges.clone());
        runtime.spawn(async move {
            let shop = shop(&[], records, charges, book);
            order(&shop, SEVEN).await;
        });
        Self(Some(runtime))
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        self.0.take().expect("it is dropped once").shutdown_background();
    }
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// What is said as soon as the lease of the one before is over; it is said before that the order runs.
async fn answer_after_the_lease(shop: &Router) -> (StatusCode, bool) {
    let mut has_heard_that_it_runs = false;
    loop {
        match order(shop, SEVEN).await {
            (StatusCode::CONFLICT, ..) => has_heard_that_it_runs = true,
            (status, is_replay, _) => {
                assert!(has_heard_that_it_runs);
                return (status, is_replay);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn records() -> MemoryStore {
    MemoryStore::new(RECORDS)
}

#[tokio::test]
async fn an_order_that_was_charged_and_not_entered_is_charged_by_the_same_key_and_entered() {
    let may_answer = Arc::new(Semaphore::new(0));
    let (charges, keys) = provider(StatusCode::CREATED, may_answer.clone()).await;
    let (records, book) = (records(), OrderBook::default());
    let first = Killable::ordering(&records, &charges, book.clone().into());
    until(|| !keys.lock().expect("nobody panicked").is_empty()).await;
    drop(first);
    assert!(book.numbers().is_empty());

    may_answer.add_permits(1);
    let second = shop(&[Layer::Limit], records, charges, book.clone().into());
    assert_eq!(answer_after_the_lease(&second).await, (StatusCode::CREATED, false));
    assert_eq!(book.numbers(), ["7"]);
    assert!(matches!(book.taken_over()[..], [TakenOver { was_entered: false, was_late: false, .. }]));
    assert_eq!(*keys.lock().expect("nobody panicked"), ["order-7"; 2]);
}

/// Where the provider takes charges, and the keys that it was shown.
async fn killed_when_it_was_entered(records: &MemoryStore, book: &OrderBook) -> (Uri, Arc<Mutex<Vec<String>>>) {
    let (charges, keys) = provider(StatusCode::CREATED, at_once()).await;
    let enters_and_says_nothing = async |State(book): State<OrderBook>, Json((order, fence))| {
        assert!(book.enter(order, fence));
        pending::<()>().await;
    };
    let desk = Router::new().route("/book", post(enters_and_says_nothing)).with_state(book.clone());
    let first = Killable::ordering(records, &charges, Book::lent_at(serve(desk).await));
    until(|| !book.numbers().is_empty()).await;
    drop(first);
    (charges, keys)
}

#[tokio::test]
async fn an_order_that_was_entered_and_not_recorded_is_neither_charged_nor_entered_again() {
    let (records, book) = (records(), OrderBook::default());
    let (charges, keys) = killed_when_it_was_entered(&records, &book).await;
    let lent = Book::lent_at(book.lend().await.expect("there is a free port"));
    let second = shop(&[Layer::Limit], records, charges, lent);
    assert_eq!(answer_after_the_lease(&second).await, (StatusCode::CREATED, false));
    assert_eq!(book.numbers(), ["7"]);
    assert!(matches!(book.taken_over()[..], [TakenOver { was_entered: true, was_late: false, .. }]));
    assert_eq!(*keys.lock().expect("nobody panicked"), ["order-7"]);
    assert!(order(&second, SEVEN).await.1, "and now it is recorded");
}

#[tokio::test]
async fn where_the_records_are_gone_an_order_is_entered_twice_and_its_key_shows_that_it_is_one_charge() {
    let book = OrderBook::default();
    let (charges, keys) = killed_when_it_was_entered(&records(), &book).await;
    let second = shop(&[], records(), charges, book.clone().into());
    assert_eq!(order(&second, SEVEN).await.0, StatusCode::CREATED);
    assert_eq!(book.numbers(), ["7", "7"]);
    assert_eq!(book.taken_over(), []);
    assert_eq!(*keys.lock().expect("nobody panicked"), ["order-7"; 2]);
}

#[tokio::test]
async fn a_book_that_is_lent_says_the_same_as_ones_own() {
    let (charges, _) = provider(StatusCode::SERVICE_UNAVAILABLE, at_once()).await;
    let book = OrderBook::default();
    let lent = Book::lent_at(book.lend().await.expect("there is a free port"));
    let borrower = shop(&[], records(), charges.clone(), lent);
    let owner = shop(&[], records(), charges, book.into());
    assert_eq!(look(&borrower).await, look(&owner).await);
    assert_eq!(look(&owner).await.0, StatusCode::NOT_FOUND);
    assert_eq!(order(&borrower, SEVEN).await.0, StatusCode::ACCEPTED);
    assert_eq!(look(&borrower).await, look(&owner).await);
    assert_eq!(look(&owner).await.0, StatusCode::OK);
}

async fn look(shop: &Router) -> (StatusCode, bool, Bytes) {
    let request = Request::get("/orders/7").body(Body::empty()).expect("a request");
    told(shop.clone().oneshot(request).await.expect("the router answers")).await
}

#[tokio::test]
async fn nobody_knows_what_came_of_an_order_whose_book_is_out_of_reach() {
    let (charges, keys) = provider(StatusCode::CREATED, at_once()).await;
    let nobody = Port::keep().expect("there is a free port");
    let shop = shop(&[], records(), charges, Book::lent_at(nobody.address()));
    assert_eq!(order(&shop, SEVEN).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(look(&shop).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(order(&shop, SEVEN).await.0, StatusCode::CONFLICT, "somebody has to find out");
    assert_eq!(keys.lock().expect("nobody panicked").len(), 1);
}
