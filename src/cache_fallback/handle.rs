mod counts;
mod flights;
mod remember;
mod slot;

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, OnceLock};

pub use self::counts::Counts;
pub(super) use self::counts::{Counted, Counters};
pub(super) use self::flights::{Boarding, Flights, Landed, Leader, Report};
pub use self::remember::{Accepts, Asks, Because, Clones, Recalled, Remember, Share, SizeOf, TypeSize, Unsaid};
pub use self::slot::Slot;
use super::config::CacheFallbackConfig;
use super::memory::{Answer, Elsewhere, MemoryStore, Version};
use super::state::{Allowed, Life};
use crate::clock::Moment;
use crate::name::Name;
use crate::outcome::Failure;
use crate::telemetry;

/// The hold on a [`CacheFallbackLayer`](super::CacheFallbackLayer) and all its services: what is remembered, how often it stood
/// in, and how to have it forgotten. Clones are of the same layer.
pub struct Memory<K, V>(Arc<Shared<K, V>>);

/// How a [`CacheFallbackLayer`](super::CacheFallbackLayer) stands.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the layer is called.
    pub name: Name,
    /// How many keys something is remembered under; some of it may be too old.
    pub keys: usize,
    /// How many bytes it takes.
    pub bytes: u64,
    /// How many calls are under way that are made once for all who ask.
    pub calls: usize,
    /// What has been decided so far.
    pub counts: Counts,
}

/// What all services of a layer have in common.
pub(super) struct Shared<K, V> {
    pub(super) config: CacheFallbackConfig,
    pub(super) store: MemoryStore<K, V>,
    pub(super) counters: Counters,
    /// There are none without read-through.
    flights: OnceLock<Arc<Flights<K, V>>>,
}

impl<K, V> Shared<K, V> {
    pub(super) fn new(config: CacheFallbackConfig, store: MemoryStore<K, V>) -> Self {
        Self { config, store, counters: Counters::default(), flights: OnceLock::new() }
    }

    pub(super) fn flights(&self) -> &Arc<Flights<K, V>>
    where
        K: Eq + Hash + Clone,
    {
        self.flights.get_or_init(|| Arc::new(Flights::new()))
    }

    pub(super) fn forget(&self, key: &K) -> bool
    where
        K: Eq + Hash + Clone,
    {
        // First: else what is found there meanwhile would come back.
        if let Some(second) = self.store.second() {
            second.forget(key, Moment::now());
        }
        let is_known = self.store.forget(key);
        self.has_forgotten(usize::from(is_known));
        is_known
    }

    /// Puts an answer that was kept into the second level, for as long as it may be of use. If it is of none, what was asked for
    /// before it goes there too.
    pub(super) fn put(&self, key: &K, answer: Arc<Answer<V>>, allowed: Allowed)
    where
        K: Eq + Hash + Clone,
    {
        let Some(second) = self.store.second() else { return };
        let longest = self.config.stale_if_error;
        let longest = allowed.stale_if_error.map_or(longest, |allowed| allowed.min(longest));
        // No longer than here, wherever it is found.
        let allowed = Allowed { stale_if_error: Some(longest), ..allowed };
        let age = allowed.age.saturating_add(Moment::now().since(answer.asked_at));
        let keep_for = longest.saturating_sub(age);
        if keep_for.is_zero() {
            second.forget(key, answer.asked_at);
        } else {
            second.put(key, answer, allowed, keep_for);
        }
    }

    /// Remembers what was found in the second level, as long as it is allowed and nothing has been forgotten since `version`.
    pub(super) fn promote(&self, key: &K, version: Version, found: Vec<Elsewhere<V>>)
    where
        K: Eq + Hash + Clone,
    {
        let Some(second) = self.store.second() else { return };
        for Elsewhere { value, allowed, asked_at, found_at, bytes } in found {
            let life = Life::begin(found_at, self.config.stale_if_error, allowed);
            let answer = Arc::new(Answer::new(value, life, asked_at, bytes));
            self.store.keep(key, version, answer.clone(), |other| second.replaces(&answer.value, other));
        }
    }

    /// Nothing stands in for a failure.
    pub(super) fn missed(&self, failure: &Failure) {
        self.counters.count(Counted::Missed);
        telemetry::nothing_remembered(&self.config.name, failure);
    }

    /// So many keys are known no more.
    pub(super) fn has_forgotten(&self, keys: usize) {
        if keys > 0 {
            telemetry::forgotten(&self.config.name, keys);
        }
    }
}

impl<K: Eq + Hash + Clone, V> Memory<K, V> {
    pub(super) const fn of(shared: Arc<Shared<K, V>>) -> Self {
        Self(shared)
    }

    /// Forgets what is remembered under a key; says whether anything was.
    ///
    /// Answers to requests that have been sent by now are not remembered any more: they may be from before whatever has changed.
    pub fn forget(&self, key: &K) -> bool {
        self.0.forget(key)
    }

    /// The same with every key that is `unwanted`; says how many were known. It looks at all of them, and no answer at all that
    /// has been asked for by now is remembered: for what changes often, forget by key. A [second level](MemoryStore::over) is told to
    /// forget all keys, which it cannot look at.
    pub fn forget_where(&self, unwanted: impl Fn(&K) -> bool) -> usize {
        if let Some(second) = self.0.store.second() {
            second.forget_all();
        }
        let known = self.0.store.forget_where(unwanted);
        self.0.has_forgotten(known);
        known
    }

    /// The same with every key that begins with `prefix`; over HTTP with every URI that does, in
    /// all scopes, such as `//shop.example/products/` of a server. A [second level](MemoryStore::over) forgets all keys.
    #[expect(clippy::must_use_candidate, reason = "how many were known is seldom of interest")]
    pub fn forget_prefix(&self, prefix: &str) -> usize
    where
        K: AsRef<str>,
    {
        self.forget_where(|key| key.as_ref().starts_with(prefix))
    }

    /// The same with all keys.
    pub fn forget_all(&self) {
        self.forget_where(|_| true);
    }

    /// How many keys something is remembered under; some of it may be too old by now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.store.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes it takes, as [`MemoryStore::bytes`] counts them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.store.bytes()
    }

    /// How it stands now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let calls = self.0.flights.get().map_or(0, |flights| flights.len());
        let counts = self.counts();
        Snapshot { name: self.0.config.name, keys: self.len(), bytes: self.bytes(), calls, counts }
    }

    /// What has been decided so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.counters.read()
    }
}

impl<K, V> Clone for Memory<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> fmt::Debug for Memory<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("name", &self.0.config.name)
            .field("counts", &self.0.counters.read())
            .finish_non_exhaustive()
    }
}
