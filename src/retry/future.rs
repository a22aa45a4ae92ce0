use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tower::Service;

use super::config::{NeverSent, OnAttempt, Replay, RetryWhen};
use super::handle::{Paid, Shared};
use super::state::{Session, Stop, Verdict};
use crate::attempt::{self, Attempt};
use crate::clock::{self, Moment, Timer};
use crate::deadline::{self, Deadline};
use crate::jitter::Jitter;
use crate::outcome::{Classify, Failure, Outcome};
use crate::striped::ForCall;
use crate::{superseded, telemetry};

/// What a user chose by way of a trait, as the future needs it.
#[derive(Clone)]
pub(super) struct Plan<P, C, W, N, A> {
    pub(super) replay: P,
    pub(super) classify: C,
    pub(super) when: W,
    pub(super) never_sent: N,
    pub(super) on_attempt: A,
}

impl<P, C, W, N, A> Plan<P, C, W, N, A> {
    pub(super) fn send<S, Req>(&self, service: &mut S, mut request: Req, attempt: Attempt) -> S::Future
    where
        S: Service<Req>,
        A: OnAttempt<Req>,
    {
        self.on_attempt.on_attempt(&mut request, attempt);
        service.call(request)
    }
}

/// What another attempt is made of.
pub(super) struct Again<S, K> {
    /// A clone, which is made ready before each attempt but the first.
    pub(super) service: S,
    pub(super) kept: K,
    /// The request may not be repeated, unless it is certain that it was never sent.
    pub(super) only_if_never_sent: bool,
}

/// The future of a [`Retry`](super::Retry).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, Req, P, C, W, N, A>
where
    P: Replay<Req>,
    S: Service<P::Request>,
{
    #[pin]
    state: State<S::Future, Result<S::Response, S::Error>>,
    /// What another attempt is made of, or why there is none.
    again: Result<Again<S, P::Kept>, Stop>,
    session: Session,
    /// Made for the first failure.
    jitter: Option<Jitter>,
    deadline: Option<Deadline>,
    plan: Plan<P, C, W, N, A>,
    shared: ForCall<Shared>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, T> {
    /// A first attempt without a deadline, which is in no scope.
    First {
        #[pin]
        call: F,
    },
    Between {
        /// There until it has fired; then the service is to become ready.
        #[pin]
        timer: Option<Timer>,
        paid: Paid,
    },
    /// An attempt in its scopes: a retry, or any that has a deadline.
    InScope {
        #[pin]
        call: F,
    },
    /// Rare ways leave their answer here instead of returning it, so that the common answer can stay in registers.
    Answered {
        result: T,
    },
    Finished,
}

/// What an attempt does, it does within the deadline of the call, wherever the future is polled, and a retry as part of one.
pub(super) fn enter(
    attempt: Attempt,
    deadline: Option<Deadline>,
) -> (Option<attempt::Within>, Option<deadline::Entered>) {
    (attempt.is_retry().then(|| attempt.enter()), deadline.map(Deadline::enter))
}

impl<S, Req, P, C, W, N, A> ResponseFuture<S, Req, P, C, W, N, A>
where
    P: Replay<Req>,
    S: Service<P::Request>,
{
    #[inline(always)]
    pub(super) fn calling(
        call: S::Future,
        again: Result<Again<S, P::Kept>, Stop>,
        session: Session,
        deadline: Option<Deadline>,
        plan: Plan<P, C, W, N, A>,
        shared: ForCall<Shared>,
    ) -> Self {
        let state = if deadline.is_none() { State::First { call } } else { State::InScope { call } };
        Self { state, again, session, jitter: None, deadline, plan, shared }
    }
}

impl<S, Req, P, C, W, N, A> Future for ResponseFuture<S, Req, P, C, W, N, A>
where
    P: Replay<Req>,
    S: Service<P::Request>,
    C: Classify<S::Response, S::Error>,
    W: RetryWhen<P::Head>,
    N: NeverSent<S::Error>,
    A: OnAttempt<P::Request>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if let StateProj::First { call } = this.state.as_mut().project() {
            match ready!(call.poll(cx)) {
                Ok(response) => match this.plan.classify.classify(Ok(&response)) {
                    Outcome::Success => {
                        this.shared.first_succeeded();
                        return Poll::Ready(Ok(response));
                    }
                    Outcome::Failure(failure) => self.as_mut().failed(&failure, Ok(response)),
                },
                // Apart, so that the compiler can keep an answer in registers although an error is looked at in memory.
                Err(error) => self.as_mut().first_error(error),
            }
        }
        ready!(self.as_mut().poll_on(cx));
        match self.project().state.project_replace(State::Finished) {
            StateOwn::Answered { result } => Poll::Ready(result),
            _ => unreachable!("there is an answer"),
        }
    }
}

/// Out of the way of a first attempt that succeeds.
impl<S, Req, P, C, W, N, A> ResponseFuture<S, Req, P, C, W, N, A>
where
    P: Replay<Req>,
    S: Service<P::Request>,
    C: Classify<S::Response, S::Error>,
    W: RetryWhen<P::Head>,
    N: NeverSent<S::Error>,
    A: OnAttempt<P::Request>,
{
    #[cold]
    #[inline(never)]
    fn first_error(self: Pin<&mut Self>, error: S::Error) {
        match self.plan.classify.classify(Err(&error)) {
            Outcome::Success => {
                self.shared.first_succeeded();
                self.project().state.set(State::Answered { result: Err(error) });
            }
            Outcome::Failure(failure) => self.failed(&failure, Err(error)),
        }
    }

    /// Begins to wait, or leaves the result behind if there is no further attempt.
    #[cold]
    #[inline(never)]
    fn failed(mut self: Pin<&mut Self>, failure: &Failure, result: Result<S::Response, S::Error>) {
        // The attempt is over, and what it holds goes before anything is done about it.
        self.as_mut().project().state.set(State::Finished);
        let decided = self.as_mut().decide(failure, result.as_ref().err());
        let mut this = self.project();
        let (name, attempt) = (&this.shared.rules.name, this.session.attempt());
        let (wait, paid) = match decided {
            Ok(decided) => decided,
            Err(stop) => {
                telemetry::retry_stopped(name, attempt, failure, stop.as_str());
                if this.session.is_exhausted_by(stop) {
                    attempt::exhausted();
                }
                return this.state.set(State::Answered { result });
            }
        };
        if !result.as_ref().err().is_some_and(|error| this.plan.never_sent.never_sent(error)) {
            superseded::by_another(failure);
        }
        // The caller waits, and the last answer must not: it may hold a connection.
        drop(result);
        telemetry::retrying(name, attempt, failure, wait);
        let timer = (!wait.is_zero()).then(|| clock::sleep(wait));
        this.state.set(State::Between { timer, paid });
    }

    /// How long to wait for the next attempt, which is paid for and prepared then.
    fn decide(self: Pin<&mut Self>, failure: &Failure, error: Option<&S::Error>) -> Result<(Duration, Paid), Stop> {
        let this = self.project();
        this.session.may_go_on(failure)?;
        let again = this.again.as_mut().map_err(|why| *why)?;
        if again.only_if_never_sent && !error.is_some_and(|error| this.plan.never_sent.never_sent(error)) {
            return Err(Stop::NotRepeatable);
        }
        if !this.plan.when.retries(this.plan.replay.head(&again.kept), failure) {
            return Err(Stop::NotRetried);
        }
        let now = Moment::now();
        let left = this.deadline.map(|deadline| deadline.moment().since(now));
        let jitter = this.jitter.get_or_insert_with(|| this.shared.jitter());
        let (wait, cost) = match this.session.failed(failure, left, &this.shared.rules, jitter) {
            Verdict::Wait(wait, cost) => (wait, cost),
            Verdict::Stop(stop) => return Err(stop),
        };
        // Paid for before the wait: those who wait are retries already, and must not be more than the budget allows.
        let paid = this.shared.pay(cost, now).ok_or(Stop::BudgetUsedUp)?;
        // Last, since it puts an end to what is still being sent.
        if this.plan.replay.seal(&mut again.kept) { Ok((wait, paid)) } else { Err(Stop::NotCopied) }
    }

    /// Polls an attempt in its scopes, and what is between two of them, until there is an answer to leave behind.
    #[inline(never)]
    fn poll_on(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut this = self.as_mut().project();
            match this.state.as_mut().project() {
                StateProj::Between { .. } => ready!(self.as_mut().poll_between(cx)),
                StateProj::InScope { call } => {
                    let attempt = this.session.attempt();
                    let entered = enter(attempt, *this.deadline);
                    let result = ready!(call.poll(cx));
                    drop(entered);
                    match this.plan.classify.classify(result.as_ref()) {
                        Outcome::Success => {
                            this.shared.succeeded(attempt);
                            this.state.set(State::Answered { result });
                        }
                        Outcome::Failure(failure) => self.as_mut().failed(&failure, result),
                    }
                }
                StateProj::Answered { .. } => return Poll::Ready(()),
                StateProj::First { .. } | StateProj::Finished => {
                    panic!("a retry's future was polled after it finished")
                }
            }
        }
    }

    /// From the end of one attempt to the beginning of the next, or to an answer if the service will never be ready.
    fn poll_between(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let (StateProj::Between { mut timer, paid }, Ok(again)) = (this.state.as_mut().project(), this.again.as_mut())
        else {
            unreachable!("whoever waits has something to send");
        };
        if let Some(waiting) = timer.as_mut().as_pin_mut() {
            ready!(waiting.poll(cx));
            timer.set(None);
        }
        // A service that fails at once, with no wait between, must not keep the thread for itself.
        ready!(clock::poll_turn(cx));
        if let Err(error) = ready!(again.service.poll_ready(cx)) {
            this.state.set(State::Answered { result: Err(error) });
            telemetry::retry_not_ready(&this.shared.rules.name, this.session.attempt());
            return Poll::Ready(());
        }
        let attempt = this.session.resent();
        let entered = enter(attempt, *this.deadline);
        let call = if this.session.is_last() {
            // What is kept for another attempt may be much, and there is none.
            let Ok(Again { mut service, kept, .. }) = std::mem::replace(this.again, Err(Stop::AttemptsUsedUp)) else {
                unreachable!("it has just been looked at");
            };
            this.plan.send(&mut service, this.plan.replay.last(kept), attempt)
        } else {
            this.plan.send(&mut again.service, this.plan.replay.again(&mut again.kept), attempt)
        };
        drop(entered);
        paid.spend();
        this.state.set(State::InScope { call });
        Poll::Ready(())
    }
}

impl<S, Req, P, C, W, N, A> fmt::Debug for ResponseFuture<S, Req, P, C, W, N, A>
where
    P: Replay<Req>,
    S: Service<P::Request>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("name", &self.shared.rules.name).finish_non_exhaustive()
    }
}
