//! Many clients, some of which go away, services that fail, hang and panic, and a store that is cut off now and then: in any
//! history each order is carried out once. The checker finds out stores that are wrong.

#![allow(clippy::cast_possible_truncation, reason = "small numbers are drawn")]

use std::collections::HashMap;
use std::future::Ready;
use std::future::ready;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::Error;
use buttress::clock::Moment;
use buttress::idempotency::{
    Acquired, Begin, Capabilities, Claim, Commit, Execution, Fingerprint, IdempotencyConfig, IdempotencyLayer, Keep,
    Kept, MemoryStore, Owner, RecordKey, RunOnce, Store, StoreError, Unreadable, Verdict,
};
use bytes::Bytes;
use tokio::time::sleep;
use tower::{Layer, Service, service_fn};

const MS: Duration = Duration::from_millis(1);
const LEASE: Duration = Duration::from_secs(3);
const LONGEST_RUN: Duration = Duration::from_secs(6);

type Failure = Error<&'static str>;

/// Where the orders are carried out. It keeps the largest fence that it has seen of each, and lets nobody write who has a
/// smaller one.
#[derive(Default)]
struct Book(Mutex<HashMap<u32, Page>>);

#[derive(Default)]
struct Page {
    fence: u64,
    /// What was done, and by which fence.
    effects: Vec<(u64, u32)>,
    runs: u32,
    takeovers: u32,
    releases: u32,
    zombies: u32,
    /// Runs that were not stopped in the midst.
    ended: u32,
}

impl Book {
    fn page<T>(&self, order: u32, on: impl FnOnce(&mut Page) -> T) -> T {
        on(self.0.lock().expect("no panic").entry(order).or_default())
    }

    /// Whoever begins says so, and hears what was done before.
    fn begin(&self, order: u32, run: &Execution) -> Result<Option<u32>, Failure> {
        self.page(order, |page| {
            page.runs += 1;
            page.takeovers += u32::from(run.is_recovered());
            if run.fence() < page.fence {
                return Err(Error::Inner("a zombie"));
            }
            page.fence = run.fence();
            Ok(page.effects.last().map(|(_, effect)| *effect))
        })
    }

    fn write(&self, order: u32, fence: u64, effect: u32) -> Result<u32, Failure> {
        self.page(order, |page| {
            if fence < page.fence {
                page.zombies += 1;
                return Err(Error::Inner("a zombie"));
            }
            page.effects.push((fence, effect));
            Ok(effect)
        })
    }
}

/// Numbers are final; errors have had no effect.
struct Numbers;

impl<E: Send> Keep<u32, E> for Numbers {
    type Future = Ready<Kept<u32, E>>;

    fn keep(&self, result: Result<u32, E>) -> Self::Future {
        let verdict = match &result {
            Ok(number) => Verdict::Final(Bytes::copy_from_slice(&number.to_le_bytes())),
            Err(_) => Verdict::NoEffect,
        };
        ready(Kept { result, verdict })
    }

    fn replay(&self, kept: Bytes) -> Result<u32, Unreadable> {
        kept.as_ref().try_into().map(u32::from_le_bytes).map_err(|_| Unreadable::new("not four bytes"))
    }
}

/// What a store can do wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bug {
    None,
    /// Everybody runs.
    NoLock,
    /// Whoever comes late writes and renews all the same.
    NoOwnerCheck,
    /// Who goes away takes the claim along.
    ReleaseOnDrop,
    /// A fence is of the record, and gone with it.
    FenceFromOne,
}

/// A plain store, right but for its bug; it does not share a line with those of the crate.
#[derive(Clone)]
struct Plain {
    bug: Bug,
    records: Arc<Mutex<HashMap<RecordKey, Record>>>,
    fence: Arc<Mutex<u64>>,
    down_until: Arc<Mutex<Moment>>,
}

#[derive(Clone)]
struct Record {
    owner: Owner,
    acquired: Acquired,
    until: Moment,
    done: Option<Bytes>,
}

impl Plain {
    fn new(bug: Bug) -> Self {
        Self { bug, records: Arc::default(), fence: Arc::default(), down_until: Arc::new(Mutex::new(Moment::EPOCH)) }
    }

    fn reach(&self) -> Result<(), StoreError> {
        if Moment::now() < *self.down_until.lock().expect("no panic") {
            return Err(StoreError::Unavailable(Arc::new("down".into())));
        }
        Ok(())
    }

    fn release_all_running(&self) {
        self.records.lock().expect("no panic").retain(|_, record| record.done.is_some());
    }

    fn own<T>(
        &self,
        key: &RecordKey,
        owner: Owner,
        on: impl FnOnce(&mut HashMap<RecordKey, Record>) -> T,
    ) -> Option<T> {
        let mut records = self.records.lock().expect("no panic");
        let is_own = records
            .get(key)
            .is_some_and(|record| (record.owner == owner || self.bug == Bug::NoOwnerCheck) && record.done.is_none());
        is_own.then(|| on(&mut records))
    }
}

impl Store for Plain {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        self.reach()?;
        let (mut records, now) = (self.records.lock().expect("no panic"), Moment::now());
        let attempt = match records.get(key) {
            None => 1,
            Some(Record { done: Some(kept), .. }) => return Ok(Begin::Done(kept.clone())),
            Some(record) if record.until > now && self.bug != Bug::NoLock => {
                return Ok(Begin::Running { left: record.until.since(now) });
            }
            Some(record) if self.bug == Bug::NoLock => record.acquired.attempt,
            Some(record) => record.acquired.attempt + 1,
        };
        let fence = if self.bug == Bug::FenceFromOne {
            records.get(key).map_or(1, |record| record.acquired.fence + 1)
        } else {
            let mut fence = self.fence.lock().expect("no panic");
            *fence += 1;
            *fence
        };
        let acquired = Acquired { fence, attempt };
        records.insert(*key, Record { owner: claim.owner, acquired, until: now + claim.lease, done: None });
        Ok(Begin::Acquired(acquired))
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        self.reach()?;
        let mut records = self.records.lock().expect("no panic");
        match records.get_mut(key) {
            Some(record) if record.owner != claim.owner && self.bug != Bug::NoOwnerCheck => Ok(Commit::Lost),
            Some(record) => {
                record.done = Some(answer);
                Ok(Commit::Stored)
            }
            None => {
                let acquired = Acquired { fence: 0, attempt: 1 };
                let record = Record { owner: claim.owner, acquired, until: Moment::EPOCH, done: Some(answer) };
                records.insert(*key, record);
                Ok(Commit::Recreated)
            }
        }
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        self.reach()?;
        let until = Moment::now() + lease;
        Ok(self.own(key, owner, |records| records.get_mut(key).map(|record| record.until = until)).is_some())
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.reach()?;
        Ok(self.own(key, owner, |records| records.remove(key)).is_some())
    }

    async fn park(&self, key: &RecordKey, claim: Claim, _: &str) -> Result<bool, StoreError> {
        self.release(key, claim.owner).await
    }

    async fn look(&self, key: &RecordKey, _: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.reach()?;
        let (records, now) = (self.records.lock().expect("no panic"), Moment::now());
        Ok(records.get(key).and_then(|record| match &record.done {
            Some(kept) => Some(Begin::Done(kept.clone())),
            None => (record.until > now).then(|| Begin::Running { left: record.until.since(now) }),
        }))
    }

    async fn resolve(&self, _: &RecordKey, _: Option<Bytes>) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn purge(&self, _: u32) -> Result<u32, StoreError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        MemoryStore::new(NonZeroUsize::MIN).capabilities()
    }
}

/// What a store may have to suffer.
trait Disturbed: Store + Clone {
    fn cut_off(&self, _: Duration) {}
    fn client_has_gone(&self) {}
}

impl Disturbed for Plain {
    fn cut_off(&self, long: Duration) {
        *self.down_until.lock().expect("no panic") = Moment::now() + long;
    }

    fn client_has_gone(&self) {
        if self.bug == Bug::ReleaseOnDrop {
            self.release_all_running();
        }
    }
}

impl Disturbed for MemoryStore {}

/// Carries out an order, or fails to, or takes too long.
async fn carry_out(order: u32, book: &Book, dice: impl Fn(Range<u64>) -> u64) -> Result<u32, Failure> {
    let run = Execution::current().expect("it runs once");
    let before = book.begin(order, &run)?;
    if let Some(effect) = before.filter(|_| run.is_recovered()) {
        return Ok(effect);
    }
    // Some are quick, some take as long as the lease, and some longer than they may.
    sleep(dice(1..if dice(0..4) == 0 { 12_000 } else { 500 }) as u32 * MS).await;
    if dice(0..6) == 0 {
        book.page(order, |page| page.releases += 1);
        return Err(Error::Inner("busy"));
    }
    let effect = book.write(order, run.fence(), dice(0..1 << 30) as u32)?;
    sleep(dice(1..400) as u32 * MS).await;
    Ok(effect)
}

/// What is wrong with a history, if anything.
async fn history(seed: u64, store: impl Disturbed) -> Result<u32, String> {
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
    let layer = IdempotencyLayer::new(config, store.clone()).expect("valid").identify(once).keep(Numbers);
    let mut service = layer.layer(inner);
    let mut answers: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut calls = Vec::new();
    for _ in 0..120 {
        let order = chance(0..8) as u32;
        let call = service.call(order);
        let (patience, disturbed) = (chance(1..3000) as u32 * MS, store.clone());
        let leaves = chance(0..3) == 0;
        calls.push(tokio::spawn(async move {
            if !leaves {
                return call.await.ok().map(|answer| (order, answer));
            }
            let answer = tokio::time::timeout(patience, call).await;
            if answer.is_err() {
                disturbed.client_has_gone();
            }
            answer.ok()?.ok().map(|answer| (order, answer))
        }));
        if chance(0..30) == 0 {
            store.cut_off(chance(1000..8000) as u32 * MS);
        }
        sleep(chance(0..400) as u32 * MS).await;
    }
    for call in calls {
        if let Some((order, answer)) = call.await.expect("no panic") {
            answers.entry(order).or_default().push(answer);
        }
    }
    // Whatever was left running comes to its end, and whoever asks now hears what came of it.
    sleep(60_000 * MS).await;
    for order in 0..8 {
        let effect = book.page(order, |page| page.effects.last().map(|(_, effect)| *effect));
        let answer = service.call(order).await;
        if let Some(effect) = effect
            && answer.as_ref().ok() != Some(&effect)
        {
            return Err(format!("order {order} is {effect}, and whoever asks now hears {answer:?}"));
        }
        answers.entry(order).or_default().extend(answer.ok());
    }
    let running = layer.idempotency().running();
    if running > 0 {
        return Err(format!("{running} are left running"));
    }
    let mut replays = 0;
    for order in 0..8 {
        let Page { effects, runs, takeovers, releases, zombies, ended, .. } = book.page(order, std::mem::take);
        if runs > 1 + takeovers + releases {
            return Err(format!("order {order} was run {runs} times: {takeovers} takeovers, {releases} releases"));
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

fn histories<S: Disturbed>(seeds: Range<u64>, store: impl Fn() -> S) -> Result<u32, String> {
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
    for bug in [Bug::NoLock, Bug::NoOwnerCheck, Bug::ReleaseOnDrop, Bug::FenceFromOne] {
        let wrong = histories(0..200, || Plain::new(bug)).expect_err("it is wrong");
        println!("{bug:?}: {wrong}");
    }
}
