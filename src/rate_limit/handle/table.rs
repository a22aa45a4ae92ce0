use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::bucket::{Bounds, Bucket};
use super::line::{Left, Line, Ticket, Woken};
use crate::clock::Moment;
use crate::name::Name;
use crate::rate_limit::config::{KeyedConfig, Rules, WhenFull, WithoutKey};
use crate::rate_limit::state::{Decider, Slots, Verdict};
use crate::rejection::{LimitReason, Limited};
use crate::sync::{Mutex, MutexGuard};
use crate::telemetry;

/// A table is split when there are more keys than this for each part, so that threads seldom meet.
const KEYS_OF_A_SHARD: usize = 1024;
const MOST_SHARDS: usize = 64;

/// The buckets of many keys, and the two that the others share. It knows keys by their fingerprints alone.
pub(super) struct Table {
    name: Name,
    shards: Box<[Mutex<Shard>]>,
    /// Seeded by chance, so that nobody can choose keys that meet.
    hasher: RandomState,
    for_calls_without: WithoutKey,
    for_new_keys_when_full: WhenFull,
    pub(super) without_key: Arc<Bucket>,
    pub(super) overflow: Arc<Bucket>,
    pub(super) calls_without_key: AtomicU64,
    pub(super) calls_overflowed: AtomicU64,
    adopting: Mutex<()>,
}

pub(super) struct Shard {
    slots: Slots,
    decider: Decider,
    bounds: Bounds,
    /// Of the keys for which somebody waits.
    lines: HashMap<u64, Line>,
}

impl Table {
    pub(super) fn new(config: KeyedConfig, rules: Rules) -> Self {
        let KeyedConfig { limit, max_keys, without_key, when_full } = config;
        let bounds = Bounds::from(&limit);
        let shards = (max_keys / KEYS_OF_A_SHARD).clamp(1, MOST_SHARDS).next_power_of_two();
        let shard = |_| {
            let slots = Slots::new(max_keys / shards);
            Mutex::new(Shard { slots, decider: Decider::new(rules), bounds, lines: HashMap::new() })
        };
        let bucket = |of: &str| Arc::new(Bucket::new(format!("{}[{of}]", limit.name).into(), rules, bounds));
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher: RandomState::new(),
            for_calls_without: without_key,
            for_new_keys_when_full: when_full,
            without_key: bucket("without a key"),
            overflow: bucket("overflow"),
            calls_without_key: AtomicU64::new(0),
            calls_overflowed: AtomicU64::new(0),
            adopting: Mutex::new(()),
            name: limit.name,
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    #[inline]
    pub(super) fn fingerprint(&self, key: &(impl Hash + ?Sized)) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Takes `cost` tokens of a key, or says what is in the way. None if there is no place for the key, or somebody waits
    /// for its tokens.
    #[inline]
    pub(super) fn pass(&self, fingerprint: u64, cost: u32, now: Moment) -> Option<Result<(), Verdict>> {
        let mut shard = self.shard(fingerprint);
        let shard = &mut *shard;
        if cost > shard.rules().burst.get() {
            return Some(Err(Verdict::Never));
        }
        if shard.line(fingerprint).is_some() {
            return None;
        }
        let Some(full_at) = shard.slots.find_mut(fingerprint) else {
            return shard.pass_new(fingerprint, cost, now);
        };
        Some(match shard.decider.decide(*full_at, cost, now) {
            Verdict::Passes(next) => {
                *full_at = next;
                Ok(())
            }
            refused => Err(refused),
        })
    }

    #[inline]
    pub(super) fn shard(&self, fingerprint: u64) -> MutexGuard<'_, Shard> {
        self.shards[self.index(fingerprint)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the key's part comes when several are locked.
    pub(super) fn address(&self, fingerprint: u64) -> usize {
        std::ptr::from_ref(&self.shards[self.index(fingerprint)]).addr()
    }

    /// How many keys are not as if they had never come, and the bytes that all places take.
    pub(super) fn size(&self, now: Moment) -> (usize, usize) {
        self.shards().fold((0, 0), |(keys, bytes), shard| (keys + shard.slots.len(now), bytes + shard.slots.bytes()))
    }

    pub(super) fn waiting(&self) -> usize {
        self.shards().map(|shard| shard.lines.values().map(Line::len).sum::<usize>()).sum()
    }

    /// Goes on under other rules, every key and those who share; who waits is to be woken.
    pub(super) fn adopt(&self, rules: Rules, bounds: Bounds) -> Vec<Woken> {
        // Else two who change the rules at the same time might each have its way with some of the keys.
        let _alone = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut woken = self.without_key.adopt(rules, bounds);
        woken.extend(self.overflow.adopt(rules, bounds));
        for mut shard in self.shards() {
            (shard.decider, shard.bounds) = (Decider::new(rules), bounds);
            // Read under each lock: by an earlier moment, what was taken meanwhile would be forgiven.
            let now = Moment::now();
            shard.slots.change_each(|full_at| rules.adopt(full_at, now));
            woken.extend(shard.lines.values_mut().flat_map(Line::plan_anew));
        }
        woken
    }

    /// The bucket of calls without a key. Counted.
    ///
    /// # Errors
    ///
    /// Such calls are refused.
    pub(super) fn keyless(&self) -> Result<Option<&Arc<Bucket>>, Limited> {
        self.calls_without_key.fetch_add(1, Ordering::Relaxed);
        match self.for_calls_without {
            WithoutKey::Share => Ok(Some(&self.without_key)),
            WithoutKey::Refuse => Err(Limited::new(self.name, LimitReason::WithoutKey)),
            WithoutKey::Pass => Ok(None),
        }
    }

    /// The bucket of new keys when there is no place. Counted.
    ///
    /// # Errors
    ///
    /// Such calls are refused.
    pub(super) fn overflowed(&self) -> Result<&Arc<Bucket>, Limited> {
        self.calls_overflowed.fetch_add(1, Ordering::Relaxed);
        telemetry::rate_limit_overflowed(&self.name);
        self.instead_of_new_key()
    }

    /// The same, only to look.
    pub(super) fn instead_of_new_key(&self) -> Result<&Arc<Bucket>, Limited> {
        match self.for_new_keys_when_full {
            WhenFull::Share => Ok(&self.overflow),
            WhenFull::Refuse => Err(Limited::new(self.name, LimitReason::TooManyKeys)),
        }
    }

    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
    const fn index(&self, fingerprint: u64) -> usize {
        fingerprint as usize & (self.shards.len() - 1)
    }
}

impl Shard {
    /// The same for a key that has no place yet.
    #[inline(never)]
    fn pass_new(&mut self, fingerprint: u64, cost: u32, now: Moment) -> Option<Result<(), Verdict>> {
        let position = self.slots.place(fingerprint, now)?;
        Some(match self.decider.decide(self.slots.full_at(position, fingerprint), cost, now) {
            Verdict::Passes(full_at) => {
                self.slots.put(position, fingerprint, full_at);
                Ok(())
            }
            refused => Err(refused),
        })
    }

    pub(super) const fn rules(&self) -> Rules {
        self.decider.rules()
    }

    pub(super) const fn bounds(&self) -> Bounds {
        self.bounds
    }

    pub(super) fn full_at(&self, fingerprint: u64) -> Moment {
        self.slots.get(fingerprint)
    }

    pub(super) fn has_place(&mut self, fingerprint: u64, now: Moment) -> bool {
        self.slots.place(fingerprint, now).is_some()
    }

    /// Whoever has come so far has a place, even if others took the last ones meanwhile.
    pub(super) fn put(&mut self, fingerprint: u64, full_at: Moment, now: Moment) {
        let position = self.slots.place_anyway(fingerprint, now);
        self.slots.put(position, fingerprint, full_at);
    }

    pub(super) fn line(&self, fingerprint: u64) -> Option<&Line> {
        if self.lines.is_empty() { None } else { self.lines.get(&fingerprint) }
    }

    pub(super) fn line_mut(&mut self, fingerprint: u64) -> &mut Line {
        self.lines.entry(fingerprint).or_default()
    }

    pub(super) fn leave(&mut self, fingerprint: u64, ticket: Ticket) -> Left {
        let line = self.line_mut(fingerprint);
        let left = line.leave(ticket);
        if line.is_empty() {
            self.lines.remove(&fingerprint);
        }
        left
    }
}
