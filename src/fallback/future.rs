use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;

use super::config::{Failed, Substitute, Trigger};
use crate::name::Name;
use crate::outcome::{Classify, Degraded, Failure, MarkDegraded, Outcome};
use crate::serving::Called;
use crate::{superseded, telemetry};

/// What a fallback does about a failure.
#[derive(Clone)]
pub(super) struct Plan<A, C, M, W> {
    pub(super) name: Name,
    pub(super) trigger: W,
    pub(super) substitute: A,
    pub(super) classify: C,
    pub(super) mark: M,
}

/// The future of a [`Fallback`](super::Fallback).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
{
    #[pin]
    state: State<S, Req, A::Future, K>,
    plan: Plan<A, C, M, W>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<S: Service<Req>, Req, G, K> {
    Calling {
        #[pin]
        call: Called<S, Req>,
        summary: K,
    },
    Substituting {
        #[pin]
        answer: G,
        failure: Failure,
    },
    /// Rare ways leave their answer here instead of returning it, so that the common answer can stay in registers.
    Answered {
        result: Result<S::Response, S::Error>,
    },
    Finished,
}

impl<S, Req, A, C, M, K, W> ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
{
    #[inline(always)]
    pub(super) const fn new(call: Called<S, Req>, summary: K, plan: Plan<A, C, M, W>) -> Self {
        Self { state: State::Calling { call, summary }, plan }
    }
}

impl<S, Req, A, C, M, K, W> Future for ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
    W: Trigger,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.as_mut().project();
        if let StateProj::Calling { call, .. } = this.state.as_mut().project() {
            match ready!(call.poll(cx)) {
                Ok(response) => match this.plan.classify.classify(Ok(&response)) {
                    Outcome::Success => return Poll::Ready(Ok(response)),
                    Outcome::Failure(failure) => self.as_mut().failed(Failed::new(failure, Ok(response), ())),
                },
                // Apart, so that the compiler can keep an answer in registers although an error is looked at in memory.
                Err(error) => self.as_mut().called(Err(error)),
            }
        }
        ready!(self.as_mut().poll_on(cx));
        match self.project().state.project_replace(State::Finished) {
            StateOwn::Answered { result } => Poll::Ready(result),
            _ => unreachable!("there is an answer"),
        }
    }
}

/// Out of the way of a call that is made and succeeds.
impl<S, Req, A, C, M, K, W> ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
    W: Trigger,
{
    #[cold]
    #[inline(never)]
    fn called(self: Pin<&mut Self>, result: Result<S::Response, S::Error>) {
        match self.plan.classify.classify(result.as_ref()) {
            Outcome::Success => self.project().state.set(State::Answered { result }),
            Outcome::Failure(failure) => self.failed(Failed::new(failure, result, ())),
        }
    }

    /// Asks for a substitute, or answers what was said if this failure is not stood in for.
    #[cold]
    #[inline(never)]
    fn failed(self: Pin<&mut Self>, failed: Failed<S::Response, S::Error>) {
        let Failed { failure, result, .. } = failed;
        let mut this = self.project();
        // The call is over, and what it holds goes before anything is done in its place.
        let StateOwn::Calling { summary, .. } = this.state.as_mut().project_replace(State::Finished) else {
            unreachable!("only a call can fail");
        };
        if !this.plan.trigger.stands_in_for(&failure) {
            telemetry::left_alone("fallback", &this.plan.name, &failure);
            this.state.set(State::Answered { result });
            return;
        }
        superseded::by_another(&failure);
        let answer = this.plan.substitute.substitute(Failed::new(failure.clone(), result, summary));
        this.state.set(State::Substituting { answer, failure });
    }

    fn substituted(self: Pin<&mut Self>, mut result: Result<S::Response, S::Error>) {
        let mut this = self.project();
        let StateOwn::Substituting { failure, .. } = this.state.as_mut().project_replace(State::Finished) else {
            unreachable!("it has just answered");
        };
        let degraded = Degraded::new("fallback", this.plan.name, failure);
        match &mut result {
            Ok(response) => {
                telemetry::degraded(&degraded);
                this.plan.mark.mark(response, degraded);
            }
            Err(_) => telemetry::substitute_failed(&degraded),
        }
        this.state.set(State::Answered { result });
    }

    /// Polls whatever is not a call that was made at once, until there is an answer to leave behind.
    #[cold]
    #[inline(never)]
    fn poll_on(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut this = self.as_mut().project();
            match this.state.as_mut().project() {
                StateProj::Calling { call, .. } => {
                    let result = ready!(call.poll(cx));
                    self.as_mut().called(result);
                }
                StateProj::Substituting { answer, .. } => {
                    let result = ready!(answer.poll(cx));
                    self.as_mut().substituted(result);
                }
                StateProj::Answered { .. } => return Poll::Ready(()),
                StateProj::Finished => panic!("a fallback's future was polled after it finished"),
            }
        }
    }
}

impl<S, Req, A, C, M, K, W> fmt::Debug for ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("name", &self.plan.name).finish_non_exhaustive()
    }
}
