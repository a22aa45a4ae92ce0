use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

/// Those who wait for tokens, in the order in which they came, if they were in another line meanwhile or not. Nobody has
/// anything reserved: only the first may take, and whoever leaves has spent nothing.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: BTreeMap<Ticket, Waiter>,
    /// What all of them cost together.
    cost: u64,
    /// How often what lies before them has changed.
    plans: u64,
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

    /// What those cost together who come before `ticket`; without one, all of them.
    pub(super) fn cost_before(&self, ticket: Option<Ticket>) -> u64 {
        match ticket {
            Some(ticket) if self.waiting.last_key_value().is_some_and(|(last, _)| *last >= ticket) => {
                self.waiting.range(..ticket).map(|(_, waiter)| u64::from(waiter.cost)).sum()
            }
            _ => self.cost,
        }
    }

    pub(super) const fn plans(&self) -> u64 {
        self.plans
    }

    pub(super) fn join(&mut self, ticket: Ticket, cost: u32) {
        self.cost += u64::from(cost);
        self.waiting.insert(ticket, Waiter { cost, waker: None });
    }

    /// Whether nobody came before `ticket`; without one, whether nobody is there.
    pub(super) fn is_first(&self, ticket: Option<Ticket>) -> bool {
        match (self.waiting.first_key_value(), ticket) {
            (None, _) => true,
            (Some((first, _)), Some(ticket)) => *first >= ticket,
            (Some(_), None) => false,
        }
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
        let was_first = self.is_first(Some(ticket));
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
