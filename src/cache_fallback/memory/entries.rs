//! The entries of a store, of bounded weight.

use std::hash::Hash;
use std::sync::Arc;
use std::thread::available_parallelism;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::answer::Answer;

/// What an answer takes beside its bytes, of the cache, its key and itself.
pub(super) const OVERHEAD: u64 = 256;

/// Most entries are as large as this or larger.
const ESTIMATED_ENTRY: u64 = 1024;

/// The part of a shard for entries that were asked for again; no entry can be larger.
const HOT: f64 = 0.97;

/// What is remembered under one key.
pub(super) type Answers<V> = Arc<[Arc<Answer<V>>]>;

pub(super) type Entries<K, V> = Cache<K, Answers<V>, Bytes, DefaultHashBuilder, Collects>;

/// What an entry weighs.
#[derive(Clone)]
pub(super) struct Bytes;

impl<K, V> Weighter<K, Answers<V>> for Bytes {
    fn weight(&self, _: &K, answers: &Answers<V>) -> u64 {
        answers.iter().map(|answer| weight_of(answer)).sum()
    }
}

pub(super) const fn weight_of<V>(answer: &Answer<V>) -> u64 {
    answer.bytes.saturating_add(OVERHEAD)
}

/// Hands what goes to whoever drove it out, so that it is not dropped under a lock.
#[derive(Clone)]
pub(super) struct Collects;

impl<K, V> Lifecycle<K, Answers<V>> for Collects {
    type RequestState = Vec<(K, Answers<V>)>;

    fn on_evict(&self, gone: &mut Self::RequestState, key: K, answers: Answers<V>) {
        gone.push((key, answers));
    }
}

/// No entries yet, of which none weighs more than `max_entry`.
///
/// Each shard has its part of the bytes for itself, and lets in no entry that is larger than that; more shards than these would
/// refuse what the limit allows.
pub(super) fn empty<K: Eq + Hash, V>(max_bytes: u64, max_entry: u64, hasher: DefaultHashBuilder) -> Entries<K, V> {
    let most = usize::try_from(max_bytes / max_entry.saturating_mul(4).max(1)).unwrap_or(usize::MAX).max(1);
    let wanted = available_parallelism().map_or(4, |threads| threads.get() * 4);
    let shards = 1 << most.min(wanted).ilog2();
    let estimated = usize::try_from(max_bytes / ESTIMATED_ENTRY).unwrap_or(usize::MAX).max(1);
    let options = OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity(estimated)
        .weight_capacity(max_bytes)
        .hot_allocation(HOT)
        .build()
        .expect("both capacities are given");
    Cache::with_options(options, Bytes, hasher, Collects)
}
