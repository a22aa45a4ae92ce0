//! Answers in a server, which processes keep for each other.

use std::time::Duration;

use buttress::cache_fallback::{Entry, Found, Store};
use buttress::circuit_breaker::State;
use buttress::engines::redis::{Connection, RedisCache, RedisCacheError, connection_config};
use redis::Client;
use tokio::time::{sleep, timeout};

use crate::server::{Redis, client};
use crate::world::{HOUR, PATIENCE};

const KEY: &[u8] = b"https://shop.example/products/7";
/// For what has no end of its own.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let comes = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(60 * PATIENCE, comes).await.expect("it comes");
}

const MOMENT: Duration = Duration::from_millis(20);

/// A cache that has all the time that a busy machine needs.
pub(crate) fn cache(redis: &Redis) -> RedisCache<Connection> {
    with(redis.client(), 60 * PATIENCE)
}

pub(crate) fn with(client: Client, patience: Duration) -> RedisCache<Connection> {
    let config = connection_config().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    RedisCache::new(Connection::new(client, config).expect("valid")).within(patience)
}

fn entry(bytes: &str, age: Duration) -> Entry {
    Entry { variant: None, bytes: bytes.to_owned().into(), age, keep_for: HOUR }
}

fn variant(number: u64, bytes: &str, age: Duration) -> Entry {
    Entry { variant: Some(number), ..entry(bytes, age) }
}

async fn put<S: Store>(store: &S, entry: Entry) {
    store.put(KEY, entry).await.expect("it answers");
}

/// What is there, the youngest first.
async fn found<S: Store>(store: &S) -> Vec<String> {
    let mut found = store.get(KEY).await.expect("it answers");
    found.sort_by_key(|found| found.age);
    found.iter().map(|Found { bytes, .. }| String::from_utf8(bytes.to_vec()).expect("text")).collect()
}

/// The server's time, past a moment in which something was done.
async fn later() {
    sleep(MOMENT).await;
}

#[tokio::test]
async fn an_answer_is_found_by_others_with_its_age() {
    let redis = Redis::start(&[]).await;
    let (one, other) = (cache(&redis), cache(&redis));
    assert_eq!(found(&other).await, [""; 0]);
    put(&one, entry("tea", HOUR / 60)).await;
    let found = other.get(KEY).await.expect("it answers");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].bytes, "tea");
    assert!(found[0].age >= HOUR / 60 && found[0].age < HOUR / 30, "{found:?}");
    assert_eq!(other.get(b"another key").await.expect("it answers"), []);
    let apart = cache(&redis).prefix("another cache:");
    assert_eq!(apart.get(KEY).await.expect("it answers"), []);
}

/// A byte is a byte, and a long answer is one.
#[tokio::test]
async fn any_bytes_come_back_as_they_were() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    let bytes: bytes::Bytes = (0..1_000_000_u32).map(|byte| (byte % 251) as u8).chain(0..=255).collect();
    put(&cache, Entry { bytes: bytes.clone(), ..entry("", Duration::ZERO) }).await;
    assert_eq!(cache.get(KEY).await.expect("it answers")[0].bytes, bytes);
    put(&cache, entry("", Duration::ZERO)).await;
    assert_eq!(cache.get(KEY).await.expect("it answers")[0].bytes, "");
}

#[tokio::test]
async fn an_older_answer_never_takes_the_place_of_a_younger_one() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, entry("younger", HOUR / 100)).await;
    put(&cache, entry("older", HOUR / 50)).await;
    assert_eq!(found(&cache).await, ["younger"]);
    put(&cache, entry("youngest", HOUR / 200)).await;
    assert_eq!(found(&cache).await, ["youngest"]);
}

#[tokio::test]
async fn what_was_asked_for_before_something_was_forgotten_is_not_kept_after_that() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, entry("from before", HOUR / 3600)).await;
    cache.forget(KEY, Duration::ZERO).await.expect("it answers");
    assert_eq!(found(&cache).await, [""; 0]);
    put(&cache, entry("from before", MOMENT)).await;
    assert_eq!(found(&cache).await, [""; 0], "it was under way");
    later().await;
    put(&cache, entry("from after", Duration::ZERO)).await;
    assert_eq!(found(&cache).await, ["from after"]);
    put(&cache, entry("from before", HOUR / 100)).await;
    assert_eq!(found(&cache).await, ["from after"], "that it was forgotten is known on");
    cache.forget(b"other", Duration::ZERO).await.expect("it answers");
    later().await;
    let short = Entry { keep_for: HOUR / 3600, ..entry("ends", Duration::ZERO) };
    cache.put(b"other", short).await.expect("it answers");
    for key in [KEY, b"other"] {
        let left: u64 = redis.say(&format!("PTTL {}", cache.name_of(key))).await;
        assert!(left > 200_000, "for minutes, and not for ever: {left}");
    }
}

#[tokio::test]
async fn what_was_asked_for_after_the_request_that_found_nothing_stays() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, variant(1, "older", HOUR / 60)).await;
    put(&cache, variant(2, "younger", Duration::ZERO)).await;
    cache.forget(KEY, HOUR / 120).await.expect("it answers");
    assert_eq!(found(&cache).await, ["younger"]);
    cache.forget(KEY, HOUR / 100).await.expect("it answers");
    put(&cache, variant(1, "older", HOUR / 110)).await;
    assert_eq!(found(&cache).await, ["younger"], "an older word does not take back a younger one");
    put(&cache, variant(1, "after", HOUR / 130)).await;
    assert_eq!(found(&cache).await, ["younger", "after"]);
}

#[tokio::test]
async fn everything_is_forgotten_at_once_and_what_was_under_way_with_it() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, entry("from before", HOUR / 100)).await;
    cache.put(b"other", entry("from before", HOUR / 100)).await.expect("it answers");
    cache.forget_all().await.expect("it answers");
    put(&cache, entry("from before", MOMENT)).await;
    assert_eq!(found(&cache).await, [""; 0]);
    assert_eq!(cache.get(b"other").await.expect("it answers"), []);
    later().await;
    put(&cache, entry("from after", Duration::ZERO)).await;
    assert_eq!(found(&cache).await, ["from after"]);
}

/// A server that makes room may throw away when that was.
#[tokio::test]
async fn what_was_forgotten_stays_so_when_nobody_knows_when_that_was() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, entry("from before", HOUR / 100)).await;
    cache.forget_all().await.expect("it answers");
    let gone: u32 = redis.say("DEL buttress:cache:epoch").await;
    assert_eq!(gone, 1);
    assert_eq!(found(&cache).await, [""; 0]);
    later().await;
    cache.put(b"other", entry("from after", Duration::ZERO)).await.expect("it answers");
    assert_eq!(found(&cache).await, [""; 0], "and when there is another one");
    put(&cache, entry("from after", Duration::ZERO)).await;
    assert_eq!(found(&cache).await, ["from after"]);
}

#[tokio::test]
async fn variants_stand_beside_each_other_up_to_eight_and_the_oldest_goes() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    for number in 0..8_u32 {
        put(&cache, variant(number.into(), &number.to_string(), HOUR / 100 - number * MOMENT)).await;
    }
    assert_eq!(found(&cache).await, ["7", "6", "5", "4", "3", "2", "1", "0"]);
    put(&cache, variant(3, "again", HOUR / 400)).await;
    assert_eq!(found(&cache).await, ["again", "7", "6", "5", "4", "2", "1", "0"]);
    put(&cache, variant(8, "8", HOUR / 200)).await;
    assert_eq!(found(&cache).await, ["again", "8", "7", "6", "5", "4", "2", "1"]);
    put(&cache, variant(9, "too old", HOUR / 50)).await;
    assert_eq!(found(&cache).await, ["again", "8", "7", "6", "5", "4", "2", "1"]);
    let fields: u32 = redis.say(&format!("HLEN {}", cache.name_of(KEY))).await;
    assert_eq!(fields, 9, "and nothing is left of the others");
    put(&cache, entry("alone", HOUR / 500)).await;
    assert_eq!(found(&cache).await, ["alone"]);
    put(&cache, variant(1, "next", Duration::ZERO)).await;
    assert_eq!(found(&cache).await, ["next"], "it was for all variants, and is so no more");
    let fields: u32 = redis.say(&format!("HLEN {}", cache.name_of(KEY))).await;
    assert_eq!(fields, 2);
}

#[tokio::test]
async fn each_answer_ends_when_it_is_of_no_use_any_more_and_the_key_with_the_last() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, variant(1, "lasts", Duration::ZERO)).await;
    put(&cache, Entry { keep_for: MOMENT, ..variant(2, "ends", Duration::ZERO) }).await;
    let left: u64 = redis.say(&format!("PTTL {}", cache.name_of(KEY))).await;
    assert!(left > 3_500_000, "{left}");
    until(async || found(&cache).await == ["lasts"]).await;
    cache.put(b"other", Entry { keep_for: MOMENT, ..entry("ends", Duration::ZERO) }).await.expect("it answers");
    let is_there = async || redis.say::<bool>(&format!("EXISTS {}", cache.name_of(b"other"))).await;
    until(async || !is_there().await).await;
    put(&cache, Entry { keep_for: Duration::ZERO, ..variant(3, "is over", Duration::ZERO) }).await;
    put(&cache, variant(4, "from long ago", HOUR)).await;
    assert_eq!(found(&cache).await, ["lasts"], "nobody knows any more what was forgotten since");
}

/// A line, or a server that stands still, may bring late what was sent in time. It would seem to have been asked for after what
/// was forgotten meanwhile, and to be younger than it is.
#[tokio::test]
async fn an_answer_that_comes_late_does_not_seem_younger_than_it_is() {
    let redis = Redis::start(&[]).await;
    let (slow, other) = (with(redis.client(), 60 * PATIENCE), cache(&redis));
    put(&slow, variant(1, "in time", Duration::ZERO)).await;
    for is_late in [false, true] {
        redis.signal("STOP");
        let (sent, cached) = (variant(2, "late", Duration::ZERO), slow.clone());
        let put = tokio::spawn(async move { cached.put(KEY, sent).await });
        sleep(if is_late { Duration::from_millis(1300) } else { Duration::from_millis(300) }).await;
        redis.signal("CONT");
        put.await.expect("no panic").expect("it answers in the end");
        let ages = other.get(KEY).await.expect("it answers");
        let late = ages.iter().find(|found| found.bytes == "late").expect("it is told again when the server answers");
        let least = if is_late { 1300 } else { 300 };
        assert!(late.age >= Duration::from_millis(least), "{late:?}");
        other.forget(KEY, Duration::ZERO).await.expect("it answers");
        later().await;
    }
}

/// It would be told as if it had just been asked for, until the clock is there again.
#[tokio::test]
async fn what_a_server_that_was_set_back_has_from_the_future_is_not_told() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, variant(1, "tea", Duration::ZERO)).await;
    put(&cache, variant(2, "coffee", Duration::ZERO)).await;
    assert_eq!(found(&cache).await.len(), 2, "the control");
    let (name, mut connection) = (cache.name_of(KEY), redis.connection().await);
    let mut index: Vec<u8> =
        redis::cmd("HGET").arg(&name).arg("").query_async(&mut connection).await.expect("it is there");
    // Of the first, when it was asked for, and when it ends.
    for at in [24..32, 32..40] {
        let micros = u64::from_be_bytes(index[at.clone()].try_into().expect("eight bytes"));
        index[at].copy_from_slice(&(micros + 3_600_000_000).to_be_bytes());
    }
    let mut set = redis::cmd("HSET");
    set.arg(&name).arg("").arg(index);
    let () = set.query_async(&mut connection).await.expect("it does so");
    assert_eq!(found(&cache).await, ["tea"]);
    later().await;
    put(&cache, variant(2, "cocoa", Duration::ZERO)).await;
    assert_eq!(found(&cache).await, ["cocoa", "tea"], "and it does not keep others from being kept");
    let () = set.query_async(&mut connection).await.expect("it does so");
    cache.forget(KEY, Duration::ZERO).await.expect("it answers");
    let left: u32 = redis.say(&format!("HLEN {name}")).await;
    assert_eq!(left, 1, "nor does it come back: there is but what is known of them");
}

#[tokio::test]
async fn it_does_not_matter_that_a_server_forgets_its_scripts_or_everything() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, entry("tea", Duration::ZERO)).await;
    let () = redis.say("SCRIPT FLUSH").await;
    assert_eq!(found(&cache).await, ["tea"]);
    let () = redis.say("SCRIPT FLUSH").await;
    cache.forget(KEY, Duration::ZERO).await.expect("it answers");
    let () = redis.say("FLUSHALL").await;
    later().await;
    put(&cache, entry("coffee", Duration::ZERO)).await;
    assert_eq!(found(&cache).await, ["coffee"]);
}

#[tokio::test]
async fn a_server_that_is_full_tells_what_it_has_and_forgets_what_it_must() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]).await;
    let cache = cache(&redis);
    put(&cache, entry("tea", Duration::ZERO)).await;
    let () = redis.say("CONFIG SET maxmemory 1").await;
    for number in 0..5_u8 {
        let full = cache.put(&[number], entry("no room", Duration::ZERO)).await;
        assert!(matches!(full, Err(RedisCacheError::Failed(_))), "{full:?}");
    }
    assert_eq!(found(&cache).await, ["tea"], "its circuit is closed");
    assert_eq!(cache.breaker().state(), State::Closed);
    let keys: u32 = redis.say("DBSIZE").await;
    assert_eq!(keys, 2, "the answer, and since when all is known");
    cache.forget(b"other", Duration::ZERO).await.expect("there is room for what nobody knows");
    cache.forget(KEY, HOUR / 2).await.expect("there is room for what does not matter");
    assert_eq!(found(&cache).await, ["tea"]);
    cache.forget(KEY, Duration::ZERO).await.expect("there is room for that");
    assert_eq!(found(&cache).await, [""; 0]);
    let () = redis.say("CONFIG SET maxmemory 0").await;
    put(&cache, entry("tea", MOMENT)).await;
    assert_eq!(found(&cache).await, [""; 0], "and it is known when that was");
    later().await;
    put(&cache, entry("coffee", Duration::ZERO)).await;
    let () = redis.say("CONFIG SET maxmemory 1").await;
    cache.forget_all().await.expect("there is room for that");
    assert_eq!(found(&cache).await, [""; 0]);
}

#[tokio::test]
async fn whatever_is_asked_is_one_round_trip() {
    let redis = Redis::start(&[]).await;
    let cache = cache(&redis);
    put(&cache, entry("tea", Duration::ZERO)).await;
    cache.get(KEY).await.expect("it answers");
    cache.forget(KEY, Duration::ZERO).await.expect("it answers");
    cache.forget_all().await.expect("it answers");
    let before = asked(&redis).await;
    put(&cache, entry("tea", Duration::ZERO)).await;
    assert_eq!(asked(&redis).await, before + 1);
    cache.get(KEY).await.expect("it answers");
    assert_eq!(asked(&redis).await, before + 2);
    cache.forget(KEY, Duration::ZERO).await.expect("it answers");
    assert_eq!(asked(&redis).await, before + 3);
    cache.forget_all().await.expect("it answers");
    assert_eq!(asked(&redis).await, before + 4);
}

/// How many commands the server was sent that are a cache's: scripts, and scripts to be known.
pub(crate) async fn asked(redis: &Redis) -> u64 {
    let info: String = redis.say("INFO commandstats").await;
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |line| line.split(',').next().and_then(|calls| calls.parse().ok()).unwrap_or(0))
    };
    of("evalsha") + of("script") + of("script|load")
}

#[tokio::test]
async fn a_name_says_nothing_of_its_key_and_is_as_long_as_any_other() {
    let cache = with(client(std::path::Path::new("/nowhere")), PATIENCE).prefix("mine:");
    let name = cache.name_of(b"abc");
    assert_eq!(name, "mine:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(cache.name_of(&[7; 100_000]).len(), name.len());
}
