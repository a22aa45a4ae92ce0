use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;
use tower::util::Oneshot;

use super::{News, ResponseFuture};
use crate::deadline::Deadline;
use crate::rate_limit::handle::{Announce, Members, Standing, Taking};
use crate::rejection::{Limited, Reject};

/// The future of a [`WaitingRateLimit`](crate::rate_limit::WaitingRateLimit).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct WaitingFuture<S, Req, R, A>
where
    S: Service<Req>,
{
    #[pin]
    stage: Stage<S, Req, R, A>,
}

#[pin_project(project = StageProj)]
enum Stage<S, Req, R, A>
where
    S: Service<Req>,
{
    Waiting {
        #[pin]
        taking: Taking,
        then: Option<Then<S, Req, R, A>>,
    },
    Answering {
        #[pin]
        response: ResponseFuture<Oneshot<S, Req>, R, A>,
    },
}

/// What is done with the tokens.
struct Then<S, Req, R, A> {
    inner: S,
    request: Req,
    reject: R,
    announce: A,
}

impl<S, Req, R, A> WaitingFuture<S, Req, R, A>
where
    S: Service<Req>,
{
    pub(in super::super) fn new(
        inner: S,
        request: Req,
        members: Result<Members, Limited>,
        cost: u32,
        deadline: Option<Deadline>,
        reject: R,
        announce: A,
    ) -> Self {
        let then = Some(Then { inner, request, reject, announce });
        Self { stage: Stage::Waiting { taking: Taking::new(members, cost, deadline), then } }
    }
}

impl<S, Req, R, A> Future for WaitingFuture<S, Req, R, A>
where
    S: Service<Req>,
    R: Reject<S::Response, S::Error>,
    A: Announce<S::Response>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut stage = self.project().stage;
        if let StageProj::Waiting { mut taking, then } = stage.as_mut().project() {
            let taken = ready!(taking.as_mut().poll(cx));
            let then = then.take().expect("it is only taken when the stage is left");
            let standings = if A::ANNOUNCES { Some(taking.standings()) } else { None };
            stage.set(Stage::Answering { response: then.go_on(taken, standings) });
        }
        match stage.project() {
            StageProj::Answering { response } => response.poll(cx),
            StageProj::Waiting { .. } => unreachable!("it has just been left"),
        }
    }
}

impl<S, Req, R, A> Then<S, Req, R, A>
where
    S: Service<Req>,
{
    fn go_on(
        self,
        taken: Result<(), Limited>,
        standings: Option<Arc<[Standing]>>,
    ) -> ResponseFuture<Oneshot<S, Req>, R, A> {
        let Self { inner, request, reject, announce } = self;
        let news = standings.map(|standings| News { announce, standings });
        match (taken, news) {
            (Ok(()), None) => ResponseFuture::calling(Oneshot::new(inner, request)),
            (Ok(()), Some(news)) => ResponseFuture::calling_and_telling(Oneshot::new(inner, request), news),
            (Err(limited), news) => ResponseFuture::refused(limited, reject, news),
        }
    }
}

impl<S, Req, R, A> fmt::Debug for WaitingFuture<S, Req, R, A>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingFuture").finish_non_exhaustive()
    }
}
