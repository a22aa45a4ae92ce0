//! Many clients, some of which go away, services that fail, hang and panic, and a store that is cut off or loses its answers
//! now and then: in any history each order is carried out once. The checker finds out stores that are wrong.

#![allow(clippy::cast_possible_truncation, reason = "small numbers are drawn")]

mod book;
mod plain;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::Error;
use buttress::idempotency::{Execution, IdempotencyConfig, IdempotencyLayer, MemoryStore, RunOnce, Store};
use tokio::time::sleep;
use tower::{Layer, Service, service_fn};

use crate::book::{Book, Page};
use crate::plain::{Bug, Plain};
use crate::support::far::Far;
use crate::support::numbers::Numbers;

const MS: Duration = Duration::from_millis(1);
const LEASE: Duration = Duration::from_secs(3);
const LONGEST_RUN: Duration = Duration::from_secs(6);

type Failure = Error<&'static str>;

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

/// Carries out an order, or fails to, or takes too long.
async fn carry_out(order: u32, book: &Book, dice: impl Fn(Range<u64>) -> u64) -> Result<u32, Failure> {
    let run = Execution::current().expect("it runs once");
    let before = book.begin(order, &run);
    if let Some(effect) = before.filter(|_| run.is_recovered()) {
        return Ok(effect);
    }
    // Some are quick, some take as long as the lease, and some longer than they may.
    sleep(dice(1..if dice(0..4) == 0 { 12_000 } else { 500 }) as u32 * MS).await;
    if dice(0..50) == 0 {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
    if dice(0..6) == 0 {
        book.page(order, |page| page.releases += 1);
        return Err(Error::Inner("busy"));
    }
    let effect = book.write(order, run.fence(), dice(0..1 << 30) as u32)?;
    sleep(dice(1..400) as u32 * MS).await;
    Ok(effect)
}

/// What is wrong with a history, if anything.
async fn history(seed: u64, store: impl Told) -> Result<u32, String> {
    let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
    let chance = {
        let random = random.clone();
        move |range: Range<u64>| random.lock().expect("no panic").u64(range)
    };
    let book = Arc::new(Book::default());
    let (pages, dice) = (book.clone(), chance.clone());
    let inner = service_fn(move |order: u32| {
        let (book, dice) = (pages.clone(), dice.clone());
        async move {
            let result = carry_out(order, &book, dice).await;
            book.page(order, |page| page.ended += 1);
            result
        }
    });
    let config = IdempotencyConfig::new().lease(LEASE).longest_run(LONGEST_RUN).max_attempts(std::num::NonZeroU32::MAX);
    let once = RunOnce::new().global_scope().key(|order: &u32| Some(*order)).fingerprint(|order: &u32| *order);
    let far = Far::to(store.clone());
    let layer = IdempotencyLayer::new(config, far.clone()).expect("valid").identify(once).keep(Numbers);
    let mut service = layer.layer(inner);
    let mut answers: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut calls = Vec::new();
    for _ in 0..120 {
        let order = chance(0..8) as u32;
        let call = service.call(order);
        let (patience, store) = (chance(1..3000) as u32 * MS, store.clone());
        let leaves = chance(0..3) == 0;
        calls.push(tokio::spawn(async move {
            if !leaves {
                return call.await.ok().map(|answer| (order, answer));
            }
            let answer = tokio::time::timeout(patience, call).await;
            if answer.is_err() {
                store.client_has_gone();
            }
            answer.ok()?.ok().map(|answer| (order, answer))
        }));
        if chance(0..20) == 0 {
            let (far, is_down) = (far.clone(), chance(0..2) == 0);
            let long = chance(1000..8000) as u32 * MS;
            far.set(|link| (link.is_down, link.loses_answers) = (is_down, !is_down));
            tokio::spawn(async move {
                sleep(long).await;
                far.set(|link| (link.is_down, link.loses_answers) = (false, false));
            });
        }
        sleep(chance(0..400) as u32 * MS).await;
    }
    for call in calls {
        // One that panicked has no answer.
        if let Ok(Some((order, answer))) = call.await {
            answers.entry(order).or_default().push(answer);
        }
    }
    // Whatever was left running comes to its end, and whoever asks now hears what came of it.
    sleep(60_000 * MS).await;
    for order in 0..8 {
        let effect = book.page(order, |page| page.effects.last().map(|(_, effect)| *effect));
        let answer = tokio::spawn(service.call(order)).await.ok().and_then(Result::ok);
        if effect.is_some() && answer != effect {
            return Err(format!("order {order} is {effect:?}, and whoever asks now hears {answer:?}"));
        }
        answers.entry(order).or_default().extend(answer);
    }
    let running = layer.idempotency().running();
    if running > 0 {
        return Err(format!("{running} are left running"));
    }
    let mut replays = 0;
    for order in 0..8 {
        let Page { effects, runs, takeovers, releases, zombies, ended, fences_grew, .. } =
            book.page(order, std::mem::take);
        if runs > 1 + takeovers + releases {
            return Err(format!("order {order} was run {runs} times: {takeovers} takeovers, {releases} releases"));
        }
        if !fences_grew {
            return Err(format!("order {order} was run by a fence that was no larger than one before"));
        }
        let answers = answers.remove(&order).unwrap_or_default();
        let (_, effect) = match effects[..] {
            [effect] => effect,
            [] if answers.is_empty() && ended == releases + zombies => continue,
            _ => return Err(format!("order {order} was carried out {} times in {runs} runs", effects.len())),
        };
        if let Some(other) = answers.iter().find(|answer| **answer != effect) {
            return Err(format!("order {order} is {effect}, and somebody heard of {other}"));
        }
        replays += u32::try_from(answers.len()).expect("a few").saturating_sub(1);
    }
    Ok(replays)
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
