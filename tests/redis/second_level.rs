//! The cache fallback over a Redis that processes share, which is killed, frozen, and comes back with what it had.

use std::future::ready;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use buttress::BoxError;
use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, Codec, Memory, MemoryStore};
use buttress::circuit_breaker::State;
use buttress::engines::redis::{Connection, RedisCache, connection_config};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::answers::{asked, cache, until, with};
use crate::server::Redis;
use crate::world::{HOUR, PATIENCE};

/// Words under numbers.
struct Words;

impl Codec<u32, String> for Words {
    fn key<'k>(&self, key: &'k u32) -> std::borrow::Cow<'k, [u8]> {
        key.to_be_bytes().to_vec().into()
    }

    fn encode(&self, word: &String) -> Option<Bytes> {
        (word != "unspeakable").then(|| word.clone().into())
    }

    fn decode(&self, bytes: Bytes) -> Option<String> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

type Request = (u32, Result<&'static str, BoxError>);

/// A process: it has a memory of its own.
struct Process {
    memory: Memory<u32, String>,
    service: tower::util::BoxCloneSyncService<Request, String, BoxError>,
}

impl Process {
    fn over(cache: RedisCache<Connection>) -> Self {
        Self::with(cache, service_fn(|(_, says): Request| ready(says.map(str::to_owned))))
    }

    fn with<S>(cache: RedisCache<Connection>, origin: S) -> Self
    where
        S: Service<Request, Response = String, Error = BoxError, Future: Send> + Clone + Send + Sync + 'static,
    {
        let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero")).over(cache, Words);
        let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(HOUR), store).expect("valid");
        let layer = layer.key(|request: &Request| Some(request.0)).size_of(String::len);
        Self { memory: layer.memory(), service: tower::util::BoxCloneSyncService::new(layer.layer(origin)) }
    }

    async fn ask(&self, key: u32, says: &'static str) {
        assert_eq!(self.service.clone().oneshot((key, Ok(says))).await.expect("an answer"), says);
    }

    /// What it says when its origin is out.
    async fn fail(&self, key: u32) -> Option<String> {
        self.service.clone().oneshot((key, Err("down".into()))).await.ok()
    }
}

/// Waits until an answer is there.
async fn is_put(redis: &Redis, cache: &RedisCache<Connection>, key: u32) {
    let name = cache.name_of(&key.to_be_bytes());
    until(async || redis.say::<u32>(&format!("HLEN {name}")).await > 1).await;
}

/// Waits until there is none any more.
async fn is_gone(redis: &Redis, cache: &RedisCache<Connection>, key: u32) {
    let name = cache.name_of(&key.to_be_bytes());
    until(async || redis.say::<u32>(&format!("HLEN {name}")).await <= 1).await;
}

#[tokio::test]
async fn what_one_process_has_been_told_another_one_tells_when_its_origin_is_out() {
    let redis = Redis::start(&[]).await;
    let [one, other] = [(), ()].map(|()| Process::over(cache(&redis)));
    one.ask(7, "tea").await;
    is_put(&redis, &cache(&redis), 7).await;
    assert_eq!(other.fail(7).await.as_deref(), Some("tea"));
    assert_eq!(other.fail(8).await, None, "nobody has asked for it");
    assert_eq!((other.memory.len(), other.memory.counts().stood_in, other.memory.counts().missed), (1, 1, 1));
    drop(one);
    let restarted = Process::over(cache(&redis));
    assert_eq!(restarted.fail(7).await.as_deref(), Some("tea"), "and one that has been started again");
}

#[tokio::test]
async fn nobody_asks_the_server_while_there_is_an_answer() {
    let redis = Redis::start(&[]).await;
    let [one, other] = [(), ()].map(|()| Process::over(cache(&redis)));
    one.ask(7, "tea").await;
    is_put(&redis, &cache(&redis), 7).await;
    // What is asked for in vain is not put either.
    assert_eq!(one.fail(8).await, None);
    let before = asked(&redis).await;
    for _ in 0..10 {
        assert_eq!(one.fail(7).await.as_deref(), Some("tea"));
    }
    assert_eq!(asked(&redis).await, before, "it is in memory");
    assert_eq!(other.fail(7).await.as_deref(), Some("tea"));
    assert_eq!(asked(&redis).await, before + 1, "the control: here it was not");
    for _ in 0..10 {
        assert_eq!(other.fail(7).await.as_deref(), Some("tea"));
    }
    assert_eq!(asked(&redis).await, before + 1, "and then it is");
    other.ask(7, "unspeakable").await;
    assert_eq!(asked(&redis).await, before + 1, "an origin that answers is all that is asked");
}

#[tokio::test]
async fn what_one_process_forgets_no_other_finds() {
    let redis = Redis::start(&[]).await;
    let [one, other, third] = [(), (), ()].map(|()| Process::over(cache(&redis)));
    for key in [7, 8] {
        one.ask(key, "tea").await;
        is_put(&redis, &cache(&redis), key).await;
    }
    assert_eq!(third.fail(8).await.as_deref(), Some("tea"), "it was there");
    one.memory.forget(&7);
    is_gone(&redis, &cache(&redis), 7).await;
    assert_eq!((one.fail(7).await, other.fail(7).await), (None, None));
    one.memory.forget_where(|key| *key == 1000);
    until(async || cache(&redis).get_of(8).await.is_empty()).await;
    assert_eq!(other.fail(8).await, None, "the server cannot be asked which keys are meant");
    assert_eq!(one.fail(8).await.as_deref(), Some("tea"), "a memory can");
}

trait GetOf {
    async fn get_of(&self, key: u32) -> Vec<Bytes>;
}

impl GetOf for RedisCache<Connection> {
    async fn get_of(&self, key: u32) -> Vec<Bytes> {
        use buttress::cache_fallback::Store;
        let found = self.get(&key.to_be_bytes()).await.expect("it answers");
        found.into_iter().map(|found| found.bytes).collect()
    }
}

/// It was asked for before the other process forgot it, and came after.
#[tokio::test]
async fn what_was_under_way_when_another_process_forgot_it_comes_back_nowhere() {
    let redis = Redis::start(&[]).await;
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let origin = service_fn({
        let (gate, begun) = (gate.clone(), begun.clone());
        move |(_, says): Request| {
            begun.fetch_add(1, Ordering::SeqCst);
            let gate = gate.clone();
            async move {
                gate.acquire().await?.forget();
                says.map(str::to_owned)
            }
        }
    });
    let (slow, other) = (Process::with(cache(&redis), origin), Process::over(cache(&redis)));
    for (forgets, later) in [(false, 8), (true, 9)] {
        begun.store(0, Ordering::SeqCst);
        let under_way = tokio::spawn(slow.service.clone().oneshot((7, Ok("from before"))));
        until(async || begun.load(Ordering::SeqCst) == 1).await;
        if forgets {
            other.memory.forget(&7);
            is_gone(&redis, &cache(&redis), 7).await;
        }
        gate.add_permits(1);
        assert_eq!(under_way.await.expect("no panic").expect("an answer"), "from before");
        // What is put after it comes after it.
        gate.add_permits(1);
        slow.ask(later, "tea").await;
        is_put(&redis, &cache(&redis), later).await;
        assert_eq!(Process::over(cache(&redis)).fail(7).await.is_some(), !forgets);
    }
}

#[tokio::test]
async fn a_server_that_is_killed_costs_nothing_but_the_second_level() {
    let mut redis = Redis::start(&[]).await;
    let cached = with(redis.client(), PATIENCE);
    let process = Process::over(cached.clone());
    process.ask(7, "tea").await;
    is_put(&redis, &cached, 7).await;
    redis.kill();
    for _ in 0..3 {
        assert_eq!(process.fail(8).await, None);
    }
    assert_eq!(cached.breaker().state(), State::Open, "nobody tries any more");
    assert_eq!(process.fail(8).await, None);
    assert_eq!(process.fail(7).await.as_deref(), Some("tea"), "from memory");
    process.ask(9, "coffee").await;
    assert_eq!(process.fail(9).await.as_deref(), Some("coffee"));
    redis.start_again().await;
    until(async || {
        process.ask(7, "tea").await;
        cached.breaker().state() == State::Closed
    })
    .await;
    is_put(&redis, &cached, 7).await;
    assert_eq!(Process::over(with(redis.client(), PATIENCE)).fail(7).await.as_deref(), Some("tea"));
}

#[tokio::test]
async fn a_server_that_stands_still_is_waited_for_a_few_times_and_then_not() {
    let redis = Redis::start(&[]).await;
    let cached = with(redis.client(), PATIENCE);
    let process = Process::over(cached.clone());
    process.ask(7, "tea").await;
    is_put(&redis, &cached, 7).await;
    let before = asked(&redis).await;
    redis.signal("STOP");
    for key in 0..3 {
        assert_eq!(process.fail(key).await, None);
    }
    assert_eq!(cached.breaker().state(), State::Open);
    for key in 0..1000 {
        assert!(process.fail(key).await.is_none() || key == 7);
    }
    assert_eq!(process.fail(7).await.as_deref(), Some("tea"), "from memory");
    redis.signal("CONT");
    until(async || {
        assert_eq!(process.fail(1000).await, None);
        cached.breaker().state() == State::Closed
    })
    .await;
    let sent = asked(&redis).await - before;
    assert!((3..100).contains(&sent), "three, and now and then one to see whether it is back, but no thousand: {sent}");
    assert_eq!(Process::over(with(redis.client(), PATIENCE)).fail(7).await.as_deref(), Some("tea"));
}

#[tokio::test]
async fn who_asks_waits_no_longer_than_50_ms_by_default() {
    let client = redis::Client::open("redis+unix:///nowhere").expect("an address");
    let cache = RedisCache::new(Connection::new(client, connection_config()).expect("valid"));
    assert!(format!("{cache:?}").contains("within: 50ms"), "{cache:?}");
}

/// The copy of old is on its disk, or it stands still and has not heard of it.
#[tokio::test]
async fn what_could_not_be_forgotten_is_not_believed_when_the_server_is_back() {
    let mut redis = Redis::start(crate::server::ON_DISK).await;
    let cached = with(redis.client(), PATIENCE);
    let [one, fresh] = [(), ()].map(|()| Process::over(cached.clone()));
    for key in [7, 8] {
        one.ask(key, "from before").await;
        is_put(&redis, &cached, key).await;
    }
    redis.kill();
    one.memory.forget(&7);
    until(async || {
        _ = one.fail(1000).await;
        cached.breaker().state() == State::Open
    })
    .await;
    redis.start_again().await;
    until(async || {
        _ = one.fail(1000).await;
        cached.breaker().state() == State::Closed
    })
    .await;
    assert_eq!(one.fail(7).await, None);
    assert_eq!(
        fresh.fail(7).await.as_deref(),
        Some("from before"),
        "the control: it is there, and others know no better"
    );
    let restarted = Process::over(cached.clone());
    assert_eq!(restarted.fail(8).await.as_deref(), Some("from before"), "and it answers");
    one.ask(7, "from after").await;
    one.memory.forget(&8);
    is_gone(&redis, &cached, 8).await;
    until(async || cached.get_of(7).await.iter().any(|bytes| bytes.ends_with(b"from after"))).await;
    assert_eq!(Process::over(cached).fail(7).await.as_deref(), Some("from after"));
}

/// Each is asked for in turn, and the server is frozen while what it has is forgotten.
#[tokio::test]
async fn what_a_server_that_stands_still_has_not_forgotten_yet_is_not_believed() {
    let redis = Redis::start(&[]).await;
    let cached = with(redis.client(), PATIENCE);
    let one = Process::over(cached.clone());
    one.ask(7, "from before").await;
    is_put(&redis, &cached, 7).await;
    redis.signal("STOP");
    one.memory.forget(&7);
    assert_eq!(one.fail(7).await, None);
    redis.signal("CONT");
    until(async || cached.get_of_or_none(7).await.is_some()).await;
    assert_eq!(one.fail(7).await, None);
}

trait GetOfOrNone {
    async fn get_of_or_none(&self, key: u32) -> Option<usize>;
}

impl GetOfOrNone for RedisCache<Connection> {
    async fn get_of_or_none(&self, key: u32) -> Option<usize> {
        use buttress::cache_fallback::Store;
        self.get(&key.to_be_bytes()).await.ok().map(|found| found.len())
    }
}

#[tokio::test]
async fn who_forgets_from_a_thread_without_a_runtime_is_heard_as_well() {
    let redis = Redis::start(&[]).await;
    let (one, other) = (Process::over(cache(&redis)), Process::over(cache(&redis)));
    one.ask(7, "tea").await;
    is_put(&redis, &cache(&redis), 7).await;
    let memory = one.memory.clone();
    std::thread::spawn(move || memory.forget(&7)).join().expect("no panic");
    is_gone(&redis, &cache(&redis), 7).await;
    assert_eq!(other.fail(7).await, None);
}

#[test]
fn without_a_runtime_there_is_no_second_level_and_nothing_panics() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (redis, one) = runtime.block_on(async {
        let redis = Redis::start(&[]).await;
        let one = Process::over(cache(&redis));
        one.ask(7, "tea").await;
        is_put(&redis, &cache(&redis), 7).await;
        (redis, one)
    });
    let other = runtime.block_on(async { Process::over(cache(&redis)) });
    assert_eq!(futures::executor::block_on(other.fail(7)), None);
    assert_eq!(futures::executor::block_on(one.fail(7)).as_deref(), Some("tea"), "from memory");
    assert_eq!(runtime.block_on(other.fail(7)).as_deref(), Some("tea"), "the control: it is there");
}

#[tokio::test]
async fn a_flood_of_answers_has_no_more_than_so_many_under_way_and_the_rest_is_kept_in_memory() {
    let redis = Redis::start(&[]).await;
    let cached = with(redis.client(), 5 * PATIENCE);
    let process = Process::over(cached.clone());
    process.ask(1000, "tea").await;
    is_put(&redis, &cached, 1000).await;
    let () = redis.say("FLUSHALL").await;
    redis.signal("STOP");
    for key in 0..1000 {
        process.ask(key, "tea").await;
    }
    redis.signal("CONT");
    process.memory.forget(&2000);
    is_put(&redis, &cached, 0).await;
    let put = AtomicU32::new(0);
    until(async || {
        let keys: u32 = redis.say("DBSIZE").await;
        put.swap(keys, Ordering::Relaxed) == keys
    })
    .await;
    let keys = put.into_inner();
    assert!((2..=66).contains(&keys), "{keys}: 64 of them, what was forgotten, and since when all is known");
    assert_eq!(process.memory.len(), 1001);
}
