//! The claim of a request, and the wait for whoever runs it.

use std::time::Duration;

use super::pauses::Pauses;
use super::waits::Waits;
use super::{Runner, Tell, Told};
use crate::clock::{self, Moment};
use crate::idempotency::config::{Fingerprint, RecordKey, WhenUnavailable};
use crate::idempotency::handle::Place;
use crate::idempotency::state::{Acquired, Begin, Claim, Owner};
use crate::idempotency::store::{Store, StoreError};
use crate::rejection::RefusalReason;
use crate::telemetry;

/// The longest that a repeated request is asked to stay away: the first one may be done at any time.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What became of a claim, and when it was made.
pub(super) enum Claimed<Res, E> {
    Acquired(Acquired, Moment),
    /// Nobody can know whether it was run before, and it is run all the same.
    Unrecorded(Moment),
    Told(Told<Res, E>),
    /// The store did not say whether it took the claim, and the request is not run.
    Unsaid(Told<Res, E>, Moment),
    NobodyListens,
}

/// What is known of a request.
enum Known<Res, E> {
    Acquired(Acquired),
    /// Somebody else runs it, and has so much left of the lease.
    Running(Duration),
    Told(Told<Res, E>),
}

impl<St: Store, P, T> Runner<St, P, T> {
    pub(super) fn claim(&self, fingerprint: Fingerprint) -> Claim {
        let rules = &self.running.rules;
        Claim { fingerprint, owner: Owner::random(), lease: rules.lease, retention: rules.retention }
    }

    /// Claims the request, and waits for whoever runs it, if it may.
    pub(super) async fn claim_it<Res, E>(
        &self,
        place: &mut Option<Place>,
        key: RecordKey,
        claim: Claim,
        to: &Tell<Res, E>,
    ) -> Claimed<Res, E> {
        let mut waits: Option<Waits<'_>> = None;
        loop {
            let begun = Moment::now();
            let left = match self.begin(&key, claim).await {
                Ok(begin) => match self.known(begin) {
                    Known::Acquired(acquired) => return Claimed::Acquired(acquired, begun),
                    Known::Running(left) => left,
                    Known::Told(told) => return Claimed::Told(told),
                },
                // Not for who has heard already that it is running.
                Err(StoreError::Unavailable(_) | StoreError::Ambiguous(_))
                    if self.running.rules.when_unavailable == WhenUnavailable::Run && waits.is_none() =>
                {
                    return Claimed::Unrecorded(begun);
                }
                Err(error @ StoreError::Ambiguous(_)) => return Claimed::Unsaid(self.cannot(&error), begun),
                Err(error) => return Claimed::Told(self.cannot(&error)),
            };
            // Who waits runs nothing, and must not keep others from it.
            *place = None;
            if waits.is_none() {
                waits = Waits::enter(&self.running, key);
            }
            let Some(waits) = &mut waits else {
                return Claimed::Told(self.still_running(left));
            };
            if let Some(told) = self.wait(waits, &key, claim.fingerprint, left, to).await {
                return Claimed::Told(told);
            }
            if to.is_closed() {
                return Claimed::NobodyListens;
            }
            match self.running.place() {
                Ok(another) => *place = Some(another),
                Err(reason) => return Claimed::Told(self.refused(reason)),
            }
        }
    }

    /// Waits until there is something to tell; `None` when the request could be claimed, or nobody listens any more.
    async fn wait<Res, E>(
        &self,
        waits: &mut Waits<'_>,
        key: &RecordKey,
        fingerprint: Fingerprint,
        mut left: Duration,
        to: &Tell<Res, E>,
    ) -> Option<Told<Res, E>> {
        loop {
            // Before it is asked whether the run has come to its end: else the end could come in between.
            let ended = waits.ended();
            match self.ask(self.store.look(key, fingerprint)).await {
                Ok(None) => return None,
                Ok(Some(begin)) => match self.known(begin) {
                    Known::Running(still) => left = still,
                    Known::Told(told) => return Some(told),
                    Known::Acquired(_) => return None,
                },
                Err(error @ StoreError::Corrupt(_)) => return Some(self.cannot(&error)),
                // It is asked again soon.
                Err(_) => {}
            }
            let Some(pause) = waits.pause() else {
                return Some(self.still_running(left));
            };
            clock::within(pause, ended).await;
            if to.is_closed() {
                return None;
            }
        }
    }

    fn known<Res, E>(&self, begin: Begin) -> Known<Res, E> {
        Known::Told(match begin {
            Begin::Acquired(acquired) => return Known::Acquired(acquired),
            Begin::Running { left } => return Known::Running(left),
            Begin::Done(kept) => Told::Replayed(kept),
            Begin::Mismatch => self.refused(RefusalReason::Mismatch),
            Begin::Parked(_) => self.refused(RefusalReason::OutcomeUnknown),
        })
    }

    fn still_running<Res, E>(&self, left: Duration) -> Told<Res, E> {
        let refused = self.running.refused(RefusalReason::Running);
        Told::Refused(refused.with_retry_after(left.min(LONGEST_RETRY_AFTER)))
    }

    fn cannot<Res, E>(&self, error: &StoreError) -> Told<Res, E> {
        if !matches!(error, StoreError::Full) {
            telemetry::store_failed(&self.running.rules.name, error);
        }
        self.refused(match error {
            StoreError::Full => RefusalReason::StoreFull,
            StoreError::Corrupt(_) => RefusalReason::OutcomeUnknown,
            StoreError::Unavailable(_) | StoreError::Ambiguous(_) => RefusalReason::StoreUnavailable,
        })
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
    pub(super) async fn forget_claim(&self, key: &RecordKey, claim: Claim, begun: Moment) {
        let mut pauses = Pauses::within(claim.lease);
        while Moment::now() < begun + claim.lease && self.ask(self.store.release(key, claim.owner)).await.is_err() {
            pauses.next().await;
        }
    }
}
