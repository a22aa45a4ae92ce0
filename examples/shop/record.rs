//! What a run leaves behind: every order and every call to the provider, with its times.
//!
//! Times are counted from the start of the run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::script::{Act, Phase};

/// An order, as the client that placed it saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// Which act of the script it was sent in.
    pub(crate) act: usize,
    pub(crate) sent: Duration,
    /// `None` while there is no answer, and for good if the connection failed.
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) said: Said,
    /// How long after sending.
    pub(crate) after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Paid,
    PayLater,
    /// Anything else.
    Failed,
}

/// A call to the provider, as our innermost client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) began: Duration,
    pub(crate) ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// An answer that is not a server error.
    Answered,
    /// A server error (5xx).
    Unavailable,
    /// Nobody listened: the connection was refused.
    Refused,
    /// The connection failed in any other way.
    Broken,
    /// Nobody waited for the end of it.
    GivenUp,
}

/// An act of the script, as it was played.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) act: Act,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// Orders that were not sent because every client was still waiting for an answer.
    pub(crate) missed: usize,
    /// When orders were due that were not sent because the storm woke too late for them.
    pub(crate) overslept: Vec<Duration>,
}

/// Everything that is known of a run.
pub(crate) struct Run {
    pub(crate) played: Vec<Played>,
    pub(crate) orders: Vec<Order>,
    pub(crate) calls: Vec<Call>,
    pub(crate) latest_wake: Duration,
}

impl Run {
    /// Which act of the script this phase is.
    pub(crate) fn act(&self, phase: Phase) -> Option<usize> {
        self.played.iter().position(|played| played.act.phase == phase)
    }
}

/// Writes it all down; clones write into the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<Pages>);

struct Pages {
    start: Instant,
    orders: Mutex<Vec<Order>>,
    calls: Mutex<Vec<Call>>,
}

impl Log {
    /// Time counts from now on.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Pages { start: Instant::now(), orders: Mutex::default(), calls: Mutex::default() }))
    }

    pub(crate) fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Notes that an order is being sent, and returns its number.
    pub(crate) fn sent(&self, act: usize) -> usize {
        let mut orders = self.orders();
        orders.push(Order { act, sent: self.now(), answer: None });
        orders.len() - 1
    }

    pub(crate) fn answered(&self, number: usize, said: Said) {
        let now = self.now();
        let order = &mut self.orders()[number];
        order.answer = Some(Answer { said, after: now.saturating_sub(order.sent) });
    }

    pub(crate) fn called(&self, call: Call) {
        self.calls().push(call);
    }

    pub(crate) fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
