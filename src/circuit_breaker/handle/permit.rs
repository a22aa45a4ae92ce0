use std::fmt;
use std::thread;

use super::slot::Slot;
use super::word::Word;
use crate::circuit_breaker::state::{Admitted, Meaning};
use crate::clock::{Moment, Now};
use crate::outcome::{Failure, FailureKind, Outcome};

/// A call that was let through, until it says how it ended. It is small: every call carries one.
pub(in super::super) struct Place(Pass);

/// What a place knows.
#[derive(Clone, Copy)]
struct Pass {
    slot: &'static Slot,
    /// What the circuit looked like when it let the call through; its state says what the call is to the circuit.
    word: Word,
    /// If it matters; the beginning of time otherwise.
    began: Moment,
    /// Of a probe.
    ticket: u32,
    progress: Progress,
}

/// As what a call was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admittance {
    Counted,
    Probe,
    /// It would have been refused, had the breaker not only observed; or nobody counts it.
    Uncounted,
}

/// As wide as the room beside the ticket, so that a place is moved without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Progress {
    Reserved,
    Called,
    /// The code of the call is running: who unwinds from here panicked.
    Running,
    Settled,
}

impl Place {
    #[inline]
    pub(super) const fn counted(slot: &'static Slot, word: Word) -> Self {
        Self(Pass::new(slot, word, 0))
    }

    pub(super) const fn probe(slot: &'static Slot, word: Word, ticket: u32) -> Self {
        Self(Pass::new(slot, word, ticket))
    }

    pub(super) const fn uncounted(slot: &'static Slot, word: Word) -> Self {
        Self(Pass::new(slot, word.of_nobody(), 0))
    }

    /// Whether a call may still begin with it.
    pub(in super::super) fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// The service has to get ready first, which is asking something of it.
    pub(in super::super) fn wait(&mut self, now: &Now) {
        let was_resting = self.go_on_to(Progress::Called) == Progress::Reserved;
        if was_resting && self.0.admittance() == Admittance::Probe {
            self.0.slot.call_probe(self.0.admitted(), now.moment());
        }
    }

    /// The service is ready, and nobody has called it yet: the place is held without asking anything.
    pub(in super::super) fn rest(&mut self) {
        let was_asking = self.go_on_to(Progress::Reserved) == Progress::Called;
        if was_asking && self.0.admittance() == Admittance::Probe {
            self.0.slot.rest_probe(self.0.admitted());
        }
    }

    /// Runs code of the service; to unwind from it is to fail.
    #[inline]
    pub(in super::super) fn while_running<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let before = self.go_on_to(Progress::Settled);
        let value = Running::of(self.0).run(code);
        self.0.progress = before;
        value
    }

    #[inline]
    const fn go_on_to(&mut self, progress: Progress) -> Progress {
        std::mem::replace(&mut self.0.progress, progress)
    }

    /// The call that the place was held for is made now. `false` if it is not held any more.
    pub(in super::super) fn claim(&self, now: &Now) -> bool {
        match self.0.admittance() {
            Admittance::Probe => self.0.slot.call_probe(self.0.admitted(), now.moment()),
            Admittance::Counted | Admittance::Uncounted => self.0.is_current(),
        }
    }

    /// The call begins now, and counts from here on, whatever becomes of it; until [`Running::called`] its code is running.
    #[inline(always)]
    pub(in super::super) fn begin_running(mut self, now: &Now) -> Running {
        let mut pass = self.finish();
        pass.begin(now);
        Running::of(pass)
    }

    /// The call begins now.
    #[inline]
    pub(in super::super) fn begin(&mut self, now: &Now) {
        self.0.progress = Progress::Called;
        self.0.begin(now);
    }

    /// Until [`pause`](Self::pause), the code of the call that was made is running.
    #[inline]
    pub(in super::super) const fn run(&mut self) {
        self.0.progress = Progress::Running;
    }

    #[inline]
    pub(in super::super) const fn pause(&mut self) {
        self.0.progress = Progress::Called;
    }

    /// The call ended with this outcome.
    #[inline]
    pub(in super::super) fn settle(&mut self, outcome: Outcome, now: &Now) {
        match outcome {
            Outcome::Success => self.succeeded(now),
            Outcome::Failure(failure) => self.failed(failure, now),
        }
    }

    /// The call ended well.
    #[inline]
    pub(in super::super) fn succeeded(&mut self, now: &Now) {
        // Finished in each branch: before them, every call would pay for the copy that one of them needs.
        let Pass { slot, word: admitted, .. } = self.0;
        let word = slot.word();
        if word.is_indifferent_to(admitted) {
            self.0.progress = Progress::Settled;
        } else if word.counts_good_of(admitted) {
            self.0.progress = Progress::Settled;
            if word.is_windowed() {
                slot.count_good_in_window(word, now.moment());
            } else {
                slot.count_good(word.generation());
            }
        } else {
            self.finish().count_unless_slow(word, now);
        }
    }

    /// The call ended otherwise.
    #[inline]
    pub(in super::super) fn failed(&mut self, failure: Failure, now: &Now) {
        self.finish().failed(failure, now);
    }

    /// The call says nothing about the service.
    pub(super) fn ignored(&mut self, now: &Now) {
        self.finish().settle(Meaning::Neutral, now);
    }

    /// What is left to do is done with a copy: nobody has to know where the place is, and it stays in registers.
    #[inline]
    const fn finish(&mut self) -> Pass {
        let pass = self.0;
        self.0.progress = Progress::Settled;
        pass
    }

    /// The call ended without an answer.
    #[cfg(test)]
    pub(super) fn abandon(&mut self, now: &Now) {
        self.0.abandon(now);
        self.0.progress = Progress::Settled;
    }
}

impl Pass {
    #[inline]
    const fn new(slot: &'static Slot, word: Word, ticket: u32) -> Self {
        Self { slot, word, began: Moment::EPOCH, ticket, progress: Progress::Reserved }
    }

    #[inline]
    fn begin(&mut self, now: &Now) {
        if self.word.is_timed() {
            self.began = now.moment();
        }
    }

    const fn admittance(&self) -> Admittance {
        if self.word.passes() {
            Admittance::Counted
        } else if self.word.is_half_open() {
            Admittance::Probe
        } else {
            Admittance::Uncounted
        }
    }

    const fn admitted(&self) -> Admitted {
        let ticket = match self.admittance() {
            Admittance::Probe => Some(self.ticket),
            Admittance::Counted | Admittance::Uncounted => None,
        };
        Admitted { generation: self.word.generation(), ticket }
    }

    fn is_held(&self) -> bool {
        match self.admittance() {
            Admittance::Probe => self.slot.holds(self.admitted()),
            Admittance::Counted | Admittance::Uncounted => self.is_current(),
        }
    }

    fn is_current(&self) -> bool {
        self.slot.word().is_of(self.word.generation())
    }

    /// A call that was timed, or is late, or was a probe, or is not counted.
    #[cold]
    #[inline(never)]
    fn count_unless_slow(self, word: Word, now: &Now) {
        let is_counted = self.admittance() == Admittance::Counted && word.is_of(self.word.generation());
        if !is_counted || self.is_slow(now) {
            self.settle(Meaning::Good, now);
        } else if word.is_windowed() {
            self.slot.count_good_in_window(word, now.moment());
        } else if !word.is_quiet() {
            self.slot.count_good(word.generation());
        }
    }

    #[cold]
    #[inline(never)]
    #[expect(clippy::needless_pass_by_value, reason = "it is dropped here, out of the way of a good call")]
    fn failed(self, failure: Failure, now: &Now) {
        self.settle(meaning(&failure), now);
    }

    fn settle(&self, meaning: Meaning, now: &Now) {
        let changes_nothing = meaning == Meaning::Neutral && self.slot.word().is_of(self.word.generation());
        match self.admittance() {
            Admittance::Uncounted => {}
            Admittance::Counted if changes_nothing => {}
            Admittance::Counted | Admittance::Probe => {
                self.slot.settle(self.admitted(), meaning, self.is_slow(now), now.moment());
            }
        }
    }

    fn release(&self) {
        if self.admittance() == Admittance::Probe {
            self.slot.release(self.admitted());
        }
    }

    fn is_slow(&self, now: &Now) -> bool {
        let is_timed = self.began != Moment::EPOCH;
        is_timed && Moment::EPOCH + now.moment().since(self.began) >= self.slot.slow_from()
    }

    /// The call ended without an answer.
    #[cold]
    #[inline(never)]
    fn abandon(self, now: &Now) {
        match self.progress {
            Progress::Settled => {}
            Progress::Running => self.settle(Meaning::Failed { hint: None }, now),
            // It is no answer, and if it means nothing any more it is not a late one either.
            Progress::Called | Progress::Reserved if !self.is_held() => self.release(),
            Progress::Reserved => self.release(),
            Progress::Called if self.word.dropped_fails() => self.settle(Meaning::Failed { hint: None }, now),
            Progress::Called => self.settle(Meaning::Neutral, now),
        }
    }
}

/// Code of the service that runs on behalf of a call.
///
/// Apart from the place, and with a copy of it, so that nobody has to know where either of them is, and they stay in
/// registers.
pub(in super::super) struct Running(Pass);

impl Running {
    #[inline]
    const fn of(pass: Pass) -> Self {
        Self(Pass { progress: Progress::Running, ..pass })
    }

    /// On behalf of whoever passes a circuit that lets every call pass.
    #[inline]
    pub(super) const fn passing(slot: &'static Slot, word: Word) -> Self {
        Self::of(Pass::new(slot, word, 0))
    }

    #[inline]
    pub(super) fn run<T>(mut self, code: impl FnOnce() -> T) -> T {
        let value = code();
        self.0.progress = Progress::Settled;
        value
    }

    /// The call is made: what becomes of it is yet to be told.
    #[inline(always)]
    pub(in super::super) const fn called(self) -> Place {
        let place = Place(Pass { progress: Progress::Called, ..self.0 });
        std::mem::forget(self);
        place
    }
}

impl Drop for Running {
    #[inline]
    fn drop(&mut self) {
        if self.0.progress != Progress::Settled {
            self.0.abandon(&Now::unread());
        }
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        if self.0.progress != Progress::Settled {
            self.finish().abandon(&Now::unread());
        }
    }
}

/// What a failure means to a breaker.
fn meaning(failure: &Failure) -> Meaning {
    let hint = failure.retry_after();
    match failure.kind() {
        FailureKind::Error | FailureKind::Permanent | FailureKind::TimedOut => Meaning::Failed { hint },
        FailureKind::Throttled => Meaning::Throttled { hint },
        FailureKind::Expired | FailureKind::RequestTimeout | FailureKind::Refused => Meaning::Neutral,
    }
}

/// Leave to make one call; say how it ended, on every way out of the code that makes it.
///
/// Dropped without a word, as by a `?` between the call and its end, it counts as
/// [`WhenDropped`](crate::circuit_breaker::WhenDropped) says, which by default is nothing; and as a failure when the thread is panicking.
#[must_use = "a permit that is dropped at once is a call that was given up"]
pub struct Permit(Place);

impl Permit {
    pub(super) fn new(mut place: Place, now: &Now) -> Self {
        place.begin(now);
        Self(place)
    }

    /// The call did what it is there for.
    pub fn success(mut self) {
        self.0.succeeded(&Now::unread());
    }

    /// The service failed.
    pub fn failure(self) {
        self.record(Failure::new(FailureKind::Error).into());
    }

    /// The call says nothing about the service.
    pub fn ignore(mut self) {
        self.0.ignored(&Now::unread());
    }

    /// The call ended with this outcome; [its table](crate::outcome) says what it means.
    pub fn record(mut self, outcome: Outcome) {
        self.0.settle(outcome, &Now::unread());
    }

    /// Whether the call is a probe of a half-open circuit.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.0.0.admittance() == Admittance::Probe
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.0.progress == Progress::Called && thread::panicking() {
            self.0.run();
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("is_probe", &self.is_probe()).finish_non_exhaustive()
    }
}
