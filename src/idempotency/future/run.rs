//! A request that is run once, from its claim until what came of it is recorded, whoever still listens.

use std::any::Any;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tower::{Service, ServiceExt};

use crate::clock::{self, Moment};
use crate::idempotency::config::{Fingerprint, Keep, Kept, RecordKey, Verdict, WhenUnavailable};
use crate::idempotency::handle::{Execution, Keeper, Running, Shared, Waiter};
use crate::idempotency::state::{Acquired, Begin, Claim, Commit, Owner};
use crate::idempotency::store::{Store, StoreError};
use crate::name::Name;
use crate::rejection::{RefusalReason, Refused};
use crate::telemetry;

/// The longest that a repeated request is asked to stay away: the first one may be done at any time.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How soon a store that was not reached may be there again.
const STORE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A store is asked again after this, and after twice as long each time, up to twenty times.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the sender of a request hears.
pub(super) enum Told<Res, E> {
    Answered(Result<Res, E>),
    Replayed(Bytes),
    Refused(Refused),
    Panicked(Box<dyn Any + Send>),
}

/// A request, and what it is recorded under.
pub(super) struct Once<Req> {
    pub(super) request: Req,
    pub(super) key: RecordKey,
    pub(super) fingerprint: Fingerprint,
}

/// Who runs requests.
pub(super) struct Runner<St, P> {
    pub(super) running: Arc<Running>,
    pub(super) store: Arc<St>,
    pub(super) keep: Arc<P>,
}

type Tell<Res, E> = oneshot::Sender<Told<Res, E>>;

/// What the sender of a request has yet to hear.
type Untold<Res, E> = (Tell<Res, E>, Told<Res, E>);

/// Whether somebody still listens is not the run's affair.
fn tell<Res, E>(to: Tell<Res, E>, told: Told<Res, E>) {
    drop(to.send(told));
}

/// What became of a claim.
enum Claimed<Res, E> {
    Acquired(Acquired),
    /// Nobody can know whether it was run before, and it is run all the same.
    Unrecorded,
    Told(Told<Res, E>),
    /// The store did not say whether it took the claim, and the request is not run.
    Unsaid(Told<Res, E>),
    NobodyListens,
}

impl<St: Store, P> Runner<St, P> {
    /// Claims the request, and runs it if nobody runs it and nobody has.
    pub(super) async fn run<S, Req>(
        self,
        place: OwnedSemaphorePermit,
        service: S,
        once: Once<Req>,
        to: Tell<S::Response, S::Error>,
    ) where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
    {
        let claim = self.claim(once.fingerprint);
        let (mut place, mut begun) = (Some(place), Moment::now());
        match self.claim_it(&mut place, &mut begun, once.key, claim, &to).await {
            Claimed::Acquired(acquired) => self.acquired(acquired, claim, begun, service, once, to).await,
            Claimed::Unrecorded => self.run_unrecorded(service, once.key, once.request, to).await,
            Claimed::Told(told) => tell(to, told),
            Claimed::Unsaid(told) => {
                tell(to, told);
                self.forget_claim(&once.key, claim, begun).await;
            }
            Claimed::NobodyListens => {}
        }
    }

    /// Claims the request, and waits for whoever runs it, if it may.
    async fn claim_it<Res, E>(
        &self,
        place: &mut Option<OwnedSemaphorePermit>,
        begun: &mut Moment,
        key: RecordKey,
        claim: Claim,
        to: &Tell<Res, E>,
    ) -> Claimed<Res, E> {
        let refused = |reason| Claimed::Told(Told::Refused(self.running.refused(reason)));
        let mut waits: Option<Waits<'_>> = None;
        loop {
            // Before it is asked whether the run has come to its end: else the end could come in between.
            let ended = waits.as_ref().map(|waits| waits.waiter.ended());
            *begun = Moment::now();
            let left = match self.begin(&key, claim).await {
                Ok(Begin::Acquired(acquired)) => return Claimed::Acquired(acquired),
                Ok(Begin::Done(kept)) => return Claimed::Told(Told::Replayed(kept)),
                Ok(Begin::Running { left }) => left,
                Ok(Begin::Mismatch) => return refused(RefusalReason::Mismatch),
                Ok(Begin::Parked(_)) => return refused(RefusalReason::OutcomeUnknown),
                // Not for who has heard already that it is running, nor of a record that is there and cannot be read.
                Err(StoreError::Unavailable(_) | StoreError::Ambiguous(_))
                    if self.running.rules.when_unavailable == WhenUnavailable::Run && waits.is_none() =>
                {
                    return Claimed::Unrecorded;
                }
                Err(StoreError::Full) => return refused(RefusalReason::StoreFull),
                Err(StoreError::Corrupt(_)) => return refused(RefusalReason::NotReplayable),
                Err(error) => {
                    let unavailable = self.running.refused(RefusalReason::StoreUnavailable);
                    let told = Told::Refused(unavailable.with_retry_after(STORE_RETRY_AFTER));
                    return if matches!(error, StoreError::Ambiguous(_)) {
                        Claimed::Unsaid(told)
                    } else {
                        Claimed::Told(told)
                    };
                }
            };
            let running = self.running.refused(RefusalReason::Running).with_retry_after(left.min(LONGEST_RETRY_AFTER));
            let Some(ended) = ended else {
                waits = Waits::enter(&self.running, key);
                match waits {
                    // It is asked once more, by somebody who hears of the end from now on.
                    Some(_) => continue,
                    None => return Claimed::Told(Told::Refused(running)),
                }
            };
            // Who waits runs nothing, and must not keep others from it.
            *place = None;
            let Some(pause) = waits.as_mut().and_then(Waits::pause) else {
                return Claimed::Told(Told::Refused(running));
            };
            clock::within(pause, ended).await;
            if to.is_closed() {
                return Claimed::NobodyListens;
            }
            match self.running.place() {
                Ok(another) => *place = Some(another),
                Err(reason) => return refused(reason),
            }
        }
    }
}

impl<St, P> Runner<St, P> {
    pub(super) fn of<I>(shared: &Shared<St, I, P>) -> Self {
        let Shared { running, store, keep, .. } = shared;
        Self { running: running.clone(), store: store.clone(), keep: keep.clone() }
    }
}

impl<St: Store, P> Runner<St, P> {
    fn claim(&self, fingerprint: Fingerprint) -> Claim {
        let rules = &self.running.rules;
        Claim { fingerprint, owner: Owner::random(), lease: rules.lease, retention: rules.retention }
    }

    /// Asks the store for something; if it does not say whether it did it, it may have.
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        clock::within(self.running.rules.store_timeout, asked).await.unwrap_or_else(|| Err(StoreError::timed_out()))
    }

    /// Asks twice if the first answer was lost: an owner is told the same again.
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        self.ask(async {
            match self.store.begin(key, claim).await {
                // Whatever is said now, the first one may have been taken.
                Err(StoreError::Ambiguous(_)) => self.store.begin(key, claim).await.map_err(StoreError::in_doubt),
                other => other,
            }
        })
        .await
    }

    /// The claim may have been made all the same. Then nobody could run the request for as long as the lease, and nobody does.
    async fn forget_claim(&self, key: &RecordKey, claim: Claim, begun: Moment) {
        let mut pauses = Pauses::new();
        while Moment::now() < begun + claim.lease && self.ask(self.store.release(key, claim.owner)).await.is_err() {
            pauses.next().await;
        }
    }

    /// Runs a request that is this run's own, unless it was run too often already.
    async fn acquired<S, Req>(
        self,
        acquired: Acquired,
        claim: Claim,
        begun: Moment,
        service: S,
        once: Once<Req>,
        to: Tell<S::Response, S::Error>,
    ) where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
    {
        let Once { request, key, .. } = once;
        let ends_by = begun + self.running.rules.longest_run;
        let mut lease = Lease { key, claim, renewed: begun, ends_by, is_lost: false };
        if acquired.attempt > self.running.rules.max_attempts.get() {
            let why = Verdict::Unknown("as many runs as may be have ended without anybody knowing how".into());
            let unknown = Told::Refused(self.running.refused(RefusalReason::OutcomeUnknown));
            let mut told = Some((to, unknown));
            self.settle(&mut lease, &why, &mut told).await;
            if let Some((to, unknown)) = told {
                tell(to, unknown);
            }
            return self.running.waiting.ended(&key);
        }
        telemetry::run_began(self.name(), &key, acquired.fence, acquired.attempt);
        let (keeper, execution) = Execution::new(acquired);
        let keep = self.keep.clone();
        let run = tokio::spawn(execution.scope(async move {
            let result = match service.ready_oneshot().await {
                Ok(mut service) => service.call(request).await,
                Err(error) => Err(error),
            };
            keep.keep(result).await
        }));
        let (told, verdict) = match self.heartbeat(&mut lease, &keeper, run).await {
            Ok(Kept { result, verdict }) => (Told::Answered(result), verdict),
            Err(Some(panic)) => match self.keep.panicked() {
                Some(Kept { result, verdict }) => (Told::Answered(result), verdict),
                None => (Told::Panicked(panic), Verdict::Unknown("it panicked".into())),
            },
            Err(None) => {
                let unknown = self.running.refused(RefusalReason::OutcomeUnknown);
                (Told::Refused(unknown), Verdict::Unknown("it was cut off".into()))
            }
        };
        // The sender has its answer as soon as it is recorded, or the store was asked once in vain.
        let mut told = Some((to, told));
        let settled = self.settle(&mut lease, &verdict, &mut told).await;
        if let Some((to, answer)) = told {
            let newer = match settled {
                Settled::Lost => self.recorded(&key, claim).await,
                Settled::Recorded | Settled::NotRecorded => None,
            };
            tell(to, newer.map_or(answer, Told::Replayed));
        }
        self.running.waiting.ended(&key);
    }

    /// Renews the lease until the run has come to its end; or what it panicked with, or `None` if its task was cut off.
    async fn heartbeat<Res, E>(
        &self,
        lease: &mut Lease,
        keeper: &Keeper,
        run: JoinHandle<Kept<Res, E>>,
    ) -> Result<Kept<Res, E>, Option<Box<dyn Any + Send>>> {
        let mut run = pin!(run);
        loop {
            let mut beat = pin!(async {
                match lease.next_beat() {
                    Some(at) => {
                        clock::sleep_until(at).await;
                        self.renew(lease, keeper).await;
                    }
                    None => pending().await,
                }
            });
            // Whatever the store takes, an answer does not wait for it.
            let ended = poll_fn(|cx| match run.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending => beat.as_mut().poll(cx).map(|()| None),
            });
            match ended.await {
                Some(Ok(kept)) => return Ok(kept),
                Some(Err(error)) => return Err(error.try_into_panic().ok()),
                None => {}
            }
        }
    }

    fn name(&self) -> &Name {
        &self.running.rules.name
    }

    fn lose(&self, lease: &mut Lease, keeper: &Keeper, why: &str) {
        lease.is_lost = true;
        keeper.lose();
        telemetry::run_in_doubt(self.name(), &lease.key, why);
    }

    async fn renew(&self, lease: &mut Lease, keeper: &Keeper) {
        let before = Moment::now();
        if before >= lease.ends_by {
            return self.lose(lease, keeper, "it runs for longer than it may");
        }
        match self.ask(self.store.renew(&lease.key, lease.claim.owner, lease.claim.lease)).await {
            Ok(true) => lease.renewed = before,
            Ok(false) => self.lose(lease, keeper, "somebody else has taken over"),
            // Asked again soon, for as long as there is a lease.
            Err(_) if Moment::now() < lease.renewed + lease.claim.lease => clock::sleep(FIRST_PAUSE).await,
            Err(_) => self.lose(lease, keeper, "the store was not reached for as long as a lease"),
        }
    }

    /// Records what came of the request, however long the store is not reached: until then nobody else may run it, and then
    /// nobody need. The sender does not wait for that.
    async fn settle<Res, E>(&self, lease: &mut Lease, verdict: &Verdict, told: &mut Option<Untold<Res, E>>) -> Settled {
        let (key, owner) = (lease.key, lease.claim.owner);
        let mut pauses = Pauses::new();
        loop {
            let asked = match verdict {
                Verdict::Final(kept) => {
                    let commit = self.ask(self.store.complete(&key, lease.claim, kept.clone())).await;
                    commit.map(|commit| commit != Commit::Lost)
                }
                Verdict::NoEffect => self.ask(self.store.release(&key, owner)).await,
                Verdict::Unknown(why) => self.ask(self.store.park(&key, owner, why)).await,
            };
            match asked {
                Ok(true) => {
                    match verdict {
                        Verdict::Final(_) => telemetry::run_ended(self.name(), &key, "final"),
                        Verdict::NoEffect => telemetry::run_ended(self.name(), &key, "no effect"),
                        Verdict::Unknown(why) => telemetry::run_in_doubt(self.name(), &key, why),
                    }
                    return Settled::Recorded;
                }
                Ok(false) => {
                    telemetry::run_in_doubt(
                        self.name(),
                        &key,
                        "somebody else has taken over, and this is not recorded",
                    );
                    return Settled::Lost;
                }
                Err(_) => {}
            }
            if let Some((to, answer)) = told.take() {
                tell(to, answer);
            }
            if Moment::now() >= lease.ends_by {
                telemetry::run_in_doubt(self.name(), &key, "it was done, and could not be recorded");
                return Settled::NotRecorded;
            }
            pauses.next().await;
            if lease.next_beat().is_some_and(|beat| beat <= Moment::now()) {
                let before = Moment::now();
                if self.ask(self.store.renew(&key, owner, lease.claim.lease)).await.is_ok_and(|is_own| is_own) {
                    lease.renewed = before;
                }
            }
        }
    }

    /// Runs a request of which nobody will know that it was run.
    async fn run_unrecorded<S, Req>(self, service: S, key: RecordKey, request: Req, to: Tell<S::Response, S::Error>)
    where
        S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
        Req: Send + 'static,
        P: Keep<S::Response, S::Error>,
    {
        let result = match service.ready_oneshot().await {
            Ok(mut service) => service.call(request).await,
            Err(error) => Err(error),
        };
        telemetry::run_in_doubt(self.name(), &key, "the store was not reached, and nobody will know that it was run");
        tell(to, Told::Answered(self.keep.keep(result).await.result));
    }

    /// What a repeated request would be answered with, if anything.
    async fn recorded(&self, key: &RecordKey, claim: Claim) -> Option<Bytes> {
        match self.begin(key, self.claim(claim.fingerprint)).await {
            Ok(Begin::Done(kept)) => Some(kept),
            _ => None,
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    Recorded,
    /// Somebody else has taken over.
    Lost,
    /// The store was not reached for as long as the run may take.
    NotRecorded,
}

/// A request that is this run's own, for a while.
struct Lease {
    key: RecordKey,
    claim: Claim,
    /// When the store was last asked for it, which is no later than when it began by the store's own clock.
    renewed: Moment,
    ends_by: Moment,
    is_lost: bool,
}

impl Lease {
    /// When it is to be renewed, unless it is lost: then there is nothing to renew.
    fn next_beat(&self) -> Option<Moment> {
        (!self.is_lost).then(|| self.renewed + self.claim.lease / 3)
    }
}

/// Longer and longer ones.
struct Pauses(Duration);

impl Pauses {
    const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    async fn next(&mut self) {
        clock::sleep(self.0).await;
        self.0 = LONGEST_PAUSE.min(self.0 * 2);
    }
}

/// Somebody who waits for the end of a run, here or elsewhere.
struct Waits<'a> {
    waiter: Waiter<'a>,
    until: Moment,
    next: Duration,
}

impl<'a> Waits<'a> {
    fn enter(running: &'a Running, key: RecordKey) -> Option<Self> {
        let (waiter, longest) = running.waiting.enter(key)?;
        Some(Self { waiter, until: Moment::now() + longest, next: FIRST_PAUSE })
    }

    /// How long to wait before it is asked again, for a run that ends elsewhere.
    fn pause(&mut self) -> Option<Duration> {
        let left = self.until.since(Moment::now());
        let pause = self.next.min(left);
        self.next = (self.next * 2).min(LONGEST_PAUSE / 2);
        (!left.is_zero()).then_some(pause)
    }
}
