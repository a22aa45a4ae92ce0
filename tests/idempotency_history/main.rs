//! In any history each order is carried out once, in paused time. The checker finds out stores that are wrong.

mod plain;
#[path = "../support/mod.rs"]
mod support;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::time::Duration;

use buttress::idempotency::{MemoryStore, Store};
use tokio::time::sleep;
use tower::{Layer, Service};

use crate::plain::{Bug, Plain};
use crate::support::far::Far;
use crate::support::history::{CALLS, History, config};
use crate::support::orders::layer;

const MS: Duration = Duration::from_millis(1);

/// A store that may be told that a client has gone.
trait Told: Store + Clone {
    fn client_has_gone(&self) {}
}

impl Told for MemoryStore {}

impl Told for Plain {
    fn client_has_gone(&self) {
        self.release_all_running();
    }
}

/// How often was heard again what came of an order, or what is wrong.
async fn history(seed: u64, store: impl Told) -> Result<u32, String> {
    let history = History::new(seed, 0, MS);
    let far = Far::to(store.clone());
    let layer = layer(far.clone(), config(MS));
    let mut service = layer.layer(history.service());
    let mut clients = Vec::new();
    for call in 0..CALLS {
        let (order, store) = (history.order(call), store.clone());
        let call = service.call(order.clone());
        clients.push(tokio::spawn(history.client(&order, call, move || store.client_has_gone())));
        if history.one_in(20) {
            tokio::spawn(history.cut_off(&far));
        }
        history.pause(0..400).await;
    }
    for client in clients {
        // One that panicked has no answer.
        drop(client.await);
    }
    // Whatever was left running comes to its end.
    sleep(60_000 * MS).await;
    history.is_settled(async |order| tokio::spawn(service.clone().call(order)).await.ok()?.ok()).await?;
    match layer.idempotency().running() {
        0 => Ok(history.judge()?.replays),
        running => Err(format!("{running} are left running")),
    }
}

fn histories<S: Told>(seeds: Range<u64>, store: impl Fn() -> S) -> Result<u32, String> {
    let mut replays = 0;
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let history = runtime.expect("a runtime").block_on(history(seed, store()));
        replays += history.map_err(|wrong| format!("seed {seed}: {wrong}"))?;
    }
    Ok(replays)
}

#[test]
fn in_any_history_each_order_is_carried_out_once() {
    let replays = histories(0..60, || MemoryStore::new(NonZeroUsize::new(1000).expect("not zero")));
    assert!(replays.expect("a sound history") > 1000, "the control: much was asked for again");
    histories(0..60, || Plain::new(Bug::None)).expect("a sound history");
}

#[test]
fn stores_that_are_wrong_are_found_out() {
    for (bug, complaint) in [
        (Bug::NoLock, "was run"),
        (Bug::NoOwnerCheck, "was run"),
        (Bug::ReleaseOnDrop, "was run"),
        (Bug::FenceFromOne, "by a fence that was no larger"),
    ] {
        let wrong = histories(0..200, || Plain::new(bug)).expect_err("it is wrong");
        assert!(wrong.contains(complaint), "{bug:?}: {wrong}");
    }
}
