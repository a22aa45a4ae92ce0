//! What becomes of the record of a request. It is told the time, and knows nothing of stores.

mod claim;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::claim::{Acquired, Begin, Claim, Commit, Owner};
use super::config::Fingerprint;
use crate::clock::Moment;

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) fingerprint: Fingerprint,
    /// Who has it, or had it last; nobody, after it was released while it is not known what a run before did.
    pub(crate) owner: Option<Owner>,
    pub(crate) acquired: Acquired,
    pub(crate) forgotten_at: Moment,
    pub(crate) phase: Phase,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running { until: Moment },
    Done(Bytes),
    Parked(Arc<str>),
}

impl Record {
    /// A request that nobody has run is the claim's, and so is one whose owner has let its lease end. `fence` is asked for a
    /// number that is larger than all it gave before.
    pub(crate) fn begin(known: &mut Option<Self>, claim: &Claim, now: Moment, fence: impl FnOnce() -> u64) -> Begin {
        let until = now + claim.lease;
        let attempt = match Self::remembered(known, now) {
            None => 1,
            // First of all: what there is to say of a request is none of another one's business.
            Some(record) if record.fingerprint != claim.fingerprint => return Begin::Mismatch,
            Some(record) => match &mut record.phase {
                Phase::Done(answer) => return Begin::Done(answer.clone()),
                Phase::Parked(why) => return Begin::Parked(why.clone()),
                Phase::Running { until: ends } if record.owner == Some(claim.owner) => {
                    *ends = until;
                    return Begin::Acquired(record.acquired);
                }
                Phase::Running { until: ends } if *ends > now => return Begin::Running { left: ends.since(now) },
                Phase::Running { .. } => record.acquired.attempt.saturating_add(1),
            },
        };
        let acquired = Acquired { fence: fence(), attempt };
        *known = Some(Self {
            fingerprint: claim.fingerprint,
            owner: Some(claim.owner),
            acquired,
            forgotten_at: now + claim.retention,
            phase: Phase::Running { until },
        });
        Begin::Acquired(acquired)
    }

    /// What a claim would be told, unless the request would be its own.
    pub(crate) fn look(known: Option<&Self>, fingerprint: Fingerprint, now: Moment) -> Option<Begin> {
        let record = known.filter(|record| !record.is_over(now))?;
        if record.fingerprint != fingerprint {
            return Some(Begin::Mismatch);
        }
        match &record.phase {
            Phase::Done(answer) => Some(Begin::Done(answer.clone())),
            Phase::Parked(why) => Some(Begin::Parked(why.clone())),
            Phase::Running { until } if *until > now => Some(Begin::Running { left: until.since(now) }),
            Phase::Running { .. } => None,
        }
    }

    /// What the owner says came of it is remembered, also if nothing else is.
    pub(crate) fn complete(known: &mut Option<Self>, claim: &Claim, answer: Bytes, now: Moment) -> Commit {
        let (acquired, commit) = match Self::remembered(known, now) {
            None => (Acquired { fence: 0, attempt: 1 }, Commit::Recreated),
            Some(record) if record.owner.is_some_and(|owner| owner != claim.owner) => return Commit::Lost,
            Some(Self { owner: None, acquired, .. }) => (*acquired, Commit::Recreated),
            Some(Self { phase: Phase::Done(_), .. }) => return Commit::Stored,
            Some(Self { phase: Phase::Parked(_), .. }) => return Commit::Lost,
            Some(Self { phase: Phase::Running { .. }, acquired, .. }) => (*acquired, Commit::Stored),
        };
        *known = Some(Self {
            fingerprint: claim.fingerprint,
            owner: Some(claim.owner),
            acquired,
            forgotten_at: now + claim.retention,
            phase: Phase::Done(answer),
        });
        commit
    }

    pub(crate) fn renew(known: &mut Option<Self>, owner: Owner, lease: Duration, now: Moment) -> bool {
        match Self::running(known, owner, now) {
            Some(Self { phase: Phase::Running { until }, .. }) => {
                *until = now + lease;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn release(known: &mut Option<Self>, owner: Owner, now: Moment) -> bool {
        let is_nobodys = Self::remembered(known, now).is_none_or(|record| record.owner.is_none());
        let Some(record) = Self::running(known, owner, now) else {
            return is_nobodys;
        };
        if record.acquired.is_recovered() {
            // Nothing came of this run; but what came of the one before it, nobody knows to this day.
            record.acquired.attempt -= 1;
            record.owner = None;
            record.phase = Phase::Running { until: now };
        } else {
            *known = None;
        }
        true
    }

    /// That nobody knows what came of it is remembered, also if nothing else is.
    pub(crate) fn park(known: &mut Option<Self>, claim: &Claim, why: &str, now: Moment) -> bool {
        let acquired = match Self::remembered(known, now) {
            None => Acquired { fence: 0, attempt: 1 },
            Some(record) if record.owner.is_some_and(|owner| owner != claim.owner) => return false,
            Some(Self { phase: Phase::Done(_), .. }) => return false,
            Some(Self { phase: Phase::Parked(_), .. }) => return true,
            Some(record) => record.acquired,
        };
        *known = Some(Self {
            fingerprint: claim.fingerprint,
            owner: Some(claim.owner),
            acquired,
            forgotten_at: now + claim.retention,
            phase: Phase::Parked(why.into()),
        });
        true
    }

    /// Somebody has found out what came of it.
    pub(crate) fn resolve(known: &mut Option<Self>, answer: Option<Bytes>, now: Moment) -> bool {
        match Self::remembered(known, now) {
            Some(record) if matches!(record.phase, Phase::Parked(_)) => {
                match answer {
                    Some(answer) => record.phase = Phase::Done(answer),
                    None => *known = None,
                }
                true
            }
            _ => false,
        }
    }

    /// From when on nothing of it has to be remembered any more. What runs is remembered for as long as its lease.
    pub(crate) fn ends(&self) -> Moment {
        match self.phase {
            Phase::Running { until } => self.forgotten_at.max(until),
            Phase::Done(_) | Phase::Parked(_) => self.forgotten_at,
        }
    }

    pub(crate) fn is_over(&self, now: Moment) -> bool {
        self.ends() <= now
    }

    /// How many bytes there are of what is known to have come of it.
    pub(crate) fn bytes(&self) -> usize {
        match &self.phase {
            Phase::Done(answer) => answer.len(),
            Phase::Parked(why) => why.len(),
            Phase::Running { .. } => 0,
        }
    }

    fn remembered(known: &mut Option<Self>, now: Moment) -> Option<&mut Self> {
        if known.as_ref().is_some_and(|record| record.is_over(now)) {
            *known = None;
        }
        known.as_mut()
    }

    /// The record, if it is still this owner's; also after its lease, while nobody has taken over.
    fn running(known: &mut Option<Self>, owner: Owner, now: Moment) -> Option<&mut Self> {
        Self::remembered(known, now)
            .filter(|record| record.owner == Some(owner) && matches!(record.phase, Phase::Running { .. }))
    }
}
