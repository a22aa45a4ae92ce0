//! Ours and what is bare, by turns.
#![allow(clippy::disallowed_methods, reason = "a bench reads real time")]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use buttress::idempotency::{Begin, Claim, Commit, Fingerprint, Owner, RecordKey, Store};
use tokio::task::JoinSet;

const TASKS: [usize; 3] = [1, 32, 64];
const ROUNDS: usize = 25;
const ROUND: Duration = Duration::from_millis(120);

/// Of so many records one is asked for again.
const KNOWN: usize = 1000;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a request is begun with, where nothing is recorded but that.
const SMALL: &[u8] = &[1; 16];
const ANSWER: &[u8] = &[2; 1024];

/// An engine, as ours uses it and as it is, over the same connections.
pub(crate) trait Engine: Send + Sync + 'static {
    type Store: Store;

    fn store(&self) -> &Self::Store;

    /// Writes a value under a key, whatever was there.
    fn write(&self, key: &RecordKey, value: &'static [u8]) -> impl Future<Output = ()> + Send;

    fn read(&self, key: &RecordKey) -> impl Future<Output = Vec<u8>> + Send;
}

/// An engine in which each operation of ours is a script.
pub(crate) trait Scripted: Engine {
    /// As [`write`](Engine::write), by a script that does nothing else.
    fn write_by_script(&self, key: &RecordKey, value: &'static [u8]) -> impl Future<Output = ()> + Send;
}

/// The same as [`measure`], and what the least that two scripts can do takes.
pub(crate) async fn measure_scripted(engine: Arc<impl Scripted>) {
    for tasks in TASKS {
        compare("two scripts of one write", &engine, tasks, write_twice, write_twice_by_script).await;
    }
    measure(engine).await;
}

/// Prints of every round what was measured, with how many tasks, and how often a second what is bare was done, and ours.
pub(crate) async fn measure(engine: Arc<impl Engine>) {
    for tasks in TASKS {
        compare("begin and complete", &engine, tasks, write_twice, begin_and_complete).await;
    }
    let known: Arc<[RecordKey]> = (0..KNOWN).map(|_| any_key()).collect();
    for key in &*known {
        engine.write(key, ANSWER).await;
        let claim = Claim { fingerprint: fingerprint(), owner: Owner::random(), lease: HOUR, retention: DAY };
        let done = engine.store().complete(key, claim, Bytes::from_static(ANSWER)).await;
        assert!(matches!(done, Ok(Commit::Recreated)), "{done:?}");
    }
    let next = Arc::new(AtomicUsize::new(0));
    let known = move || known[next.fetch_add(1, Ordering::Relaxed) % KNOWN];
    for tasks in TASKS {
        let (known, of_bare) = (known.clone(), known.clone());
        compare("replay", &engine, tasks, move |engine| read(engine, of_bare()), move |engine| replay(engine, known()))
            .await;
    }
}

async fn compare<E: Engine, B: Future<Output = ()> + Send + 'static, O: Future<Output = ()> + Send + 'static>(
    what: &str,
    engine: &Arc<E>,
    tasks: usize,
    bare: impl Fn(Arc<E>) -> B + Clone + Send + 'static,
    ours: impl Fn(Arc<E>) -> O + Clone + Send + 'static,
) {
    for round in 0..=ROUNDS {
        // Neither always comes after the other.
        let (of_bare, of_ours) = if round % 2 == 0 {
            let of_bare = in_a_second(engine, tasks, bare.clone()).await;
            (of_bare, in_a_second(engine, tasks, ours.clone()).await)
        } else {
            let of_ours = in_a_second(engine, tasks, ours.clone()).await;
            (in_a_second(engine, tasks, bare.clone()).await, of_ours)
        };
        // Connections are made, and statements prepared, in the first one.
        if round > 0 {
            println!("{what}\t{tasks}\t{of_bare}\t{of_ours}");
        }
    }
}

async fn in_a_second<E: Engine, F: Future<Output = ()> + Send + 'static>(
    engine: &Arc<E>,
    tasks: usize,
    once: impl Fn(Arc<E>) -> F + Clone + Send + 'static,
) -> f64 {
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (engine, once) = (Arc::clone(engine), once.clone());
        running.spawn(async move {
            let mut done = 0_u32;
            while begin.elapsed() < ROUND {
                once(Arc::clone(&engine)).await;
                done += 1;
            }
            done
        });
    }
    let done: u32 = running.join_all().await.into_iter().sum();
    f64::from(done) / begin.elapsed().as_secs_f64()
}

fn any_key() -> RecordKey {
    RecordKey::from_bytes(std::array::from_fn(|_| fastrand::u8(..)))
}

fn fingerprint() -> Fingerprint {
    Fingerprint::from_bytes([3; 32])
}

async fn write_twice<E: Engine>(engine: Arc<E>) {
    let key = any_key();
    engine.write(&key, SMALL).await;
    engine.write(&key, ANSWER).await;
}

async fn write_twice_by_script<E: Scripted>(engine: Arc<E>) {
    let key = any_key();
    engine.write_by_script(&key, SMALL).await;
    engine.write_by_script(&key, ANSWER).await;
}

async fn begin_and_complete<E: Engine>(engine: Arc<E>) {
    let key = any_key();
    let claim = Claim { fingerprint: fingerprint(), owner: Owner::random(), lease: HOUR, retention: DAY };
    let begun = engine.store().begin(&key, claim).await;
    assert!(matches!(begun, Ok(Begin::Acquired(_))), "{begun:?}");
    let done = engine.store().complete(&key, claim, Bytes::from_static(ANSWER)).await;
    assert!(matches!(done, Ok(Commit::Stored)), "{done:?}");
}

async fn read<E: Engine>(engine: Arc<E>, key: RecordKey) {
    assert_eq!(engine.read(&key).await, ANSWER);
}

async fn replay<E: Engine>(engine: Arc<E>, key: RecordKey) {
    let claim = Claim { fingerprint: fingerprint(), owner: Owner::random(), lease: HOUR, retention: DAY };
    match engine.store().begin(&key, claim).await {
        Ok(Begin::Done(answer)) => assert_eq!(answer, ANSWER),
        other => panic!("{other:?}"),
    }
}
