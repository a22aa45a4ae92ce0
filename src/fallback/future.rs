use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;
use tower::util::Oneshot;

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
    state: State<Oneshot<S, Req>, A::Future, K>,
    plan: Plan<A, C, M, W>,
}

#[pin_project(project = StateProj, project_replace = StateOwn)]
enum State<F, G, K> {
    Calling {
        #[pin]
        call: F,
        summary: K,
    },
    Substituting {
        #[pin]
        answer: G,
        failure: Failure,
    },
    Finished,
}

impl<S, Req, A, C, M, K, W> ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
{
    pub(super) const fn calling(call: Oneshot<S, Req>, summary: K, plan: Plan<A, C, M, W>) -> Self {
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

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        if let StateProj::Calling { call, .. } = this.state.project() {
            let result = ready!(call.poll(cx));
            match this.plan.classify.classify(result.as_ref()) {
                Outcome::Success => return Poll::Ready(result),
                Outcome::Failure(failure) => {
                    if let Some(result) = self.as_mut().failed(failure, result) {
                        return Poll::Ready(result);
                    }
                }
            }
        }
        self.poll_substitute(cx)
    }
}

impl<S, Req, A, C, M, K, W> ResponseFuture<S, Req, A, C, M, K, W>
where
    S: Service<Req>,
    A: Substitute<S::Response, S::Error, K>,
    M: MarkDegraded<S::Response>,
    W: Trigger,
{
    /// Asks for a substitute, or gives the result back if this failure is not stood in for.
    #[cold]
    fn failed(
        self: Pin<&mut Self>,
        failure: Failure,
        result: Result<S::Response, S::Error>,
    ) -> Option<Result<S::Response, S::Error>> {
        let mut this = self.project();
        // The call is over, and what it holds goes before anything is done in its place.
        let StateOwn::Calling { summary, .. } = this.state.as_mut().project_replace(State::Finished) else {
            unreachable!("only a call can fail");
        };
        if !this.plan.trigger.stands_in_for(&failure) {
            telemetry::left_alone(&this.plan.name, &failure);
            return Some(result);
        }
        let answer = this.plan.substitute.substitute(Failed::new(failure.clone(), result, summary));
        this.state.set(State::Substituting { answer, failure });
        None
    }

    #[cold]
    fn poll_substitute(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let StateProj::Substituting { answer, failure } = this.state.as_mut().project() else {
            panic!("a fallback's future was polled after it finished");
        };
        let mut result = ready!(answer.poll(cx));
        let degraded = Degraded::new("fallback", this.plan.name.clone(), failure.clone());
        this.state.set(State::Finished);
        match &mut result {
            Ok(response) => {
                telemetry::degraded(&degraded);
                this.plan.mark.mark(response, degraded);
            }
            Err(_) => telemetry::substitute_failed(&degraded),
        }
        Poll::Ready(result)
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
