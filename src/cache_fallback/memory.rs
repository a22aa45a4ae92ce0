mod answer;
mod doubts;
mod entries;
mod invalid;
mod last_puts;
mod second;

use std::cmp::Reverse;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::DefaultHashBuilder;
use smallvec::{SmallVec, smallvec};

pub(super) use self::answer::Answer;
use self::entries::{Answers, Entries, OVERHEAD, weight_of};
pub use self::invalid::InvalidMemory;
use self::second::Backed;
pub(super) use self::second::{Elsewhere, Finding, SecondLevel};
use super::store::{Codec, Store};

/// So many answers are kept under one key, and of more the last ones.
const MOST_VARIANTS: usize = 8;

/// What is forgotten of one key counts for all that share one of these, and costs an answer that is not kept. So many take
/// 64 KiB; of 50 answers under way at a time that nothing is there (404), one in a hundred others is not kept.
const STRIPES: usize = 4096;

/// Answers in the memory of this process, which together take no more than so many bytes.
///
/// When it is full, those go that nobody has asked for, or not for long (S3-FIFO); the newest is always let in, since it is the
/// one that is missed when its service fails next. Answers whose time is over are kept until room is needed.
///
/// Clones share the answers, and so do the layers that they are given to. Others that [share a store](Self::over) with it find
/// them there.
pub struct MemoryStore<K, V> {
    shared: Arc<Shared<K, V>>,
    second: Option<Arc<dyn SecondLevel<K, V>>>,
}

struct Shared<K, V> {
    entries: Entries<K, V>,
    max_entry: u64,
    stripes: Box<[Stripe]>,
    hasher: DefaultHashBuilder,
}

/// Entries are changed one at a time, and what is forgotten is counted.
#[derive(Default)]
struct Stripe {
    forgotten: AtomicU64,
    lock: Mutex<()>,
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was known of a key when a request was sent. An answer to it is kept if nothing has been forgotten since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    stripe: usize,
    forgotten: u64,
}

/// What came of an answer that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    /// Something has been forgotten since its request was sent, or a later one has been answered.
    Outdated,
    TooLarge,
}

/// Whether an entry was changed.
enum Change {
    Made,
    /// Something has been forgotten.
    Outdated,
    /// Somebody else has changed it: look again.
    Lost,
}

impl<K: Eq + Hash + Clone, V> MemoryStore<K, V> {
    /// A store of up to `max_bytes`, of which one key may have a sixteenth; in a small store 16 KiB, if that is no more than half.
    #[must_use]
    pub fn new(max_bytes: NonZeroU64) -> Self {
        let max_bytes = max_bytes.get();
        Self::with(max_bytes, (max_bytes / 16).max(16 << 10).min(max_bytes / 2))
    }

    /// A store in which one key may have up to `max_entry` bytes, all variants of its answer together.
    ///
    /// # Errors
    ///
    /// If that is more than half of all bytes, so that one answer would drive out nearly all others, or so little that none fits.
    pub fn with_max_entry(max_bytes: NonZeroU64, max_entry: NonZeroU64) -> Result<Self, InvalidMemory> {
        let (max_bytes, max_entry) = (max_bytes.get(), max_entry.get());
        if max_entry > max_bytes / 2 {
            return Err(InvalidMemory::EntryTooLarge { max_entry, max_bytes });
        }
        if max_entry <= OVERHEAD {
            return Err(InvalidMemory::EntryTooSmall { max_entry, least: OVERHEAD + 1 });
        }
        Ok(Self::with(max_bytes, max_entry))
    }

    fn with(max_bytes: u64, max_entry: u64) -> Self {
        let hasher = DefaultHashBuilder::default();
        let entries = entries::empty(max_bytes, max_entry, hasher.clone());
        let stripes = iter::repeat_with(Stripe::default).take(STRIPES).collect();
        Self { shared: Arc::new(Shared { entries, max_entry, stripes, hasher }), second: None }
    }

    /// The memory in front of a second level, where other processes find its answers, and this one when it has been started again.
    ///
    /// What the memory keeps is put there, and what it forgets is forgotten there, in the background; it is asked when a call has
    /// failed and the memory has nothing for it, by a read-through before the call, and what it answers is in the memory from then on. Clones that were made before
    /// know nothing of it. How it behaves when it is gone, and when it lies, [the module](super#processes-that-share-answers) says.
    #[must_use]
    pub fn over(self, store: impl Store, codec: impl Codec<K, V>) -> Self
    where
        K: 'static,
        V: Send + Sync + 'static,
    {
        Self { second: Some(Arc::new(Backed::new(store, codec))), ..self }
    }

    /// The level behind it, if there is one.
    pub(super) fn second(&self) -> Option<&dyn SecondLevel<K, V>> {
        self.second.as_deref()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes the answers take together, with some 256 for each beside its own.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.entries.weight()
    }

    /// How many bytes of its own an answer may have.
    pub(super) fn max_answer(&self) -> u64 {
        self.shared.max_entry.saturating_sub(OVERHEAD)
    }

    /// What is known of a key now.
    pub(super) fn version(&self, key: &K) -> Version {
        // The cache takes the lower bits.
        let stripe = usize::try_from(self.shared.hasher.hash_one(key) >> 32).unwrap_or_default() % STRIPES;
        Version { stripe, forgotten: self.shared.stripes[stripe].forgotten.load(Ordering::Acquire) }
    }

    /// The answer under a key that is the one `wanted`.
    pub(super) fn get(&self, key: &K, wanted: impl Fn(&V) -> bool) -> Option<Arc<Answer<V>>> {
        self.look(key, wanted, Arc::clone)
    }

    /// What is made of the answer under a key that is the one `wanted`.
    pub(super) fn look<T>(
        &self,
        key: &K,
        wanted: impl Fn(&V) -> bool,
        make: impl FnOnce(&Arc<Answer<V>>) -> T,
    ) -> Option<T> {
        self.shared.entries.get(key)?.iter().find(|answer| wanted(&answer.value)).map(make)
    }

    /// The answer under a key that was asked for last.
    pub(super) fn youngest(&self, key: &K) -> Option<Arc<Answer<V>>> {
        self.shared.entries.peek(key)?.first().cloned()
    }

    /// Keeps an answer in place of those that it `replaces`.
    pub(super) fn keep(
        &self,
        key: &K,
        version: Version,
        answer: impl Into<Arc<Answer<V>>>,
        replaces: impl Fn(&V) -> bool,
    ) -> Fate {
        let answer = answer.into();
        if weight_of(&answer) > self.shared.max_entry {
            return Fate::TooLarge;
        }
        loop {
            let known = self.shared.entries.peek(key);
            let Some(answers) = self.with_another(known.as_deref().unwrap_or_default(), &answer, &replaces) else {
                return Fate::Outdated;
            };
            match self.change(key, version, known.as_ref(), Some(answers)) {
                Change::Made => return Fate::Kept,
                Change::Outdated => return Fate::Outdated,
                Change::Lost => {}
            }
        }
    }

    /// What is known, and another answer first; `None` if what it replaces is younger. What there is no room for goes, the oldest
    /// first.
    fn with_another(
        &self,
        known: &[Arc<Answer<V>>],
        answer: &Arc<Answer<V>>,
        replaces: &impl Fn(&V) -> bool,
    ) -> Option<Answers<V>> {
        let mut all: SmallVec<[_; MOST_VARIANTS + 1]> = smallvec![answer];
        for other in known {
            if !replaces(&other.value) {
                all.push(other);
            } else if other.asked_at > answer.asked_at {
                return None;
            }
        }
        // The youngest first, which is the first to be found.
        all.sort_by_key(|other| Reverse(other.asked_at));
        let mut room = self.shared.max_entry;
        let fits = |other: &&Arc<Answer<V>>| {
            let left = room.checked_sub(weight_of(other));
            room = left.unwrap_or_default();
            left.is_some()
        };
        Some(all.into_iter().take(MOST_VARIANTS).take_while(fits).cloned().collect())
    }

    /// Whoever decided has looked without a lock, since what they look at is not only ours. Without `answers`, nothing is known
    /// of the key any more.
    fn change(&self, key: &K, version: Version, known: Option<&Answers<V>>, answers: Option<Answers<V>>) -> Change {
        // Made before the lock, and dropped after it.
        let (inserted, mut gone) = (key.clone(), Vec::new());
        let current;
        let stripe = &self.shared.stripes[version.stripe];
        let _lock = stripe.lock();
        if stripe.forgotten.load(Ordering::Relaxed) != version.forgotten {
            return Change::Outdated;
        }
        current = self.shared.entries.peek(key);
        if current.as_ref().map(Arc::as_ptr) != known.map(Arc::as_ptr) {
            return Change::Lost;
        }
        match answers {
            Some(answers) => self.shared.entries.insert_with_lifecycle(inserted, answers, &mut gone),
            None => gone.extend(self.shared.entries.remove(key)),
        }
        Change::Made
    }

    /// Forgets what is known of a key, and what is being asked about it; says whether anything was known.
    pub(super) fn forget(&self, key: &K) -> bool {
        let stripe = &self.shared.stripes[self.version(key).stripe];
        let lock = stripe.lock();
        stripe.forgotten.fetch_add(1, Ordering::Release);
        let gone = self.shared.entries.remove(key);
        drop(lock);
        gone.is_some()
    }

    /// The same with those answers alone that are `unwanted`, where all that is being asked about the key is outdated as well.
    pub(super) fn forget_some(&self, key: &K, unwanted: impl Fn(&Answer<V>) -> bool) -> bool {
        let stripe = self.version(key).stripe;
        let forgotten = {
            let _lock = self.shared.stripes[stripe].lock();
            self.shared.stripes[stripe].forgotten.fetch_add(1, Ordering::Release) + 1
        };
        let mut version = Version { stripe, forgotten };
        loop {
            let Some(known) = self.shared.entries.peek(key) else { return false };
            let rest: Answers<V> = known.iter().filter(|answer| !unwanted(answer)).cloned().collect();
            if rest.len() == known.len() {
                return false;
            }
            match self.change(key, version, Some(&known), Some(rest).filter(|rest| !rest.is_empty())) {
                Change::Made => return true,
                Change::Outdated => version = self.version(key),
                Change::Lost => {}
            }
        }
    }

    /// Forgets every key that is `unwanted`, and whatever is being asked now; says how many were known.
    pub(super) fn forget_where(&self, unwanted: impl Fn(&K) -> bool) -> usize {
        for stripe in &self.shared.stripes {
            let _lock = stripe.lock();
            stripe.forgotten.fetch_add(1, Ordering::Release);
        }
        let unwanted = self.shared.entries.iter().filter(|(key, _)| unwanted(key));
        unwanted.filter(|(key, _)| self.forget(key)).count()
    }
}

impl<K, V> Clone for MemoryStore<K, V> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), second: self.second.clone() }
    }
}

impl<K, V> fmt::Debug for MemoryStore<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("max_entry", &self.shared.max_entry)
            .field("has_second_level", &self.second.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
