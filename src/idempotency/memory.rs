use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use super::config::{Fingerprint, RecordKey};
use super::state::{Begin, Claim, Commit, Owner, Record};
use super::store::{Capabilities, Store, StoreError};
use crate::clock::{self, Moment};

/// Enough that two threads seldom meet, few enough to look through when the store is full.
const SHARDS: usize = 64;

/// So many records whose time is over go whenever a new one comes: then they cannot pile up while records come, and nobody
/// who brings one waits for all of them.
const GO_FOR_EACH: usize = 2;

/// Records in the memory of this process, for as long as it runs: for tests, for one process, and for what need not outlive
/// it.
///
/// It holds at most so many records and, roughly, so many bytes of answers. When it is full, it forgets what has been
/// remembered long enough, and then it [refuses](StoreError::Full): a record that is forgotten before its time is a request
/// that is run twice. What came of a request that was begun is recorded in any case.
///
/// Clones share the records.
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

struct Shared {
    max_records: usize,
    max_bytes: usize,
    records: AtomicUsize,
    bytes: AtomicUsize,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    records: HashMap<RecordKey, Record, BuildHasherDefault<FirstBytes>>,
    /// When each of them may go.
    ends: BTreeSet<(Moment, RecordKey)>,
}

/// A key is a hash already.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl MemoryStore {
    /// A store of at most `max_records` records.
    ///
    /// A record takes some 250 bytes beside its answer. At 1000 requests a second that are remembered for a day that is 86
    /// million; choose a shorter time, or a store with a disk.
    #[must_use]
    pub fn new(max_records: NonZeroUsize) -> Self {
        Self::with(max_records.get(), usize::MAX)
    }

    /// Takes new requests only while the answers together have fewer bytes than this.
    ///
    /// What came of those that were begun before is recorded, so it may become more by as much as they are answered with.
    /// Clones that there are already keep their own limit and their own records.
    #[must_use]
    pub fn max_bytes(self, max_bytes: NonZeroUsize) -> Self {
        Self::with(self.0.max_records, max_bytes.get())
    }

    fn with(max_records: usize, max_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            max_records,
            max_bytes,
            records: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
        }))
    }

    /// How many records there are; those whose time is over go when others come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.records.load(Ordering::Relaxed)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Larger than all before it, of any store of this process, and of one that ran before it, whose fences may have been kept
/// where something was written; of that one only as long as nobody has set the wall clock back in between.
fn next_fence() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = clock::unix_micros();
    let next = |last: u64| now.max(last + 1);
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    next(last.unwrap_or_else(|last| last))
}

impl Shared {
    fn shard(&self, key: &RecordKey) -> MutexGuard<'_, Shard> {
        self.lock(usize::from(key.as_bytes()[31]) % SHARDS)
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a key; a new record has its room already, or takes it whether there is any or not.
    fn change<T>(
        &self,
        shard: &mut Shard,
        key: &RecordKey,
        has_room: bool,
        change: impl FnOnce(&mut Option<Record>) -> T,
    ) -> T {
        let mut known = shard.records.remove(key);
        let before = Account::of(known.as_ref());
        let value = change(&mut known);
        let after = Account::of(known.as_ref());
        if before.ends != after.ends {
            before.ends.map(|ends| shard.ends.remove(&(ends, *key)));
            after.ends.map(|ends| shard.ends.insert((ends, *key)));
        }
        self.bytes.fetch_add(after.bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(before.bytes, Ordering::Relaxed);
        match (before.ends, after.ends) {
            (None, Some(_)) if !has_room => _ = self.records.fetch_add(1, Ordering::Relaxed),
            (Some(_), None) => _ = self.records.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        if let Some(record) = known {
            shard.records.insert(*key, record);
        }
        value
    }

    /// Forgets records whose time is over, and says how many.
    fn forget(&self, shard: &mut Shard, now: Moment, most: usize) -> usize {
        let mut forgotten = 0;
        while forgotten < most
            && let Some((_, key)) = shard.ends.first().copied().filter(|(ends, _)| *ends <= now)
        {
            self.change(shard, &key, false, |known| *known = None);
            forgotten += 1;
        }
        forgotten
    }

    fn purge(&self, now: Moment, most: usize) -> usize {
        let mut forgotten = 0;
        for shard in 0..SHARDS {
            forgotten += self.forget(&mut self.lock(shard), now, most - forgotten);
        }
        forgotten
    }

    /// Takes room for a record, if there is any.
    fn take_room(&self) -> bool {
        let one_more = |records| (records < self.max_records).then_some(records + 1);
        self.bytes.load(Ordering::Relaxed) < self.max_bytes
            && self.records.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn begin(&self, key: &RecordKey, claim: &Claim, now: Moment) -> Result<Begin, StoreError> {
        self.begin_if_there_is_room(key, claim, now)
            .or_else(|| {
                self.purge(now, usize::MAX);
                self.begin_if_there_is_room(key, claim, now)
            })
            .ok_or(StoreError::Full)
    }

    fn begin_if_there_is_room(&self, key: &RecordKey, claim: &Claim, now: Moment) -> Option<Begin> {
        let mut shard = self.shard(key);
        self.forget(&mut shard, now, GO_FOR_EACH);
        let is_known = shard.records.contains_key(key);
        if !is_known && !self.take_room() {
            return None;
        }
        Some(self.change(&mut shard, key, !is_known, |known| Record::begin(known, claim, now, next_fence)))
    }

    fn change_known<T>(&self, key: &RecordKey, change: impl FnOnce(&mut Option<Record>) -> T) -> T {
        self.change(&mut self.shard(key), key, false, change)
    }
}

/// What is kept account of.
struct Account {
    ends: Option<Moment>,
    bytes: usize,
}

impl Account {
    fn of(record: Option<&Record>) -> Self {
        Self { ends: record.map(Record::ends), bytes: record.map_or(0, Record::bytes) }
    }
}

impl Store for MemoryStore {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        self.0.begin(key, &claim, Moment::now())
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        let now = Moment::now();
        Ok(self.0.change_known(key, |known| Record::complete(known, &claim, answer, now)))
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        let now = Moment::now();
        Ok(self.0.change_known(key, |known| Record::renew(known, owner, lease, now)))
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        let now = Moment::now();
        Ok(self.0.change_known(key, |known| Record::release(known, owner, now)))
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        let now = Moment::now();
        Ok(self.0.change_known(key, |known| Record::park(known, &claim, why, now)))
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        let now = Moment::now();
        Ok(Record::look(self.0.shard(key).records.get(key), fingerprint, now))
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        let now = Moment::now();
        Ok(self.0.change_known(key, |known| Record::resolve(known, answer, now)))
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(u32::try_from(self.0.purge(Moment::now(), most)).unwrap_or(u32::MAX))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("records", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const T0: Moment = Moment::from_nanos(3_600_000_000_000);
    const LEASE: Duration = Duration::from_secs(30);

    fn store(records: usize) -> MemoryStore {
        MemoryStore::new(NonZeroUsize::new(records).expect("not zero"))
    }

    fn key(of: u32) -> RecordKey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&of.to_le_bytes());
        bytes[31] = bytes[0];
        RecordKey::from_bytes(bytes)
    }

    fn claim(owner: u8) -> Claim {
        Claim {
            fingerprint: Fingerprint::from_bytes([0; 32]),
            owner: Owner::from_bytes([owner; 16]),
            lease: LEASE,
            retention: 100 * SEC,
        }
    }

    fn begins(store: &MemoryStore, of: u32, owner: u8, now: Moment) -> bool {
        matches!(store.0.begin(&key(of), &claim(owner), now), Ok(Begin::Acquired(_)))
    }

    fn complete(store: &MemoryStore, of: u32, owner: u8, bytes: usize, now: Moment) -> Commit {
        let answer = Bytes::from(vec![7; bytes]);
        store.0.change_known(&key(of), |known| Record::complete(known, &claim(owner), answer, now))
    }

    #[test]
    fn a_full_store_forgets_nothing_before_its_time_and_takes_nothing_new() {
        let store = store(3);
        assert_eq!((0..10).filter(|of| begins(&store, *of, 1, T0)).count(), 3);
        complete(&store, 0, 1, 1, T0);
        assert!(matches!(store.0.begin(&key(9), &claim(1), T0 + 99 * SEC), Err(StoreError::Full)));
        assert!(
            matches!(store.0.begin(&key(0), &claim(2), T0 + 99 * SEC), Ok(Begin::Done(_))),
            "what is known is told"
        );
        assert!(begins(&store, 9, 1, T0 + 100 * SEC), "their time is over");
        assert_eq!(store.len(), 1, "and all of them went");
    }

    #[test]
    fn what_came_of_a_request_is_recorded_in_a_full_store_as_well() {
        let store = store(1);
        assert!(begins(&store, 0, 1, T0));
        assert_eq!(complete(&store, 5, 1, 1, T0), Commit::Recreated);
        assert_eq!(complete(&store, 0, 1, 1, T0), Commit::Stored);
        assert_eq!(store.len(), 2);
        assert!(!begins(&store, 6, 1, T0));
    }

    #[test]
    fn who_comes_when_there_are_many_bytes_is_refused_until_there_are_fewer() {
        let store = store(100).max_bytes(NonZeroUsize::new(10).expect("not zero"));
        assert!(begins(&store, 0, 1, T0) && begins(&store, 1, 1, T0 + SEC));
        complete(&store, 0, 1, 9, T0);
        assert!(begins(&store, 2, 1, T0));
        complete(&store, 1, 1, 1, T0 + SEC);
        assert!(!begins(&store, 3, 1, T0 + SEC));
        assert!(begins(&store, 3, 1, T0 + 100 * SEC));
    }

    #[test]
    fn what_is_over_goes_as_others_come_though_nobody_purges() {
        let store = store(1_000_000);
        for of in 0..10_000 {
            assert!(begins(&store, of, 1, T0 + of * SEC));
        }
        // Those of the last 100 seconds, and as many in each shard as are seen to be over when the next one comes.
        assert!(store.len() < 400, "{}", store.len());
    }

    #[test]
    fn so_many_are_purged_and_no_more() {
        let store = store(100);
        (0..10).for_each(|of| assert!(begins(&store, of, 1, T0)));
        assert_eq!(store.0.purge(T0 + 99 * SEC, usize::MAX), 0);
        assert_eq!(store.0.purge(T0 + 100 * SEC, 4), 4);
        assert_eq!(store.0.purge(T0 + 100 * SEC, 100), 6);
        assert!(store.is_empty());
    }

    #[test]
    fn fences_grow_from_one_store_to_the_next_and_from_one_process_to_the_next() {
        let fence = |store: &MemoryStore, of| match store.0.begin(&key(of), &claim(1), T0) {
            Ok(Begin::Acquired(acquired)) => acquired.fence,
            other => panic!("not acquired: {other:?}"),
        };
        let before = clock::unix_micros();
        let (first, second) = (store(10), store(10));
        let fences = [fence(&first, 0), fence(&first, 1), fence(&second, 0), fence(&first, 2)];
        assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
        assert!(fences[0] >= before, "a process that begins later gives larger ones");
    }

    #[test]
    fn of_many_who_begin_at_once_one_does() {
        for round in 0..200 {
            let store = store(1);
            let barrier = Barrier::new(8);
            let won = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..8)
                    .map(|owner| {
                        let (store, barrier) = (&store, &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            begins(store, round, owner, T0)
                        })
                    })
                    .collect();
                racers.into_iter().map(|racer| racer.join().expect("no panic")).filter(|won| *won).count()
            });
            assert_eq!((won, store.len()), (1, 1));
        }
    }

    #[test]
    fn many_who_begin_at_once_are_no_more_than_there_is_room_for() {
        let store = store(100);
        let begun: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4_u32)
                .map(|thread| {
                    let store = &store;
                    scope.spawn(move || (0..100).filter(|of| begins(store, thread * 100 + of, 1, T0)).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!((begun, store.len()), (100, 100));
    }
}
