use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project::pin_project;
use smallvec::SmallVec;

use super::line::{Left, Line, Ticket};
use super::member::{Member, Members, Refused};
use super::together;
use crate::clock::{self, Moment, Timer};
use crate::deadline::Deadline;
use crate::rate_limit::state::Verdict;
use crate::rejection::{LimitReason, Limited};
use crate::telemetry;

/// What timers are exact to.
const TICK: Duration = Duration::from_millis(1);

/// Waits in line for tokens, and takes them.
///
/// Dropped before it is ready, it has taken nothing, and who stands behind it moves up. Kept and not polled, it holds up
/// the line.
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct Taking {
    stage: Stage,
    #[pin]
    timer: Option<Timer>,
    /// What the timer is set to.
    wakes_at: Moment,
}

enum Stage {
    New(Result<Members, Limited>, Asked),
    InLine(InLine),
    /// With what it was counted in.
    Finished(Members),
}

/// What somebody wants.
#[derive(Clone, Copy)]
struct Asked {
    cost: u32,
    deadline: Option<Deadline>,
}

/// What somebody in line has to do.
enum Step {
    Taken,
    /// If it is not woken before; for ever, if that is the end of time.
    SleepUntil(Moment),
}

impl Taking {
    pub(in super::super) const fn new(
        members: Result<Members, Limited>,
        cost: u32,
        deadline: Option<Deadline>,
    ) -> Self {
        Self { stage: Stage::New(members, Asked { cost, deadline }), timer: None, wakes_at: Moment::MAX }
    }

    /// What it was counted in, once it is finished.
    pub(super) fn members(&self) -> &[Member] {
        match &self.stage {
            Stage::Finished(members) => members.each(),
            Stage::New(..) | Stage::InLine(_) => &[],
        }
    }
}

impl Future for Taking {
    type Output = Result<(), Limited>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let until = match this.stage.step(cx.waker(), Moment::now()) {
                Ok(Step::SleepUntil(until)) => until,
                ended => {
                    this.timer.set(None);
                    return Poll::Ready(ended.map(|_| ()));
                }
            };
            if until == Moment::MAX {
                this.timer.set(None);
                return Poll::Pending;
            }
            if this.timer.is_none() || *this.wakes_at != until {
                *this.wakes_at = until;
                this.timer.set(Some(clock::sleep_until(until)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
            this.timer.set(None);
        }
    }
}

impl Stage {
    fn step(&mut self, waker: &Waker, now: Moment) -> Result<Step, Limited> {
        if let Self::New(members, asked) = self {
            let (members, asked) = (std::mem::replace(members, Ok(Members::default())), *asked);
            *self = Self::Finished(Members::default());
            let mut members = members?;
            match together::take(&mut members, asked.cost, now) {
                Ok(()) => {
                    *self = Self::Finished(members);
                    return Ok(Step::Taken);
                }
                Err(refused) => match InLine::join(&mut members, asked, &refused, now) {
                    Ok(place) => *self = Self::InLine(place),
                    Err(limited) => {
                        *self = Self::Finished(members);
                        return Err(limited);
                    }
                },
            }
        }
        let Self::InLine(place) = self else {
            panic!("a wait for tokens was polled after it finished");
        };
        let step = place.step(waker, now);
        if !matches!(step, Ok(Step::SleepUntil(_))) {
            place.leave();
            let (members, since) = (std::mem::take(&mut place.members), place.since);
            let name = *members.each()[0].name();
            *self = Self::Finished(members);
            if step.is_ok() {
                telemetry::rate_limit_waited(&name, now.since(since));
            }
        }
        step
    }
}

/// Somebody waits in one line at a time, that of the bucket that keeps it the longest, before all who came later. Where it
/// could take already it is away and keeps its place: whoever came first is never overtaken for good, and so nobody can
/// wait for each other.
struct InLine {
    members: Members,
    /// Whose line it waits in.
    at: usize,
    /// In whose lines it has a place.
    has_place: SmallVec<[bool; 4]>,
    ticket: Ticket,
    asked: Asked,
    since: Moment,
}

impl InLine {
    /// Takes `members` along, if it may wait.
    fn join(members: &mut Members, asked: Asked, refused: &Refused, now: Moment) -> Result<Self, Limited> {
        let Some(until) = refused.until else {
            return Err(refused.limited);
        };
        if until > latest(members, asked, now) {
            return Err(too_long(refused));
        }
        let member = &members.each()[refused.at];
        let ticket = Ticket::next();
        {
            let mut locked = member.lock();
            if locked.line(member).map_or(0, Line::len) >= locked.bounds().max_waiting {
                return Err(Refused::until(member.name(), LimitReason::LineFull, until, now, 0).limited);
            }
            locked.line_mut(member).join(ticket, asked.cost);
        }
        let mut has_place = SmallVec::from_elem(false, members.each().len());
        has_place[refused.at] = true;
        Ok(Self { members: std::mem::take(members), at: refused.at, has_place, ticket, asked, since: now })
    }

    fn step(&mut self, waker: &Waker, now: Moment) -> Result<Step, Limited> {
        let latest = latest(&self.members, self.asked, self.since);
        loop {
            self.register(waker);
            if let Some(step) = self.look(latest, now)? {
                return Ok(step);
            }
            match together::take_in_turn(&self.members, self.ticket, self.asked.cost, now) {
                Ok(()) => return Ok(Step::Taken),
                Err(Refused { until: None, limited, .. }) => return Err(limited),
                Err(refused) if refused.until > Some(latest) => return Err(too_long(&refused)),
                Err(refused) => self.go_to(refused.at),
            }
        }
    }

    /// Whoever changes something in any of the lines wakes it.
    fn register(&self, waker: &Waker) {
        for (member, _) in self.members.each().iter().zip(&self.has_place).filter(|(_, has_place)| **has_place) {
            let waker = waker.clone();
            // What is given back is dropped when the lock is free again.
            let _unneeded = { member.lock().line_mut(member).wake_with(self.ticket, waker) };
        }
    }

    fn go_to(&mut self, at: usize) {
        if at != self.at {
            let member = &self.members.each()[self.at];
            let _woken = { member.lock().line_mut(member).go_away(self.ticket) };
        }
        let member = &self.members.each()[at];
        member.lock().line_mut(member).join(self.ticket, self.asked.cost);
        (self.at, self.has_place[at]) = (at, true);
    }

    /// What there is to do in its line; nothing if the bucket behind it has what is needed.
    fn look(&self, latest: Moment, now: Moment) -> Result<Option<Step>, Limited> {
        let member = &self.members.each()[self.at];
        let (verdict, outlook) = {
            let locked = member.lock();
            let verdict = locked.decide(member, Some(self.ticket), self.asked.cost, now);
            // Where nothing bounds the wait, nobody asks how long it is.
            let is_bounded = latest < Moment::MAX && !matches!(verdict, Verdict::Passes(_));
            let outlook = is_bounded.then(|| locked.outlook(member, Some(self.ticket), self.asked.cost, now));
            (verdict, outlook.unwrap_or(now))
        };
        match verdict {
            Verdict::Never => Err(Refused::for_good(member.name(), LimitReason::CostAboveBurst, self.at).limited),
            Verdict::Passes(_) => Ok(None),
            Verdict::Waits(_) if now > latest || outlook > latest => {
                Err(too_long(&Refused::until(member.name(), LimitReason::WaitTooLong, outlook, now, self.at)))
            }
            // Whoever is first sleeps for the tokens; the others only so as not to wait too long.
            Verdict::Waits(until) => Ok(Some(Step::SleepUntil(until.min(latest + TICK)))),
        }
    }

    fn leave(&mut self) {
        let members = self.members.each().iter().zip(std::mem::take(&mut self.has_place));
        let leave = |(member, _): (&Member, bool)| member.lock().leave(member, self.ticket);
        // All lines are left before anybody is woken, who may panic.
        let _left: SmallVec<[Left; 4]> = members.filter(|(_, has_place)| *has_place).map(leave).collect();
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.leave();
    }
}

/// When somebody who came at `since` must have passed.
fn latest(members: &Members, asked: Asked, since: Moment) -> Moment {
    let max_waits = members.each().iter().filter_map(|member| member.lock().bounds().max_wait);
    let latest = max_waits.map(|max_wait| since + max_wait);
    latest.chain(asked.deadline.map(Deadline::moment)).min().unwrap_or(Moment::MAX)
}

#[cold]
fn too_long(refused: &Refused) -> Limited {
    let limited = Limited::new(*refused.limited.name(), LimitReason::WaitTooLong);
    match refused.limited.retry_after() {
        Some(wait) => limited.with_retry_after(wait),
        None => limited,
    }
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taking").finish_non_exhaustive()
    }
}
