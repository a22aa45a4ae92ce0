use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;

use super::state::{Allowance, Limit};
use crate::clock::{self, Moment, Timer};
use crate::deadline::Deadline;
use crate::name::Name;
use crate::rejection::{Cause, Elapsed, Reject};
use crate::telemetry;

/// The future of a [`Timeout`](super::Timeout).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, R> {
    #[pin]
    state: State<F>,
    name: Name,
    reject: R,
}

#[pin_project(project = StateProj)]
enum State<F> {
    Calling {
        #[pin]
        inner: F,
        /// Armed when `inner` first has to wait, so that an answer that is there at once costs no timer.
        #[pin]
        timer: Option<Timer>,
        allowance: Allowance,
        scope: Option<Deadline>,
    },
    /// Past its deadline when it came.
    Late,
    Finished,
}

impl<F, R> ResponseFuture<F, R> {
    #[inline(always)]
    pub(super) const fn calling(
        inner: F,
        allowance: Allowance,
        scope: Option<Deadline>,
        name: Name,
        reject: R,
    ) -> Self {
        Self { state: State::Calling { inner, timer: None, allowance, scope }, name, reject }
    }

    pub(super) const fn late(name: Name, reject: R) -> Self {
        Self { state: State::Late, name, reject }
    }
}

impl<F, R, Res, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Res, E>>,
    R: Reject<Res, E>,
{
    type Output = Result<Res, E>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut had_budget = false;
        if let StateProj::Calling { inner, timer, scope, .. } = self.as_mut().project().state.project() {
            // Before there is a timer nothing can fire, and so there is nothing to be fair about.
            had_budget = timer.is_some() && clock::has_budget();
            // One call of `inner` and not one for each case, since it may be a whole stack that is inlined here.
            let entered = scope.map(Deadline::enter);
            let polled = inner.poll(cx);
            drop(entered);
            if let Poll::Ready(answer) = polled {
                return Poll::Ready(answer);
            }
        }
        let elapsed = ready!(self.as_mut().poll_elapsed(had_budget, cx));
        Poll::Ready(self.reject.reject(elapsed.into()))
    }
}

impl<F, R> ResponseFuture<F, R> {
    /// Apart from `poll`, so that the way of an answer that is there at once is short. It gives back no answer itself: then
    /// the compiler need not keep one in memory for both to write.
    #[cold]
    #[inline(never)]
    fn poll_elapsed(self: Pin<&mut Self>, had_budget: bool, cx: &mut Context<'_>) -> Poll<Elapsed> {
        let mut this = self.project();
        let elapsed = match this.state.as_mut().project() {
            StateProj::Calling { timer, allowance, .. } => ready!(wait(timer, *allowance, this.name, had_budget, cx)),
            StateProj::Late => Elapsed::before_call(*this.name),
            StateProj::Finished => panic!("a timeout's future was polled after it finished"),
        };
        // First the call is dropped, with whatever it holds; only then does anybody hear of it.
        this.state.set(State::Finished);
        telemetry::timed_out(&elapsed);
        Poll::Ready(elapsed)
    }
}

/// Waits for the end of `allowance`; the call is waiting too.
#[inline(always)]
fn wait(
    mut timer: Pin<&mut Option<Timer>>,
    allowance: Allowance,
    name: &Name,
    had_budget: bool,
    cx: &mut Context<'_>,
) -> Poll<Elapsed> {
    let (allowed, cause) = match allowance {
        Allowance::FromFirstWait(Limit::NONE) | Allowance::NotAtAll => return Poll::Pending,
        Allowance::FromFirstWait(limit) => (limit, Cause::OwnLimit),
        Allowance::Until { allowed, cause, .. } => (allowed, cause),
    };
    // A timer set for now would still take until the runtime's next tick.
    let at_once = allowed == Limit::ZERO && clock::has_budget();
    if !at_once {
        if timer.is_none() {
            timer.set(Some(match allowance {
                Allowance::Until { end, .. } => clock::sleep_until(end),
                _ => clock::sleep(allowed.duration()),
            }));
        }
        if let Some(timer) = timer.as_pin_mut() {
            let fired = clock::poll_timer(timer, had_budget, cx);
            // Two layers may keep to one deadline, and then the outer one's timer may be the first to fire and to wake the
            // task. The inner one must not need its own to know that it is late, or the outer one would answer for it.
            let is_past = || matches!(allowance, Allowance::Until { end, .. } if Moment::now() >= end);
            if fired.is_pending() && !(had_budget && is_past()) {
                return Poll::Pending;
            }
        }
    }
    Poll::Ready(Elapsed::new(*name, allowed.duration(), cause))
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("name", &self.name).finish_non_exhaustive()
    }
}
