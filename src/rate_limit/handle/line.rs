use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

/// Those who wait for tokens, in the order in which they came. Only the first may take, and whoever leaves has spent
/// nothing.
///
/// Somebody who could take here, and waits in another line for what else it needs, is *away*. It keeps its place: those
/// behind it may take what it leaves over.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<Ticket, Waiter>,
    /// What all of them cost together.
    cost: u64,
}

/// When somebody came, among all who wait anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

impl Ticket {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct Waiter {
    cost: u32,
    is_away: bool,
    waker: Option<Waker>,
}

/// Who is in the way of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// Whoever is first takes first.
    Somebody,
    /// Only some who are away, and what they keep.
    Away(u64),
}

/// Somebody to be woken, which dropping it does; and so it is dropped outside of locks.
#[must_use = "it is dropped outside of locks"]
#[derive(Debug)]
pub(super) struct Woken(Option<Waker>);

impl Drop for Woken {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

/// What somebody leaves behind: a waker that nobody needs any more, and whoever is first now.
#[must_use = "it is dropped outside of locks"]
pub(super) struct Left {
    _own: Option<Waker>,
    _next: Woken,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What those cost together who came before `ticket`; without one, all of them.
    pub(super) fn cost_before(&self, ticket: Option<Ticket>) -> u64 {
        match ticket {
            Some(ticket) if self.waiting.last_key_value().is_some_and(|(last, _)| *last >= ticket) => {
                self.waiting.range(..ticket).map(|(_, waiter)| u64::from(waiter.cost)).sum()
            }
            _ => self.cost,
        }
    }

    /// Who is in the way of whoever came at `ticket`; without one, of whoever comes last.
    pub(super) fn ahead(&self, ticket: Option<Ticket>) -> Ahead {
        let mut kept = 0;
        for (other, waiter) in &self.waiting {
            if ticket.is_some_and(|ticket| *other >= ticket) {
                break;
            }
            if !waiter.is_away {
                return Ahead::Somebody;
            }
            kept += u64::from(waiter.cost);
        }
        Ahead::Away(kept)
    }

    /// Takes a place, or comes back to it.
    pub(super) fn join(&mut self, ticket: Ticket, cost: u32) {
        match self.waiting.get_mut(&ticket) {
            Some(waiter) => waiter.is_away = false,
            None => {
                self.cost += u64::from(cost);
                self.waiting.insert(ticket, Waiter { cost, is_away: false, waker: None });
            }
        }
    }

    /// Goes to wait in another line; whoever is first now may take what is left over.
    pub(super) fn go_away(&mut self, ticket: Ticket) -> Woken {
        if let Some(waiter) = self.waiting.get_mut(&ticket) {
            waiter.is_away = true;
        }
        self.wake_first()
    }

    /// Whom to wake when it is `ticket`'s turn, or its wait has changed. Gives back what is not needed, to be dropped
    /// outside of locks.
    #[must_use]
    pub(super) fn wake_with(&mut self, ticket: Ticket, waker: Waker) -> Option<Waker> {
        let Some(waiter) = self.waiting.get_mut(&ticket) else {
            return Some(waker);
        };
        waiter.waker.replace(waker)
    }

    /// Leaves the line.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Left {
        let own = self.waiting.remove(&ticket).and_then(|waiter| {
            self.cost -= u64::from(waiter.cost);
            waiter.waker
        });
        Left { _own: own, _next: self.wake_first() }
    }

    /// What lies before them has changed, for all of them.
    pub(super) fn plan_anew(&mut self) -> Vec<Woken> {
        self.waiting.values_mut().map(|waiter| Woken(waiter.waker.take())).collect()
    }

    fn wake_first(&mut self) -> Woken {
        Woken(self.waiting.values_mut().find(|waiter| !waiter.is_away).and_then(|waiter| waiter.waker.take()))
    }
}
