use std::task::Waker;

use super::CircuitBreaker;
use super::permit::{Place, Running};
use super::slot::Slot;
use super::word::Word;
use crate::clock::Now;

/// A task that waits for the wrapped service, and would rather be refused than wait behind an open circuit.
pub(in super::super) struct Parked {
    slot: &'static Slot,
    place: Option<usize>,
    /// What it waits under.
    seen: Seen,
}

/// What somebody has decided by.
#[derive(Clone, Copy)]
pub(in super::super) struct Seen(Word);

impl Parked {
    pub(in super::super) fn beside(breaker: &CircuitBreaker) -> Self {
        let slot = breaker.slot();
        Self { slot, place: None, seen: Seen(slot.word()) }
    }

    #[inline]
    pub(in super::super) fn look(&self) -> Seen {
        Seen(self.slot.word())
    }

    /// Waits to be woken when the circuit opens. `false` if it has changed since `seen`, and the decision is to be made
    /// again.
    pub(in super::super) fn park(&mut self, waker: &Waker, seen: Seen) -> bool {
        self.seen = seen;
        self.slot.gate().park(&mut self.place, waker);
        self.slot.word().is_of(seen.0.generation())
    }

    /// Asks the service whether it is ready, in a circuit that lets every call pass; to panic is to fail.
    #[inline]
    pub(in super::super) fn while_asking<T>(&self, seen: Seen, ask: impl FnOnce() -> T) -> T {
        Running::passing(self.slot, seen.0).run(ask)
    }

    #[inline]
    pub(in super::super) const fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    #[cold]
    #[inline(never)]
    fn give_up(&mut self) {
        self.leave();
        // Who waits with a place of its own settles that.
        if self.seen.passes() {
            Place::counted(self.slot, self.seen.0).begin(&Now::unread());
        }
    }

    pub(in super::super) fn leave(&mut self) {
        if self.place.is_some() {
            self.slot.gate().leave(&mut self.place);
        }
    }
}

impl Seen {
    #[inline]
    pub(in super::super) const fn passes(self) -> bool {
        self.0.passes()
    }
}

/// Who is dropped while it waits was given up, as a call is that is dropped while it waits.
impl Drop for Parked {
    #[inline]
    fn drop(&mut self) {
        if self.is_waiting() {
            self.give_up();
        }
    }
}
