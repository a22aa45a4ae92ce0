use std::collections::BTreeMap;
use std::task::Waker;

/// Those who wait for tokens, first come, first served. Nobody has anything reserved: only the first may take, and whoever
/// leaves has spent nothing.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<Ticket, Waiter>,
    next: u64,
    /// What all of them cost together.
    cost: u64,
    /// How often what lies before them has changed.
    plans: u64,
}

/// A place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct Waiter {
    cost: u32,
    waker: Option<Waker>,
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

    /// What all who stand in it cost together.
    pub(super) const fn cost(&self) -> u64 {
        self.cost
    }

    pub(super) const fn plans(&self) -> u64 {
        self.plans
    }

    pub(super) fn join(&mut self, cost: u32) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.cost += u64::from(cost);
        self.waiting.insert(ticket, Waiter { cost, waker: None });
        ticket
    }

    pub(super) fn is_first(&self, ticket: Ticket) -> bool {
        self.waiting.first_key_value().is_none_or(|(first, _)| *first == ticket)
    }

    /// What those cost together who stand up to `ticket`, its own included.
    pub(super) fn cost_up_to(&self, ticket: Ticket) -> u64 {
        self.waiting.range(..=ticket).map(|(_, waiter)| u64::from(waiter.cost)).sum()
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
        let was_first = self.is_first(ticket);
        let own = self.waiting.remove(&ticket).and_then(|waiter| {
            self.cost -= u64::from(waiter.cost);
            waiter.waker
        });
        let next = if was_first {
            self.waiting.first_entry().and_then(|mut first| first.get_mut().waker.take())
        } else {
            None
        };
        Left { _own: own, _next: Woken(next) }
    }

    /// What lies before them has changed, for all of them.
    pub(super) fn plan_anew(&mut self) -> Vec<Woken> {
        self.plans += 1;
        self.waiting.values_mut().map(|waiter| Woken(waiter.waker.take())).collect()
    }
}
