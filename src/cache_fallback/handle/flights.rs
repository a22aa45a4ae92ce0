//! Calls that are made once for all who ask at the same time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::{FutureExt, Shared};
use quick_cache::sync::Cache;
use tokio::sync::{Notify, oneshot};

use crate::cache_fallback::memory::{Answer, Version};
use crate::clock::Moment;
use crate::outcome::Failure;

/// Of so many keys it is known that their answers are not kept.
const MOST_ALONE: usize = 1024;

/// For so long it is believed. Meanwhile nobody waits for what will not be theirs.
const ALONE_FOR: Duration = Duration::from_secs(1);

/// What has come of a call that was made for all.
pub(in super::super) enum Landed<V> {
    /// An answer that is for all whom it does for.
    Kept(Arc<Answer<V>>),
    /// An answer that is nobody else's.
    NotKept,
    /// Something has changed since, or was found in memory: each looks for itself.
    LookAgain,
    Failed(Failure),
}

impl<V> Clone for Landed<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Kept(answer) => Self::Kept(answer.clone()),
            Self::NotKept => Self::NotKept,
            Self::LookAgain => Self::LookAgain,
            Self::Failed(failure) => Self::Failed(failure.clone()),
        }
    }
}

/// What comes of a call, as those tell it who find out.
pub(in super::super) struct Report<V> {
    landed: OnceLock<Landed<V>>,
    /// Whether anybody is told an answer of old if it fails.
    pub(in super::super) stands_in: bool,
    not_ready: Notify,
}

impl<V> Report<V> {
    pub(in super::super) fn new(stands_in: bool) -> Self {
        Self { landed: OnceLock::new(), stands_in, not_ready: Notify::new() }
    }

    pub(in super::super) fn tell(&self, landed: Landed<V>) {
        // What failed first is what failed.
        let _ = self.landed.set(landed);
    }

    pub(in super::super) fn tell_not_ready(&self) {
        self.not_ready.notify_one();
    }

    /// Resolves when the service has not become ready in time.
    pub(in super::super) async fn not_ready(&self) {
        self.not_ready.notified().await;
    }

    pub(in super::super) fn landed(&self) -> Landed<V> {
        self.landed.get().cloned().unwrap_or(Landed::NotKept)
    }
}

/// Resolves once the call has; fails if that is given up.
pub(in super::super) type Landing<V> = Shared<oneshot::Receiver<Landed<V>>>;

/// Whose answers are the same: those with a key and the number of a variant.
type Destination<K> = (K, u64);

/// The calls of a layer that are under way.
pub(in super::super) struct Flights<K, V> {
    under_way: Mutex<HashMap<Destination<K>, Flight<V>>>,
    /// Since when answers under a key are not kept.
    alone: Cache<K, Moment>,
}

struct Flight<V> {
    /// What was known of the key when it began. Who has come after a change is not told what was before it.
    version: Version,
    landing: Landing<V>,
}

/// How a request comes by its answer.
pub(in super::super) enum Boarding<K: Eq + Hash + Clone, V> {
    Lead(Leader<K, V>),
    Follow(Landing<V>),
}

/// Whoever makes the call. When it is dropped, those who wait are released.
pub(in super::super) struct Leader<K: Eq + Hash + Clone, V> {
    flights: Arc<Flights<K, V>>,
    to: Destination<K>,
    landing: Landing<V>,
    tell: Option<oneshot::Sender<Landed<V>>>,
}

impl<K: Eq + Hash + Clone, V> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self { under_way: Mutex::default(), alone: Cache::new(MOST_ALONE) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Destination<K>, Flight<V>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether a request had better not wait for another one with its key.
    pub(in super::super) fn goes_alone(&self, key: &K, now: Moment) -> bool {
        self.alone.get(key).is_some_and(|since| now.since(since) < ALONE_FOR)
    }

    /// Waits for the call that is under way, or makes it.
    pub(in super::super) fn board(self: &Arc<Self>, key: &K, variant: u64, version: Version) -> Boarding<K, V> {
        let to = (key.clone(), variant);
        let (tell, landing) = oneshot::channel();
        let landing = landing.shared();
        let flight = Flight { version, landing: landing.clone() };
        let leader = |outdated| {
            // What was under way from before a change goes on without them, and is dropped outside of the lock.
            drop::<Option<Flight<V>>>(outdated);
            Boarding::Lead(Leader { flights: self.clone(), to: (key.clone(), variant), landing, tell: Some(tell) })
        };
        let mut under_way = self.lock();
        let outdated = match under_way.entry(to) {
            Entry::Occupied(other) if other.get().version == version => {
                return Boarding::Follow(other.get().landing.clone());
            }
            Entry::Occupied(mut other) => Some(mem::replace(other.get_mut(), flight)),
            Entry::Vacant(place) => {
                place.insert(flight);
                None
            }
        };
        drop(under_way);
        leader(outdated)
    }
}

impl<K: Eq + Hash + Clone, V> Leader<K, V> {
    /// Tells those who wait; who asks from now on looks for themselves.
    pub(in super::super) fn land(mut self, landed: Landed<V>) {
        match &landed {
            Landed::NotKept => self.flights.alone.insert(self.to.0.clone(), Moment::now()),
            Landed::Kept(_) => _ = self.flights.alone.remove(&self.to.0),
            Landed::LookAgain | Landed::Failed(_) => {}
        }
        let tell = self.tell.take();
        drop(self);
        if let Some(tell) = tell {
            let _ = tell.send(landed);
        }
    }
}

impl<K: Eq + Hash + Clone, V> Drop for Leader<K, V> {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        let own = under_way.get(&self.to).is_some_and(|flight| flight.landing.ptr_eq(&self.landing));
        let gone = if own { under_way.remove_entry(&self.to) } else { None };
        drop(under_way);
        drop(gone);
    }
}
