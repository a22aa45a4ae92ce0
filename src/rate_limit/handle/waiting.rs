use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project::pin_project;

use super::line::{Line, Ticket};
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
                Err(refused) => match InLine::join(&mut members, asked, refused, now) {
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
            let name = members.each()[0].name().clone();
            *self = Self::Finished(members);
            if step.is_ok() {
                telemetry::rate_limit_waited(&name, now.since(since));
            }
        }
        step
    }
}

/// Somebody stands in one line at a time: that of the bucket that keeps it the longest, before all who came later. So
/// nobody stands before a bucket that could let others pass.
struct InLine {
    members: Members,
    /// In whose line; in none for a moment, while it goes from one to another.
    at: Option<usize>,
    ticket: Ticket,
    asked: Asked,
    since: Moment,
    /// It must not pass later.
    latest: Moment,
    /// What was planned in its line when it was last found that it can pass in time.
    plans: u64,
}

impl InLine {
    /// Takes `members` along, if it may wait.
    fn join(members: &mut Members, asked: Asked, refused: Refused, now: Moment) -> Result<Self, Limited> {
        let latest = latest(members, asked, now);
        match refused.until {
            Some(until) if until > latest => return Err(too_long(&refused)),
            Some(_) => {}
            None => return Err(refused.limited),
        }
        let (taken, ticket) = (std::mem::take(members), Ticket::next());
        let mut place = Self { members: taken, at: None, ticket, asked, since: now, latest, plans: 0 };
        match place.go_to(refused.at, now) {
            Ok(()) => Ok(place),
            Err(limited) => {
                *members = std::mem::take(&mut place.members);
                Err(limited)
            }
        }
    }

    fn step(&mut self, waker: &Waker, now: Moment) -> Result<Step, Limited> {
        loop {
            if let Some(step) = self.look(waker, now)? {
                return Ok(step);
            }
            match together::take_in_turn(&self.members, self.ticket, self.asked.cost, now) {
                Ok(()) => return Ok(Step::Taken),
                Err(refused) if Some(refused.at) == self.at => return self.sleep(refused),
                Err(Refused { until: None, limited, .. }) => return Err(limited),
                Err(refused) => {
                    self.leave();
                    self.go_to(refused.at, now)?;
                }
            }
        }
    }

    fn go_to(&mut self, at: usize, now: Moment) -> Result<(), Limited> {
        let member = &self.members.each()[at];
        let mut locked = member.lock();
        let until = locked.outlook(member, Some(self.ticket), self.asked.cost, now);
        if until > self.latest {
            return Err(too_long(&Refused::until(member.name(), LimitReason::WaitTooLong, until, now, at)));
        }
        if locked.line(member).map_or(0, Line::len) >= locked.bounds().max_waiting {
            return Err(Refused::until(member.name(), LimitReason::LineFull, until, now, at).limited);
        }
        let line = locked.line_mut(member);
        line.join(self.ticket, self.asked.cost);
        (self.at, self.plans) = (Some(at), line.plans());
        Ok(())
    }

    /// What there is to do in its line; nothing if the bucket behind it has what is needed.
    fn look(&mut self, waker: &Waker, now: Moment) -> Result<Option<Step>, Limited> {
        let at = self.at.expect("it stands in a line between two steps");
        let member = &self.members.each()[at];
        let waker = waker.clone();
        // What is given back is dropped when the lock is free again.
        let (_unneeded, plans) = {
            let mut locked = member.lock();
            let line = locked.line_mut(member);
            (line.wake_with(self.ticket, waker), line.plans())
        };
        if std::mem::replace(&mut self.plans, plans) != plans {
            self.latest = latest(&self.members, self.asked, self.since);
        }
        let (is_first, outlook, verdict) = {
            let locked = member.lock();
            let is_first = locked.line(member).is_none_or(|line| line.is_first(Some(self.ticket)));
            let verdict = locked.rules().decide(locked.full_at(member), self.asked.cost, now);
            (is_first, locked.outlook(member, Some(self.ticket), self.asked.cost, now), verdict)
        };
        match verdict {
            Verdict::Never => Err(Refused::for_good(member.name(), LimitReason::CostAboveBurst, at).limited),
            Verdict::Passes(_) if is_first => Ok(None),
            Verdict::Passes(_) | Verdict::Waits(_) if now > self.latest || outlook > self.latest => {
                Err(too_long(&Refused::until(member.name(), LimitReason::WaitTooLong, outlook, now, at)))
            }
            Verdict::Waits(until) if is_first => Ok(Some(Step::SleepUntil(until))),
            // Whoever is first sleeps for the tokens; the others only so as not to wait too long.
            Verdict::Passes(_) | Verdict::Waits(_) => Ok(Some(Step::SleepUntil(self.latest + TICK))),
        }
    }

    fn sleep(&self, refused: Refused) -> Result<Step, Limited> {
        match refused.until {
            Some(until) if until <= self.latest => Ok(Step::SleepUntil(until)),
            Some(_) => Err(too_long(&refused)),
            None => Err(refused.limited),
        }
    }

    fn leave(&mut self) {
        if let Some(at) = self.at.take() {
            let member = &self.members.each()[at];
            // Whoever is first now is woken when the lock is free again.
            let _left = { member.lock().leave(member, self.ticket) };
        }
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
