use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;

use super::config::{Failed, Substitute, Trigger};
use crate::name::Name;
use crate::outcome::{Classify, Degraded, Failure, MarkDegraded, Outcome};
use crate::telemetry;

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
    state: State<S, Req, A::Future>,
    /// Goes to the substitute.
    summary: Option<K>,
    plan: Plan<A, C, M, W>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<S: Service<Req>, Req, G> {
    GettingReady {
        service: S,
        request: Req,
    },
    /// The service said so when the call came.
    NeverReady {
        error: S::Error,
    },
    Calling {
        #[pin]
        call: S::Future,
    },
    Failed {
        failure: Failure,
        result: Result<S::Response, S::Error>,
    },
    Substituting {
        #[pin]
        answer: G,
        failure: Failure,
    },
    /// Left here by what is seldom done, and not given back by it: then an answer that is there at once need not be kept in
    /// memory for two ways to write.
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
    pub(super) const fn calling(call: S::Future, summary: K, plan: Plan<A, C, M, W>) -> Self {
        Self { state: State::Calling { call }, summary: Some(summary), plan }
    }

    #[cold]
    pub(super) const fn getting_ready(service: S, request: Req, summary: K, plan: Plan<A, C, M, W>) -> Self {
        Self { state: State::GettingReady { service, request }, summary: Some(summary), plan }
    }

    #[cold]
    pub(super) const fn never_ready(error: S::Error, summary: K, plan: Plan<A, C, M, W>) -> Self {
        Self { state: State::NeverReady { error }, summary: Some(summary), plan }
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
        if !matches!(self.state, State::Calling { .. }) {
            ready!(self.as_mut().poll_begin(cx));
        }
        let this = self.as_mut().project();
        if let StateProj::Calling { call, .. } = this.state.project() {
            // Apart, so that the compiler can keep an answer in registers although an error is looked at in memory.
            let (failure, result) = match ready!(call.poll(cx)) {
                Ok(response) => match this.plan.classify.classify(Ok(&response)) {
                    Outcome::Success => return Poll::Ready(Ok(response)),
                    Outcome::Failure(failure) => (failure, Ok(response)),
                },
                Err(error) => match this.plan.classify.classify(Err(&error)) {
                    Outcome::Success => return Poll::Ready(Err(error)),
                    Outcome::Failure(failure) => (failure, Err(error)),
                },
            };
            // The call is over, and what it holds goes before anything is done in its place.
            self.as_mut().project().state.set(State::Failed { failure, result });
        }
        ready!(self.as_mut().poll_answer(cx));
        Poll::Ready(self.project().state.take_answer())
    }
}

impl<S: Service<Req>, Req, G> State<S, Req, G> {
    fn take_answer(self: Pin<&mut Self>) -> Result<S::Response, S::Error> {
        match self.project_replace(State::Finished) {
            StateOwn::Answered { result } => result,
            _ => unreachable!("there is an answer"),
        }
    }
}

impl<S, Req, A, C, M, K, W> ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
    W: Trigger,
{
    /// Makes the call as soon as the service is ready. One that will never be is a call that failed.
    #[cold]
    #[inline(never)]
    fn poll_begin(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.as_mut().project();
        let readiness = match this.state.as_mut().project() {
            StateProj::GettingReady { service, .. } => ready!(service.poll_ready(cx)),
            StateProj::NeverReady { .. } => Ok(()),
            _ => return Poll::Ready(()),
        };
        let error = match (this.state.as_mut().project_replace(State::Finished), readiness) {
            (StateOwn::GettingReady { mut service, request }, Ok(())) => {
                let call = service.call(request);
                this.state.set(State::Calling { call });
                return Poll::Ready(());
            }
            (StateOwn::GettingReady { .. }, Err(error)) | (StateOwn::NeverReady { error }, _) => error,
            _ => unreachable!("it has just been looked at"),
        };
        this.state.set(match this.plan.classify.classify(Err(&error)) {
            Outcome::Success => State::Answered { result: Err(error) },
            Outcome::Failure(failure) => State::Failed { failure, result: Err(error) },
        });
        Poll::Ready(())
    }

    /// Finds an answer to leave behind: a substitute, or what was said if this failure is not stood in for.
    #[cold]
    #[inline(never)]
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if matches!(this.state.as_ref().get_ref(), State::Failed { .. })
            && let StateOwn::Failed { failure, result } = this.state.as_mut().project_replace(State::Finished)
        {
            if !this.plan.trigger.stands_in_for(&failure) {
                telemetry::left_alone(&this.plan.name, &failure);
                this.state.set(State::Answered { result });
                return Poll::Ready(());
            }
            let summary = this.summary.take().expect("a call fails once");
            let answer = this.plan.substitute.substitute(Failed::new(failure.clone(), result, summary));
            this.state.set(State::Substituting { answer, failure });
        }
        let (mut result, failure) = match this.state.as_mut().project() {
            StateProj::Answered { .. } => return Poll::Ready(()),
            StateProj::Substituting { answer, failure } => (ready!(answer.poll(cx)), failure.clone()),
            _ => panic!("a fallback's future was polled after it finished"),
        };
        let degraded = Degraded::new("fallback", this.plan.name, failure);
        this.state.set(State::Finished);
        match &mut result {
            Ok(response) => {
                telemetry::degraded(&degraded);
                this.plan.mark.mark(response, degraded);
            }
            Err(_) => telemetry::substitute_failed(&degraded),
        }
        this.state.set(State::Answered { result });
        Poll::Ready(())
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
