//! What a run leaves behind: every order and how often it was sent, every decision of the limit, every call to the
//! provider, every switch of the breaker, every product that was read, with its times, and what was sold and charged in the end.
//!
//! Times are counted from the start of the run.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buttress::circuit_breaker::{Change, Changes, State, TripReason};
use buttress::clock::Moment;

use crate::orders::TakenOver;
use crate::script::{Act, Phase};

/// An order, as the client that placed it saw it. Its number is its place in the record.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Which act of the script it was sent in.
    pub(crate) act: usize,
    pub(crate) sent: Duration,
    /// `None` while there is no answer, and for good if the connection failed.
    pub(crate) answer: Option<Answer>,
    /// How often its customer sent it once more.
    pub(crate) again: Vec<Again>,
}

impl Order {
    /// What came back each time that it was sent, the first time first.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Option<Answer>> {
        std::iter::once(self.answer).chain(self.again.iter().map(|again| again.answer))
    }

    /// When it was answered, or nobody listened any more; `None` while there is no answer.
    pub(crate) fn ended(&self) -> Option<Duration> {
        self.answer.map(|answer| self.sent + answer.after)
    }
}

/// An order is sent once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    pub(crate) cause: Cause,
    pub(crate) sent: Duration,
    /// `None` while there is no answer, and for good if the connection failed.
    pub(crate) answer: Option<Answer>,
}

/// Why an order is sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The customer clicked twice.
    Click,
    /// The client closed its connection before there was an answer.
    HungUp,
    /// The client was told to come back.
    Told,
    /// The connection failed.
    CutOff,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) said: Said,
    /// How long after sending.
    pub(crate) after: Duration,
    /// Whether it was marked as one that was given before.
    pub(crate) is_replay: bool,
    /// A hash of its status and its text.
    pub(crate) digest: u64,
}

/// What a client hears, before it is known what it is the answer to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) at: Duration,
    pub(crate) said: Said,
    pub(crate) is_replay: bool,
    pub(crate) digest: u64,
}

impl Heard {
    const fn after(self, sent: Duration) -> Answer {
        let Self { at, said, is_replay, digest } = self;
        Answer { said, after: at.saturating_sub(sent), is_replay, digest }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Paid,
    PayLater,
    /// Refused since too many came, and told when to come back or not.
    Limited {
        told_when: bool,
    },
    /// The same order is being run, and the client is told when to come back.
    Running,
    /// Nobody can tell now: the client is told when to come back, or that it takes too long.
    Unavailable,
    /// Whatever it was, the client had closed its connection.
    Unheard,
    /// Anything else.
    Failed,
}

/// A product is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) sent: Duration,
    /// `None` while there is no answer, and for good if there is no such product in it.
    pub(crate) shown: Option<Shown>,
}

impl Read {
    /// Whether what is shown was so before it was asked for.
    pub(crate) fn is_from_memory(&self) -> bool {
        self.shown.is_some_and(|shown| shown.as_of < self.sent)
    }

    /// Whether what is shown is what the catalogue says, and nothing says otherwise.
    pub(crate) fn is_fresh(&self) -> bool {
        self.shown.is_some_and(|shown| !shown.is_marked) && !self.is_from_memory()
    }
}

/// A product, as its reader is shown it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// When the catalogue said so.
    pub(crate) as_of: Duration,
    /// When the reader had all of it.
    pub(crate) at: Duration,
    /// Whether it bears the marks of memory: an `Age`, and a `Cache-Status` that speaks of an error.
    pub(crate) is_marked: bool,
}

/// What the limit decided on a request, as it was seen from just outside of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// Just before.
    pub(crate) began: Duration,
    /// Just after.
    pub(crate) ended: Duration,
    pub(crate) admitted: bool,
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

/// The breaker's circuit changed its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch {
    pub(crate) at: Duration,
    pub(crate) from: State,
    pub(crate) to: State,
    /// Why it opened, if it did.
    pub(crate) reason: Option<TripReason>,
}

/// The order service was killed, and started again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    pub(crate) phase: Phase,
    pub(crate) at: Duration,
    pub(crate) open_again: Duration,
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

impl Played {
    /// The part of it in which orders are judged by their share.
    pub(crate) fn judged(&self) -> Range<Duration> {
        let Act { phase, .. } = self.act;
        self.from + phase.settling()..self.until.saturating_sub(phase.run_out())
    }
}

/// Everything that is known of a run.
pub(crate) struct Run {
    pub(crate) played: Vec<Played>,
    pub(crate) orders: Vec<Order>,
    /// The numbers of the orders in the shop's book, an entry each.
    pub(crate) book: Vec<String>,
    /// The numbers of the orders that the provider charged for, a charge each.
    pub(crate) charged: Vec<String>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) calls: Vec<Call>,
    pub(crate) switches: Vec<Switch>,
    pub(crate) reads: Vec<Read>,
    /// When reads were due that were not sent because the storm woke too late for them.
    pub(crate) reads_overslept: Vec<Duration>,
    /// `None` where the order service was not to crash. Where it was there are no decisions, calls and switches: they were noted
    /// by who crashed.
    pub(crate) crashes: Option<Vec<Crash>>,
    /// The orders that were run again, since nobody knew what had come of them.
    pub(crate) taken_over: Vec<TakenOver>,
    /// How long the breaker was told to leave the provider alone at a time.
    pub(crate) open_for: Duration,
    pub(crate) latest_wake: Duration,
}

impl Run {
    /// Which act of the script this phase is.
    pub(crate) fn act(&self, phase: Phase) -> Option<usize> {
        self.played.iter().position(|played| played.act.phase == phase)
    }

    /// When this act was on; what comes after the last one belongs to it.
    pub(crate) fn during(&self, act: usize) -> Range<Duration> {
        self.played[act].from..self.played.get(act + 1).map_or(Duration::MAX, |next| next.from)
    }
}

/// Writes it all down; clones write into the same log.
#[derive(Clone)]
pub(crate) struct Log(Arc<Pages>);

struct Pages {
    start: Moment,
    orders: Mutex<Vec<Order>>,
    decisions: Mutex<Vec<Decision>>,
    calls: Mutex<Vec<Call>>,
    switches: Mutex<Vec<Switch>>,
    reads: Mutex<Vec<Read>>,
    reads_overslept: Mutex<Vec<Duration>>,
}

impl Log {
    /// Time counts from now on.
    pub(crate) fn start() -> Self {
        Self(Arc::new(Pages {
            start: Moment::now(),
            orders: Mutex::default(),
            decisions: Mutex::default(),
            calls: Mutex::default(),
            switches: Mutex::default(),
            reads: Mutex::default(),
            reads_overslept: Mutex::default(),
        }))
    }

    pub(crate) fn now(&self) -> Duration {
        Moment::now().since(self.0.start)
    }

    /// Notes that an order is being sent, and returns its number.
    pub(crate) fn sent(&self, act: usize) -> usize {
        let mut orders = self.orders();
        orders.push(Order { act, sent: self.now(), answer: None, again: vec![] });
        orders.len() - 1
    }

    pub(crate) fn answered(&self, order: usize, heard: Heard) {
        let order = &mut self.orders()[order];
        order.answer = Some(heard.after(order.sent));
    }

    /// Notes that the client closes its connection before there is an answer.
    pub(crate) fn hung_up(&self, order: usize) {
        self.answered(order, Heard { at: self.now(), said: Said::Unheard, is_replay: false, digest: 0 });
    }

    /// Notes that an order is being sent once more, and returns how often it was before.
    pub(crate) fn sent_again(&self, order: usize, cause: Cause) -> usize {
        let again = &mut self.orders()[order].again;
        again.push(Again { cause, sent: self.now(), answer: None });
        again.len() - 1
    }

    pub(crate) fn answered_again(&self, order: usize, number: usize, heard: Heard) {
        let again = &mut self.orders()[order].again[number];
        again.answer = Some(heard.after(again.sent));
    }

    /// Notes that a product is being asked for, and returns how often one was before.
    pub(crate) fn asked(&self) -> usize {
        let mut reads = self.reads();
        reads.push(Read { sent: self.now(), shown: None });
        reads.len() - 1
    }

    pub(crate) fn shown(&self, read: usize, shown: Shown) {
        self.reads()[read].shown = Some(shown);
    }

    pub(crate) fn overslept_read(&self, due: Duration) {
        self.reads_overslept().push(due);
    }

    /// Notes a decision that has just been made, and returns its number. The request is admitted, unless it is turned away.
    pub(crate) fn decided(&self, began: Duration) -> usize {
        let ended = self.now();
        let mut decisions = self.decisions();
        decisions.push(Decision { began, ended, admitted: true });
        decisions.len() - 1
    }

    pub(crate) fn turned_away(&self, decision: usize) {
        self.decisions()[decision].admitted = false;
    }

    pub(crate) fn called(&self, call: Call) {
        self.calls().push(call);
    }

    /// Notes the changes of a breaker until that is gone.
    pub(crate) fn watch(&self, mut changes: Changes) {
        let log = self.clone();
        tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let Change { from, to, reason, at, .. } = change;
                log.switches().push(Switch { at: at.since(log.0.start), from, to, reason });
            }
        });
    }

    pub(crate) fn orders(&self) -> MutexGuard<'_, Vec<Order>> {
        self.0.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn decisions(&self) -> MutexGuard<'_, Vec<Decision>> {
        self.0.decisions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn switches(&self) -> MutexGuard<'_, Vec<Switch>> {
        self.0.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reads(&self) -> MutexGuard<'_, Vec<Read>> {
        self.0.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reads_overslept(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.0.reads_overslept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
