use std::sync::{Arc, MutexGuard, OnceLock};

use super::allowance::Allowance;
use super::changes::{Changes, Delivery};
use super::gate::{Gate, Shown};
use super::label::Label;
use super::permit::Place;
use super::pool::Holders;
use super::stripes::{Counted, Stripes};
use super::word::Word;
use crate::circuit_breaker::config::Rules;
use crate::circuit_breaker::state::{Admission, Admitted, Buckets, Change, Circuit, Meaning, Refusal, Snapshot, State};
use crate::clock::{Moment, Now};
use crate::jitter::Jitter;
use crate::telemetry;

/// A circuit that all threads share.
///
/// A slot lives for ever, and is used again when its breaker is gone ([`pool`](super::pool)): so a call can hold on to it
/// without counting references, which would be a write that all threads fight over. What comes too late for the breaker
/// it was admitted by is told by its generation; those of a slot never repeat.
pub(in super::super) struct Slot {
    gate: Gate<Core>,
    /// To count good calls that change nothing but which of the last calls they are.
    passing: Allowance,
    stripes: OnceLock<Stripes>,
    holders: Holders,
}

pub(super) struct Core {
    circuit: Circuit,
    label: Label,
    delivery: Arc<Delivery>,
    /// How many calls may be passing.
    granted: u32,
}

/// What a breaker begins with.
pub(super) struct Beginning {
    pub(super) label: Label,
    pub(super) rules: Rules,
    pub(super) observe_only: bool,
    pub(super) jitter: Jitter,
    pub(super) now: Moment,
}

impl Beginning {
    pub(super) fn now(label: Label, rules: Rules, observe_only: bool) -> Self {
        Self { label, rules, observe_only, jitter: Jitter::new(), now: Moment::now() }
    }
}

impl Core {
    fn new(Beginning { label, rules, observe_only, jitter, now }: Beginning, generation: u64) -> Self {
        let circuit = Circuit::new(rules, observe_only, generation, jitter, now);
        Self { circuit, label, delivery: Arc::default(), granted: 0 }
    }

    fn shown(&self) -> Shown {
        Shown {
            word: Word::of(&self.circuit).0,
            until: self.circuit.open_until().unwrap_or(Moment::EPOCH).to_nanos(),
            slow_from: self
                .circuit
                .rules()
                .slow_call_threshold
                .map_or(u64::MAX, |threshold| (Moment::EPOCH + threshold).to_nanos()),
        }
    }
}

impl Slot {
    pub(super) fn new(beginning: Beginning) -> Self {
        let core = Core::new(beginning, 1);
        let shown = core.shown();
        Self {
            gate: Gate::new(core, shown),
            passing: Allowance::none(),
            stripes: OnceLock::new(),
            holders: Holders::none(),
        }
    }

    /// Serves another breaker from now on.
    pub(super) fn begin_again(&self, beginning: Beginning) {
        let mut core = self.lock();
        let generation = core.circuit.generation() + 1;
        *core = Core::new(beginning, generation);
        let shown = core.shown();
        self.gate.publish(core, shown, false);
    }

    /// Serves nobody. Who listened hears of the end as soon as all before it is delivered.
    pub(super) fn retire(&self) {
        let mut core = self.lock();
        let delivery = std::mem::take(&mut core.delivery);
        core.circuit.retire();
        let shown = core.shown();
        self.gate.publish(core, shown, false);
        // It wakes those who listened, and so it goes after the lock.
        drop(delivery);
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        #[cfg(test)]
        LOCKED.set(LOCKED.get() + 1);
        let mut core = self.gate.lock();
        let passed = self.passing.revoke(&mut core.granted);
        core.circuit.pass_good(passed);
        core
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word(self.gate.word())
    }

    pub(super) const fn holders(&self) -> &Holders {
        &self.holders
    }

    pub(super) const fn gate(&self) -> &Gate<Core> {
        &self.gate
    }

    /// Does something to the circuit, and lets all know what came of it once the lock is released.
    fn act<T>(&self, action: impl FnOnce(&mut Circuit, &Label) -> (T, Option<Change>)) -> T {
        let mut core = self.lock();
        let Core { circuit, label, .. } = &mut *core;
        let (value, change) = action(circuit, label);
        let Some(change) = change else {
            self.show_quiet(&core);
            return value;
        };
        let (delivery, label) = (core.delivery.clone(), core.label.clone());
        delivery.queue(change);
        let shown = core.shown();
        self.gate.publish(core, shown, refuses_some(change.to));
        delivery.deliver(&label);
        value
    }

    /// While the circuit is in one generation, whether it is quiet is all of the sign that changes.
    fn show_quiet(&self, core: &MutexGuard<'_, Core>) {
        self.gate.show_word(core, self.word().with_quiet(core.circuit.is_quiet()).0);
    }

    /// Whether a call passes; who passes has a place, which is given back when it is dropped.
    pub(in super::super) fn admit(&'static self, now: &Now) -> Result<Place, Refusal> {
        if let Some(place) = self.pass_closed() {
            return Ok(place);
        }
        match self.refusal(now) {
            Some(refusal) => Err(refusal),
            None => self.ask_circuit(now),
        }
    }

    /// What an open circuit says, unless its time is over or it only observes.
    #[inline]
    pub(in super::super) fn refusal(&self, now: &Now) -> Option<Refusal> {
        let word = self.word();
        if word.is_forced_open() {
            return Some(Refusal::for_who_knows_how_long(word.reason()));
        }
        if !word.is_open() || word.only_observes() {
            return None;
        }
        let (until, now) = (Moment::from_nanos(self.gate.until()), now.moment());
        (now < until).then(|| Refusal::until(until, now, word.reason()))
    }

    /// The same by a clock that nobody has read yet. Apart from a call that passes, and its answer fits into registers.
    #[cold]
    #[inline(never)]
    pub(in super::super) fn refusal_now(&self) -> Option<Refusal> {
        self.refusal(&Now::unread())
    }

    /// A place for a call while every call passes.
    #[inline]
    pub(in super::super) fn pass_closed(&'static self) -> Option<Place> {
        let word = self.word();
        word.passes().then(|| Place::counted(self, word))
    }

    /// Lets a call pass that is none of the circuit's business.
    pub(super) fn pass(&'static self) -> Place {
        Place::uncounted(self, self.word())
    }

    #[cold]
    #[inline(never)]
    fn ask_circuit(&'static self, now: &Now) -> Result<Place, Refusal> {
        let now = now.moment();
        let admitted = self.act(|circuit, label| {
            let (admission, change) = circuit.admit(now);
            let is_observed = matches!(admission, Admission::Refuse(_)) && circuit.lets_refused_pass();
            if is_observed {
                circuit.note_would_have_refused();
            }
            ((admission, is_observed.then(|| label.clone()), Word::of(circuit)), change)
        });
        match admitted {
            (Admission::Pass(Admitted { ticket: Some(ticket), .. }), _, word) => Ok(Place::probe(self, word, ticket)),
            (Admission::Pass(_), _, word) => Ok(Place::counted(self, word)),
            (Admission::Refuse(refusal), None, _) => Err(refusal),
            (Admission::Refuse(refusal), Some(observed), word) => {
                telemetry::circuit_would_have_refused(&observed, refusal.reason);
                Ok(Place::uncounted(self, word))
            }
        }
    }

    /// Whether what was reserved for a call is still there for it.
    pub(super) fn holds(&self, admitted: Admitted) -> bool {
        self.lock().circuit.holds(admitted)
    }

    /// A good call, which changes nothing but what is counted.
    ///
    /// Apart, since a circuit of nothing but good calls has no need of it.
    #[inline(never)]
    pub(super) fn count_good(&self, generation: u64) {
        if !self.passing.take(generation, 0) {
            self.count_good_in_turn(generation);
        }
    }

    /// A good call of a circuit that counts by time. It is told the time, since to read it here would be to save registers
    /// for each call.
    #[inline(never)]
    pub(super) fn count_good_in_window(&self, word: Word, now: Moment) {
        let is_counted = self.stripes.get().is_some_and(|stripes| stripes.count(word.generation(), now));
        if !(is_counted && word.is_quiet()) {
            self.count_good_in_both(word, is_counted, now);
        }
    }

    #[cold]
    #[inline(never)]
    fn count_good_in_both(&self, word: Word, is_counted: bool, now: Moment) {
        if !is_counted {
            self.count_good_by_time(word.generation(), now);
        }
        if !word.is_quiet() {
            self.count_good(word.generation());
        }
    }

    #[cold]
    #[inline(never)]
    fn count_good_in_turn(&self, generation: u64) {
        let mut core = self.lock();
        let stale = core.circuit.stale();
        core.circuit.count_good(generation);
        self.show_quiet(&core);
        core.granted = core.circuit.ahead();
        self.passing.grant(core.granted, core.circuit.generation(), u64::MAX);
        let is_late = core.circuit.stale() > stale;
        let label = is_late.then(|| core.label.clone());
        drop(core);
        if let Some(label) = label {
            telemetry::circuit_ignored(&label);
        }
    }

    /// A good call of the time window, which the circuit does not count itself.
    fn count_good_by_time(&self, generation: u64, now: Moment) {
        let counted = match self.stripes.get() {
            Some(stripes) => stripes.record(generation, now),
            None => Counted::NotYet,
        };
        if counted == Counted::NotYet {
            self.begin_stripe(generation, now);
        }
    }

    fn begin_stripe(&self, generation: u64, now: Moment) {
        let core = self.lock();
        // Only the circuit knows how wide the buckets are, and whether the generation is still its own.
        let Some(buckets) = core.circuit.empty_window().filter(|_| core.circuit.generation() == generation) else {
            return;
        };
        let stripes = self.stripes.get_or_init(|| Stripes::new(&buckets));
        stripes.begin(generation, buckets);
        stripes.record(generation, now);
    }

    pub(super) fn settle(&self, admitted: Admitted, meaning: Meaning, is_slow: bool, now: Moment) {
        let late = self.act(|circuit, label| {
            let (stale, counted_in) = (circuit.stale(), circuit.counted_in());
            let good = || self.good_in_window(counted_in, now);
            let change = circuit.settle(admitted, meaning, is_slow, now, good);
            let is_late = circuit.stale() > stale;
            (is_late.then(|| label.clone()), change)
        });
        if let Some(label) = late {
            telemetry::circuit_ignored(&label);
        }
    }

    /// As the circuit's.
    pub(super) fn rest_probe(&self, admitted: Admitted) {
        self.lock().circuit.rest_probe(admitted);
    }

    /// As the circuit's.
    pub(super) fn call_probe(&self, admitted: Admitted, now: Moment) -> bool {
        self.lock().circuit.call_probe(admitted, now)
    }

    /// As the circuit's.
    pub(super) fn release(&self, admitted: Admitted) {
        self.lock().circuit.release(admitted);
    }

    /// The changes from now on.
    pub(super) fn listen(&self) -> Changes {
        let core = self.lock();
        core.delivery.listen(core.circuit.generation())
    }

    /// As the circuit's.
    pub(super) fn is_forgettable(&self, now: Moment) -> bool {
        self.lock().circuit.is_forgettable(now)
    }

    pub(super) fn slow_from(&self) -> Moment {
        Moment::from_nanos(self.gate.slow_from())
    }

    pub(super) fn change(&self, action: impl FnOnce(&mut Circuit) -> Change) {
        self.act(|circuit, _| ((), Some(action(circuit))));
    }

    /// The same for an action that goes on with what the window has counted.
    pub(super) fn change_and_keep(&self, action: impl FnOnce(&mut Circuit, &[Buckets]) -> Change) {
        self.change(|circuit| {
            let good = self.stripes.get().map(|stripes| stripes.take(circuit.counted_in())).unwrap_or_default();
            action(circuit, &good)
        });
    }

    pub(super) fn snapshot(&self, now: Moment) -> Snapshot {
        let circuit = &mut self.lock().circuit;
        let counted_in = circuit.counted_in();
        circuit.snapshot(now, || self.good_in_window(counted_in, now))
    }

    fn good_in_window(&self, generation: u64, now: Moment) -> u32 {
        self.stripes.get().map_or(0, |stripes| stripes.sum(generation, now))
    }
}

/// Whether those who wait for the service may be refused now.
const fn refuses_some(state: State) -> bool {
    matches!(state, State::Open | State::HalfOpen | State::ForcedOpen)
}

#[cfg(test)]
std::thread_local! {
    /// How often this thread has locked a circuit.
    pub(super) static LOCKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}
