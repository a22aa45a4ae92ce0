use smallvec::SmallVec;

use super::line::Ticket;
use super::member::{Locked, Member, Members, Refused};
use crate::clock::Moment;
use crate::rate_limit::state::Verdict;
use crate::rejection::{LimitReason, Limited};

/// What a decision comes to.
enum Decided {
    /// All can be had, and are taken if that was asked for.
    Passes,
    Refused(Refused),
    /// There is no place for the key of this member.
    NoPlace(usize),
}

/// Takes `cost` tokens from each of the members, or from none; a bucket that refuses is the only one that was ever short.
/// A key that finds no place is counted in its table's overflow, or refused, as was chosen.
pub(super) fn take(members: &mut Members, cost: u32, now: Moment) -> Result<(), Refused> {
    if let [only] = members.each()
        && cost > 0
        && let Some(taken) = only.pass(cost, now)
    {
        return taken;
    }
    attempt(members, cost, now, true)
}

/// Whether [`take`] would take; it takes and counts nothing.
pub(super) fn peek(mut members: Members, cost: u32, now: Moment) -> Result<(), Refused> {
    attempt(&mut members, cost, now, false)
}

fn attempt(members: &mut Members, cost: u32, now: Moment, takes: bool) -> Result<(), Refused> {
    if cost == 0 {
        return Ok(());
    }
    loop {
        match decide(members.each(), None, cost, now, takes) {
            Decided::Passes => return Ok(()),
            Decided::Refused(refused) => return Err(refused),
            Decided::NoPlace(at) => {
                let instead = instead_of_new_key(&members.each()[at], takes);
                members.replace(at, instead.map_err(|limited| Refused { limited, until: None, at })?);
            }
        }
    }
}

/// Takes for somebody who waits: nobody who came after `ticket` is in the way, and each key has a place.
pub(super) fn take_in_turn(members: &Members, ticket: Ticket, cost: u32, now: Moment) -> Result<(), Refused> {
    match decide(members.each(), Some(ticket), cost, now, true) {
        Decided::Refused(refused) => Err(refused),
        Decided::Passes | Decided::NoPlace(_) => Ok(()),
    }
}

#[cold]
fn instead_of_new_key(member: &Member, counts: bool) -> Result<Member, Limited> {
    match member {
        Member::Key(table, _) if counts => table.overflowed().cloned().map(Member::Bucket),
        Member::Key(table, _) => table.instead_of_new_key().cloned().map(Member::Bucket),
        Member::Bucket(_) => Ok(member.clone()),
    }
}

fn decide(members: &[Member], ticket: Option<Ticket>, cost: u32, now: Moment, takes: bool) -> Decided {
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
        let until = match locked.decide(member, ticket, cost, now) {
            Verdict::Never => {
                return Decided::Refused(Refused::for_good(member.name(), LimitReason::CostAboveBurst, at));
            }
            Verdict::Passes(full_at) => {
                if ticket.is_none() && !locked.has_place(member, now) {
                    return Decided::NoPlace(at);
                }
                decided.push(full_at);
                continue;
            }
            Verdict::Waits(_) => locked.outlook(member, ticket, cost, now),
        };
        if in_the_way.as_ref().is_none_or(|refused| refused.until < Some(until)) {
            in_the_way = Some(Refused::until(member.name(), LimitReason::QuotaUsedUp, until, now, at));
        }
    }
    if let Some(refused) = in_the_way {
        return Decided::Refused(refused);
    }
    if takes {
        for ((member, lock), full_at) in members.iter().zip(lock_of).zip(decided) {
            locks[lock].put(member, full_at, now);
        }
    }
    Decided::Passes
}
