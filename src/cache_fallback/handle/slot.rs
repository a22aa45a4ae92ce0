use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use super::Shared;
use super::counts::Counted;
use super::flights::{Landed, Report};
use crate::cache_fallback::memory::{Answer, Fate, Version};
use crate::cache_fallback::state::{Allowed, Life};
use crate::clock::Moment;
use crate::telemetry;

/// Where the answer to one request is remembered, if it is.
///
/// It knows when the request was sent. What was forgotten since, or answered to a later request, is not overwritten with it.
#[must_use = "what is not kept or forgotten stays as it was"]
pub struct Slot<K, V> {
    shared: Arc<Shared<K, V>>,
    key: K,
    version: Version,
    asked_at: Moment,
    /// Of whoever waits for the answer, if it is asked for for all.
    report: Option<Arc<Report<V>>>,
}

impl<K: Eq + Hash + Clone, V> Slot<K, V> {
    pub(in super::super) fn new(shared: Arc<Shared<K, V>>, key: K, report: Option<Arc<Report<V>>>) -> Self {
        let version = shared.store.version(&key);
        Self { shared, key, version, asked_at: Moment::now(), report }
    }

    pub(in super::super) fn report(&self) -> Option<&Report<V>> {
        self.report.as_deref()
    }

    /// Whether its sender is told an answer of old if it fails.
    pub(in super::super) fn stands_in(&self) -> bool {
        self.report.as_ref().is_none_or(|report| report.stands_in)
    }

    /// What the answer is remembered under.
    #[must_use]
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// How many bytes an answer may take.
    #[must_use]
    pub fn max_bytes(&self) -> usize {
        usize::try_from(self.shared.store.max_answer()).unwrap_or(usize::MAX)
    }

    /// Does not remember an answer, since it is too large; what was remembered stays.
    pub fn too_large(self) {
        too_large(&self.shared);
    }

    /// Remembers an answer, which takes so many `bytes`, in place of those that it `replaces`, as long as it is
    /// [allowed](Allowed).
    pub fn keep(self, value: V, bytes: usize, allowed: Allowed, replaces: impl Fn(&V) -> bool) {
        let Self { shared, key, version, asked_at, report } = self;
        // It is as old as it can be: from when it was asked for.
        let life = Life::begin(asked_at, shared.config.stale_if_error, allowed);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let answer = Arc::new(Answer::new(value, life, asked_at, bytes));
        let is_told_on = report.is_some() || shared.store.second().is_some();
        let kept = is_told_on.then(|| answer.clone());
        match shared.store.keep(&key, version, answer, replaces) {
            Fate::Kept => {
                shared.counters.count(Counted::Remembered);
                let Some(answer) = kept else { return };
                if let Some(report) = &report {
                    report.tell(Landed::Kept(answer.clone()));
                }
                shared.put(&key, answer, allowed);
            }
            Fate::Outdated => {
                if let Some(report) = &report {
                    report.tell(Landed::LookAgain);
                }
                shared.counters.count(Counted::Outdated);
                telemetry::not_remembered(&shared.config.name, "something has changed since it was asked for");
            }
            Fate::TooLarge => too_large(&shared),
        }
    }

    /// Forgets of what is remembered under the key whatever is `unwanted`: the service has said something else since. In a
    /// [second level](crate::cache_fallback::MemoryStore::over), all that was asked for by then.
    pub fn forget(self, unwanted: impl Fn(&V) -> bool) {
        let Self { shared, key, asked_at, .. } = self;
        // First: else what is found there meanwhile would come back.
        if let Some(second) = shared.store.second() {
            second.forget(&key, asked_at);
        }
        let is_changed =
            shared.store.forget_some(&key, |answer| answer.asked_at <= asked_at && unwanted(&answer.value));
        shared.has_forgotten(usize::from(is_changed));
    }
}

fn too_large<K, V>(shared: &Shared<K, V>) {
    shared.counters.count(Counted::TooLarge);
    telemetry::not_remembered(&shared.config.name, "it is too large");
}

impl<K: fmt::Debug, V> fmt::Debug for Slot<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("key", &self.key).finish_non_exhaustive()
    }
}
