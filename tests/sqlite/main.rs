//! Records in a file of SQLite, which processes open, leave and are killed over.

mod histories;
mod processes;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use buttress::conformance::idempotency;
use buttress::engines::{SqlStore, Sqlite};
use buttress::idempotency::{
    Acquired, Begin, Claim, Commit, Fingerprint, IdempotencyConfig, Owner, RecordKey, RefusalReason, Store, StoreError,
};
use bytes::Bytes;
use futures::future::{FutureExt, join_all};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, raw_sql};
use tempfile::TempDir;
use tokio::sync::{Barrier, Notify};
use tokio::time::sleep;
use tower::{Layer, Service};

use crate::support::orders::{Order, layer, reason, when_told};
use crate::support::outage;
use crate::support::reference::says_what_memory_says;

const SEC: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(2);

/// A folder of a test's own, and a file in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("records")
    }

    async fn store(&self) -> SqlStore<Sqlite> {
        SqlStore::<Sqlite>::open(self.file()).await.expect("a file")
    }

    async fn store_at(&self, now: SystemTime) -> SqlStore<Sqlite> {
        SqlStore::<Sqlite>::open_at(self.file(), now).await.expect("a file")
    }

    /// As somebody else who has the file open.
    async fn connection(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        SqliteConnection::connect_with(&options).await.expect("a file")
    }
}

async fn run(connection: &mut SqliteConnection, statements: &str) {
    raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("statements that can be run");
}

fn key(of: u32) -> RecordKey {
    RecordKey::of(&"test", &of)
}

fn claim(owner: Owner) -> Claim {
    Claim { fingerprint: Fingerprint::of(&1_u8), owner, lease: LEASE, retention: 3600 * SEC }
}

/// The wall clock, at some time that is not now.
fn a_day() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * 86_400 * SEC
}

fn tea() -> Bytes {
    Bytes::from_static(b"tea")
}

async fn acquire(store: &SqlStore<Sqlite>, of: u32, claim: Claim) -> Acquired {
    match store.begin(&key(of), claim).await {
        Ok(Begin::Acquired(acquired)) => acquired,
        other => panic!("it is to be acquired, and the store says {other:?}"),
    }
}

async fn is_running(store: &SqlStore<Sqlite>, of: u32) -> bool {
    matches!(store.begin(&key(of), claim(Owner::random())).await, Ok(Begin::Running { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_a_file_conform() {
    idempotency::check(&Folder::new().store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_says_what_memory_says() {
    says_what_memory_says(&Folder::new().store().await, 0..100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_32_that_race_over_two_that_have_the_file_open_one_wins_each_time() {
    let folder = Folder::new();
    let stores = [folder.store().await, folder.store().await];
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
                store.begin(&key(round), Claim { lease: 30 * SEC, ..claim(Owner::random()) }).await
            })
        });
        let said: Vec<_> = join_all(racers).await.into_iter().map(|racer| racer.expect("no panic")).collect();
        let mut winners = said.iter().filter_map(|said| match said {
            Ok(Begin::Acquired(acquired)) => Some(*acquired),
            _ => None,
        });
        let winner = winners.next().expect("somebody wins");
        assert_eq!(winners.next(), None, "round {round}: {said:?}");
        let others = said.iter().filter(|said| matches!(said, Ok(Begin::Running { .. }))).count();
        assert_eq!(others, 31, "round {round}: nobody is told an error: {said:?}");
        match before {
            None => assert_eq!(winner.attempt, 1),
            Some(before) => assert!(winner.attempt == 2 && winner.fence > before.fence),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_make_one_file() {
    let folder = Folder::new();
    let stores = join_all((0..8).map(|_| folder.store())).await;
    acquire(&stores[0], 1, Claim { lease: 30 * SEC, ..claim(Owner::random()) }).await;
    for store in &stores {
        assert!(is_running(store, 1).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_that_the_store_is_opened_anew_and_fences_grow() {
    let folder = Folder::new();
    let (one, other) = (Owner::random(), Owner::random());
    let store = folder.store().await;
    let first = acquire(&store, 1, claim(one)).await;
    store.complete(&key(1), claim(one), tea()).await.expect("stored");
    let second = acquire(&store, 2, claim(one)).await;
    store.park(&key(2), claim(one), "why").await.expect("parked");
    let third = acquire(&store, 3, claim(one)).await;
    assert!(store.release(&key(3), one).await.expect("released"));
    drop(store);

    let store = folder.store().await;
    assert_eq!(store.begin(&key(1), claim(other)).await.expect("said"), Begin::Done(tea()));
    assert_eq!(store.begin(&key(2), claim(other)).await.expect("said"), Begin::Parked("why".into()));
    let again = acquire(&store, 3, claim(other)).await;
    assert_eq!(again.attempt, 1, "nothing is known of what was released");
    assert!([first, second, third].iter().all(|before| before.fence < again.fence), "{again:?}");
}

/// A fence may be kept where something was written, by what does not know that the file is gone.
#[tokio::test(flavor = "multi_thread")]
async fn fences_grow_over_the_loss_of_the_file() {
    let (one, other) = (Folder::new(), Folder::new());
    let first = acquire(&one.store().await, 1, claim(Owner::random())).await;
    // How long the machine is up is told in hundredths of a second, and a clock is off by one at most.
    sleep(Duration::from_millis(30)).await;
    assert!(acquire(&other.store().await, 1, claim(Owner::random())).await.fence > first.fence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_changes_nothing_about_leases() {
    let (folder, now) = (Folder::new(), a_day());
    let store = folder.store_at(now).await;
    let first = acquire(&store, 1, claim(Owner::random())).await;
    drop(store);

    let set_back = folder.store_at(now - 600 * SEC).await;
    match set_back.begin(&key(1), claim(Owner::random())).await {
        Ok(Begin::Running { left }) => assert!(left <= LEASE, "it is not ten minutes longer: {left:?}"),
        other => panic!("the lease holds, and the store says {other:?}"),
    }
    sleep(LEASE + LEASE / 4).await;
    let second = acquire(&set_back, 1, claim(Owner::random())).await;
    assert!(second.attempt == 2 && second.fence > first.fence, "it ends when it would have: {second:?}");
}

/// Two processes once had a clock each: one that was opened after the wall clock was set back began what the other took for over.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_while_another_has_the_file_open_changes_nothing_about_leases() {
    let (folder, now) = (Folder::new(), a_day());
    let before = folder.store_at(now).await;
    let set_back = folder.store_at(now - 600 * SEC).await;
    acquire(&set_back, 1, Claim { lease: 30 * SEC, ..claim(Owner::random()) }).await;
    assert!(is_running(&before, 1).await);
    acquire(&before, 2, Claim { lease: 30 * SEC, ..claim(Owner::random()) }).await;
    assert!(is_running(&set_back, 2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_on_while_another_has_the_file_open_ends_no_lease() {
    let (folder, now) = (Folder::new(), a_day());
    let before = folder.store_at(now).await;
    acquire(&before, 1, Claim { lease: 30 * SEC, ..claim(Owner::random()) }).await;
    let set_on = folder.store_at(now + 3600 * SEC).await;
    assert!(is_running(&set_on, 1).await);
    acquire(&set_on, 2, Claim { lease: LEASE, ..claim(Owner::random()) }).await;
    assert!(is_running(&before, 2).await);
    sleep(LEASE + LEASE / 4).await;
    assert_eq!(acquire(&before, 2, claim(Owner::random())).await.attempt, 2, "the control: time goes by");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_goes_by_while_the_machine_is_down() {
    let (folder, now) = (Folder::new(), a_day());
    let store = folder.store_at(now).await;
    acquire(&store, 1, claim(Owner::random())).await;
    drop(store);
    run(&mut folder.connection().await, "UPDATE machine SET boot = 'the one before'").await;
    let later = folder.store_at(now + 10 * LEASE).await;
    assert_eq!(acquire(&later, 1, claim(Owner::random())).await.attempt, 2);
    drop(later);
    run(&mut folder.connection().await, "UPDATE machine SET boot = 'the one before'").await;
    let set_back = folder.store_at(now).await;
    assert!(is_running(&set_back, 1).await, "it goes on from when the file was last written");
}

/// One thread: all have asked before the writer has its turn.
#[tokio::test]
async fn those_who_ask_at_once_are_written_at_once() {
    let folder = Folder::new();
    let store = folder.store().await;
    let all = join_all((0..200).map(|of| acquire(&store, of, claim(Owner::random())))).await;
    assert_eq!(all.len(), 200);
    // The runtime has the writer in between when the task has had its share.
    let commits = store.commits();
    assert!(commits <= 4, "{commits} transactions");
    let all = join_all((0..200).map(|of| is_running(&store, of))).await;
    assert!(all.iter().all(|is_running| *is_running));
    assert_eq!(store.commits(), commits, "there is nothing to write");
    for of in 200..210 {
        acquire(&store, of, claim(Owner::random())).await;
    }
    assert_eq!(store.commits(), commits + 10, "the control: one after another");
}

/// One thread: whoever asks is gone before the writer has its turn.
#[tokio::test]
async fn nothing_is_claimed_for_whoever_is_gone() {
    let folder = Folder::new();
    let store = folder.store().await;
    let owner = Owner::random();
    assert!(store.begin(&key(1), claim(owner)).now_or_never().is_none(), "it is dropped while it waits");
    assert!(store.complete(&key(2), claim(owner), tea()).now_or_never().is_none(), "it is dropped while it waits");
    let look = async |of| store.look(&key(of), Fingerprint::of(&1_u8)).await.expect("said");
    assert_eq!(look(1).await, None);
    assert_eq!(look(2).await, Some(Begin::Done(tea())), "the control: what came of a request is recorded");
}

/// One thread: all have asked before the writer has its turn.
#[tokio::test]
async fn what_cannot_be_written_keeps_nothing_else_from_it() {
    let folder = Folder::new();
    let store = folder.store().await;
    let mut beside = folder.connection().await;
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON record WHEN NEW.outcome = x'626164' \
                  BEGIN SELECT RAISE(ABORT, 'refused'); END";
    run(&mut beside, refuse).await;
    let complete = |of: u32| {
        let answer = if of == 7 { Bytes::from_static(b"bad") } else { tea() };
        let store = &store;
        async move { store.complete(&key(of), claim(Owner::random()), answer).await }
    };
    let said = join_all((0..20).map(complete)).await;
    for (of, said) in said.iter().enumerate() {
        if of == 7 {
            assert!(matches!(said, Err(StoreError::Unavailable(_))), "it is undone: {said:?}");
        } else {
            assert!(matches!(said, Ok(Commit::Recreated)), "{of}: {said:?}");
        }
    }
    assert_eq!(store.look(&key(7), Fingerprint::of(&1_u8)).await.expect("said"), None);
    assert_eq!(store.look(&key(8), Fingerprint::of(&1_u8)).await.expect("said"), Some(Begin::Done(tea())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_purged_up_to_a_limit() {
    let folder = Folder::new();
    let store = folder.store().await;
    let over = |owner| Claim { lease: Duration::ZERO, retention: Duration::ZERO, ..claim(owner) };
    for of in 0..30 {
        acquire(&store, of, over(Owner::random())).await;
    }
    acquire(&store, 30, claim(Owner::random())).await;
    assert_eq!(store.purge(12).await.expect("purged"), 12);
    assert_eq!(store.purge(u32::MAX).await.expect("purged"), 18, "what runs is not over");
    assert_eq!(store.purge(u32::MAX).await.expect("purged"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_longer_than_time_goes_is_remembered_all_the_same() {
    let folder = Folder::new();
    let store = folder.store().await;
    let owner = Owner::random();
    let for_ever = Claim { lease: Duration::MAX, retention: Duration::MAX, ..claim(owner) };
    acquire(&store, 1, for_ever).await;
    assert!(matches!(store.renew(&key(1), owner, Duration::MAX).await, Ok(true)));
    assert!(is_running(&store, 1).await);
    assert!(matches!(store.complete(&key(1), for_ever, tea()).await, Ok(Commit::Stored)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_makes_no_sense_is_not_taken_for_none() {
    let folder = Folder::new();
    let store = folder.store().await;
    acquire(&store, 1, claim(Owner::random())).await;
    acquire(&store, 2, claim(Owner::random())).await;
    let mut beside = folder.connection().await;
    for change in ["fingerprint = x'00'", "phase = 3", "phase = 1", "fence = -1", "owner = x'00'"] {
        let key = key(1).to_string();
        run(&mut beside, &format!("UPDATE record SET {change} WHERE key = x'{key}'")).await;
        let said = store.begin(&self::key(1), claim(Owner::random())).await;
        assert!(matches!(said, Err(StoreError::Corrupt(_))), "{change}: {said:?}");
        let repair = "UPDATE record SET (fingerprint, owner, phase, fence) = \
                      (SELECT fingerprint, owner, phase, fence FROM record ORDER BY key = x'{key}' LIMIT 1)";
        run(&mut beside, &repair.replace("{key}", &key)).await;
        assert!(store.look(&self::key(1), Fingerprint::of(&1_u8)).await.is_ok(), "the control");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_something_else_is_refused_and_left_as_it_is() {
    let is_corrupt = async |file: &Path| {
        let before = std::fs::read(file).expect("a file");
        let opened = SqlStore::<Sqlite>::open(file).await;
        assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
        assert!(std::fs::read(file).expect("a file") == before);
    };
    let folder = Folder::new();
    std::fs::write(
        folder.file(),
        "no database at all, but a text that is as long as the head of one would be: ".repeat(9),
    )
    .expect("a file");
    is_corrupt(&folder.file()).await;

    let folder = Folder::new();
    let mut other = folder.connection().await;
    run(&mut other, "CREATE TABLE record (name TEXT)").await;
    other.close().await.expect("closed");
    is_corrupt(&folder.file()).await;

    let folder = Folder::new();
    drop(folder.store().await);
    let mut later = folder.connection().await;
    run(&mut later, "PRAGMA user_version = 2").await;
    later.close().await.expect("closed");
    let opened = SqlStore::<Sqlite>::open(folder.file()).await;
    assert!(matches!(opened, Err(StoreError::Corrupt(_))), "it is of a later version: {opened:?}");

    let opened = SqlStore::<Sqlite>::open(":memory:").await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "it is no file: {opened:?}");

    let opened = SqlStore::<Sqlite>::open(folder.file().join("in no folder")).await;
    assert!(matches!(opened, Err(StoreError::Unavailable(_))), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_else_writes_is_waited_for_no_longer_than_the_layer_says() {
    let folder = Folder::new();
    let store = folder.store().await;
    let (runs, begun, may_end) = (Arc::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let config = IdempotencyConfig::new().store_timeout(SEC / 5);
    let mut impatient = layer(store.clone(), config).layer(when_told(&runs, &begun, &may_end));
    let mut service =
        layer(store, IdempotencyConfig::new().store_timeout(5 * SEC)).layer(when_told(&runs, &begun, &may_end));
    let mut beside = folder.connection().await;
    run(&mut beside, "BEGIN IMMEDIATE").await;
    assert_eq!(reason(impatient.call(Order(1)).await), RefusalReason::StoreUnavailable);
    run(&mut beside, "COMMIT").await;
    may_end.notify_one();
    assert_eq!(service.call(Order(2)).await.expect("an answer"), 21, "nothing was run meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_a_request_is_recorded_when_the_file_is_let_go() {
    let folder = Folder::new();
    let (store, beside) = (folder.store().await, folder.connection().await);
    outage::what_came_of_it_is_recorded_in_the_end(
        (folder, beside),
        store,
        async |(_, beside)| run(beside, "BEGIN IMMEDIATE").await,
        async |(_, beside)| run(beside, "COMMIT").await,
        async |(folder, _)| folder.store().await,
    )
    .await;
}

#[test]
fn a_store_whose_runtime_has_ended_says_so() {
    let folder = Folder::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let store = runtime().block_on(folder.store());
    let said = runtime().block_on(store.look(&key(1), Fingerprint::of(&1_u8)));
    assert!(matches!(said, Err(StoreError::Unavailable(_))), "{said:?}");
}
