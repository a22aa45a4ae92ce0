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
    state: State<S, Req, A::Future, K>,
    plan: Plan<A, C, M, W>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<S: Service<Req>, Req, G, K> {
    GettingReady {
        service: S,
        request: Req,
        summary: K,
    },
    Calling {
        #[pin]
        call: S::Future,
        summary: K,
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
    pub(super) const fn calling(service: S, request: Req, summary: K, plan: Plan<A, C, M, W>) -> Self {
        Self { state: State::GettingReady { service, request, summary }, plan }
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
        let readiness = ready!(this.state.as_mut().poll_begin(cx));
        let result = match (readiness, this.state.project()) {
            (Err(error), _) => Some(Err(error)),
            (Ok(()), StateProj::Calling { call, .. }) => Some(ready!(call.poll(cx))),
            (Ok(()), _) => None,
        };
        if let Some(result) = result {
            match this.plan.classify.classify(result.as_ref()) {
                Outcome::Success => return Poll::Ready(result),
                Outcome::Failure(failure) => self.as_mut().failed(Failed::new(failure, result, ())),
            }
        }
        ready!(self.as_mut().poll_substitute(cx));
        Poll::Ready(self.project().state.take_answer())
    }
}

impl<S: Service<Req>, Req, G, K> State<S, Req, G, K> {
    /// Makes the call as soon as the service is ready, unless it is made already.
    #[inline]
    fn poll_begin(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let StateProj::GettingReady { service, .. } = self.as_mut().project() {
            ready!(service.poll_ready(cx))?;
            if let StateOwn::GettingReady { mut service, request, summary } =
                self.as_mut().project_replace(State::Finished)
            {
                let call = service.call(request);
                self.set(State::Calling { call, summary });
            }
        }
        Poll::Ready(Ok(()))
    }

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
    M: MarkDegraded<S::Response>,
    W: Trigger,
{
    /// Asks for a substitute, or answers what was said if this failure is not stood in for.
    #[cold]
    #[inline(never)]
    fn failed(self: Pin<&mut Self>, failed: Failed<S::Response, S::Error>) {
        let Failed { failure, result, .. } = failed;
        let mut this = self.project();
        // The call is over, and what it holds goes before anything is done in its place.
        let (StateOwn::GettingReady { summary, .. } | StateOwn::Calling { summary, .. }) =
            this.state.as_mut().project_replace(State::Finished)
        else {
            unreachable!("only a call can fail");
        };
        if !this.plan.trigger.stands_in_for(&failure) {
            telemetry::left_alone(&this.plan.name, &failure);
            this.state.set(State::Answered { result });
            return;
        }
        let answer = this.plan.substitute.substitute(Failed::new(failure.clone(), result, summary));
        this.state.set(State::Substituting { answer, failure });
    }

    #[cold]
    #[inline(never)]
    fn poll_substitute(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
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
