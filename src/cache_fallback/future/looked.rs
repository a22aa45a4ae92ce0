use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::cache_fallback::handle::{Asks, Counted, Recalled, Remember, Shared, Slot};
use crate::clock::Moment;
use crate::outcome::{Classify, Degraded, Failure, Kinds, MarkDegraded, Outcome};
use crate::{superseded, telemetry};

/// What a cache fallback does about an answer.
pub(in super::super) struct Plan<K, V, R, C, M> {
    pub(in super::super) shared: Arc<Shared<K, V>>,
    pub(in super::super) trigger: Kinds,
    pub(in super::super) remember: R,
    pub(in super::super) classify: C,
    pub(in super::super) mark: M,
}

/// A request that asks something of the memory.
pub(in super::super) struct Looked<K, V, R, C, M, A> {
    plan: Arc<Plan<K, V, R, C, M>>,
    asked: A,
    /// `None` if something is to be forgotten.
    at: Option<At<K, V>>,
}

/// Where its answer is, or will be.
struct At<K, V> {
    slot: Slot<K, V>,
    /// How old it may be.
    most: Option<Duration>,
}

impl<K: Eq + Hash + Clone, V, R, C, M, A> Looked<K, V, R, C, M, A> {
    #[inline(always)]
    pub(in super::super) fn at<Req, Res>(plan: &Arc<Plan<K, V, R, C, M>>, request: &Req) -> Option<Self>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
    {
        match plan.remember.asks(request) {
            Asks::Nothing => None,
            Asks::For { key, asked, most } => {
                let slot = Slot::new(plan.shared.clone(), key);
                Some(Self { plan: plan.clone(), asked, at: Some(At { slot, most }) })
            }
            Asks::ToForget { asked } => Some(Self { plan: plan.clone(), asked, at: None }),
        }
    }

    pub(super) fn ready_within(&self) -> Option<Duration> {
        self.at.as_ref().map(|_| self.plan.shared.config.ready_within)
    }

    /// What becomes of an answer.
    pub(super) fn answered<Req, Res, E>(self, result: Result<Res, E>) -> Result<Res, E>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
        C: Classify<Res, E>,
        M: MarkDegraded<Res>,
    {
        match (self.plan.classify.classify(result.as_ref()), result) {
            (Outcome::Failure(failure), result) => {
                if !self.plan.trigger.contain(failure.kind()) {
                    if self.at.is_some() {
                        telemetry::left_alone("cache_fallback", &self.plan.shared.config.name, &failure);
                    }
                    return result;
                }
                let Some(response) = self.recall(&failure) else {
                    self.has_missed(&failure);
                    return result;
                };
                superseded::by_another(&failure);
                Ok(response)
            }
            (Outcome::Success, Ok(response)) => Ok(self.learn(response)),
            (Outcome::Success, result) => result,
        }
    }

    fn learn<Req, Res>(self, response: Res) -> Res
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
    {
        let Self { plan, asked, at } = self;
        match at {
            Some(At { slot, .. }) => plan.remember.learn(asked, response, slot),
            None => {
                let mut forgotten = 0;
                plan.remember
                    .changed(&asked, &response, &mut |key| forgotten += usize::from(plan.shared.store.forget(key)));
                plan.shared.has_forgotten(forgotten);
                response
            }
        }
    }

    /// The answer that stands in for a failure, if one is remembered and young enough.
    pub(super) fn recall<Req, Res>(&self, failure: &Failure) -> Option<Res>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
        M: MarkDegraded<Res>,
    {
        let At { slot, most } = self.at.as_ref()?;
        let Plan { shared, remember, mark, .. } = &*self.plan;
        let name = shared.config.name;
        let answer = shared.store.get(&slot.key, |kept| remember.does_for(&self.asked, kept))?;
        let age = answer.life.may_stand_in(Moment::now(), *most)?;
        shared.counters.count(Counted::StoodIn);
        let mut response = remember.recall(&self.asked, &answer.value, Recalled { age, failure, name });
        let degraded = Degraded::new("cache_fallback", name, failure.clone());
        telemetry::recalled(&degraded, age);
        mark.mark(&mut response, degraded);
        Some(response)
    }

    fn has_missed(&self, failure: &Failure) {
        if self.at.is_some() {
            let Shared { config, counters, .. } = &*self.plan.shared;
            counters.count(Counted::Missed);
            telemetry::nothing_remembered(&config.name, failure);
        }
    }
}
