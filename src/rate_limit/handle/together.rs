use smallvec::SmallVec;

use super::line::Ticket;
use super::member::{Locked, Member, Members, Refused};
use crate::clock::Moment;
use crate::rate_limit::state::Verdict;
use crate::rejection::LimitReason;

/// What [`take`] comes to.
enum Decided {
    Taken,
    Refused(Refused),
    /// There is no place for the key of this member.
    NoPlace(usize),
}

/// Takes `cost` tokens from each of the members, or from none; a bucket that refuses is the only one that was ever short.
/// A key that finds no place is counted in its table's overflow, or refused, as was chosen.
pub(super) fn take(members: &mut Members, cost: u32, now: Moment) -> Result<(), Refused> {
    if cost == 0 {
        return Ok(());
    }
    loop {
        if let [only] = members.each()
            && let Some(taken) = only.pass(cost, now)
        {
            return taken;
        }
        match decide(members.each(), &[], cost, now) {
            Decided::Taken => return Ok(()),
            Decided::Refused(refused) => return Err(refused),
            Decided::NoPlace(at) => {
                let instead = instead_of_new_key(&members.each()[at])?;
                members.replace(at, instead);
            }
        }
    }
}

/// The same for somebody who has the first places in the members' lines, and with them a place for each key.
pub(super) fn take_in_turn(members: &Members, tickets: &[Ticket], cost: u32, now: Moment) -> Result<(), Refused> {
    match decide(members.each(), tickets, cost, now) {
        Decided::Refused(refused) => Err(refused),
        Decided::Taken | Decided::NoPlace(_) => Ok(()),
    }
}

#[cold]
fn instead_of_new_key(member: &Member) -> Result<Member, Refused> {
    match member {
        Member::Key(table, _) => match table.overflowed() {
            Ok(bucket) => Ok(Member::Bucket(bucket.clone())),
            Err(limited) => Err(Refused { limited, until: None }),
        },
        Member::Bucket(_) => Ok(member.clone()),
    }
}

fn decide(members: &[Member], tickets: &[Ticket], cost: u32, now: Moment) -> Decided {
    // Everybody locks in the order of addresses, and what two members share once.
    let mut order: SmallVec<[(usize, usize); 4]> = members.iter().map(Member::address).zip(0..).collect();
    order.sort_unstable();
    let mut locks: SmallVec<[Locked<'_>; 2]> = SmallVec::new();
    let mut lock_of: SmallVec<[usize; 4]> = SmallVec::from_elem(0, members.len());
    let mut last = None;
    for (address, at) in order {
        if last.replace(address) != Some(address) {
            locks.push(members[at].lock());
        }
        lock_of[at] = locks.len() - 1;
    }

    let mut decided: SmallVec<[Moment; 4]> = SmallVec::new();
    let mut in_the_way: Option<Refused> = None;
    for (at, member) in members.iter().enumerate() {
        let locked = &mut locks[lock_of[at]];
        let may_take =
            locked.line(member).is_none_or(|line| tickets.get(at).is_some_and(|ticket| line.is_first(*ticket)));
        let until = match locked.rules().decide(locked.full_at(member), cost, now) {
            Verdict::Never => return Decided::Refused(Refused::for_good(member.name(), LimitReason::CostAboveBurst)),
            Verdict::Passes(full_at) if may_take => {
                if tickets.is_empty() && !locked.has_place(member, now) {
                    return Decided::NoPlace(at);
                }
                decided.push(full_at);
                continue;
            }
            Verdict::Waits(until) if may_take => until,
            Verdict::Passes(_) | Verdict::Waits(_) => locked.outlook(member, cost, now),
        };
        if in_the_way.as_ref().is_none_or(|refused| refused.until < Some(until)) {
            in_the_way = Some(Refused::until(member.name(), LimitReason::QuotaUsedUp, until, now));
        }
    }
    if let Some(refused) = in_the_way {
        return Decided::Refused(refused);
    }
    for ((member, lock), full_at) in members.iter().zip(lock_of).zip(decided) {
        locks[lock].put(member, full_at, now);
    }
    Decided::Taken
}
