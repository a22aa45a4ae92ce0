mod by_key;

use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

pub use self::by_key::KeyedCircuitBreakerService;
use super::future::ResponseFuture;
use super::handle::{CircuitBreaker, Parked, Place, Seen};
use super::state::Refusal;
use crate::clock::Now;
use crate::outcome::{Classify, ErrorsAreFailures, Outcome};
use crate::placement::{self, MakeCall};
use crate::rejection::{AsError, Reject};

/// A service that a circuit breaker guards; made by a [`CircuitBreakerLayer`](super::CircuitBreakerLayer).
pub struct CircuitBreakerService<S, C = ErrorsAreFailures, R = AsError> {
    inner: S,
    /// These two go before the breaker does.
    turn: Turn,
    parked: Parked,
    breaker: CircuitBreaker,
    classify: C,
    reject: R,
}

/// What `poll_ready` has decided for the call that follows.
#[derive(Default)]
enum Turn {
    /// It is decided when it comes. Nobody is parked either, so that all there may be in hand is seen at one look.
    #[default]
    Undecided,
    /// The same, and a task is parked until the wrapped service is ready.
    Waiting,
    /// It has a place already.
    Held(Place),
    /// It is refused, whatever has happened since: the wrapped service was not asked whether it is ready.
    Refused(Refusal),
}

impl<S, C, R> CircuitBreakerService<S, C, R> {
    pub(super) fn new(inner: S, breaker: CircuitBreaker, classify: C, reject: R) -> Self {
        let parked = Parked::beside(&breaker);
        Self { inner, turn: Turn::Undecided, parked, breaker, classify, reject }
    }

    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// The breaker, to watch it and to take a hand in it.
    pub const fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }
}

impl<S, C, R, Req> Service<Req> for CircuitBreakerService<S, C, R>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error> + Clone,
    R: Reject<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, C, R>;

    /// Ready when the wrapped service is; at once while the circuit is open, and then the call is refused.
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let seen = self.parked.look();
        if matches!(self.turn, Turn::Undecided) {
            if seen.passes() {
                match self.parked.while_asking(seen, || self.inner.poll_ready(cx)) {
                    Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => {
                        self.never_ready(&error);
                        return Poll::Ready(Err(error));
                    }
                    Poll::Pending if self.waits(cx, seen) => return Poll::Pending,
                    Poll::Pending => {}
                }
            } else if let Some(refusal) = self.breaker.slot().refusal_now() {
                self.turn = Turn::Refused(refusal);
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_ready_in_turn(cx)
    }

    // Always: what a closed circuit does is a part of this, and short; the rest is somewhere else.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, C, R, Req> MakeCall<Req> for CircuitBreakerService<S, C, R>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error> + Clone,
    R: Reject<S::Response, S::Error> + Clone,
{
    #[inline(always)]
    fn make_call(&mut self, request: Req) -> Self::Future {
        let passes = match self.turn {
            Turn::Undecided => self.breaker.slot().pass_closed(),
            _ => None,
        };
        let place = match passes {
            Some(place) => place,
            None => match self.take_turn() {
                Ok(place) => place,
                Err(refusal) => return ResponseFuture::refused(self.breaker.refused(refusal), self.reject.clone()),
            },
        };
        let classify = self.classify.clone();
        let running = place.begin_running(&Now::unread());
        ResponseFuture::calling(self.inner.call(request), classify, running.called())
    }
}

/// Out of the way of a call that passes a closed circuit.
impl<S, C, R> CircuitBreakerService<S, C, R> {
    #[cold]
    #[inline(never)]
    fn poll_ready_in_turn<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
        C: Classify<S::Response, S::Error>,
    {
        loop {
            let seen = self.parked.look();
            if seen.passes() {
                self.forget_turn();
            } else if !self.has_turn(&Now::unread()) {
                return Poll::Ready(Ok(()));
            }
            let polled = match &mut self.turn {
                Turn::Held(place) => place.while_running(|| self.inner.poll_ready(cx)),
                _ => self.parked.while_asking(seen, || self.inner.poll_ready(cx)),
            };
            match polled {
                Poll::Ready(Ok(())) => {
                    self.is_ready();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => {
                    self.never_ready(&error);
                    return Poll::Ready(Err(error));
                }
                Poll::Pending if self.waits(cx, seen) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    fn is_ready(&mut self) {
        self.parked.leave();
        match &mut self.turn {
            Turn::Held(place) => place.rest(),
            _ => self.turn = Turn::Undecided,
        }
    }

    /// Waits for the wrapped service. `false` if the circuit has changed meanwhile: the decision is to be made again.
    #[cold]
    #[inline(never)]
    fn waits(&mut self, cx: &Context<'_>, seen: Seen) -> bool {
        match &mut self.turn {
            Turn::Held(place) => place.wait(&Now::unread()),
            _ => self.turn = Turn::Waiting,
        }
        self.parked.park(cx.waker(), seen)
    }

    /// Decides whether the next call passes, while not every call does.
    #[cold]
    fn has_turn(&mut self, now: &Now) -> bool {
        if matches!(&self.turn, Turn::Held(place) if place.is_held()) {
            return true;
        }
        self.forget_turn();
        self.turn = match self.breaker.slot().admit(now) {
            Ok(mut place) => {
                place.wait(now);
                Turn::Held(place)
            }
            Err(refusal) => {
                self.parked.leave();
                Turn::Refused(refusal)
            }
        };
        matches!(self.turn, Turn::Held(_))
    }

    #[inline]
    fn take_turn(&mut self) -> Result<Place, Refusal> {
        if let Turn::Refused(refusal) = self.turn {
            self.turn = Turn::Undecided;
            return Err(refusal);
        }
        self.claim_turn()
    }

    #[cold]
    #[inline(never)]
    fn claim_turn(&mut self) -> Result<Place, Refusal> {
        self.parked.leave();
        let now = Now::unread();
        if let Turn::Held(place) = std::mem::take(&mut self.turn)
            && place.claim(&now)
        {
            return Ok(place);
        }
        // What was held is given back by now: it must not take the place that its own successor needs.
        self.breaker.slot().admit(&now)
    }

    /// What was decided does not hold any more, and a place is given back before another one is asked for.
    #[cold]
    fn forget_turn(&mut self) {
        if let Turn::Held(place) = &mut self.turn {
            place.rest();
        }
        self.turn = if self.parked.is_waiting() { Turn::Waiting } else { Turn::Undecided };
    }

    /// The wrapped service will never be ready: that is a call that failed.
    #[cold]
    #[inline(never)]
    fn never_ready<Res, E>(&mut self, error: &E)
    where
        C: Classify<Res, E>,
    {
        let now = Now::unread();
        let Ok(mut place) = self.take_turn() else {
            return;
        };
        place.rest();
        if let Outcome::Failure(failure) = self.classify.classify(Err(error)) {
            place.begin(&now);
            place.failed(failure, &now);
        }
    }
}

/// A clone has reserved nothing.
impl<S: Clone, C: Clone, R: Clone> Clone for CircuitBreakerService<S, C, R> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.breaker.clone(), self.classify.clone(), self.reject.clone())
    }
}

impl<S: fmt::Debug, C, R> fmt::Debug for CircuitBreakerService<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerService")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
