use std::hash::Hash;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::cache_fallback::handle::{
    Accepts, Asks, Because, Counted, Landed, Recalled, Remember, Report, Shared, Slot,
};
use crate::cache_fallback::memory::{Finding, Version};
use crate::clock::Moment;
use crate::outcome::{Classify, Degraded, Failure, FailureKind, Kinds, MarkDegraded, Outcome};
use crate::{superseded, telemetry};

/// What a cache fallback does about an answer.
pub(in super::super) struct Plan<K, V, R, C, M> {
    pub(in super::super) shared: Arc<Shared<K, V>>,
    pub(in super::super) trigger: Kinds,
    pub(in super::super) remember: R,
    pub(in super::super) classify: C,
    pub(in super::super) mark: M,
}

impl<K: Eq + Hash + Clone, V, R, C, M> Plan<K, V, R, C, M> {
    /// How old an answer may be that stands in for a failure, for somebody who accepts these.
    pub(super) fn most(&self, accepts: Accepts) -> Duration {
        let longest = self.shared.config.stale_if_error;
        accepts.stand_in.map_or(longest, |most| most.min(longest))
    }

    /// The answer that stands in for a failure, if one is remembered and is not older than `most`.
    pub(super) fn stand_in<Req, Res>(&self, key: &K, asked: &R::Asked, most: Duration, failure: &Failure) -> Option<Res>
    where
        R: Remember<Req, Res, Key = K, Kept = V>,
        M: MarkDegraded<Res>,
    {
        if most.is_zero() {
            return None;
        }
        let Self { shared, remember, mark, .. } = self;
        let name = shared.config.name;
        let answer = shared.store.get(key, |kept| remember.does_for(asked, kept))?;
        let age = answer.life.may_stand_in(Moment::now(), most)?;
        shared.counters.count(Counted::StoodIn);
        let recalled = Recalled { age, because: Because::Failed(failure), name };
        let mut response = remember.recall(asked, &answer.value, recalled);
        let degraded = Degraded::new("cache_fallback", name, failure.clone());
        telemetry::recalled(&degraded, age);
        mark.mark(&mut response, degraded);
        Some(response)
    }
}

/// A request that asks something of the memory.
pub(in super::super) struct Looked<K: Eq + Hash + Clone, V, R, C, M, A> {
    plan: Arc<Plan<K, V, R, C, M>>,
    asked: A,
    aim: Aim<K, V>,
}

enum Aim<K: Eq + Hash + Clone, V> {
    /// Where its answer is, or will be, and how old it may be.
    Answer {
        slot: Slot<K, V>,
        most: Duration,
    },
    Change(Change<K, V>),
}

/// A call that has failed, and that the memory has nothing for: the level behind it is asked.
pub(super) struct Searching<V, Res, E> {
    failure: Failure,
    result: Option<Result<Res, E>>,
    /// From before it is asked: what is forgotten meanwhile may be what it finds.
    version: Version,
    finding: Finding<V>,
}

/// What becomes of a call.
pub(super) enum Answered<L, V, Res, E> {
    Told(Result<Res, E>),
    Searching(L, Box<Searching<V, Res, E>>),
}

/// A change of what is remembered under a key, which may have been made when it is given up.
struct Change<K: Eq + Hash + Clone, V> {
    shared: Arc<Shared<K, V>>,
    /// Gone once it is known what came of it.
    key: Option<K>,
}

impl<K: Eq + Hash + Clone, V> Drop for Change<K, V> {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.shared.forget(key);
        }
    }
}

impl<K: Eq + Hash + Clone, V, R, C, M, A> Looked<K, V, R, C, M, A> {
    #[inline(always)]
    pub(in super::super) fn at<Req, Res>(plan: &Arc<Plan<K, V, R, C, M>>, request: &Req) -> Option<Self>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
    {
        Self::of(plan, plan.remember.asks(request))
    }

    #[inline(always)]
    pub(in super::super) fn of(plan: &Arc<Plan<K, V, R, C, M>>, asks: Asks<K, A>) -> Option<Self> {
        match asks {
            Asks::Nothing => None,
            Asks::For { key, asked, accepts } => Some(Self::for_answer(plan, key, asked, accepts, None)),
            Asks::ToForget { key, asked } => {
                let aim = Aim::Change(Change { shared: plan.shared.clone(), key: Some(key) });
                Some(Self { plan: plan.clone(), asked, aim })
            }
        }
    }

    #[inline(always)]
    pub(super) fn for_answer(
        plan: &Arc<Plan<K, V, R, C, M>>,
        key: K,
        asked: A,
        accepts: Accepts,
        report: Option<Arc<Report<V>>>,
    ) -> Self {
        let most = plan.most(accepts);
        let slot = Slot::new(plan.shared.clone(), key, report);
        Self { plan: plan.clone(), asked, aim: Aim::Answer { slot, most } }
    }

    /// How long a service may take to become ready, if something may stand in for one that does not.
    pub(super) fn ready_within(&self) -> Option<Duration> {
        let may_stand_in = matches!(&self.aim, Aim::Answer { .. }) && self.plan.trigger.contain(FailureKind::Refused);
        may_stand_in.then_some(self.plan.shared.config.ready_within)
    }

    /// What becomes of an answer.
    pub(super) fn answered<Req, Res, E>(self, result: Result<Res, E>) -> Answered<Self, V, Res, E>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
        C: Classify<Res, E>,
        M: MarkDegraded<Res>,
    {
        match (self.plan.classify.classify(result.as_ref()), result) {
            (Outcome::Failure(failure), result) => self.failed(&failure, result),
            (Outcome::Success, Ok(response)) => Answered::Told(Ok(self.learn(response))),
            (Outcome::Success, result) => Answered::Told(result),
        }
    }

    fn failed<Req, Res, E>(mut self, failure: &Failure, result: Result<Res, E>) -> Answered<Self, V, Res, E>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
        M: MarkDegraded<Res>,
    {
        let name = &self.plan.shared.config.name;
        match &mut self.aim {
            Aim::Change(change) => {
                // Who was answered, or never called, has changed nothing.
                let is_unknown = failure.kind() == FailureKind::TimedOut || result.is_err();
                if !is_unknown || matches!(failure.kind(), FailureKind::Refused | FailureKind::Expired) {
                    change.key = None;
                }
                Answered::Told(result)
            }
            Aim::Answer { slot, .. } => {
                if let Some(report) = slot.report() {
                    report.tell(Landed::Failed(failure.clone()));
                }
                if !slot.stands_in() {
                    return Answered::Told(result);
                }
                if !self.plan.trigger.contain(failure.kind()) {
                    telemetry::left_alone("cache_fallback", name, failure);
                    return Answered::Told(result);
                }
                self.stand_in(failure, result)
            }
        }
    }

    /// What is remembered, or else what the level behind it has, or else the failure itself.
    fn stand_in<Req, Res, E>(self, failure: &Failure, result: Result<Res, E>) -> Answered<Self, V, Res, E>
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
        M: MarkDegraded<Res>,
    {
        let store = &self.plan.shared.store;
        if let Some(response) = self.recall(failure) {
            superseded::by_another(failure);
            return Answered::Told(Ok(response));
        }
        let (Some(second), Some(slot)) = (store.second(), self.may_be_answered()) else {
            self.plan.shared.missed(failure);
            return Answered::Told(result);
        };
        let (version, finding) = (store.version(slot.key()), second.get(slot.key()));
        let (failure, result) = (failure.clone(), Some(result));
        Answered::Searching(self, Box::new(Searching { failure, result, version, finding }))
    }

    /// Where its answer is, if one of old does for it.
    fn may_be_answered(&self) -> Option<&Slot<K, V>> {
        match &self.aim {
            Aim::Answer { slot, most } if !most.is_zero() => Some(slot),
            Aim::Answer { .. } | Aim::Change(_) => None,
        }
    }

    fn learn<Req, Res>(self, response: Res) -> Res
    where
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
    {
        let Self { plan, asked, aim } = self;
        match aim {
            Aim::Answer { slot, .. } => plan.remember.learn(asked, response, slot),
            Aim::Change(mut change) => {
                change.key = None;
                plan.remember.changed(&asked, &response, &mut |key| _ = plan.shared.forget(key));
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
        let Aim::Answer { slot, most } = &self.aim else { return None };
        if !slot.stands_in() {
            return None;
        }
        let response = self.plan.stand_in(slot.key(), &self.asked, *most, failure)?;
        if let Some(report) = slot.report() {
            report.tell(Landed::Failed(failure.clone()));
        }
        Some(response)
    }

    /// Nothing stands in for a service that is not ready.
    pub(super) fn waits_on(&self) {
        if let Aim::Answer { slot, .. } = &self.aim
            && let Some(report) = slot.report()
        {
            report.tell_not_ready();
        }
    }
}

impl<V, Res, E> Searching<V, Res, E> {
    /// Remembers what is found, and tells it to the request that `looked`.
    pub(super) fn poll<K, R, C, M, A, Req>(
        &mut self,
        looked: &Looked<K, V, R, C, M, A>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Res, E>>
    where
        K: Eq + Hash + Clone,
        R: Remember<Req, Res, Key = K, Kept = V, Asked = A>,
        M: MarkDegraded<Res>,
    {
        let found = ready!(self.finding.as_mut().poll(cx));
        if let Aim::Answer { slot, .. } = &looked.aim {
            looked.plan.shared.promote(slot.key(), self.version, found);
        }
        if let Some(response) = looked.recall(&self.failure) {
            superseded::by_another(&self.failure);
            return Poll::Ready(Ok(response));
        }
        looked.plan.shared.missed(&self.failure);
        Poll::Ready(self.result.take().expect("it is told once"))
    }
}
