mod counts;
mod remember;
mod slot;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

pub use self::counts::Counts;
pub(super) use self::counts::{Counted, Counters};
pub use self::remember::{Accepts, Asks, Because, Clones, Recalled, Remember, Share, SizeOf, TypeSize, Unsaid};
pub use self::slot::Slot;
use super::config::CacheFallbackConfig;
use super::memory::MemoryStore;
use crate::telemetry;

/// The hold on a [`CacheFallbackLayer`](super::CacheFallbackLayer) and all its services: what is remembered, how often it stood
/// in, and how to have it forgotten. Clones are of the same layer.
pub struct Memory<K, V>(Arc<Shared<K, V>>);

/// What all services of a layer have in common.
pub(super) struct Shared<K, V> {
    pub(super) config: CacheFallbackConfig,
    pub(super) store: MemoryStore<K, V>,
    pub(super) counters: Counters,
}

impl<K, V> Shared<K, V> {
    pub(super) fn new(config: CacheFallbackConfig, store: MemoryStore<K, V>) -> Self {
        Self { config, store, counters: Counters::default() }
    }

    pub(super) fn forget(&self, key: &K) -> bool
    where
        K: Eq + Hash + Clone,
    {
        let is_known = self.store.forget(key);
        self.has_forgotten(usize::from(is_known));
        is_known
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
    /// has been asked for by now is remembered: for what changes often, forget by key.
    pub fn forget_where(&self, unwanted: impl Fn(&K) -> bool) -> usize {
        let known = self.0.store.forget_where(unwanted);
        self.0.has_forgotten(known);
        known
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
