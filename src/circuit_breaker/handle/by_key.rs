use std::collections::VecDeque;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papaya::HashMap;

use super::CircuitBreaker;
use super::label::Label;
use super::permit::{Permit, Place};
use super::slot::Beginning;
use crate::circuit_breaker::config::{CircuitBreakerConfig, InvalidCircuitBreaker, KeyedConfig, Rules, WithoutKey};
use crate::circuit_breaker::state::Snapshot;
use crate::clock::{Moment, Now};
use crate::name::Name;
use crate::rejection::Open;

/// How many keys a new one looks through for some that may be forgotten.
const LOOKED_AT: usize = 2;

/// The same when there is no place left.
const LOOKED_AT_WHEN_FULL: usize = 32;

/// Circuit breakers by key: to watch them, to take a hand in them, and to use them without tower.
///
/// Clones are the same breakers. Each key's breaker is called after the key in events and refusals: `payments["de"]`.
pub struct KeyedCircuitBreaker<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    /// Whoever looks up a key writes nothing that others write.
    breakers: HashMap<K, Entry>,
    keeper: Mutex<Keeper<K>>,
    limits: KeyedConfig,
    without_key: CircuitBreaker,
    overflow: CircuitBreaker,
    overflowed: AtomicU64,
}

struct Entry {
    breaker: CircuitBreaker,
    /// Whether it was used since it was last looked at; written only if it changes.
    is_used: AtomicBool,
    /// When it was last found to have been used.
    used_at: AtomicU64,
}

/// Who lets keys in and out.
struct Keeper<K> {
    /// Every key, the one that was looked at the longest ago first.
    order: VecDeque<K>,
    rules: Rules,
    config: CircuitBreakerConfig,
    /// How often the settings have changed.
    version: u64,
}

/// Circuit breakers by key at a moment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct KeyedSnapshot<K> {
    /// Each key that has a breaker, in no order.
    pub breakers: Vec<(K, Snapshot)>,
    /// The breaker of calls without a key.
    pub without_key: Snapshot,
    /// The breaker of keys that found no place.
    pub overflow: Snapshot,
    /// How many calls those were.
    pub overflowed: u64,
}

impl<K> KeyedCircuitBreaker<K>
where
    K: Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static,
{
    /// Breakers with these settings, for no key yet.
    ///
    /// # Errors
    ///
    /// [`InvalidCircuitBreaker`] says which setting cannot work.
    pub fn new(config: impl Into<KeyedConfig>) -> Result<Self, InvalidCircuitBreaker> {
        let limits = config.into();
        let rules = limits.rules()?;
        let observe_only = limits.breaker.observe_only;
        let breaker = |of: &str| {
            let name = Name::from(format!("{}[{of}]", limits.breaker.name));
            CircuitBreaker::begin(name, Beginning::now(Label::Name(name), rules.clone(), observe_only))
        };
        let (without_key, overflow) = (breaker("without a key"), breaker("overflow"));
        let keeper = Mutex::new(Keeper { order: VecDeque::new(), rules, config: limits.breaker.clone(), version: 0 });
        let (breakers, overflowed) = (HashMap::new(), AtomicU64::new(0));
        Ok(Self { shared: Arc::new(Shared { breakers, keeper, limits, without_key, overflow, overflowed }) })
    }

    /// The breaker of `key`, if it has one of its own. Once the key is forgotten, nobody asks that breaker any more, and who
    /// listens to it hears of its end some time later.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<CircuitBreaker> {
        self.shared.breakers.pin().get(key).map(|entry| entry.breaker.clone())
    }

    /// The breaker that calls without a key share.
    #[must_use]
    pub fn without_key(&self) -> &CircuitBreaker {
        &self.shared.without_key
    }

    /// The breaker that keys share which found no place.
    #[must_use]
    pub fn overflow(&self) -> &CircuitBreaker {
        &self.shared.overflow
    }

    /// How many keys have a breaker of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keeper().order.len()
    }

    /// Whether no key has a breaker yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All there is to know of them at this moment.
    #[must_use]
    pub fn snapshot(&self) -> KeyedSnapshot<K> {
        let breakers = self.shared.breakers.pin();
        KeyedSnapshot {
            breakers: breakers.iter().map(|(key, entry)| (key.clone(), entry.breaker.snapshot())).collect(),
            without_key: self.shared.without_key.snapshot(),
            overflow: self.shared.overflow.snapshot(),
            overflowed: self.shared.overflowed.load(Ordering::Relaxed),
        }
    }

    /// Goes on under other settings, all breakers of now and later; as [`CircuitBreaker::reconfigure`]. How many keys there
    /// may be, and for how long they are remembered, stays.
    ///
    /// # Errors
    ///
    /// [`InvalidCircuitBreaker`] says which setting cannot work, and nothing has changed.
    pub fn reconfigure(&self, config: &CircuitBreakerConfig) -> Result<(), InvalidCircuitBreaker> {
        {
            let (rules, mut keeper) = (config.rules()?, self.keeper());
            (keeper.rules, keeper.config) = (rules, config.clone());
            keeper.version += 1;
        }
        // Each breaker tells its listeners, and so the keeper's lock is free again. Who comes meanwhile has the new rules
        // already; if somebody else has changed them once more, theirs are the last to be told to all.
        loop {
            let (config, version) = {
                let keeper = self.keeper();
                (keeper.config.clone(), keeper.version)
            };
            self.shared.without_key.reconfigure(&config)?;
            self.shared.overflow.reconfigure(&config)?;
            self.shared.breakers.pin().iter().try_for_each(|(_, entry)| entry.breaker.reconfigure(&config))?;
            if self.keeper().version == version {
                return Ok(());
            }
        }
    }

    /// Leave to make one call for `key`, for use without tower.
    ///
    /// # Errors
    ///
    /// [`Open`] says for how long there is none.
    pub fn try_acquire(&self, key: &K) -> Result<Permit, Open> {
        let now = Now::unread();
        self.admit_key(key, &now).map(|place| Permit::new(place, &now))
    }

    pub(in super::super) fn admit(&self, key: Option<K>, now: &Now) -> Result<Place, Open> {
        match key {
            Some(key) => self.admit_key(&key, now),
            None if self.shared.limits.without_key == WithoutKey::Pass => Ok(self.shared.without_key.slot().pass()),
            None => self.shared.without_key.admit(now),
        }
    }

    fn admit_key(&self, key: &K, now: &Now) -> Result<Place, Open> {
        if let Some(entry) = self.shared.breakers.pin().get(key) {
            return entry.admit(now);
        }
        self.admit_new(key, now)
    }

    #[cold]
    fn admit_new(&self, key: &K, now: &Now) -> Result<Place, Open> {
        let breakers = self.shared.breakers.pin();
        let mut forgotten = Vec::new();
        let found = {
            let of_all = self.shared.limits.breaker.name;
            let text = format!("{of_all}[{key:?}]");
            let mut keeper = self.keeper();
            if breakers.get(key).is_none() {
                self.make_place(&mut keeper, &mut forgotten, now.moment());
            }
            let has_place = keeper.order.len() < self.shared.limits.max_keys;
            if has_place && breakers.get(key).is_none() {
                let (label, name) = Label::of_key(text, of_all);
                let beginning = Beginning::now(label, keeper.rules.clone(), keeper.config.observe_only);
                let breaker = CircuitBreaker::begin(name, beginning);
                let used_at = AtomicU64::new(now.moment().to_nanos());
                keeper.order.push_back(key.clone());
                breakers.insert(key.clone(), Entry { breaker, is_used: AtomicBool::new(false), used_at });
            }
            breakers.get(key)
        };
        // Who listens to a breaker hears of its end, and so the keeper's lock is free again.
        for key in &forgotten {
            breakers.remove(key);
        }
        if let Some(entry) = found {
            return entry.admit(now);
        }
        self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
        self.shared.overflow.admit(now)
    }

    /// Looks at some of the keys, in turn, and takes out who may be forgotten.
    fn make_place(&self, keeper: &mut Keeper<K>, forgotten: &mut Vec<K>, now: Moment) {
        let breakers = self.shared.breakers.pin();
        let is_full = keeper.order.len() >= self.shared.limits.max_keys;
        let looked_at = if is_full { LOOKED_AT_WHEN_FULL } else { LOOKED_AT };
        for _ in 0..looked_at.min(keeper.order.len()) {
            let Some(key) = keeper.order.pop_front() else {
                return;
            };
            let Some(entry) = breakers.get(&key) else {
                continue;
            };
            let is_idle = entry.idle_for(now) >= self.shared.limits.forget_after;
            let was_used = entry.is_used.load(Ordering::Relaxed);
            if !was_used && (is_idle || is_full) && entry.breaker.slot().is_forgettable(now) {
                forgotten.push(key);
                if is_full {
                    return;
                }
            } else {
                if was_used {
                    entry.is_used.store(false, Ordering::Relaxed);
                    entry.used_at.store(now.to_nanos(), Ordering::Relaxed);
                }
                keeper.order.push_back(key);
            }
        }
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper<K>> {
        self.shared.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn admit(&self, now: &Now) -> Result<Place, Open> {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
        self.breaker.admit(now)
    }

    fn idle_for(&self, now: Moment) -> std::time::Duration {
        now.since(Moment::from_nanos(self.used_at.load(Ordering::Relaxed)))
    }
}

impl<K> Clone for KeyedCircuitBreaker<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K> fmt::Debug for KeyedCircuitBreaker<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreaker").field("config", &self.shared.limits).finish_non_exhaustive()
    }
}
