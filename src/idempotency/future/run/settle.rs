//! What came of a request is recorded, however long the store is not reached.

use super::lease::Lease;
use super::pauses::Pauses;
use super::{Runner, Untold, tell};
use crate::clock::Moment;
use crate::idempotency::config::{RecordKey, Verdict};
use crate::idempotency::state::Commit;
use crate::idempotency::store::{Store, StoreError};
use crate::telemetry;

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Recorded,
    /// Somebody else has taken over.
    Lost,
    /// The store was not reached for as long as a run may take.
    NotRecorded,
}

impl Settled {
    pub(super) const fn of(is_own: bool) -> Self {
        if is_own { Self::Recorded } else { Self::Lost }
    }
}

impl<St: Store, P, T> Runner<St, P, T> {
    /// Records what came of the request. Until then nobody else may run it, and then nobody need; the sender does not wait for
    /// more than a first try.
    pub(super) async fn settle<Res, E>(
        &self,
        lease: &mut Lease,
        verdict: &Verdict,
        told: &mut Option<Untold<Res, E>>,
    ) -> Settled {
        // As long as the request may have taken: a run that took that long has as much time to say what came of it.
        let until = Moment::now() + self.running.rules.longest_run;
        let mut pauses = Pauses::within(lease.claim.lease);
        let settled = loop {
            if let Ok(is_own) = self.settle_now(lease, verdict).await {
                break Settled::of(is_own);
            }
            if let Some((to, answer)) = told.take() {
                tell(to, answer);
            }
            if Moment::now() >= until {
                break Settled::NotRecorded;
            }
            pauses.next().await;
            let now = Moment::now();
            if lease.next_beat().is_some_and(|beat| beat <= now) && self.renew_now(lease).await.is_ok_and(|own| own) {
                lease.renewed = now;
            }
        };
        self.settled(&lease.key, verdict, settled);
        settled
    }

    /// Records what came of the request, if the store is reached; `false` if it is somebody else's.
    pub(super) async fn settle_now(&self, lease: &Lease, verdict: &Verdict) -> Result<bool, StoreError> {
        let (key, claim) = (&lease.key, lease.claim);
        match verdict {
            Verdict::Final(kept) => {
                let commit = self.ask(self.store.complete(key, claim, kept.clone())).await;
                commit.map(|commit| commit != Commit::Lost)
            }
            Verdict::NoEffect => self.ask(self.store.release(key, claim.owner)).await,
            Verdict::Unknown(why) => self.ask(self.store.park(key, claim, why)).await,
        }
    }

    pub(super) fn settled(&self, key: &RecordKey, verdict: &Verdict, settled: Settled) {
        let name = self.name();
        match (settled, verdict) {
            (Settled::Recorded, Verdict::Final(_)) => telemetry::run_ended(name, key, "final"),
            (Settled::Recorded, Verdict::NoEffect) => telemetry::run_ended(name, key, "no effect"),
            (Settled::Recorded, Verdict::Unknown(why)) => telemetry::run_in_doubt(name, key, why),
            (Settled::Lost, _) => {
                telemetry::run_in_doubt(name, key, "somebody else has taken over, and this is not recorded");
            }
            (Settled::NotRecorded, _) => {
                telemetry::run_in_doubt(name, key, "it was done, and could not be recorded");
            }
        }
    }

    pub(super) async fn renew_now(&self, lease: &Lease) -> Result<bool, StoreError> {
        self.ask(self.store.renew(&lease.key, lease.claim.owner, lease.claim.lease)).await
    }
}
