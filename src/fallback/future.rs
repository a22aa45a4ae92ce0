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

#[pin_project(project = StateProj)]
enum State<F, G, K> {
    Calling {
        #[pin]
        call: F,
        /// Taken when the call has failed.
        summary: Option<K>,
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
        Self { state: State::Calling { call, summary: Some(summary) }, plan }
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Calling { call, summary } => {
                    let result = ready!(call.poll(cx));
                    let summary = summary.take();
                    // The call is over, and what it holds goes before anything is done in its place.
                    this.state.set(State::Finished);
                    let outcome = this.plan.classify.classify(result.as_ref());
                    let (Outcome::Failure(failure), Some(summary)) = (outcome, summary) else {
                        return Poll::Ready(result);
                    };
                    if !this.plan.trigger.stands_in_for(&failure) {
                        telemetry::left_alone(&this.plan.name, &failure);
                        return Poll::Ready(result);
                    }
                    let answer = this.plan.substitute.substitute(Failed::new(failure.clone(), result, summary));
                    this.state.set(State::Substituting { answer, failure });
                }
                StateProj::Substituting { answer, failure } => {
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
                    return Poll::Ready(result);
                }
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
