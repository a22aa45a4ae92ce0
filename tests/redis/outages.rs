//! A server that is killed, frozen, or whose answers are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::engines::redis::{RedisStore, connection_config};
use buttress::idempotency::{Acquired, Begin, Commit, RefusalReason, Store, StoreError};
use buttress::{Error, Rejection};
use bytes::Bytes;
use tokio::net::UnixListener;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::proxy::Cut;
use crate::record;
use crate::server::{ON_DISK, Redis, client, store};
use crate::support::outage;
use crate::world::{HOUR, PATIENCE, claim, key, layer};

type Failure = Error<&'static str>;

/// Longer than there is time for, and shorter than a call waits by default for a server that is gone.
const AT_ONCE: Duration = Duration::from_secs(6);

fn counting(
    calls: &Arc<AtomicU32>,
) -> impl Service<u32, Response = u32, Error = Failure, Future: Send> + Clone + Send + 'static {
    let calls = calls.clone();
    service_fn(move |number: u32| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Ok(number * 10 + call) }
    })
}

fn is_store_unavailable(answer: &Result<u32, Failure>) -> bool {
    matches!(answer, Err(Error::Rejected(Rejection::Idempotency(refused))) if refused.reason() == RefusalReason::StoreUnavailable)
}

/// Asks a store for everything, each of it at once.
async fn all_errors(store: &impl Store) -> [StoreError; 7] {
    async fn error<T>(asked: impl Future<Output = Result<T, StoreError>>) -> StoreError {
        timeout(AT_ONCE, asked).await.expect("it answers at once").map(drop).expect_err("there is no server")
    }
    let (key, claim) = (key(99), claim());
    tokio::join!(
        error(store.begin(&key, claim)),
        error(store.complete(&key, claim, Bytes::new())),
        error(store.renew(&key, claim.owner, HOUR)),
        error(store.release(&key, claim.owner)),
        error(store.park(&key, claim, "why")),
        error(store.look(&key, claim.fingerprint)),
        error(store.resolve(&key, None)),
    )
    .into()
}

/// Waits until a call reaches the server again: the one that fails makes a new connection.
async fn is_back(store: &impl Store) {
    while store.look(&key(99), claim().fingerprint).await.is_err() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_call_is_answered_within_the_time_that_the_layer_has_for_its_store() {
    let config = connection_config();
    let times = [config.connection_timeout(), config.response_timeout()].map(|time| time.expect("it ends"));
    assert!(times.iter().sum::<Duration>() <= Duration::from_millis(250), "{times:?}");
    assert_eq!(config.number_of_retries(), 0);
}

#[tokio::test]
async fn a_server_that_is_gone_is_noticed_at_once_and_found_when_it_is_back() {
    let mut redis = Redis::start(&[]).await;
    let (calls, store) = (Arc::default(), store(&redis.client(), PATIENCE).await);
    let mut service = layer(store.clone()).layer(counting(&calls));
    assert_eq!(service.ready().await.expect("ready").call(1).await.expect("an answer"), 11);
    redis.kill();
    // The first one may have been sent before the connection was found dead.
    all_errors(&store).await;
    for error in all_errors(&store).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "nobody was reached: {error:?}");
    }
    let refused = timeout(AT_ONCE, service.ready().await.expect("ready").call(2)).await.expect("at once");
    assert!(is_store_unavailable(&refused), "{refused:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 1, "nothing is run without the store");
    redis.start_again().await;
    is_back(&store).await;
    assert_eq!(service.ready().await.expect("ready").call(2).await.expect("an answer"), 22);
}

#[tokio::test]
async fn a_server_that_stands_still_is_not_waited_for() {
    let redis = Redis::start(&[]).await;
    let (calls, store) = (Arc::default(), store(&redis.client(), PATIENCE).await);
    let mut service = layer(store.clone()).layer(counting(&calls));
    assert_eq!(service.ready().await.expect("ready").call(1).await.expect("an answer"), 11);
    redis.signal("STOP");
    for error in all_errors(&store).await {
        assert!(matches!(error, StoreError::Ambiguous(_)), "it may yet do it: {error:?}");
    }
    let refused = timeout(AT_ONCE, service.ready().await.expect("ready").call(2)).await.expect("at once");
    assert!(is_store_unavailable(&refused), "{refused:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 1, "nothing is run without the store");
    redis.signal("CONT");
    is_back(&store).await;
    assert_eq!(service.ready().await.expect("ready").call(3).await.expect("an answer"), 32);
}

#[tokio::test]
async fn what_came_of_a_request_is_recorded_when_the_server_is_back() {
    let redis = Redis::start(ON_DISK).await;
    let store = store(&redis.client(), PATIENCE).await;
    outage::what_came_of_it_is_recorded_in_the_end(
        redis,
        store,
        async |redis| redis.kill(),
        Redis::start_again,
        Redis::store,
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_killed_remembers_what_it_has_written_to_its_disk_and_nothing_else() {
    for (settings, is_remembered) in [(ON_DISK, true), (&[][..], false)] {
        let mut redis = Redis::start(settings).await;
        let (store, claim) = (redis.store().await, claim());
        store.begin(&key(1), claim).await.expect("it answers");
        store.complete(&key(1), claim, "tea".into()).await.expect("it answers");
        redis.kill();
        redis.start_again().await;
        let look = redis.store().await.look(&key(1), claim.fingerprint).await.expect("it answers");
        assert_eq!(look, is_remembered.then(|| Begin::Done("tea".into())));
    }
}

#[tokio::test]
async fn who_asks_again_after_a_lost_answer_is_told_the_same() {
    let redis = Redis::start(&[]).await;
    let (cut, folder) = (Cut::default(), tempfile::tempdir().expect("a temporary folder"));
    let line = folder.path().join("line");
    cut.between(UnixListener::bind(&line).expect("a socket"), redis.socket());
    let (near, far) = (redis.store().await, store(&client(&line), Duration::from_secs(60)).await);
    // The server knows the scripts: otherwise it would be its question for them that is lost.
    let warm = claim();
    far.begin(&key(1), warm).await.expect("it answers");
    far.complete(&key(1), warm, Bytes::new()).await.expect("it answers");

    let claim = claim();
    cut.next_answer();
    let lost = far.begin(&key(2), claim).await;
    assert!(matches!(lost, Err(StoreError::Ambiguous(_))) && !cut.is_due(), "{lost:?}");
    let fence = record::fence(&redis, &key(2)).await;
    assert_eq!(
        far.begin(&key(2), claim).await.expect("it answers"),
        Begin::Acquired(Acquired { fence, attempt: 1 }),
        "it was begun, and is so once"
    );
    cut.next_answer();
    let lost = far.complete(&key(2), claim, "tea".into()).await;
    assert!(matches!(lost, Err(StoreError::Ambiguous(_))) && !cut.is_due(), "{lost:?}");
    assert_eq!(near.look(&key(2), claim.fingerprint).await.expect("it answers"), Some(Begin::Done("tea".into())));
    assert_eq!(far.complete(&key(2), claim, "tea".into()).await.expect("it answers"), Commit::Stored);
}

#[tokio::test]
async fn a_connection_that_is_dead_is_not_asked_twice() {
    let redis = Redis::start(&[]).await;
    let (line, folder) = (Cut::default(), tempfile::tempdir().expect("a temporary folder"));
    let socket = folder.path().join("line");
    line.between(UnixListener::bind(&socket).expect("a socket"), redis.socket());
    let (client, claim) = (client(&socket), claim());
    let config = connection_config().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    let manager = client.get_connection_manager_with_config(config).await.expect("it answers");
    let theirs = RedisStore::new(manager).await.expect("it keeps records");
    let ours = store(&client, PATIENCE).await;
    assert!(matches!(ours.begin(&key(1), claim).await, Ok(Begin::Acquired(_))));

    line.goes_dead();
    for error in all_errors(&ours).await.into_iter().chain(all_errors(&theirs).await) {
        assert!(matches!(error, StoreError::Ambiguous(_)), "nothing is said: {error:?}");
    }
    let stored = ours.complete(&key(1), claim, "tea".into()).await;
    assert!(matches!(stored, Ok(Commit::Stored)), "a new connection is alive: {stored:?}");
    let look = theirs.look(&key(1), claim.fingerprint).await;
    assert!(matches!(look, Err(StoreError::Ambiguous(_))), "the control: a manager alone keeps the dead one: {look:?}");
}
