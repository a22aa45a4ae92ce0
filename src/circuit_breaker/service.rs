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
use crate::rejection::{AsError, Open, Reject};

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
    /// It is decided when it comes.
    #[default]
    Undecided,
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
        if seen.passes() && self.has_nothing_in_hand() {
            let polled = self.parked.while_asking(seen, || self.inner.poll_ready(cx));
            if matches!(polled, Poll::Ready(Ok(()))) {
                return polled;
            }
            if let Some(polled) = self.settle(polled, seen, cx) {
                return polled;
            }
        }
        self.poll_ready_in_turn(cx)
    }

    // Always: what a closed circuit does is a part of this, and short; the rest is somewhere else.
    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let place = match &self.turn {
            Turn::Undecided => self.breaker.slot().pass_closed(),
            Turn::Held(_) | Turn::Refused(_) => None,
        };
        let place = match place {
            Some(place) => place,
            None => match self.take_turn() {
                Ok(place) => place,
                Err(open) => {
                    return ResponseFuture::refused(Place::settled(self.breaker.slot()), open, self.reject.clone());
                }
            },
        };
        ResponseFuture::calling(place, self.classify.clone(), || self.inner.call(request))
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
        let now = Now::unread();
        if self.is_refused(&now) { Poll::Ready(Ok(())) } else { self.poll_ready_if_it_passes(now, cx) }
    }

    #[cold]
    #[inline(never)]
    fn poll_ready_if_it_passes<Req>(&mut self, mut now: Now, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
        C: Classify<S::Response, S::Error>,
    {
        loop {
            let seen = self.parked.look();
            if seen.passes() {
                self.forget_turn();
            } else if !self.has_turn(&now) {
                return Poll::Ready(Ok(()));
            }
            let polled = match &mut self.turn {
                Turn::Held(place) => place.while_running(|| self.inner.poll_ready(cx)),
                Turn::Undecided | Turn::Refused(_) => self.parked.while_asking(seen, || self.inner.poll_ready(cx)),
            };
            if let Some(polled) = self.settle(polled, seen, cx) {
                return polled;
            }
            now = Now::unread();
            if self.is_refused(&now) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Whether the circuit is open, so that nothing else has to be asked.
    #[inline]
    fn is_refused(&mut self, now: &Now) -> bool {
        if self.has_nothing_in_hand()
            && let Some(refusal) = self.breaker.slot().refusal(now)
        {
            self.turn = Turn::Refused(refusal);
            return true;
        }
        false
    }

    /// Passes on what the wrapped service said. `None` if it has to wait and the circuit has changed meanwhile: the decision
    /// is to be made again.
    #[cold]
    #[inline(never)]
    fn settle<Res, E>(
        &mut self,
        polled: Poll<Result<(), E>>,
        seen: Seen,
        cx: &Context<'_>,
    ) -> Option<Poll<Result<(), E>>>
    where
        C: Classify<Res, E>,
    {
        match &polled {
            Poll::Ready(Ok(())) => {
                self.parked.leave();
                if let Turn::Held(place) = &mut self.turn {
                    place.rest();
                }
            }
            Poll::Ready(Err(error)) => {
                self.parked.leave();
                self.never_ready(error);
            }
            Poll::Pending => {
                if let Turn::Held(place) = &mut self.turn {
                    place.wait(&Now::unread());
                }
                if !self.parked.park(cx.waker(), seen) {
                    return None;
                }
            }
        }
        Some(polled)
    }

    /// Neither a decision about the next call nor a place among those who wait.
    #[inline]
    const fn has_nothing_in_hand(&self) -> bool {
        !self.parked.is_waiting() && matches!(self.turn, Turn::Undecided)
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

    #[cold]
    #[inline(never)]
    fn take_turn(&mut self) -> Result<Place, Open> {
        if let Turn::Refused(refusal) = self.turn {
            self.turn = Turn::Undecided;
            return Err(self.breaker.refused(refusal));
        }
        self.claim_turn()
    }

    #[cold]
    #[inline(never)]
    fn claim_turn(&mut self) -> Result<Place, Open> {
        let now = Now::unread();
        if let Turn::Held(place) = std::mem::take(&mut self.turn)
            && place.claim(&now)
        {
            return Ok(place);
        }
        // What was held is given back by now: it must not take the place that its own successor needs.
        self.breaker.admit(&now)
    }

    /// What was decided does not hold any more, and a place is given back before another one is asked for.
    #[cold]
    fn forget_turn(&mut self) {
        if let Turn::Held(place) = &mut self.turn {
            place.rest();
        }
        self.turn = Turn::Undecided;
    }

    /// The wrapped service will never be ready: that is a call that failed.
    #[cold]
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
