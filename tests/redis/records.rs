//! What is in the server: records that are as those in memory are, and those that are gone, and those that cannot be read.

use std::num::NonZeroUsize;
use std::time::Duration;

use buttress::idempotency::{
    Acquired, Begin, Claim, Commit, Fingerprint, MemoryStore, Owner, RecordKey, Store, StoreError,
};
use bytes::Bytes;
use redis::aio::MultiplexedConnection;

use crate::record::{self, Record, put};
use crate::server::Redis;
use crate::world::{HOUR, claim, key, name};

#[tokio::test]
async fn what_was_forgotten_while_it_ran_is_recorded_all_the_same() {
    let redis = Redis::start(&[]).await;
    let (store, claim_of_it) = (redis.store().await, claim());
    store.begin(&key(1), claim_of_it).await.expect("it answers");
    let () = redis.say("FLUSHALL").await;
    assert_eq!(store.complete(&key(1), claim_of_it, "tea".into()).await.expect("it answers"), Commit::Recreated);
    assert_eq!(store.begin(&key(1), claim()).await.expect("it answers"), Begin::Done("tea".into()));
}

#[tokio::test]
async fn a_fence_is_larger_also_than_one_that_the_server_has_forgotten() {
    let redis = Redis::start(&[]).await;
    let store = redis.store().await;
    let mut last = 0;
    for _ in 0..100 {
        let Begin::Acquired(Acquired { fence, attempt: 1 }) = store.begin(&key(1), claim()).await.expect("it answers")
        else {
            panic!("nothing is known of it");
        };
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        let () = redis.say("FLUSHALL").await;
    }
}

/// The server's clock was set back by a hundred years.
#[tokio::test]
async fn a_fence_is_larger_than_the_one_before_it_whatever_the_clock_says() {
    let redis = Redis::start(&[]).await;
    let (store, one) = (redis.store().await, Claim { lease: Duration::ZERO, ..claim() });
    store.begin(&key(1), one).await.expect("it answers");
    let ahead = Record { fence: 5_000_000_000_000_000, ..Record::of(&one) };
    put(&redis, &key(1), &ahead.to_bytes()).await;
    let begin = store.begin(&key(1), claim()).await.expect("it answers");
    assert_eq!(begin, Begin::Acquired(Acquired { fence: 5_000_000_000_000_001, attempt: 2 }));
}

#[tokio::test]
async fn attempts_are_counted_no_further_than_can_be() {
    let redis = Redis::start(&[]).await;
    let store = redis.store().await;
    for (before, after) in [(u32::MAX - 1, u32::MAX), (u32::MAX, u32::MAX)] {
        put(&redis, &key(1), &Record { attempt: before, ..Record::of(&claim()) }.to_bytes()).await;
        match store.begin(&key(1), claim()).await.expect("it answers") {
            Begin::Acquired(Acquired { attempt, .. }) => assert_eq!(attempt, after),
            other => panic!("{other:?}"),
        }
    }
}

/// What a server is paid for: each command of a script, more than anything that Lua does.
#[tokio::test]
async fn of_a_new_request_nothing_is_read_but_by_its_owner() {
    let redis = Redis::start(&[]).await;
    let (store, one) = (redis.store().await, claim());
    let () = redis.say("CONFIG RESETSTAT").await;
    store.begin(&key(1), one).await.expect("it answers");
    assert_eq!(commands(&redis).await, ["set 1", "time 1"]);
    store.complete(&key(1), one, "tea".into()).await.expect("it answers");
    assert_eq!(commands(&redis).await, ["getex 1", "set 2", "time 1"]);
    store.begin(&key(1), claim()).await.expect("it answers");
    assert_eq!(commands(&redis).await, ["get 1", "getex 1", "set 3", "time 2"]);
}

/// How often each command was run that a script may run.
async fn commands(redis: &Redis) -> Vec<String> {
    let stats: String = redis.say("INFO commandstats").await;
    let counted = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    let counts = counted.filter_map(|(name, counts)| Some((name, counts.split_once(',')?.0)));
    let mut counts: Vec<_> = counts
        .filter(|(name, _)| ["time", "get", "getex", "set", "del"].contains(name))
        .map(|(name, calls)| format!("{name} {calls}"))
        .collect();
    counts.sort();
    counts
}

#[tokio::test]
async fn scripts_that_the_server_has_forgotten_are_told_it_again() {
    let redis = Redis::start(&[]).await;
    let (store, claim) = (redis.store().await, claim());
    let () = redis.say("SCRIPT FLUSH").await;
    let begin = store.begin(&key(1), claim).await.expect("it answers");
    assert!(matches!(begin, Begin::Acquired(_)), "{begin:?}");
    let () = redis.say("SCRIPT FLUSH").await;
    assert_eq!(store.begin(&key(1), claim).await.expect("it answers"), begin);
    let () = redis.say("SCRIPT FLUSH").await;
    assert!(store.renew(&key(1), claim.owner, HOUR).await.expect("it answers"));
    let () = redis.say("SCRIPT FLUSH").await;
    assert_eq!(store.complete(&key(1), claim, "tea".into()).await.expect("it answers"), Commit::Stored);
}

#[tokio::test]
async fn what_cannot_be_read_is_not_taken_for_nothing() {
    let redis = Redis::start(&[]).await;
    let store = redis.store().await;
    let name = name(&key(1));
    let whole = Record::of(&claim());
    let run = whole.to_bytes();
    let (cut_off, too_long) = (&run[..run.len() - 1], &[&run[..], b"x"].concat());
    let values = [
        b"",
        cut_off,
        too_long,
        &[b'd'; 48],
        &[b'p'; 48],
        &Record { phase: b'x', ..whole }.to_bytes(),
        &Record { fence: u64::MAX, ..whole }.to_bytes(),
        &Record { fence: 9_007_199_254_740_991, ..whole }.to_bytes(),
    ];
    let mut strange: Vec<_> = values.into_iter().map(|value| redis::cmd("SET").arg(&name).arg(value).clone()).collect();
    strange.push(redis::cmd("RPUSH").arg(&name).arg("tea").clone());
    strange.push(redis::cmd("HSET").arg(&name).arg("phase").arg("running").clone());
    for strange in strange {
        strange.exec_async(&mut redis.connection().await).await.expect("it is written");
        let claim = claim();
        let (owner, fingerprint) = (claim.owner, claim.fingerprint);
        let key = key(1);
        let errors = [
            store.begin(&key, claim).await.map(drop),
            store.complete(&key, claim, Bytes::new()).await.map(drop),
            store.renew(&key, owner, HOUR).await.map(drop),
            store.release(&key, owner).await.map(drop),
            store.park(&key, claim, "why").await.map(drop),
            store.look(&key, fingerprint).await.map(drop),
            store.resolve(&key, None).await.map(drop),
        ];
        for error in errors {
            assert!(matches!(error, Err(StoreError::Corrupt(_))), "{strange:?}: {error:?}");
        }
        let () = redis.say(&format!("DEL {name}")).await;
    }
}

/// Its time is over, and the server has not forgotten it, which it does at most two milliseconds late.
#[tokio::test]
async fn until_a_run_is_forgotten_it_is_taken_over_from_or_its_owners() {
    let redis = Redis::start(&[]).await;
    let (store, owners) = (redis.store().await, claim());
    let over = Record { fence: 7, forgotten: 1, ..Record::of(&owners) }.to_bytes();
    put(&redis, &key(1), &over).await;
    assert_eq!(store.look(&key(1), owners.fingerprint).await.expect("it answers"), None);
    store.begin(&key(3), claim()).await.expect("it answers");
    let earlier = record::fence(&redis, &key(3)).await;
    match store.begin(&key(1), claim()).await.expect("it answers") {
        Begin::Acquired(Acquired { fence, attempt: 2 }) => {
            assert!(fence > earlier, "{fence} is no time after {earlier}");
        }
        other => panic!("{other:?}"),
    }
    put(&redis, &key(2), &over).await;
    assert_eq!(store.complete(&key(2), owners, "tea".into()).await.expect("it answers"), Commit::Stored);
    assert_eq!(store.begin(&key(2), claim()).await.expect("it answers"), Begin::Done("tea".into()));
}

/// What somebody asks for: by the number of who it is, and whether the lease ends at once.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Begin { owner: usize, request: u8, lease: Duration, retention: Duration },
    Complete { owner: usize, retention: Duration },
    Renew { owner: usize, lease: Duration },
    Release { owner: usize },
    Park { owner: usize, retention: Duration },
    Resolve { is_done: bool },
    Look { request: u8 },
}

impl Asked {
    fn any(random: &mut fastrand::Rng) -> Self {
        let (owner, request) = (random.usize(..3), u8::from(random.u8(..8) == 0));
        let [lease, retention] = [2, 8].map(|one_in| if random.u8(..one_in) == 0 { Duration::ZERO } else { HOUR });
        match random.u8(..12) {
            0..5 => Self::Begin { owner, request, lease, retention },
            5 => Self::Complete { owner, retention },
            6 => Self::Renew { owner, lease },
            7 | 8 => Self::Release { owner },
            9 => Self::Park { owner, retention },
            10 => Self::Resolve { is_done: random.bool() },
            _ => Self::Look { request },
        }
    }

    /// What a store says, without the time that is left and with the fence apart.
    async fn of(self, store: &impl Store, key: &RecordKey, owners: &[Owner; 3]) -> (String, Option<u64>) {
        let claim = |owner: usize, lease, retention| Claim {
            fingerprint: Fingerprint::of(&0_u8),
            owner: owners[owner],
            lease,
            retention,
        };
        let said = match self {
            Self::Begin { owner, request, lease, retention } => {
                let claim = Claim { fingerprint: Fingerprint::of(&request), ..claim(owner, lease, retention) };
                return match store.begin(key, claim).await.expect("it answers") {
                    Begin::Acquired(Acquired { fence, attempt }) => (format!("attempt {attempt}"), Some(fence)),
                    Begin::Running { .. } => ("running".to_owned(), None),
                    other => (format!("{other:?}"), None),
                };
            }
            Self::Complete { owner, retention } => {
                let claim = claim(owner, HOUR, retention);
                format!("{:?}", store.complete(key, claim, format!("by {owner}").into()).await)
            }
            Self::Renew { owner, lease } => format!("{:?}", store.renew(key, owners[owner], lease).await),
            Self::Release { owner } => format!("{:?}", store.release(key, owners[owner]).await),
            Self::Park { owner, retention } => {
                format!("{:?}", store.park(key, claim(owner, HOUR, retention), &format!("by {owner}")).await)
            }
            Self::Resolve { is_done } => {
                format!("{:?}", store.resolve(key, is_done.then(|| "found out".into())).await)
            }
            Self::Look { request } => match store.look(key, Fingerprint::of(&request)).await.expect("it answers") {
                Some(Begin::Running { .. }) => "running".to_owned(),
                other => format!("{other:?}"),
            },
        };
        (said, None)
    }
}

/// How long a record is remembered, in milliseconds, if it is not gone.
async fn left(connection: &mut MultiplexedConnection, key: &RecordKey) -> i64 {
    redis::cmd("PTTL").arg(name(key)).query_async(connection).await.expect("it answers")
}

const GONE: i64 = -2;

/// Leases and retentions that are over at once, and those that do not end: then both stores say the same, however their clocks
/// go.
#[tokio::test]
async fn whatever_is_asked_it_is_answered_as_in_memory() {
    let redis = Redis::start(&[]).await;
    let (store, mut connection) = (redis.store().await, redis.connection().await);
    let memory = MemoryStore::new(NonZeroUsize::MAX);
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let key = RecordKey::of(&"any", &seed);
        let owners: [Owner; 3] = std::array::from_fn(|_| Owner::random());
        let (mut history, mut last) = (Vec::new(), (0, 0));
        for _ in 0..20 {
            let asked = Asked::any(&mut random);
            history.push(asked);
            let (expected, fence_there) = asked.of(&memory, &key, &owners).await;
            let (said, fence) = asked.of(&store, &key, &owners).await;
            assert_eq!(said, expected, "seed {seed}: {history:?}");
            if let (Some(fence), Some(there)) = (fence, fence_there) {
                assert_eq!(fence.cmp(&last.0), there.cmp(&last.1), "seed {seed}: {fence} of {history:?}");
                last = (fence, there);
            }
            let is_over = |left| (0..=1).contains(&left);
            while is_over(left(&mut connection, &key).await) {}
            let left = left(&mut connection, &key).await;
            assert!(left == GONE || left > 60_000, "seed {seed}: it expires in {left} after {history:?}");
        }
    }
}
