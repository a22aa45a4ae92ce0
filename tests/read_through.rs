//! The read-through of the cache fallback as a service.

use std::collections::BTreeSet;
use std::future::{Future, pending, ready};
use std::num::{NonZeroU64, NonZeroUsize};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::BoxError;
use buttress::cache_fallback::{
    Asks, CacheFallbackConfig, CacheFallbackLayer, InvalidReadThrough, Memory, MemoryStore, ReadThroughConfig,
    ReadThroughLayer, Recalled, Remember, Share, Slot,
};
use buttress::clock::Moment;
use futures::future::{BoxFuture, FutureExt, poll_fn};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{advance, sleep};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// For so long answers are fresh.
const FRESH: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
struct Ask {
    key: u32,
    who: u32,
}

/// What comes of a call.
enum Comes {
    Answer,
    Failure,
    Panic,
    AnswerAfter(Duration),
    Nothing,
}

#[derive(Clone, Copy)]
enum Readiness {
    Ready,
    Never,
    Fails,
}

/// Answers the number of the call, once it is let.
#[derive(Clone)]
struct Origin(Arc<State>);

struct State {
    calls: AtomicU32,
    under_way: AtomicU32,
    asked_if_ready: AtomicU32,
    readiness: Mutex<Readiness>,
    is_held: AtomicBool,
    barrier: Semaphore,
    comes: fn(u32) -> Comes,
}

struct UnderWay(Origin);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Origin {
    /// `comes`: of the call of this number.
    fn new(comes: fn(u32) -> Comes) -> Self {
        Self(Arc::new(State {
            calls: AtomicU32::new(0),
            under_way: AtomicU32::new(0),
            asked_if_ready: AtomicU32::new(0),
            readiness: Mutex::new(Readiness::Ready),
            is_held: AtomicBool::new(false),
            barrier: Semaphore::new(0),
            comes,
        }))
    }

    fn calls(&self) -> u32 {
        self.0.calls.load(Ordering::Relaxed)
    }

    fn under_way(&self) -> u32 {
        self.0.under_way.load(Ordering::Relaxed)
    }

    fn asked_if_ready(&self) -> u32 {
        self.0.asked_if_ready.load(Ordering::Relaxed)
    }

    fn becomes(&self, readiness: Readiness) {
        *self.0.readiness.lock().expect("not poisoned") = readiness;
    }

    fn hold(&self) {
        self.0.is_held.store(true, Ordering::Relaxed);
    }

    fn let_answer(&self, calls: usize) {
        self.0.barrier.add_permits(calls);
    }
}

impl Service<Ask> for Origin {
    type Response = u32;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<u32, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.asked_if_ready.fetch_add(1, Ordering::Relaxed);
        match *self.0.readiness.lock().expect("not poisoned") {
            Readiness::Ready => Poll::Ready(Ok(())),
            Readiness::Never => Poll::Pending,
            Readiness::Fails => Poll::Ready(Err("never ready".into())),
        }
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let number = self.0.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(self.clone());
        async move {
            let Origin(state) = &under_way.0;
            if state.is_held.load(Ordering::Relaxed) {
                state.barrier.acquire().await.expect("it is not closed").forget();
            }
            match (state.comes)(number) {
                Comes::Answer => Ok(number),
                Comes::Failure => Err(format!("down for {}", ask.who).into()),
                Comes::Panic => panic!("it breaks"),
                Comes::AnswerAfter(delay) => {
                    sleep(delay).await;
                    Ok(number)
                }
                Comes::Nothing => pending().await,
            }
        }
        .boxed()
    }
}

type Told = Result<u32, String>;

/// A service that reads through, what it remembers and what it asks.
struct World {
    origin: Origin,
    memory: Memory<u32, u32>,
    service: BoxCloneSyncService<Ask, u32, BoxError>,
}

fn store<K: Eq + std::hash::Hash + Clone, V>() -> MemoryStore<K, V> {
    MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"))
}

/// Answers stand in until they are 30 s old.
fn cache<K: Eq + std::hash::Hash + Clone, V>() -> CacheFallbackLayer<K, V> {
    CacheFallbackLayer::new(CacheFallbackConfig::new(30 * SEC), store()).expect("valid")
}

fn config() -> ReadThroughConfig {
    ReadThroughConfig::new(FRESH).jitter(0.0)
}

fn key(ask: &Ask) -> Option<u32> {
    Some(ask.key)
}

impl World {
    fn new(config: ReadThroughConfig, comes: fn(u32) -> Comes) -> Self {
        Self::with(&cache().key(key).read_through(config).expect("valid"), comes)
    }

    fn with<R>(layer: &ReadThroughLayer<u32, u32, R>, comes: fn(u32) -> Comes) -> Self
    where
        R: Share<Ask, u32, Key = u32, Kept = u32, Asked: Send> + Clone + Send + Sync + 'static,
    {
        let origin = Origin::new(comes);
        let service = BoxCloneSyncService::new(layer.layer(origin.clone()));
        Self { origin, memory: layer.memory(), service }
    }

    async fn told(&self, key: u32) -> Told {
        self.service.clone().oneshot(Ask { key, who: 0 }).await.map_err(|error| error.to_string())
    }

    /// One that asks for the key 7 and waits by now.
    async fn waiting(&self, who: u32) -> Waiting {
        let polls = Arc::new(AtomicU32::new(0));
        let asking = self.service.clone().oneshot(Ask { key: 7, who });
        let counted = polls.clone();
        let told = tokio::spawn(async move {
            let mut asking = pin!(asking);
            let counting = poll_fn(|cx| {
                counted.fetch_add(1, Ordering::Relaxed);
                asking.as_mut().poll(cx)
            });
            counting.await.map_err(|error| error.to_string())
        });
        let waiting = Waiting { polls, told };
        while waiting.polls() == 0 {
            yield_now().await;
        }
        waiting
    }

    /// So many of them, of whom the first makes the call.
    async fn crowd(&self, number: u32) -> Vec<Waiting> {
        let mut crowd = Vec::new();
        for who in 0..number {
            crowd.push(self.waiting(who).await);
        }
        idle().await;
        crowd
    }
}

struct Waiting {
    polls: Arc<AtomicU32>,
    told: JoinHandle<Told>,
}

impl Waiting {
    fn polls(&self) -> u32 {
        self.polls.load(Ordering::Relaxed)
    }

    async fn told(self) -> Told {
        self.told.await.expect("it does not panic")
    }
}

async fn all(crowd: impl IntoIterator<Item = Waiting>) -> Vec<Told> {
    let mut told = Vec::new();
    for waiting in crowd {
        told.push(waiting.told().await);
    }
    told
}

/// Until nobody has anything to do: only then paused time moves on.
async fn idle() {
    sleep(MS).await;
}

async fn until(moment: Moment) {
    sleep(moment.since(Moment::now())).await;
}

fn answers(_: u32) -> Comes {
    Comes::Answer
}

#[tokio::test(start_paused = true)]
async fn a_fresh_answer_is_told_in_the_call_whatever_the_service_is() {
    let world = World::new(config(), answers);
    assert_eq!(world.told(7).await, Ok(1));
    let asked_if_ready = world.origin.asked_if_ready();
    assert!(asked_if_ready > 0);
    for (readiness, fresh) in [(Readiness::Ready, 1), (Readiness::Never, 2), (Readiness::Fails, 3)] {
        world.origin.becomes(readiness);
        let mut service = world.service.clone();
        service.ready().await.expect("it is always ready");
        let told = service.call(Ask { key: 7, who: 0 });
        assert_eq!(world.memory.counts().fresh, fresh, "it is told before the future is polled");
        assert_eq!(told.now_or_never().expect("at once").expect("an answer"), 1);
    }
    assert_eq!((world.origin.calls(), world.origin.asked_if_ready()), (1, asked_if_ready));

    advance(FRESH).await;
    assert_eq!(world.told(7).await, Ok(1), "it fails to become ready, and the answer stands in");
    assert_eq!((world.origin.calls(), world.memory.counts().stood_in), (1, 1));
    let asked_when_old = world.origin.asked_if_ready();
    assert!(asked_when_old > asked_if_ready, "who is not told a fresh answer asks");
    world.origin.becomes(Readiness::Never);
    assert_eq!(world.told(7).await, Ok(1), "it does not become ready in time");
    assert!(world.origin.asked_if_ready() > asked_when_old);
    world.origin.becomes(Readiness::Ready);
    assert_eq!(world.told(7).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_fresh_until_it_is_as_old_as_that() {
    let world = World::new(config(), answers);
    assert_eq!(world.told(7).await, Ok(1));
    advance(FRESH - MS).await;
    assert_eq!(world.told(7).await, Ok(1));
    assert_eq!(world.told(8).await, Ok(2), "another key has another answer");
    advance(MS).await;
    assert_eq!(world.told(7).await, Ok(3));
    assert_eq!(world.told(7).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_for_what_has_expired_make_one_call() {
    let world = World::new(config(), answers);
    assert_eq!(world.told(7).await, Ok(1));
    advance(FRESH).await;
    world.origin.hold();
    let crowd = world.crowd(1000).await;
    assert_eq!(world.origin.calls(), 2);
    assert!(crowd.iter().all(|waiting| !waiting.told.is_finished()));
    world.origin.let_answer(1000);
    let polls = crowd.iter().map(|waiting| waiting.polls.clone()).collect::<Vec<_>>();
    assert!(all(crowd).await.iter().all(|told| *told == Ok(2)));
    assert_eq!((world.origin.calls(), world.memory.counts().shared), (2, 999));
    let most = polls.iter().map(|polls| polls.load(Ordering::Relaxed)).max();
    assert!(most <= Some(4), "one is polled {most:?} times");
}

#[tokio::test(start_paused = true)]
async fn a_call_for_all_goes_on_when_whoever_made_it_has_left() {
    for others in [0, 9] {
        let world = World::new(config(), answers);
        world.origin.hold();
        let mut crowd = world.crowd(1 + others).await;
        let first = crowd.remove(0);
        first.told.abort();
        first.told.await.expect_err("it has left");
        idle().await;
        assert_eq!((world.origin.under_way(), world.memory.len()), (1, 0));
        world.origin.let_answer(1);
        idle().await;
        assert_eq!(world.memory.len(), 1);
        assert!(all(crowd).await.iter().all(|told| *told == Ok(1)));
        assert_eq!(world.told(7).await, Ok(1));
        assert_eq!(world.origin.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_call_for_all_fails_there_is_one_more() {
    let fails_once = |number| if number == 1 { Comes::Failure } else { Comes::Answer };
    let world = World::new(config(), fails_once);
    world.origin.hold();
    let mut crowd = world.crowd(10).await;
    assert_eq!(world.origin.calls(), 1);
    world.origin.let_answer(1);
    idle().await;
    assert_eq!(world.origin.calls(), 2, "one for all others");
    world.origin.let_answer(1);
    assert_eq!(crowd.remove(0).told().await, Err("down for 0".to_owned()));
    assert!(all(crowd).await.iter().all(|told| *told == Ok(2)));
    assert_eq!((world.origin.calls(), world.memory.counts().shared), (2, 8));
}

#[tokio::test(start_paused = true)]
async fn when_that_fails_too_each_asks_for_themselves_and_has_their_own_failure() {
    let world = World::new(config(), |_| Comes::Failure);
    world.origin.hold();
    let crowd = world.crowd(10).await;
    for calls in [1, 2, 10] {
        assert_eq!(world.origin.calls(), calls);
        world.origin.let_answer(1);
        idle().await;
    }
    world.origin.let_answer(10);
    for (who, told) in all(crowd).await.into_iter().enumerate() {
        assert_eq!(told, Err(format!("down for {who}")));
    }
    assert_eq!((world.origin.calls(), world.memory.counts().missed), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_panic_reaches_whoever_made_the_call_and_the_others_make_one_more() {
    let world = World::new(config(), |number| if number == 1 { Comes::Panic } else { Comes::Answer });
    world.origin.hold();
    let mut crowd = world.crowd(10).await;
    assert_eq!(world.origin.calls(), 1);
    world.origin.let_answer(10);
    let panic = crowd.remove(0).told.await.expect_err("it panics").into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"it breaks"));
    assert!(all(crowd).await.iter().all(|told| *told == Ok(2)));
    assert_eq!((world.origin.calls(), world.memory.snapshot().calls), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_old_stands_in_for_the_failure_of_the_call_for_all() {
    let world = World::new(config(), |number| if number == 1 { Comes::Answer } else { Comes::Failure });
    assert_eq!(world.told(7).await, Ok(1));
    advance(FRESH).await;
    world.origin.hold();
    let crowd = world.crowd(10).await;
    world.origin.let_answer(10);
    assert!(all(crowd).await.iter().all(|told| *told == Ok(1)));
    assert_eq!(world.origin.calls(), 2);
    assert_eq!((world.memory.counts().stood_in, world.memory.counts().shared), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_call_that_hangs_is_released_and_one_makes_another() {
    let hangs_once = |number| if number == 1 { Comes::AnswerAfter(60 * SEC) } else { Comes::Answer };
    let world = World::new(config().call_within(3 * SEC), hangs_once);
    let began = Moment::now();
    let mut crowd = world.crowd(10).await;
    until(began + (3 * SEC - MS)).await;
    assert_eq!(world.origin.calls(), 1);
    let first = crowd.remove(0);
    assert!(all(crowd).await.iter().all(|told| *told == Ok(2)));
    assert!(Moment::now().since(began) <= 3 * SEC + MS, "{:?}", Moment::now().since(began));
    assert_eq!((world.origin.calls(), world.origin.under_way()), (2, 1));
    assert!(!first.told.is_finished());
    assert_eq!(first.told().await, Ok(1));
    assert!(Moment::now().since(began) >= 60 * SEC);
    assert_eq!(world.memory.counts().outdated, 1, "a later answer is not overwritten");
}

/// All who had waited for two calls that hung asked at the same time, although the first had been answered meanwhile.
#[tokio::test(start_paused = true)]
async fn who_has_waited_twice_in_vain_is_told_what_is_known_by_then() {
    let slow = |number| Comes::AnswerAfter(if number == 1 { 15 * SEC } else { 60 * SEC });
    let world = World::new(ReadThroughConfig::new(60 * SEC).jitter(0.0).call_within(10 * SEC), slow);
    let mut crowd = world.crowd(10).await;
    let _led = crowd.drain(..2).collect::<Vec<_>>();
    assert!(all(crowd).await.iter().all(|told| *told == Ok(1)));
    assert_eq!((world.origin.calls(), world.memory.counts().fresh), (2, 8));
}

/// Who came when the answer could not be told any more waited for a refresh whose service was not ready.
#[tokio::test(start_paused = true)]
async fn a_refresh_does_not_wait_for_a_service_that_is_not_ready() {
    let world = World::new(config().stale_while_revalidate(5 * SEC), answers);
    assert_eq!(world.told(7).await, Ok(1));
    sleep(FRESH).await;
    world.origin.becomes(Readiness::Never);
    assert_eq!((world.told(7).await, world.memory.snapshot().calls), (Ok(1), 1));
    sleep(51 * MS).await;
    let snapshot = world.memory.snapshot();
    assert_eq!((snapshot.calls, snapshot.counts.refresh_failed), (0, 1));
    sleep(5 * SEC).await;
    let asked = Moment::now();
    assert_eq!(world.told(7).await, Ok(1));
    assert!(Moment::now().since(asked) <= 51 * MS);
    assert_eq!((world.origin.calls(), world.memory.counts().stood_in), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_for_nobody_any_more_is_given_up() {
    let world = World::new(config().call_within(3 * SEC), |_| Comes::Nothing);
    let first = world.waiting(0).await;
    first.told.abort();
    sleep(2 * SEC).await;
    assert_eq!((world.origin.calls(), world.origin.under_way()), (1, 1), "somebody may come who waits for it");
    sleep(SEC + MS).await;
    assert_eq!((world.origin.under_way(), world.memory.snapshot().calls), (0, 0));
}

/// Keeps nothing.
#[derive(Clone)]
struct Careless;

impl Remember<Ask, u32> for Careless {
    type Key = u32;
    type Asked = ();
    type Kept = u32;

    fn asks(&self, ask: &Ask) -> Asks<u32, ()> {
        Asks::For { key: ask.key, asked: (), accepts: Default::default() }
    }

    fn learn(&self, (): (), response: u32, slot: Slot<u32, u32>) -> u32 {
        drop(slot);
        response
    }

    fn recall(&self, (): &(), kept: &u32, _: Recalled<'_>) -> u32 {
        *kept
    }
}

impl Share<Ask, u32> for Careless {
    fn gather(&self, response: u32) -> impl Future<Output = u32> + Send {
        ready(response)
    }
}

#[tokio::test(start_paused = true)]
async fn for_a_second_nobody_waits_for_what_is_not_kept() {
    let drops = cache().remember(Careless).read_through(config()).expect("valid");
    let too_large = cache().key(key).size_of(|_: &u32| 1 << 30).read_through(config()).expect("valid");
    for world in [World::with(&drops, answers), World::with(&too_large, answers)] {
        world.origin.hold();
        let crowd = world.crowd(10).await;
        assert_eq!(world.origin.calls(), 1);
        let landed_at = Moment::now();
        world.origin.let_answer(1);
        idle().await;
        assert_eq!(world.origin.calls(), 10, "each asks alone");
        world.origin.let_answer(9);
        let told = all(crowd).await.into_iter().collect::<BTreeSet<_>>();
        assert_eq!(told, (1..=10).map(Ok).collect(), "nobody is told another one's answer");

        until(landed_at + (SEC - 20 * MS)).await;
        let crowd = world.crowd(10).await;
        assert_eq!(world.origin.calls(), 20, "nobody waits");
        world.origin.let_answer(10);
        all(crowd).await;
        until(landed_at + SEC).await;
        let crowd = world.crowd(10).await;
        assert_eq!(world.origin.calls(), 21, "it may be kept by now");
        world.origin.let_answer(10);
        all(crowd).await;
        assert!(world.memory.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_after_something_was_forgotten_is_not_told_what_was_asked_before() {
    let world = World::new(config(), answers);
    world.origin.hold();
    let before = world.crowd(2).await;
    assert_eq!(world.origin.calls(), 1);
    world.memory.forget(&7);
    let mut after = world.crowd(2).await;
    assert_eq!(world.origin.calls(), 2);
    world.origin.let_answer(1);
    idle().await;
    assert!(after.iter().all(|waiting| !waiting.told.is_finished()));
    // Who came first has landed, which ends no call but its own.
    after.push(world.waiting(2).await);
    idle().await;
    world.origin.let_answer(1);
    assert!(all(after).await.iter().all(|told| *told == Ok(2)));
    assert_eq!(all(before).await[0], Ok(1));
    assert_eq!(world.told(7).await, Ok(2));
    assert_eq!((world.origin.calls(), world.memory.counts().outdated), (2, 1));
}

/// Answers the first call.
fn only_once(number: u32) -> Comes {
    if number == 1 { Comes::Answer } else { Comes::Failure }
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_told_at_once_and_another_one_asked_for_once() {
    let world = World::new(config().stale_while_revalidate(10 * SEC), answers);
    assert_eq!(world.told(7).await, Ok(1));
    advance(FRESH).await;
    world.origin.hold();
    for _ in 0..100 {
        let told = world.service.clone().oneshot(Ask { key: 7, who: 0 }).now_or_never().expect("at once");
        assert_eq!(told.expect("an answer"), 1);
    }
    idle().await;
    assert_eq!((world.origin.calls(), world.memory.snapshot().calls), (2, 1));
    assert_eq!(world.memory.counts().refreshing, 100);
    world.origin.let_answer(100);
    idle().await;
    assert_eq!((world.told(7).await, world.told(7).await), (Ok(2), Ok(2)));
    let counts = world.memory.counts();
    assert_eq!((world.origin.calls(), counts.refreshing, counts.fresh, counts.refresh_failed), (2, 100, 2, 0));

    advance(FRESH + 10 * SEC).await;
    assert_eq!(world.told(7).await, Ok(3), "older than that, none is told without asking");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_failed_is_made_again_after_ever_longer_pauses() {
    let world = World::new(config().stale_while_revalidate(3600 * SEC), only_once);
    assert_eq!(world.told(7).await, Ok(1));
    advance(FRESH).await;
    for (failed, pause) in (1..).zip([1, 2, 4, 8, 16, 32, 64, 64, 64]) {
        let failed_at = Moment::now();
        assert_eq!(world.told(7).await, Ok(1));
        idle().await;
        assert_eq!((world.origin.calls(), world.memory.counts().refresh_failed), (1 + failed, u64::from(failed)));
        until(failed_at + (pause * SEC - 10 * MS)).await;
        assert_eq!(world.told(7).await, Ok(1));
        idle().await;
        assert_eq!(world.origin.calls(), 1 + failed, "{pause} s have not passed");
        until(failed_at + pause * SEC).await;
    }
    assert_eq!(world.memory.counts().stood_in, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_is_given_up() {
    let hangs_once = |number| if number == 2 { Comes::Nothing } else { Comes::Answer };
    let world = World::new(config().stale_while_revalidate(60 * SEC).call_within(3 * SEC), hangs_once);
    assert_eq!(world.told(7).await, Ok(1));
    advance(FRESH).await;
    let began = Moment::now();
    assert_eq!(world.told(7).await, Ok(1));
    until(began + (3 * SEC - 10 * MS)).await;
    assert_eq!(world.told(7).await, Ok(1));
    assert_eq!((world.origin.calls(), world.origin.under_way(), world.memory.snapshot().calls), (2, 1, 1));
    until(began + 3 * SEC + 10 * MS).await;
    assert_eq!((world.origin.under_way(), world.memory.snapshot().calls), (0, 0));
    assert_eq!(world.memory.counts().refresh_failed, 1);
    assert_eq!(world.told(7).await, Ok(1));
    idle().await;
    assert_eq!(world.origin.calls(), 2, "it has failed, and there is a pause");
    sleep(SEC).await;
    assert_eq!(world.told(7).await, Ok(1));
    idle().await;
    assert_eq!((world.origin.calls(), world.told(7).await), (3, Ok(3)));
}

#[tokio::test(start_paused = true)]
async fn no_more_answers_are_asked_for_in_the_background_than_may_be() {
    let one = NonZeroUsize::new(1).expect("not zero");
    let world = World::new(config().stale_while_revalidate(60 * SEC).max_refreshes(one), answers);
    assert_eq!((world.told(7).await, world.told(8).await), (Ok(1), Ok(2)));
    advance(FRESH).await;
    world.origin.hold();
    assert_eq!((world.told(7).await, world.told(8).await), (Ok(1), Ok(2)));
    idle().await;
    assert_eq!(world.origin.calls(), 3, "the other one is told, and not asked for");
    world.origin.let_answer(2);
    idle().await;
    assert_eq!((world.told(7).await, world.told(8).await), (Ok(3), Ok(2)));
    idle().await;
    assert_eq!((world.origin.calls(), world.told(8).await), (4, Ok(4)), "there is room for it again");
    assert_eq!(world.memory.counts().refresh_failed, 0);
}

#[tokio::test(start_paused = true)]
async fn answers_that_came_at_different_moments_do_not_expire_at_the_same_age() {
    /// How old each of 20 answers was when it was fresh no more, or up to 50 ms older.
    async fn expire(jitter: f64) -> Vec<Duration> {
        let world = World::new(ReadThroughConfig::new(10 * SEC).jitter(jitter), answers);
        let mut fresh = Vec::new();
        for key in 0..20 {
            fresh.push((key, world.told(key).await, Moment::now()));
            sleep(37 * MS).await;
        }
        let mut ages = Vec::new();
        while !fresh.is_empty() {
            sleep(50 * MS).await;
            for (key, kept, kept_at) in std::mem::take(&mut fresh) {
                if world.told(key).await == kept {
                    fresh.push((key, kept, kept_at));
                } else {
                    ages.push(Moment::now().since(kept_at));
                }
            }
        }
        ages
    }
    let range = |ages: Vec<Duration>| (*ages.iter().min().expect("there are 20"), *ages.iter().max().expect("as many"));
    let latest = 10 * SEC + 50 * MS;
    let (first, last) = range(expire(0.3).await);
    assert!(first >= 7 * SEC && last <= latest, "{first:?} to {last:?}");
    assert!(last - first > SEC, "{first:?} to {last:?}");
    let (first, last) = range(expire(0.0).await);
    assert!(first >= 10 * SEC && last <= latest, "without it all are fresh for the same time: {first:?} to {last:?}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |config| cache::<u32, u32>().key(key).read_through(config).expect_err("it cannot work");
    for share in [-0.1, 1.0, f64::INFINITY] {
        assert_eq!(refused(config().jitter(share)), InvalidReadThrough::Jitter(share));
    }
    assert!(matches!(refused(config().jitter(f64::NAN)), InvalidReadThrough::Jitter(share) if share.is_nan()));
    assert_eq!(
        refused(config().jitter(1.5)).to_string(),
        "the `jitter` of a read-through must be from 0 to less than 1, not 1.5"
    );
    let no_time = refused(config().call_within(Duration::ZERO));
    assert_eq!(no_time, InvalidReadThrough::NoTimeToCall);
    assert_eq!(no_time.to_string(), "`call_within` of a read-through must be longer than zero");
    assert!(cache::<u32, u32>().key(key).read_through(ReadThroughConfig::new(Duration::ZERO)).is_ok());
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_read() {
    let read = |text| serde_json::from_str::<ReadThroughConfig>(text);
    assert_eq!(read(r#"{"fresh": "5s"}"#).expect("valid"), ReadThroughConfig::new(5 * SEC));
    let all = r#"{"fresh": "5s", "stale_while_revalidate": "1m", "jitter": 0.25, "call_within": "2s 500ms", "max_refreshes": 3}"#;
    let expected = ReadThroughConfig::new(5 * SEC)
        .stale_while_revalidate(60 * SEC)
        .jitter(0.25)
        .call_within(Duration::from_millis(2500))
        .max_refreshes(NonZeroUsize::new(3).expect("not zero"));
    assert_eq!(read(all).expect("valid"), expected);
    for refused in ["{}", r#"{"fresh": "5s", "freh": 1}"#, r#"{"fresh": "5s", "max_refreshes": 0}"#] {
        read(refused).expect_err(refused);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_the_calls_that_are_under_way() {
    let world = World::new(config(), answers);
    assert_eq!((world.memory.snapshot().calls, world.memory.snapshot().keys), (0, 0));
    world.origin.hold();
    let crowd = world.crowd(3).await;
    let snapshot = world.memory.snapshot();
    assert_eq!((snapshot.calls, snapshot.keys, snapshot.name.as_str()), (1, 0, "cache_fallback"));
    world.origin.let_answer(1);
    all(crowd).await;
    let snapshot = world.memory.snapshot();
    assert_eq!((snapshot.calls, snapshot.keys, snapshot.counts), (0, 1, world.memory.counts()));
}

#[tokio::test]
async fn keys_that_begin_alike_are_forgotten_together() {
    let layer = cache().key(|asked: &String| Some(asked.clone())).read_through(config()).expect("valid");
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let service =
        layer.layer(service_fn(move |_: String| ready(Ok::<_, BoxError>(counted.fetch_add(1, Ordering::Relaxed) + 1))));
    let told = async |key: &str| service.clone().oneshot(key.to_owned()).await.expect("an answer");
    let keys = ["tea/green", "tea/black", "coffee"];
    for (number, key) in (1..).zip(keys) {
        assert_eq!((told(key).await, told(key).await), (number, number));
    }
    assert_eq!(layer.memory().forget_prefix("tea/"), 2);
    for (number, key) in [4, 5, 3].into_iter().zip(keys) {
        assert_eq!(told(key).await, number, "{key}");
    }
    assert_eq!(layer.memory().forget_prefix("milk"), 0);
}

#[test]
fn layers_are_clone_whatever_they_keep() {
    struct Unique;

    const fn is_clone<T: Clone>(_: &T) {}
    let store = MemoryStore::<u32, Unique>::new(NonZeroU64::MIN);
    let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(60 * SEC), store).expect("valid");
    is_clone(&layer);
    is_clone(&layer.read_through(config()).expect("valid"));
}

#[tokio::test(start_paused = true)]
async fn the_services_of_a_layer_share_their_calls() {
    const fn is_fit<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let layer = cache().key(key).read_through(config()).expect("valid");
    let origin = Origin::new(answers);
    let (mut one, mut other) = (layer.layer(origin.clone()), layer.clone().layer(origin.clone()));
    is_fit(&layer);
    is_fit(&one);
    origin.hold();
    let asking = [one.call(Ask { key: 7, who: 0 }), other.call(Ask { key: 7, who: 1 })];
    let asking = asking.map(|asking| tokio::spawn(is_send(asking)));
    idle().await;
    assert_eq!((origin.calls(), layer.memory().snapshot().calls), (1, 1));
    origin.let_answer(2);
    for told in asking {
        assert_eq!(told.await.expect("it does not panic").expect("an answer"), 1);
    }
    assert_eq!(other.call(Ask { key: 7, who: 2 }).now_or_never().expect("at once").expect("an answer"), 1);
    assert_eq!((origin.calls(), layer.memory().counts().shared), (1, 1));
}
