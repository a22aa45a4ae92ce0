//! A request that is run once, from its claim until what came of it is recorded, whoever still listens.

mod claim;
mod lease;
mod pauses;
mod settle;
mod transaction;
mod waits;

use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use tower::{Service, ServiceExt};

use self::claim::Claimed;
use self::lease::{Ended, Lease};
use self::settle::Settled;
use crate::attempt::Attempt;
use crate::clock;
use crate::idempotency::config::{Fingerprint, Keep, Kept, RecordKey, Verdict};
use crate::idempotency::handle::{Enlist, Enlistment, Execution, Place, Running, Shared};
use crate::idempotency::state::{Acquired, Begin};
use crate::idempotency::store::{Store, StoreError};
use crate::name::Name;
use crate::rejection::{RefusalReason, Refused};
use crate::{superseded, telemetry};

/// What the sender of a request hears.
pub(super) enum Told<Res, E> {
    Answered(Result<Res, E>),
    /// The same, and a retry inside was given up.
    Exhausted(Result<Res, E>),
    Replayed(Bytes),
    Refused(Refused),
    Panicked(Box<dyn Any + Send>),
}

/// A request, and what it is recorded under.
pub(super) struct Once<Req> {
    pub(super) request: Req,
    pub(super) key: RecordKey,
    pub(super) fingerprint: Fingerprint,
    /// As which attempt it came.
    pub(super) inbound: Option<Attempt>,
}

/// What is called, and with what.
struct Call<S, Req> {
    service: S,
    request: Req,
    inbound: Option<Attempt>,
}

/// What came of a call.
struct Came<Res, E> {
    kept: Kept<Res, E>,
    /// A retry inside was given up.
    is_exhausted: bool,
}

/// Who runs requests.
pub(super) struct Runner<St, P, T> {
    running: Arc<Running>,
    store: Arc<St>,
    keep: Arc<P>,
    enlist: T,
}

type Tell<Res, E> = oneshot::Sender<Told<Res, E>>;

/// What the sender of a request has yet to hear.
type Untold<Res, E> = (Tell<Res, E>, Told<Res, E>);

/// Whether somebody still listens is not the run's affair.
fn tell<Res, E>(to: Tell<Res, E>, told: Told<Res, E>) {
    drop(to.send(told));
}

impl<St: Store, P, T> Runner<St, P, T> {
    pub(super) fn of<I>(shared: &Shared<St, I, P, T>) -> Self
    where
        T: Clone,
    {
        let Shared { running, store, keep, enlist, .. } = shared;
        Self { running: running.clone(), store: store.clone(), keep: keep.clone(), enlist: enlist.clone() }
    }

    /// Claims the request, and runs it if nobody runs it and nobody has.
    pub(super) async fn run<S, Req>(self, place: Place, service: S, once: Once<Req>, to: Tell<S::Response, S::Error>)
    where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
        T: Enlist<St, Req>,
    {
        let Once { request, key, fingerprint, inbound } = once;
        let mut call = Call { service, request, inbound };
        let (claim, mut place) = (self.claim(fingerprint), Some(place));
        match self.claim_it(&mut place, key, claim, &to).await {
            Claimed::Acquired(acquired, begun) => {
                let lease = Lease::of(key, claim, begun, &self.running.rules);
                let enlistment = self.enlist.enlist(&self.store, &mut call.request);
                self.acquired((acquired, enlistment), lease, call, to).await;
            }
            Claimed::Unrecorded(begun) => {
                // What is done in a transaction is done only if what came of it is recorded.
                if let Some(enlistment) = self.enlist.enlist(&self.store, &mut call.request) {
                    enlistment.roll_back();
                    tell(to, self.refused(RefusalReason::StoreUnavailable));
                    return self.forget_claim(&key, claim, begun).await;
                }
                let lease = Lease::of(key, claim, begun, &self.running.rules).nobodys();
                self.unrecorded(lease, call, to).await;
            }
            Claimed::Told(told) => tell(to, told),
            Claimed::Unsaid(told, begun) => {
                tell(to, told);
                self.forget_claim(&key, claim, begun).await;
            }
            Claimed::NobodyListens => {}
        }
    }

    fn name(&self) -> &Name {
        &self.running.rules.name
    }

    /// What the sender hears, and what is recorded, when there is no further attempt.
    fn used_up<Res, E>(&self) -> (Told<Res, E>, Verdict) {
        let why = "as many runs as may be have ended without anybody knowing how";
        (self.refused(RefusalReason::OutcomeUnknown), Verdict::Unknown(why.into()))
    }

    fn refused<Res, E>(&self, reason: RefusalReason) -> Told<Res, E> {
        Told::Refused(self.running.refused(reason))
    }

    /// Asks the store for something; if it does not say whether it did it, it may have.
    async fn ask<A>(&self, asked: impl Future<Output = Result<A, StoreError>>) -> Result<A, StoreError> {
        clock::within(self.running.rules.store_timeout, asked).await.unwrap_or_else(|| Err(StoreError::timed_out()))
    }

    /// Runs a request that is this run's own, unless it was run too often already.
    async fn acquired<S, Req>(
        &self,
        (acquired, enlistment): (Acquired, Option<Enlistment>),
        mut lease: Lease,
        call: Call<S, Req>,
        to: Tell<S::Response, S::Error>,
    ) where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
    {
        let (key, claim) = (lease.key, lease.claim);
        let is_last = acquired.attempt == self.running.rules.max_attempts.get();
        let (told, verdict) = if acquired.attempt > self.running.rules.max_attempts.get() {
            self.used_up()
        } else {
            telemetry::run_began(self.name(), &key, acquired.fence, acquired.attempt);
            let (keeper, execution) = Execution::new(key, acquired, enlistment.clone());
            let run = tokio::spawn(telemetry::in_this_span(execution.clone().scope(self.call(call))));
            let ended = self.watch(&mut lease, Some(&keeper), run).await;
            match execution.within(|| self.come_to_its_end(ended)) {
                (told, Some(verdict)) => (told, verdict),
                (_, None) if is_last => self.used_up(),
                // Somebody else may have it by now, and what this one did is for them to find out.
                (told, None) => {
                    enlistment.iter().for_each(Enlistment::roll_back);
                    tell(to, told);
                    return self.running.waiting.ended(&key);
                }
            }
        };
        // The sender has its answer as soon as it is recorded, or the store was asked once in vain.
        let mut told = Some((to, told));
        let settled = match self.commit(&lease, enlistment, verdict, &mut told).await {
            Ok(settled) => settled,
            Err(verdict) => self.settle(&mut lease, &verdict, &mut told).await,
        };
        if let Some((to, answer)) = told {
            let newer = match settled {
                Settled::Lost => self.ask(self.store.look(&key, claim.fingerprint)).await.ok().flatten(),
                Settled::Recorded | Settled::NotRecorded => None,
            };
            tell(
                to,
                match newer {
                    Some(Begin::Done(kept)) => Told::Replayed(kept),
                    _ => answer,
                },
            );
        }
        self.running.waiting.ended(&key);
    }

    /// Runs a request of which nobody may ever know that it was run, since the store is not reached.
    async fn unrecorded<S, Req>(&self, mut lease: Lease, call: Call<S, Req>, to: Tell<S::Response, S::Error>)
    where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
    {
        telemetry::run_in_doubt(self.name(), &lease.key, "it is run although the store is not reached");
        let run = tokio::spawn(telemetry::in_this_span(self.call(call)));
        let (told, verdict) = self.come_to_its_end(self.watch(&mut lease, None, run).await);
        tell(to, told);
        // The store may be there again, and the claim may have been made.
        if let Some(verdict) = verdict {
            let recorded = self.settle_now(&lease, &verdict).await;
            self.settled(&lease.key, &verdict, recorded.map_or(Settled::NotRecorded, Settled::of));
        }
    }

    /// The call, as it is made in a task of its own: for the attempt that the request came as, and for no deadline.
    fn call<S, Req>(
        &self,
        call: Call<S, Req>,
    ) -> impl Future<Output = Came<S::Response, S::Error>> + Send + 'static + use<S, Req, St, P, T>
    where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
    {
        let (keep, Call { service, request, inbound }) = (self.keep.clone(), call);
        let kept = superseded::scope(async move {
            match service.ready_oneshot().await {
                Ok(mut service) => keep.keep(service.call(request).await).await,
                // It was never called.
                Err(error) => Kept { result: Err(error), verdict: Verdict::NoEffect },
            }
        });
        async move {
            let Some(inbound) = inbound else {
                return Came { kept: kept.await, is_exhausted: false };
            };
            let mut scoped = pin!(inbound.scope(kept));
            let kept = scoped.as_mut().await;
            Came { kept, is_exhausted: scoped.is_exhausted() }
        }
    }

    /// What the sender hears, and what is recorded; nothing, if the run was stopped.
    fn come_to_its_end<Res, E>(&self, ended: Ended<Res, E>) -> (Told<Res, E>, Option<Verdict>)
    where
        P: Keep<Res, E>,
    {
        match ended {
            Ended::Came(Came { kept: Kept { result, verdict }, is_exhausted }) => {
                (if is_exhausted { Told::Exhausted(result) } else { Told::Answered(result) }, Some(verdict))
            }
            Ended::Panicked(panic) => match self.keep.panicked() {
                Some(Kept { result, verdict }) => (Told::Answered(result), Some(verdict)),
                None if Execution::current_is_in_transaction() => (Told::Panicked(panic), Some(Verdict::NoEffect)),
                None => (Told::Panicked(panic), Some(Verdict::Unknown("it panicked".into()))),
            },
            Ended::Stopped => (self.refused(RefusalReason::Interrupted), None),
        }
    }
}
