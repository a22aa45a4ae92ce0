//! What holds when an instance of an app crashes, stands still, or has a wrong clock: the same over every engine.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use buttress::idempotency::{Acquired, Begin, Claim, Execution, Fingerprint, Owner, Store};
use bytes::Bytes;
use tokio::time::{sleep, timeout};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, service_fn};

use super::app::{App, LEASE, PATIENCE, config};
use super::book::Book;
use super::orders::{Failure, Order, key, layer, outcome};

const HOUR: u64 = 3600;

/// The other instance, in this process.
struct Here {
    service: BoxCloneSyncService<Order, u32, Failure>,
    book: Arc<Book>,
    runs: Arc<Mutex<Vec<Acquired>>>,
}

impl Here {
    fn new(store: impl Store) -> Self {
        let (book, runs) = (Arc::new(Book::default()), Arc::new(Mutex::new(Vec::new())));
        let (pages, all) = (book.clone(), runs.clone());
        let handler = service_fn(move |order: Order| {
            let run = Execution::current().expect("it is run once");
            let run = Acquired { fence: run.fence(), attempt: run.attempt() };
            all.lock().expect("no panic").push(run);
            pages.begin(order.0, run);
            std::future::ready(pages.write(order.0, run.fence, order.0 * 10))
        });
        Self { service: BoxCloneSyncService::new(layer(store, config()).layer(handler)), book, runs }
    }

    async fn order(&mut self, order: u32) -> String {
        outcome(self.service.call(Order(order)).await)
    }

    /// Asks until it is told something else than that somebody runs it.
    async fn order_patiently(&mut self, order: u32) -> String {
        let told = async {
            loop {
                let told = self.order(order).await;
                if told != "Running" {
                    return told;
                }
                sleep(LEASE / 60).await;
            }
        };
        timeout(PATIENCE, told).await.expect("the lease of another ends")
    }

    fn last_run(&self) -> Acquired {
        *self.runs.lock().expect("no panic").last().expect("there was one")
    }
}

/// Of an owner that is killed in the midst of an order.
pub(crate) async fn who_is_killed_is_taken_over_from(records: &Path, store: impl Store) {
    let (mut app, mut here) = (App::start(records).await, Here::new(store));
    app.begins(2).await;
    app.end().await;
    assert_eq!(app.told(2).await, "2001");
    let first = app.begins(1).await;
    assert_eq!(here.order(1).await, "Running", "two processes have the same records");
    app.kill().await;
    assert_eq!(here.order(2).await, "2001", "what was recorded is not lost");
    assert_eq!(here.order(1).await, "Running", "its lease is not over");
    assert_eq!(here.order_patiently(1).await, "10");
    let second = here.last_run();
    assert!(first.attempt == 1 && second.attempt == 2 && second.is_recovered(), "{first:?}, then {second:?}");
    assert!(second.fence > first.fence, "{first:?}, then {second:?}");
    let mut another = App::start(records).await;
    assert_eq!(another.order(1).await, "10", "a process that starts afterwards is told the same");
}

/// Of an owner that stands still for longer than its lease, and then goes on.
pub(crate) async fn who_was_frozen_changes_nothing(records: &Path, store: impl Store + Clone) {
    let (mut app, mut here) = (App::start(records).await, Here::new(store.clone()));
    let zombie = app.begins(1).await;
    here.book.begin(1, zombie);
    app.signal("STOP");
    assert_eq!(here.order(1).await, "Running", "its lease is not over");
    assert_eq!(here.order_patiently(1).await, "10", "it is taken over from");
    assert!(here.last_run().is_recovered() && here.last_run().fence > zombie.fence, "{zombie:?} {:?}", here.last_run());

    app.signal("CONT");
    assert_eq!(app.hear("lost ").await, "false false false Lost", "renewed, released, parked, completed");
    assert!(here.book.write(1, zombie.fence, 666).is_err(), "what is written by the old fence is refused");
    assert_eq!(app.told(1).await, "10", "its client hears what the other one has done");
    let recorded = store.look(&key(1), Fingerprint::of(&1_u32)).await.expect("said");
    assert_eq!(recorded, Some(Begin::Done(Bytes::copy_from_slice(&10_u32.to_le_bytes()))));
    assert_eq!(here.order(1).await, "10");
    // The control: whoever is the owner is not refused anything.
    app.begins(2).await;
    app.end().await;
    assert_eq!(app.told(2).await, "2001");
    assert_eq!(here.order(2).await, "2001");
}

/// Of instances that are an hour ahead or behind: nobody takes over before a lease is over, and everybody after.
pub(crate) async fn clocks_that_are_off_change_nothing(records: &Path, store: impl Store + Clone) {
    tokio::join!(
        a_clock_that_is_off_changes_nothing("+1h", 10, records, store.clone()),
        a_clock_that_is_off_changes_nothing("-1h", 20, records, store),
    );
}

async fn a_clock_that_is_off_changes_nothing(off: &str, order: u32, records: &Path, store: impl Store + Clone) {
    let mut here = Here::new(store.clone());
    let now = UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs();
    let mut app = App::start_off_by(off, records).await;
    let by = app.clock.abs_diff(now);
    let is_as_said = by.abs_diff(HOUR) < HOUR / 6 && (app.clock > now) == off.starts_with('+');
    assert!(is_as_said, "the control: {off} is {by} s");

    let (fingerprint, owner) = (Fingerprint::of(&order), Owner::random());
    let claim = Claim { fingerprint, owner, lease: LEASE, retention: 1000 * LEASE };
    let begun = store.begin(&key(order), claim).await.expect("said");
    assert!(matches!(begun, Begin::Acquired(_)), "{begun:?}");
    assert_eq!(app.order(order).await, "Running", "{off}: nobody takes over early");
    assert_eq!(app.begins(order).await.attempt, 2, "{off}: what is left behind is taken over in the end");
    app.end().await;
    assert_eq!(app.told(order).await, format!("{}", order * 1000 + 2));

    let next = order + 1;
    let first = app.begins(next).await;
    assert_eq!(here.order(next).await, "Running", "{off}: nor does anybody take over from it early");
    app.kill().await;
    assert_eq!(here.order(next).await, "Running", "{off}: its lease is not over");
    assert_eq!(here.order_patiently(next).await, format!("{}", next * 10));
    let second = here.last_run();
    assert!(second.attempt == 2 && second.fence > first.fence, "{off}: {first:?}, then {second:?}");
}
