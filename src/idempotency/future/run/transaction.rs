//! What was done in a run's transaction is committed with what came of the run.

use std::error::Error;
use std::fmt;

use bytes::Bytes;

use super::lease::Lease;
use super::pauses::Pauses;
use super::settle::Settled;
use super::{Runner, Told, Untold, tell};
use crate::clock::{self, Moment};
use crate::idempotency::config::Verdict;
use crate::idempotency::handle::{Ended, Enlistment};
use crate::idempotency::state::Begin;
use crate::idempotency::store::{Store, StoreError};
use crate::rejection::RefusalReason;
use crate::telemetry;

impl<St: Store, P, T> Runner<St, P, T> {
    /// Ends the transaction, if there is one: commits it where what came of the run is final.
    ///
    /// # Errors
    ///
    /// What is yet to be recorded: the transaction was none, or is undone, or nobody knows.
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
        let kept = match verdict {
            Verdict::Final(kept) => kept,
            Verdict::NoEffect => return Err(self.undo(&enlistment, told).await),
            Verdict::Unknown(_) => {
                enlistment.roll_back();
                return Err(verdict);
            }
        };
        let committing = enlistment.commit(lease.key, lease.claim, kept.clone());
        // It may be much that is committed, and whoever sent the request can hear of nothing before it is.
        let ended = clock::within(lease.claim.lease, committing).await.unwrap_or_else(|| Err(StoreError::timed_out()));
        let settled = match ended {
            Ok(Ended::HasNone) => return Err(Verdict::Final(kept)),
            Ok(Ended::Committed) => Settled::Recorded,
            Ok(Ended::Lost) => Settled::Lost,
            Ok(Ended::TooEarly) => return Err(self.undone(lease, &"somebody still held it", told)),
            Err(error @ StoreError::Ambiguous(_)) => match self.find_out(lease, &kept, told).await {
                Some(settled) => settled,
                None => return Err(self.undone(lease, &cause(&error), told)),
            },
            Err(error @ StoreError::Corrupt(_)) => return Err(self.in_doubt(&error, told)),
            Err(error) => return Err(self.undone(lease, &cause(&error), told)),
        };
        if settled == Settled::Lost {
            self.tell_what_another_did(lease, told).await;
        }
        self.settled(&lease.key, &Verdict::Final(kept), settled);
        Ok(settled)
    }

    /// Ends a transaction of which nothing is to come, and says whether nothing has come of the run.
    async fn undo<Res, E>(&self, enlistment: &Enlistment, told: &mut Option<Untold<Res, E>>) -> Verdict {
        match self.ask(enlistment.undo()).await {
            Err(error @ StoreError::Corrupt(_)) => self.in_doubt(&error, told),
            Ok(()) | Err(_) => Verdict::NoEffect,
        }
    }

    /// What is yet to be recorded of a run that may have done something apart from its transaction.
    fn in_doubt<Res, E>(&self, error: &StoreError, told: &mut Option<Untold<Res, E>>) -> Verdict {
        if let Some((_, answer)) = told {
            *answer = self.refused(RefusalReason::OutcomeUnknown);
        }
        Verdict::Unknown(cause(error))
    }

    /// Whether the transaction was committed after all; `None` if it was not, and never will be.
    ///
    /// It has changed the record, and whoever would change that waits until it has ended.
    async fn find_out<Res, E>(
        &self,
        lease: &Lease,
        kept: &Bytes,
        told: &mut Option<Untold<Res, E>>,
    ) -> Option<Settled> {
        let (key, claim) = (&lease.key, lease.claim);
        let until = Moment::now() + self.running.rules.longest_run;
        let mut pauses = Pauses::within(claim.lease);
        loop {
            match self.ask(self.store.release(key, claim.owner)).await {
                Ok(true) => return None,
                // It is done, or another's.
                Ok(false) => match self.ask(self.store.look(key, claim.fingerprint)).await {
                    Ok(Some(Begin::Done(done))) => return Some(Settled::of(done == *kept)),
                    Ok(_) => return Some(Settled::Lost),
                    Err(_) => {}
                },
                Err(_) => {}
            }
            if let Some((to, _)) = told.take() {
                tell(to, self.refused(RefusalReason::Interrupted));
            }
            if Moment::now() >= until {
                return Some(Settled::NotRecorded);
            }
            pauses.next().await;
        }
    }

    /// The answer speaks of what was undone.
    async fn tell_what_another_did<Res, E>(&self, lease: &Lease, told: &mut Option<Untold<Res, E>>) {
        let Some((to, _)) = told.take() else {
            return;
        };
        let newer = self.ask(self.store.look(&lease.key, lease.claim.fingerprint)).await;
        let newer = match newer {
            Ok(Some(Begin::Done(kept))) => Told::Replayed(kept),
            Ok(Some(Begin::Parked(_))) => self.refused(RefusalReason::OutcomeUnknown),
            _ => self.refused(RefusalReason::Interrupted),
        };
        tell(to, newer);
    }

    /// What is yet to be recorded of a run whose transaction is undone.
    fn undone<Res, E>(&self, lease: &Lease, why: &dyn fmt::Display, told: &mut Option<Untold<Res, E>>) -> Verdict {
        telemetry::rolled_back(self.name(), &lease.key, why);
        if let Some((_, answer)) = told {
            *answer = self.refused(RefusalReason::RolledBack);
        }
        Verdict::NoEffect
    }
}

/// What the database said, if it did.
fn cause(error: &StoreError) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
