use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

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

/// Waits in line for tokens, and takes them.
///
/// Dropped before it is ready, it has taken nothing, and who stands behind it moves up.
#[must_use = "futures do nothing unless polled"]
#[pin_project]
pub struct Taking {
    stage: Stage,
    #[pin]
    timer: Option<Timer>,
}

enum Stage {
    New(Asked),
    InLine(InLine),
    Finished,
}

/// What somebody wants.
struct Asked {
    members: Result<Members, Limited>,
    cost: u32,
    deadline: Option<Deadline>,
}

/// What somebody in line has to do.
enum Step {
    Taken,
    Park,
    SleepUntil(Moment),
}

impl Taking {
    pub(in super::super) const fn new(
        members: Result<Members, Limited>,
        cost: u32,
        deadline: Option<Deadline>,
    ) -> Self {
        Self { stage: Stage::New(Asked { members, cost, deadline }), timer: None }
    }
}

impl Future for Taking {
    type Output = Result<(), Limited>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let taken = ready!(this.stage.poll(this.timer.as_mut(), cx));
        this.timer.set(None);
        *this.stage = Stage::Finished;
        Poll::Ready(taken)
    }
}

impl Stage {
    fn poll(&mut self, mut timer: Pin<&mut Option<Timer>>, cx: &mut Context<'_>) -> Poll<Result<(), Limited>> {
        let mut now = Moment::now();
        *self = match std::mem::replace(self, Self::Finished) {
            Self::New(asked) => match asked.take_or_join(now)? {
                Some(place) => Self::InLine(place),
                None => return Poll::Ready(Ok(())),
            },
            begun => begun,
        };
        let Self::InLine(place) = self else {
            panic!("a wait for tokens was polled after it finished");
        };
        loop {
            match place.step(cx.waker(), now)? {
                Step::Taken => return Poll::Ready(Ok(())),
                Step::Park => {
                    timer.set(None);
                    return Poll::Pending;
                }
                Step::SleepUntil(until) => {
                    if place.sleeps_until.replace(until) != Some(until) || timer.is_none() {
                        timer.set(Some(clock::sleep_until(until)));
                    }
                    if let Some(timer) = timer.as_mut().as_pin_mut() {
                        ready!(timer.poll(cx));
                    }
                    timer.set(None);
                    now = Moment::now();
                }
            }
        }
    }
}

impl Asked {
    /// Takes what it asks for, or a place in the line for it.
    fn take_or_join(self, now: Moment) -> Result<Option<InLine>, Limited> {
        let Self { members, cost, deadline } = self;
        let mut members = members?;
        members.put_in_order();
        let Err(refused) = together::take(&mut members, cost, now) else {
            return Ok(None);
        };
        let max_wait = members.each().iter().map(|member| member.lock().bounds().latest(now)).min();
        let latest = max_wait.into_iter().chain(deadline.map(Deadline::moment)).min().unwrap_or(Moment::MAX);
        let mut place =
            InLine { members, tickets: SmallVec::new(), cost, latest, plans: 0, since: now, sleeps_until: None };
        match refused.until {
            Some(until) if until > latest => Err(too_long(&refused)),
            Some(_) => place.join_next(now).map(|()| Some(place)),
            None => Err(refused.limited),
        }
    }
}

/// Stands in the lines of the members one after the other: in the next one only as the first of those before. So all
/// stand in the same order, and nobody before a bucket that it cannot use yet.
struct InLine {
    members: Members,
    /// As many as lines stood in; those of the first members.
    tickets: SmallVec<[Ticket; 2]>,
    cost: u32,
    /// It must not pass later.
    latest: Moment,
    /// What was planned when it was last found that it can pass in time.
    plans: u64,
    since: Moment,
    sleeps_until: Option<Moment>,
}

impl InLine {
    fn join_next(&mut self, now: Moment) -> Result<(), Limited> {
        let member = &self.members.each()[self.tickets.len()];
        let mut locked = member.lock();
        let until = locked.outlook(member, self.cost, now);
        if until > self.latest {
            return Err(too_long(&Refused::until(member.name(), LimitReason::WaitTooLong, until, now)));
        }
        if locked.line(member).map_or(0, Line::len) >= locked.bounds().max_waiting {
            return Err(Refused::until(member.name(), LimitReason::LineFull, until, now).limited);
        }
        let line = locked.line_mut(member);
        self.plans = line.plans();
        self.tickets.push(line.join(self.cost));
        Ok(())
    }

    fn step(&mut self, waker: &Waker, now: Moment) -> Result<Step, Limited> {
        loop {
            match self.look(waker, now)? {
                Some(step) => return Ok(step),
                None if self.tickets.len() < self.members.each().len() => self.join_next(now)?,
                None => match together::take_in_turn(&self.members, &self.tickets, self.cost, now) {
                    Ok(()) => {
                        self.leave();
                        telemetry::rate_limit_waited(self.members.each()[0].name(), now.since(self.since));
                        return Ok(Step::Taken);
                    }
                    Err(refused) => return self.sleep(refused),
                },
            }
        }
    }

    /// What there is to do in the last line; nothing if the bucket behind it has what is needed.
    fn look(&mut self, waker: &Waker, now: Moment) -> Result<Option<Step>, Limited> {
        let last = self.tickets.len() - 1;
        for (member, ticket) in self.members.each().iter().zip(&self.tickets) {
            let waker = waker.clone();
            // What is returned is dropped when the lock is free again.
            let _unneeded = { member.lock().line_mut(member).wake_with(*ticket, waker) };
        }
        let (member, ticket) = (&self.members.each()[last], self.tickets[last]);
        let mut locked = member.lock();
        let (rules, full_at) = (locked.rules(), locked.full_at(member));
        let line = locked.line_mut(member);
        if !line.is_first(ticket) {
            if std::mem::replace(&mut self.plans, line.plans()) != line.plans() {
                let until = rules.outlook(full_at, line.cost_up_to(ticket), now);
                if until > self.latest {
                    return Err(too_long(&Refused::until(member.name(), LimitReason::WaitTooLong, until, now)));
                }
            }
            return Ok(Some(Step::Park));
        }
        let refused = match rules.decide(full_at, self.cost, now) {
            Verdict::Passes(_) => return Ok(None),
            Verdict::Waits(until) => Refused::until(member.name(), LimitReason::QuotaUsedUp, until, now),
            Verdict::Never => Refused::for_good(member.name(), LimitReason::CostAboveBurst),
        };
        drop(locked);
        self.sleep(refused).map(Some)
    }

    fn sleep(&self, refused: Refused) -> Result<Step, Limited> {
        match refused.until {
            Some(until) if until <= self.latest => Ok(Step::SleepUntil(until)),
            Some(_) => Err(too_long(&refused)),
            None => Err(refused.limited),
        }
    }

    fn leave(&mut self) {
        let tickets = std::mem::take(&mut self.tickets);
        let leave = |(member, ticket): (&Member, Ticket)| member.lock().leave(member, ticket);
        // All lines are left before anybody is woken, who may panic.
        let _left: SmallVec<[Left; 2]> = self.members.each().iter().zip(tickets).map(leave).collect();
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cold]
fn too_long(refused: &Refused) -> Limited {
    let limited = Limited::new(refused.limited.name().clone(), LimitReason::WaitTooLong);
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
