mod journey;
mod looked;
mod read_through;
mod through;

use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower::Service;

pub(super) use self::journey::Journey;
use self::looked::{Answered, Searching};
pub(super) use self::looked::{Looked, Plan};
pub use self::read_through::ReadThroughFuture;
pub(super) use self::through::{Look, Question, Through};
use super::handle::Remember;
use crate::clock::{self, Timer};
use crate::outcome::{Classify, Failure, FailureKind, MarkDegraded};
use crate::serving::Called;

/// The future of a [`CacheFallback`](super::CacheFallback).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    #[pin]
    state: State<S, Req, K, V, R, C, M>,
}

#[pin_project(project = StateProj)]
enum State<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    /// Has nothing to do with the memory.
    Alone(#[pin] Called<S, Req>),
    Looked(#[pin] LookedCall<S, Req, K, V, R, C, M>),
}

/// A call that asks something of the memory.
#[pin_project]
struct LookedCall<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    /// Gone once there is an answer.
    #[pin]
    called: Option<Called<S, Req>>,
    /// Gone once it is told.
    looked: Option<Looked<K, V, R, C, M, R::Asked>>,
    #[pin]
    patience: Patience<SearchingFor<S, Req, V>>,
}

type SearchingFor<S, Req, V> = Searching<V, <S as Service<Req>>::Response, <S as Service<Req>>::Error>;

/// With a service that is not ready, or with whoever may have an answer in its place.
#[pin_project(project = PatienceProj)]
enum Patience<T> {
    NotNeeded,
    Until(#[pin] Timer),
    /// There is nothing that could stand in.
    Endless,
    Searching(Box<T>),
}

impl<S, Req, K, V, R, C, M> ResponseFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    #[inline(always)]
    pub(super) fn new(called: Called<S, Req>, looked: Option<Looked<K, V, R, C, M, R::Asked>>) -> Self {
        match looked {
            None => Self::alone(called),
            Some(looked) => Self::looked(called, looked),
        }
    }

    /// A call that has nothing to do with the memory.
    #[inline(always)]
    pub(super) const fn alone(called: Called<S, Req>) -> Self {
        Self { state: State::Alone(called) }
    }

    #[inline(always)]
    pub(super) const fn looked(called: Called<S, Req>, looked: Looked<K, V, R, C, M, R::Asked>) -> Self {
        let call = LookedCall { called: Some(called), looked: Some(looked), patience: Patience::NotNeeded };
        Self { state: State::Looked(call) }
    }
}

impl<S, Req, K, V, R, C, M> Future for ResponseFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response, Key = K, Kept = V>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Alone(called) => called.poll(cx),
            StateProj::Looked(call) => call.poll(cx),
        }
    }
}

impl<S, Req, K, V, R, C, M> LookedCall<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response, Key = K, Kept = V>,
    C: Classify<S::Response, S::Error>,
    M: MarkDegraded<S::Response>,
{
    /// Out of the way of a call that has nothing to do with the memory.
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.as_mut().project();
        // Asked before the call, which may use it up.
        let had_budget = matches!(*this.patience, Patience::Until(_)) && clock::has_budget();
        let Some(called) = this.called.as_mut().as_pin_mut() else {
            return self.poll_searching(cx);
        };
        let Poll::Ready(result) = called.poll(cx) else {
            let response = ready!(self.as_mut().poll_patience(had_budget, cx));
            self.project().called.set(None);
            return Poll::Ready(Ok(response));
        };
        // The call is over, and what it holds goes before anything is done about it.
        this.called.set(None);
        match this.looked.take().expect("it is there").answered(result) {
            Answered::Told(result) => Poll::Ready(result),
            Answered::Searching(looked, searching) => {
                *this.looked = Some(looked);
                this.patience.set(Patience::Searching(searching));
                self.poll_searching(cx)
            }
        }
    }
}

impl<S, Req, K, V, R, C, M> LookedCall<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response, Key = K, Kept = V>,
    M: MarkDegraded<S::Response>,
{
    /// Waits for what the level behind the memory has.
    #[cold]
    #[inline(never)]
    fn poll_searching(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, S::Error>> {
        let mut this = self.project();
        let (Some(looked), PatienceProj::Searching(searching)) =
            (this.looked.as_ref(), this.patience.as_mut().project())
        else {
            panic!("a cache fallback's future was polled after it finished");
        };
        let found = ready!(searching.poll(looked, cx));
        *this.looked = None;
        this.patience.set(Patience::NotNeeded);
        Poll::Ready(found)
    }

    /// Gives up on a service that does not become ready, if something can stand in for it.
    #[cold]
    #[inline(never)]
    fn poll_patience(self: Pin<&mut Self>, had_budget: bool, cx: &mut Context<'_>) -> Poll<S::Response> {
        let mut this = self.project();
        let looked = this.looked.as_ref().expect("it is there");
        if !this.called.as_ref().get_ref().as_ref().is_some_and(Called::is_getting_ready) {
            return Poll::Pending;
        }
        if let (PatienceProj::NotNeeded, Some(limit)) = (this.patience.as_mut().project(), looked.ready_within()) {
            this.patience.set(Patience::Until(clock::sleep(limit)));
        }
        if let PatienceProj::Until(timer) = this.patience.as_mut().project() {
            ready!(clock::poll_timer(timer, had_budget, cx));
            if let Some(response) = looked.recall(&Failure::new(FailureKind::Refused)) {
                return Poll::Ready(response);
            }
            looked.waits_on();
            this.patience.set(Patience::Endless);
        }
        Poll::Pending
    }
}

impl<S, Req, K, V, R, C, M> fmt::Debug for ResponseFuture<S, Req, K, V, R, C, M>
where
    S: Service<Req>,
    K: Eq + Hash + Clone,
    R: Remember<Req, S::Response>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
