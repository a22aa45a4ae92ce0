//! One call for all who ask at the same time.

use std::convert::Infallible;
use std::future::pending;
use std::hash::Hash;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tower::Service;

use super::through::{Look, Question, Through};
use super::{Looked, Plan, ResponseFuture};
use crate::cache_fallback::handle::{
    Asks, Because, Boarding, Counted, Flights, Landed, Leader, Recalled, Report, Share,
};
use crate::cache_fallback::memory::{Answer, Finding, Version};
use crate::clock::{self, Moment};
use crate::outcome::{Classify, MarkDegraded};
use crate::serving::Serving;
use crate::telemetry;

/// A request that has to be asked for, by itself or by another.
pub(in super::super) struct Journey<S, Req, K, V, R, C, M, A> {
    serving: Serving<S>,
    plan: Arc<Plan<K, V, R, C, M>>,
    through: Arc<Through>,
    request: Req,
    question: Question<K, A>,
}

impl<S, Req, K, V, R, C, M> Journey<S, Req, K, V, R, C, M, R::Asked>
where
    S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Clone + Send + 'static,
    Req: Send + 'static,
    K: Eq + Hash + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    R: Share<Req, S::Response, Key = K, Kept = V, Asked: Send> + Send + Sync + 'static,
    C: Classify<S::Response, S::Error> + Send + Sync + 'static,
    M: MarkDegraded<S::Response> + Send + Sync + 'static,
{
    pub(in super::super) fn new(
        serving: &Serving<S>,
        plan: &Arc<Plan<K, V, R, C, M>>,
        through: &Arc<Through>,
        request: Req,
        question: Question<K, R::Asked>,
    ) -> Self {
        Self { serving: serving.clone(), plan: plan.clone(), through: through.clone(), request, question }
    }

    /// Leads or follows, and goes alone if that comes to nothing twice.
    pub(in super::super) async fn travel(self) -> Result<S::Response, S::Error> {
        for _ in 0..2 {
            if self.flights().goes_alone(&self.question.key, Moment::now()) {
                break;
            }
            let landing = match self.board() {
                Boarding::Lead(leader) => return self.lead(leader).await,
                Boarding::Follow(landing) => landing,
            };
            match landing.await {
                Ok(Landed::NotKept) => break,
                Ok(Landed::Kept(answer)) if !self.is_young_enough(&answer) => break,
                Ok(landed) => {
                    if let Some(response) = self.share(&landed) {
                        return Ok(response);
                    }
                }
                // Whoever led has been given up, or has panicked.
                Err(_) => {}
            }
            match self.look() {
                Look::Told(response) => return Ok(response),
                Look::Refreshing(response, answer) => {
                    self.refresh(answer);
                    return Ok(response);
                }
                Look::Nothing => {}
            }
        }
        self.go_alone().await
    }

    fn flights(&self) -> &Arc<Flights<K, V>> {
        self.plan.shared.flights()
    }

    fn board(&self) -> Boarding<K, V> {
        let (Question { key, asked, .. }, store) = (&self.question, &self.plan.shared.store);
        let version = store.version(key);
        let variant = store.youngest(key).map_or(0, |known| self.plan.remember.variant(asked, &known.value));
        self.flights().board(key, variant, version)
    }

    fn look(&self) -> Look<S::Response, V> {
        self.through.look(&self.plan, &self.question)
    }

    fn is_young_enough(&self, answer: &Answer<V>) -> bool {
        self.question.accepts.unasked.is_none_or(|most| answer.life.age(Moment::now()) <= most)
    }

    /// What another one's call is to this request.
    fn share(&self, landed: &Landed<V>) -> Option<S::Response> {
        let Plan { shared, trigger, remember, .. } = &*self.plan;
        let Question { key, asked, accepts } = &self.question;
        match landed {
            Landed::Kept(answer) => {
                if !remember.does_for(asked, &answer.value) {
                    return None;
                }
                shared.counters.count(Counted::Shared);
                let age = answer.life.age(Moment::now());
                let recalled = Recalled { age, because: Because::Shared, name: shared.config.name };
                Some(remember.recall(asked, &answer.value, recalled))
            }
            Landed::Failed(failure) if trigger.contain(failure.kind()) => {
                self.plan.stand_in(key, asked, self.plan.most(*accepts), failure)
            }
            Landed::Failed(_) | Landed::LookAgain | Landed::NotKept => None,
        }
    }

    async fn go_alone(self) -> Result<S::Response, S::Error> {
        let Self { mut serving, plan, request, question: Question { key, asked, accepts }, .. } = self;
        let looked = Looked::of(&plan, Asks::For { key, asked, accepts });
        ResponseFuture::new(serving.call(request), looked).await
    }

    /// Makes the call in a task of its own, which ends whether its sender waits for it or not.
    async fn lead(self, leader: Leader<K, V>) -> Result<S::Response, S::Error> {
        // Whoever led before may have landed after this one looked.
        match self.look() {
            Look::Told(response) => return Ok(response),
            Look::Refreshing(response, answer) => {
                drop(leader);
                self.refresh(answer);
                return Ok(response);
            }
            Look::Nothing => {}
        }
        let (_here, gone) = oneshot::channel();
        match tokio::spawn(telemetry::in_this_span(self.lead_for(gone, leader))).await {
            Ok(Some(result)) => result,
            Ok(None) => unreachable!("it is given up only when its sender has gone"),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime is being shut down, and this with it.
                Err(_) => pending().await,
            },
        }
    }

    /// `gone`: the sender.
    async fn lead_for(
        self,
        gone: oneshot::Receiver<Infallible>,
        leader: Leader<K, V>,
    ) -> Option<Result<S::Response, S::Error>> {
        let limit = self.through.config.call_within;
        let mut call = pin!(self.call(Arc::new(Report::new(true))));
        if let Some((result, landed)) = clock::within(limit, call.as_mut()).await {
            leader.land(landed);
            return Some(result);
        }
        drop(leader);
        match select(call, gone).await {
            Either::Left(((result, _), _)) => Some(result),
            Either::Right(_) => None,
        }
    }

    /// Asks for another answer in the background, unless somebody does.
    pub(in super::super) fn refresh(self, answer: Arc<Answer<V>>) {
        let (now, limit) = (Moment::now(), self.through.config.call_within);
        if !answer.refresh.is_due(now) {
            return;
        }
        let Ok(permit) = self.through.refreshes.clone().try_acquire_owned() else { return };
        let Boarding::Lead(leader) = self.board() else { return };
        if !answer.refresh.claim(now, now + limit) {
            return;
        }
        let refreshing = Refreshing { plan: self.plan.clone(), answer, has_failed: true, _permit: permit };
        tokio::spawn(telemetry::in_this_span(self.refresh_within(limit, refreshing, leader)));
    }

    async fn refresh_within(self, limit: Duration, mut refreshing: Refreshing<K, V, R, C, M>, leader: Leader<K, V>) {
        let report = Arc::new(Report::new(false));
        // Who asks later than an answer may be told without asking waits no longer for a service that is not ready.
        let (call, not_ready) = (pin!(self.call(report.clone())), pin!(report.not_ready()));
        let ended = clock::within(limit, select(call, not_ready)).await;
        let Some(Either::Left(((_, landed), _))) = ended else { return };
        refreshing.has_failed = matches!(landed, Landed::Failed(_) | Landed::NotKept);
        if matches!(landed, Landed::LookAgain) {
            refreshing.answer.refresh.is_asked_for_no_more();
        }
        leader.land(landed);
    }

    /// Asks for all.
    async fn call(self, report: Arc<Report<V>>) -> (Result<S::Response, S::Error>, Landed<V>) {
        if let Some((version, finding)) = self.find() {
            let found = finding.await;
            self.plan.shared.promote(&self.question.key, version, found);
            if let Look::Told(response) | Look::Refreshing(response, _) = self.look() {
                return (Ok(response), Landed::LookAgain);
            }
        }
        let Self { mut serving, plan, mut request, question, .. } = self;
        let Question { key, mut asked, accepts } = question;
        let known = plan.shared.store.get(&key, |kept| plan.remember.does_for(&asked, kept));
        plan.remember.for_all(&mut request, &mut asked, known.as_ref().map(|known| &known.value));
        drop(known);
        let looked = Looked::for_answer(&plan, key, asked, accepts, Some(report.clone()));
        let result = ResponseFuture::new(serving.call(request), Some(looked)).await;
        let result = match result {
            Ok(response) => Ok(plan.remember.gather(response).await),
            failed => failed,
        };
        (result, report.landed())
    }

    /// Looks into the second level for what the memory has nothing for.
    fn find(&self) -> Option<(Version, Finding<V>)> {
        let (Question { key, asked, .. }, store) = (&self.question, &self.plan.shared.store);
        let second = store.second()?;
        let is_known = store.look(key, |kept| self.plan.remember.does_for(asked, kept), |_| ()).is_some();
        (!is_known).then(|| (store.version(key), second.get(key)))
    }
}

/// An answer that another one is asked for in the place of. Given up, that has failed.
struct Refreshing<K, V, R, C, M> {
    plan: Arc<Plan<K, V, R, C, M>>,
    answer: Arc<Answer<V>>,
    has_failed: bool,
    _permit: OwnedSemaphorePermit,
}

impl<K, V, R, C, M> Drop for Refreshing<K, V, R, C, M> {
    fn drop(&mut self) {
        if self.has_failed {
            self.answer.refresh.failed(Moment::now());
            self.plan.shared.counters.count(Counted::RefreshFailed);
            telemetry::refresh_failed(&self.plan.shared.config.name);
        }
    }
}
