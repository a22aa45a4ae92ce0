//! What was done in a run's transaction is committed with what came of the run.

use bytes::Bytes;

use super::lease::Lease;
use super::pauses::Pauses;
use super::settle::Settled;
use super::{Runner, Untold, tell};
use crate::clock::{self, Moment};
use crate::idempotency::config::Verdict;
use crate::idempotency::handle::{Ended, Enlistment};
use crate::idempotency::state::Commit;
use crate::idempotency::store::{Store, StoreError};
use crate::rejection::RefusalReason;

impl<St: Store, P> Runner<St, P> {
    /// Ends the transaction, if there is one: commits it where what came of the run is final.
    ///
    /// # Errors
    ///
    /// What is yet to be recorded: the transaction was none, or is undone.
    pub(super) async fn commit<Res, E>(
        &self,
        lease: &Lease,
        enlistment: Option<Enlistment>,
        verdict: Verdict,
        told: &mut Option<Untold<Res, E>>,
    ) -> Result<Settled, Verdict> {
        let Some(enlistment) = enlistment else {
            return Err(verdict);
        };
        let Verdict::Final(kept) = verdict else {
            enlistment.roll_back();
            return Err(verdict);
        };
        let committing = enlistment.commit(lease.key, lease.claim, kept.clone());
        // As long as nobody can take over: it may be much that is committed, and whoever sent the request can hear of nothing
        // before it is.
        let ended = clock::within(lease.claim.lease, committing).await.unwrap_or_else(|| Err(StoreError::timed_out()));
        let settled = match ended {
            Ok(Ended::HasNone) => return Err(Verdict::Final(kept)),
            Ok(Ended::As(Commit::Stored | Commit::Recreated)) => Settled::Recorded,
            Ok(Ended::As(Commit::Lost)) => Settled::Lost,
            Err(StoreError::Ambiguous(_)) => match self.find_out(lease, kept.clone(), told).await {
                Some(settled) => settled,
                None => return Err(self.undone(told)),
            },
            Ok(Ended::TooEarly) | Err(_) => return Err(self.undone(told)),
        };
        if settled != Settled::Recorded {
            // The answer speaks of what was undone.
            self.tell_instead(RefusalReason::Interrupted, told);
        }
        self.settled(&lease.key, &Verdict::Final(kept), settled);
        Ok(settled)
    }

    /// Whether the transaction was committed after all; `None` if it was not, and never will be.
    ///
    /// It changed the record, and so whoever changes that hears what has become of the transaction.
    async fn find_out<Res, E>(&self, lease: &Lease, kept: Bytes, told: &mut Option<Untold<Res, E>>) -> Option<Settled> {
        let (key, claim) = (&lease.key, lease.claim);
        let until = Moment::now() + self.running.rules.longest_run;
        let mut pauses = Pauses::within(claim.lease);
        loop {
            match self.ask(self.store.release(key, claim.owner)).await {
                Ok(true) => return None,
                // It is done, or another's: whose it is is told to who completes it.
                Ok(false) => {
                    if let Ok(commit) = self.ask(self.store.complete(key, claim, kept.clone())).await {
                        return Some(Settled::of(commit != Commit::Lost));
                    }
                }
                Err(_) => {}
            }
            if Moment::now() >= until {
                return Some(Settled::NotRecorded);
            }
            self.tell_instead(RefusalReason::Interrupted, told);
            if let Some((to, answer)) = told.take() {
                tell(to, answer);
            }
            pauses.next().await;
        }
    }

    /// What is yet to be recorded of a run whose transaction is undone.
    fn undone<Res, E>(&self, told: &mut Option<Untold<Res, E>>) -> Verdict {
        self.tell_instead(RefusalReason::RolledBack, told);
        Verdict::NoEffect
    }

    fn tell_instead<Res, E>(&self, reason: RefusalReason, told: &mut Option<Untold<Res, E>>) {
        if let Some((_, answer)) = told {
            *answer = self.refused(reason);
        }
    }
}
