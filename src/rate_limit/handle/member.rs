use std::sync::{Arc, MutexGuard};

use smallvec::SmallVec;

use super::bucket::{Bounds, Bucket, Held};
use super::line::{Ahead, Left, Line, Ticket};
use super::table::{Shard, Table};
use crate::clock::Moment;
use crate::name::Name;
use crate::rate_limit::config::Rules;
use crate::rate_limit::state::Verdict;
use crate::rejection::{LimitReason, Limited};

/// The buckets that one call is counted in. Few are more than two, and those ask for memory.
#[derive(Default)]
pub struct Members(SmallVec<[Member; 2]>);

/// A bucket of its own, or that of a key.
#[derive(Clone)]
pub(super) enum Member {
    Bucket(Arc<Bucket>),
    Key(Arc<Table>, u64),
}

/// Why a call does not pass now.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) limited: Limited,
    /// When it could, if the time is all that is in the way.
    pub(super) until: Option<Moment>,
    /// Which of the members is in the way.
    pub(super) at: usize,
}

/// A bucket that nobody else decides about.
pub(super) enum Locked<'a> {
    Bucket(Held<'a>),
    Shard(MutexGuard<'a, Shard>),
}

impl Member {
    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Bucket(bucket) => bucket.name(),
            Self::Key(table, _) => table.name(),
        }
    }

    pub(super) fn lock(&self) -> Locked<'_> {
        match self {
            Self::Bucket(bucket) => Locked::Bucket(bucket.hold()),
            Self::Key(table, fingerprint) => Locked::Shard(table.shard(*fingerprint)),
        }
    }

    const fn fingerprint(&self) -> u64 {
        match self {
            Self::Bucket(_) => 0,
            Self::Key(_, fingerprint) => *fingerprint,
        }
    }

    pub(super) fn address(&self) -> usize {
        match self {
            Self::Bucket(bucket) => bucket.address(),
            Self::Key(table, fingerprint) => table.address(*fingerprint),
        }
    }

    /// Takes `cost` tokens, or says what is in the way; none if that takes more than a look.
    pub(super) fn pass(&self, cost: u32, now: Moment) -> Option<Result<(), Refused>> {
        let passed = match self {
            Self::Bucket(bucket) => bucket.pass(cost, now),
            Self::Key(table, fingerprint) => table.pass(*fingerprint, cost, now),
        }?;
        Some(passed.map_err(|verdict| Refused::by(self.name(), verdict, now)))
    }
}

impl Refused {
    pub(super) fn until(name: &Name, reason: LimitReason, until: Moment, now: Moment, at: usize) -> Self {
        Self { limited: Limited::new(*name, reason).with_retry_after(until.since(now)), until: Some(until), at }
    }

    pub(super) fn for_good(name: &Name, reason: LimitReason, at: usize) -> Self {
        Self { limited: Limited::new(*name, reason), until: None, at }
    }

    /// By the only bucket, which did not let a call pass.
    #[cold]
    pub(super) fn by(name: &Name, verdict: Verdict, now: Moment) -> Self {
        match verdict {
            Verdict::Waits(until) => Self::until(name, LimitReason::QuotaUsedUp, until, now, 0),
            Verdict::Passes(_) | Verdict::Never => Self::for_good(name, LimitReason::CostAboveBurst, 0),
        }
    }
}

impl From<Refused> for Limited {
    fn from(refused: Refused) -> Self {
        refused.limited
    }
}

impl Locked<'_> {
    pub(super) fn rules(&self) -> Rules {
        match self {
            Self::Bucket(held) => held.rules(),
            Self::Shard(shard) => shard.rules(),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        match self {
            Self::Bucket(held) => held.bounds,
            Self::Shard(shard) => shard.bounds(),
        }
    }

    pub(super) fn full_at(&self, member: &Member) -> Moment {
        match self {
            Self::Bucket(held) => held.full_at,
            Self::Shard(shard) => shard.full_at(member.fingerprint()),
        }
    }

    pub(super) fn put(&mut self, member: &Member, full_at: Moment, now: Moment) {
        match self {
            Self::Bucket(held) => held.full_at = full_at,
            Self::Shard(shard) => shard.put(member.fingerprint(), full_at, now),
        }
    }

    /// Those who wait, if anybody does.
    pub(super) fn line(&self, member: &Member) -> Option<&Line> {
        match self {
            Self::Bucket(held) => Some(&held.line),
            Self::Shard(shard) => shard.line(member.fingerprint()),
        }
        .filter(|line| !line.is_empty())
    }

    pub(super) fn line_mut(&mut self, member: &Member) -> &mut Line {
        match self {
            Self::Bucket(held) => held.line(),
            Self::Shard(shard) => shard.line_mut(member.fingerprint()),
        }
    }

    /// The same, to change it.
    pub(super) fn line_mut_if_any(&mut self, member: &Member) -> Option<&mut Line> {
        self.line(member)?;
        Some(self.line_mut(member))
    }

    pub(super) fn leave(&mut self, member: &Member, ticket: Ticket) -> Left {
        match self {
            Self::Bucket(held) => held.line().leave(ticket),
            Self::Shard(shard) => shard.leave(member.fingerprint(), ticket),
        }
    }

    pub(super) fn has_place(&mut self, member: &Member, now: Moment) -> bool {
        match self {
            Self::Bucket(_) => true,
            Self::Shard(shard) => shard.has_place(member.fingerprint(), now),
        }
    }

    /// Whether somebody who came at `ticket`, or comes last, may take `cost` now. [`Verdict::Waits`] at the end of time stands
    /// for as long as those before it take.
    pub(super) fn decide(&self, member: &Member, ticket: Option<Ticket>, cost: u32, now: Moment) -> Verdict {
        let (rules, full_at) = (self.rules(), self.full_at(member));
        let verdict = rules.decide(full_at, cost, now);
        match (verdict, self.line(member).map_or(Ahead::Away(0), |line| line.ahead(ticket))) {
            (Verdict::Never, _) | (_, Ahead::Away(0)) => verdict,
            (_, Ahead::Somebody) => Verdict::Waits(Moment::MAX),
            (_, Ahead::Away(kept)) => match u32::try_from(kept + u64::from(cost)) {
                Ok(together) => match rules.decide(full_at, together, now) {
                    Verdict::Passes(_) => verdict,
                    Verdict::Waits(until) => Verdict::Waits(until),
                    Verdict::Never => Verdict::Waits(Moment::MAX),
                },
                Err(_) => Verdict::Waits(Moment::MAX),
            },
        }
    }

    /// When somebody who came at `ticket`, or comes last, could take `cost`.
    pub(super) fn outlook(&self, member: &Member, ticket: Option<Ticket>, cost: u32, now: Moment) -> Moment {
        let before = self.line(member).map_or(0, |line| line.cost_before(ticket));
        self.rules().outlook(self.full_at(member), before + u64::from(cost), now)
    }
}

impl Members {
    pub(super) fn each(&self) -> &[Member] {
        &self.0
    }

    pub(super) fn add(&mut self, member: Member) {
        self.0.push(member);
    }

    pub(super) fn replace(&mut self, at: usize, member: Member) {
        self.0[at] = member;
    }
}

impl From<Member> for Members {
    fn from(member: Member) -> Self {
        Self(SmallVec::from_iter([member]))
    }
}
