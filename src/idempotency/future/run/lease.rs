//! A request is this run's own for as long as it says so, and not for ever.

use std::any::Any;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::task::JoinHandle;

use super::{Came, Runner, pauses};
use crate::clock::{self, Moment};
use crate::idempotency::config::{IdempotencyConfig, RecordKey};
use crate::idempotency::handle::Keeper;
use crate::idempotency::state::Claim;
use crate::idempotency::store::Store;
use crate::telemetry;

/// A request that is this run's own, for a while.
pub(super) struct Lease {
    pub(super) key: RecordKey,
    pub(super) claim: Claim,
    /// When the store was last asked for it, which is no later than when it began by the store's own clock.
    pub(super) renewed: Moment,
    /// From when on it is not renewed.
    ends_by: Moment,
    is_own: bool,
}

/// How a run came to its end.
pub(super) enum Ended<Res, E> {
    Came(Came<Res, E>),
    Panicked(Box<dyn Any + Send>),
    /// It took longer than it may.
    Stopped,
}

impl Lease {
    pub(super) fn of(key: RecordKey, claim: Claim, begun: Moment, rules: &IdempotencyConfig) -> Self {
        Self { key, claim, renewed: begun, ends_by: begun + rules.longest_run, is_own: true }
    }

    /// The store never said that it is this run's own.
    pub(super) const fn nobodys(mut self) -> Self {
        self.is_own = false;
        self
    }

    /// When it is to be renewed, unless it is lost: then there is nothing to renew.
    pub(super) fn next_beat(&self) -> Option<Moment> {
        self.is_own.then(|| self.renewed + self.claim.lease / 3)
    }

    /// When the last lease is over, and somebody else may have the request.
    fn is_over_at(&self) -> Moment {
        self.ends_by + self.claim.lease
    }
}

impl<St: Store, P, T> Runner<St, P, T> {
    /// Renews the lease until the run has come to its end, or is stopped because it does not.
    pub(super) async fn watch<Res, E>(
        &self,
        lease: &mut Lease,
        keeper: Option<&Keeper>,
        mut run: JoinHandle<Came<Res, E>>,
    ) -> Ended<Res, E> {
        let ended = clock::within(lease.is_over_at().since(Moment::now()), self.heartbeat(lease, keeper, &mut run));
        let ended = match ended.await {
            Some(ended) => ended,
            None => {
                run.abort();
                run.await
            }
        };
        match ended.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(came) => Ended::Came(came),
            Err(Ok(panic)) => Ended::Panicked(panic),
            Err(Err(_)) => {
                telemetry::run_in_doubt(self.name(), &lease.key, "it did not come to its end, and was stopped");
                Ended::Stopped
            }
        }
    }

    async fn heartbeat<Res, E>(
        &self,
        lease: &mut Lease,
        keeper: Option<&Keeper>,
        run: &mut JoinHandle<Came<Res, E>>,
    ) -> Result<Came<Res, E>, tokio::task::JoinError> {
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
            if let Some(ended) = ended.await {
                return ended;
            }
        }
    }

    async fn renew(&self, lease: &mut Lease, keeper: Option<&Keeper>) {
        let lose = |lease: &mut Lease, why| {
            lease.is_own = false;
            keeper.into_iter().for_each(Keeper::lose);
            telemetry::run_in_doubt(self.name(), &lease.key, why);
        };
        let before = Moment::now();
        if before >= lease.ends_by {
            return lose(lease, "it runs for longer than it may");
        }
        match self.renew_now(lease).await {
            Ok(true) => lease.renewed = before,
            Ok(false) => {
                keeper.into_iter().for_each(Keeper::taken_over);
                lose(lease, "somebody else has taken over");
            }
            // Asked again soon, for as long as there is a lease.
            Err(_) if Moment::now() < lease.renewed + lease.claim.lease => {
                clock::sleep(pauses::FIRST.min(lease.claim.lease / 6)).await;
            }
            Err(_) => lose(lease, "the store was not reached for as long as a lease"),
        }
    }
}
