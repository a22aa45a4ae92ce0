//! A user who may not do everything that a store does.

use std::time::Duration;

use buttress::engines::redis::{InvalidRedis, RedisStore};
use buttress::idempotency::{Acquired, Begin, Claim, Commit, RecordKey, Store, StoreError};
use bytes::Bytes;

use crate::server::Redis;
use crate::world::{HOUR, claim, key};

#[tokio::test]
async fn a_user_who_may_not_do_everything_is_refused() {
    let redis = Redis::start(&[]).await;
    assert!(RedisStore::new(redis.connection().await).await.is_ok(), "the server knows the script already");
    for denied in ["script", "evalsha", "time", "get", "getex", "set", "del", "info"] {
        let () = redis.say(&format!("ACL SETUSER default -{denied}")).await;
        let refused = RedisStore::new(redis.connection().await).await;
        assert!(matches!(refused, Err(InvalidRedis::Denies(_) | InvalidRedis::Unknown(_))), "{denied}: {refused:?}");
        let () = redis.say(&format!("ACL SETUSER default +{denied}")).await;
        assert!(RedisStore::new(redis.connection().await).await.is_ok(), "the control: with {denied}");
    }
    let left: u32 = redis.say("DBSIZE").await;
    assert_eq!(left, 0, "nothing is left of what was tried");
}

#[tokio::test]
async fn a_user_of_some_keys_alone_has_a_prefix_for_them() {
    let redis = Redis::start(&[]).await;
    let () = redis.say("ACL SETUSER default resetkeys ~mine:*").await;
    let refused = RedisStore::new(redis.connection().await).await;
    assert!(matches!(refused, Err(InvalidRedis::Denies(_))), "{refused:?}");
    let store = RedisStore::with_prefix(redis.connection().await, "mine:").await.expect("these are its own");
    assert!(matches!(store.begin(&key(1), claim()).await, Ok(Begin::Acquired(_))));
    let there: u32 = redis.say(&format!("EXISTS mine:{}", key(1))).await;
    assert_eq!(there, 1);
}

/// What is denied half-way through leaves a record that still says that the request was begun.
#[tokio::test]
async fn a_record_is_whole_whatever_is_denied_while_it_is_written() {
    for denied in ["get", "getex", "set", "del"] {
        let redis = Redis::start(&[]).await;
        let (store, claims) = (redis.store().await, [(); 7].map(|()| claim()));
        let [completes, parks, renews, releases, again, recovered, resolves] = claims;
        let before = Claim { lease: Duration::ZERO, ..claim() };
        assert!(matches!(store.begin(&key(6), before).await, Ok(Begin::Acquired(_))));
        for (number, claim) in (1..).zip(claims) {
            assert!(matches!(store.begin(&key(number), claim).await, Ok(Begin::Acquired(_))));
        }
        assert!(store.park(&key(7), resolves, "why").await.expect("it is parked"));

        let () = redis.say(&format!("ACL SETUSER default -{denied}")).await;
        let errors = [
            store.complete(&key(1), completes, "tea".into()).await.err(),
            store.park(&key(2), parks, "why").await.err(),
            store.renew(&key(3), renews.owner, HOUR).await.err(),
            store.release(&key(4), releases.owner).await.err(),
            store.begin(&key(5), again).await.err(),
            store.release(&key(6), recovered.owner).await.err(),
            store.resolve(&key(7), Some("tea".into())).await.err(),
            store.begin(&key(8), claim()).await.err(),
        ];
        assert!(errors.iter().any(Option::is_some), "the control: without {denied} not all of it is done");
        for error in errors.into_iter().flatten() {
            assert!(matches!(error, StoreError::Ambiguous(_)), "without {denied}: {error:?}");
        }
        let () = redis.say(&format!("ACL SETUSER default +{denied}")).await;

        for number in [1, 2, 3, 5, 7] {
            let other = store.begin(&key(number), claim()).await;
            let is_nobodys = matches!(other, Ok(Begin::Acquired(_)) | Err(_));
            assert!(!is_nobodys, "without {denied}, {number}: {other:?}");
        }
        assert!(store.release(&key(6), recovered.owner).await.expect("it answers"), "without {denied}");
        let next = store.begin(&key(6), claim()).await;
        assert!(matches!(next, Ok(Begin::Acquired(Acquired { attempt: 2, .. }))), "without {denied}: {next:?}");
        assert_eq!(store.complete(&key(1), completes, "tea".into()).await.expect("it answers"), Commit::Stored);
        assert!(store.park(&key(2), parks, "why").await.expect("it answers"), "without {denied}");
        assert!(store.renew(&key(3), renews.owner, HOUR).await.expect("it answers"), "without {denied}");
        assert!(store.release(&key(4), releases.owner).await.expect("it answers"), "without {denied}");
        store.resolve(&key(7), Some("tea".into())).await.expect("it answers");
        for number in [1, 7] {
            assert_eq!(done(&store, &key(number)).await, "tea", "without {denied}, {number}");
        }
    }
}

async fn done(store: &impl Store, key: &RecordKey) -> Bytes {
    match store.look(key, claim().fingerprint).await {
        Ok(Some(Begin::Done(answer))) => answer,
        other => panic!("{other:?}"),
    }
}
