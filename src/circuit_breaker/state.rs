mod buckets;
mod open_times;
mod probes;
mod report;
mod ring;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use self::buckets::Buckets;
use self::open_times::OpenTimes;
use self::probes::Probes;
pub use self::report::{Change, Counts, ProbeCounts, Snapshot, State};
use self::ring::Ring;
use super::config::{Rate, Rates, Rules};
use crate::clock::Moment;
use crate::jitter::Jitter;
use crate::rejection::TripReason;

/// What a call's end means to a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Good,
    /// The service failed, and may have said for how long it wants to be left alone.
    Failed {
        hint: Option<Duration>,
    },
    /// The service wants to be called less: no failure while it is closed, no good sign from a probe.
    Throttled {
        hint: Option<Duration>,
    },
    Neutral,
}

/// A call that was let through, by what the circuit has to know of it when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) generation: u64,
    /// Of a probe.
    pub(super) ticket: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Pass(Admitted),
    Refuse(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: TripReason,
    /// What is left of the open time in nanoseconds; as many as there can be where nobody knows.
    pub(super) left: u64,
}

impl Refusal {
    #[inline]
    pub(super) const fn until(until: Moment, now: Moment, reason: TripReason) -> Self {
        Self { reason, left: until.to_nanos().saturating_sub(now.to_nanos()) }
    }

    #[inline]
    pub(super) const fn for_who_knows_how_long(reason: TripReason) -> Self {
        Self { reason, left: u64::MAX }
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed { since: Moment },
    Open { until: Moment, reason: TripReason },
    HalfOpen { reason: TripReason },
    ForcedOpen,
    ForcedClosed,
    Disabled,
}

/// The whole decision: which calls pass, and when that changes.
///
/// Good calls within a time window are not counted here, since there may be millions of them on many threads; whoever
/// counts them says how many there are when it is asked for.
#[derive(Debug)]
pub(super) struct Circuit {
    rules: Rules,
    phase: Phase,
    generation: u64,
    /// What was admitted before is none of this circuit's business.
    first_generation: u64,
    streak: u32,
    ring: Option<Ring>,
    window: Option<Buckets>,
    /// The generation in which the windows were counted.
    counted_in: u64,
    probes: Probes,
    open_times: OpenTimes,
    trips: u64,
    stale: u64,
    observe_only: bool,
    would_have_refused: u64,
}

impl Circuit {
    /// Closed, and in that generation.
    pub(super) fn new(rules: Rules, observe_only: bool, generation: u64, jitter: Jitter, now: Moment) -> Self {
        Self {
            phase: Phase::Closed { since: now },
            generation,
            first_generation: generation,
            streak: 0,
            ring: rules.last_calls.map(|(calls, _)| Ring::new(calls)),
            window: rules.time_window.map(|(length, _)| Buckets::new(length)),
            counted_in: generation,
            probes: Probes::with_places(rules.permitted_probes),
            open_times: OpenTimes::new(jitter),
            trips: 0,
            stale: 0,
            observe_only,
            would_have_refused: 0,
            rules,
        }
    }

    pub(super) const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// The generation in which good calls within the time window count.
    pub(super) const fn counted_in(&self) -> u64 {
        self.counted_in
    }

    /// A time window in which nothing was counted, if there is a rule for one.
    pub(super) fn empty_window(&self) -> Option<Buckets> {
        self.window.as_ref().map(Buckets::emptied)
    }

    /// How many answers came too late to mean anything.
    pub(super) const fn stale(&self) -> u64 {
        self.stale
    }

    /// Whether nothing is refused in earnest. What somebody has forced is always meant.
    pub(super) const fn lets_refused_pass(&self) -> bool {
        self.observe_only && !matches!(self.phase, Phase::ForcedOpen)
    }

    pub(super) const fn observe_only(&self) -> bool {
        self.observe_only
    }

    pub(super) const fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::ForcedClosed => State::ForcedClosed,
            Phase::Disabled => State::Disabled,
        }
    }

    pub(super) const fn reason(&self) -> Option<TripReason> {
        match self.phase {
            Phase::Open { reason, .. } | Phase::HalfOpen { reason } => Some(reason),
            Phase::ForcedOpen => Some(TripReason::ForcedOpen),
            Phase::Closed { .. } | Phase::ForcedClosed | Phase::Disabled => None,
        }
    }

    /// Until when it is open, if it is.
    pub(super) const fn open_until(&self) -> Option<Moment> {
        match self.phase {
            Phase::Open { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Whether another good call would change nothing, apart from the time window.
    pub(super) fn is_quiet(&self) -> bool {
        match self.phase {
            Phase::Disabled => true,
            _ => self.streak == 0 && self.ring.as_ref().is_none_or(Ring::is_full_of_good),
        }
    }

    /// Whether a call passes.
    pub(super) fn admit(&mut self, now: Moment) -> (Admission, Option<Change>) {
        let change = match self.phase {
            Phase::Open { until, reason } if now >= until => {
                self.probes.start_over();
                Some(self.begin(Phase::HalfOpen { reason }, None, now))
            }
            Phase::HalfOpen { .. } => {
                let expired = self.probes.expire(now);
                (expired > 0).then(|| self.probe_failed(expired, TripReason::ProbeExpired, None, now)).flatten()
            }
            _ => None,
        };
        (self.admit_in_phase(now), change)
    }

    fn admit_in_phase(&mut self, now: Moment) -> Admission {
        let pass = |ticket| Admission::Pass(Admitted { generation: self.generation, ticket });
        match self.phase {
            Phase::Closed { .. } | Phase::ForcedClosed | Phase::Disabled => pass(None),
            Phase::Open { until, reason } => Admission::Refuse(Refusal::until(until, now, reason)),
            Phase::ForcedOpen => Admission::Refuse(Refusal::for_who_knows_how_long(TripReason::ForcedOpen)),
            Phase::HalfOpen { reason } => {
                match self.probes.take_place(self.rules.permitted_probes, now + self.rules.probe_lease) {
                    Some(ticket) => pass(Some(ticket)),
                    None => Admission::Refuse(Refusal::for_who_knows_how_long(reason)),
                }
            }
        }
    }

    /// Whether a probe that has not begun may still do so.
    pub(super) fn holds(&self, admitted: Admitted) -> bool {
        admitted.generation == self.generation && admitted.ticket.is_none_or(|ticket| self.probes.holds(ticket))
    }

    /// A probe that has not been made yet waits for somebody to make it.
    pub(super) fn rest_probe(&mut self, admitted: Admitted) {
        if let (Some(ticket), true) = (admitted.ticket, admitted.generation == self.generation) {
            self.probes.rest(ticket);
        }
    }

    /// Whether nothing is lost when the circuit is forgotten: it refuses no calls, waits for no probe and is in nobody's
    /// hand.
    pub(super) fn is_forgettable(&self, now: Moment) -> bool {
        match self.phase {
            Phase::Closed { .. } => true,
            Phase::Open { until, .. } => now >= until,
            Phase::HalfOpen { .. } => !self.probes.has_any(now),
            Phase::ForcedOpen | Phase::ForcedClosed | Phase::Disabled => false,
        }
    }

    /// A probe asks something of the service: first whether it is ready, then the call itself, each with a lease of its
    /// own. `false` if it has no place any more.
    pub(super) fn call_probe(&mut self, admitted: Admitted, now: Moment) -> bool {
        let lease_ends = now + self.rules.probe_lease;
        admitted.generation == self.generation
            && admitted.ticket.is_none_or(|ticket| self.probes.call(ticket, lease_ends))
    }

    /// A call ends without having asked anything, or too late to mean anything.
    pub(super) fn release(&mut self, admitted: Admitted) {
        if let (Some(ticket), true) = (admitted.ticket, admitted.generation >= self.first_generation) {
            self.probes.give_back(ticket);
        }
    }

    /// How many good calls at least would change neither a count nor anything else to be seen.
    pub(super) fn ahead(&self) -> u32 {
        if self.streak == 0 { self.ring.as_ref().map_or(0, Ring::ahead) } else { 0 }
    }

    /// Takes in so many of these.
    pub(super) fn pass_good(&mut self, calls: u32) {
        if let Some(ring) = &mut self.ring {
            ring.pass_good(calls);
        }
    }

    /// A call ended well and was not slow, which opens and closes nothing.
    pub(super) fn count_good(&mut self, generation: u64) {
        if self.is_current(generation) {
            self.streak = 0;
            if let Some(ring) = &mut self.ring {
                ring.record(Counts::of(false, false));
            }
        }
    }

    /// Whether an answer still means something; one that does not is counted as stale.
    const fn is_current(&mut self, generation: u64) -> bool {
        if generation == self.generation {
            return true;
        }
        self.stale += (generation >= self.first_generation) as u64;
        false
    }

    /// A call ended otherwise, or was a probe. `good_in_window` says how many good calls there were within the time window.
    pub(super) fn settle(
        &mut self,
        admitted: Admitted,
        meaning: Meaning,
        is_slow: bool,
        now: Moment,
        good_in_window: impl FnOnce() -> u32,
    ) -> Option<Change> {
        if let Some(ticket) = admitted.ticket {
            return self.settle_probe(admitted.generation, ticket, meaning, is_slow, now);
        }
        if !self.is_current(admitted.generation) || matches!(self.phase, Phase::Disabled) {
            return None;
        }
        let (failed, hint) = match meaning {
            Meaning::Good if is_slow => (false, None),
            Meaning::Failed { hint } => (true, hint),
            Meaning::Good => {
                self.count_good(admitted.generation);
                return None;
            }
            Meaning::Throttled { .. } | Meaning::Neutral => return None,
        };
        let call = Counts::of(failed, is_slow);
        self.streak = if failed { self.streak.saturating_add(1) } else { 0 };
        if let Some(ring) = &mut self.ring {
            ring.record(call);
        }
        if let Some(window) = &mut self.window {
            window.record(call, now);
        }
        let Phase::Closed { since } = self.phase else {
            return None;
        };
        let reason = self.tripped(now, good_in_window)?;
        if now.since(since) >= self.rules.stable_after {
            self.open_times.start_over();
        }
        Some(self.open(reason, hint, now))
    }

    /// The first rule that holds.
    fn tripped(&mut self, now: Moment, good_in_window: impl FnOnce() -> u32) -> Option<TripReason> {
        if self.rules.consecutive_failures.is_some_and(|most| self.streak >= most) {
            return Some(TripReason::ConsecutiveFailures);
        }
        let of_rates = |counts, rates: Rates, failures, slow| {
            let Counts { calls, .. } = counts;
            let reaches = |rate: Rate, part: u32| rate.is_reached(part.into(), calls.into());
            if calls < rates.minimum_calls {
                None
            } else if reaches(rates.failures, counts.failures) {
                Some(failures)
            } else if rates.slow.is_some_and(|rate| reaches(rate, counts.slow)) {
                Some(slow)
            } else {
                None
            }
        };
        if let (Some(ring), Some((_, rates))) = (&self.ring, self.rules.last_calls) {
            let (failures, slow) = (TripReason::FailureRateOfLastCalls, TripReason::SlowRateOfLastCalls);
            if let Some(reason) = of_rates(ring.counts(), rates, failures, slow) {
                return Some(reason);
            }
        }
        if let (Some(window), Some((_, rates))) = (&mut self.window, self.rules.time_window) {
            let (failures, slow) = (TripReason::FailureRateInTimeWindow, TripReason::SlowRateInTimeWindow);
            let mut counts = window.sum(now);
            counts.calls = counts.calls.saturating_add(good_in_window());
            return of_rates(counts, rates, failures, slow);
        }
        None
    }

    fn settle_probe(
        &mut self,
        generation: u64,
        ticket: u32,
        meaning: Meaning,
        is_slow: bool,
        now: Moment,
    ) -> Option<Change> {
        let is_known = generation >= self.first_generation;
        let Some(lease_ends) = is_known.then(|| self.probes.give_back(ticket)).flatten() else {
            self.stale += u64::from(is_known);
            return None;
        };
        if generation != self.generation {
            self.stale += 1;
            return None;
        }
        if now >= lease_ends {
            return self.probe_failed(1, TripReason::ProbeExpired, None, now);
        }
        match meaning {
            Meaning::Good if !is_slow => {
                self.probes.successes += 1;
                (self.probes.successes >= self.rules.successes_to_close).then(|| self.close(now))
            }
            Meaning::Good => self.probe_failed(1, TripReason::ProbeFailed, None, now),
            Meaning::Failed { hint } | Meaning::Throttled { hint } => {
                self.probe_failed(1, TripReason::ProbeFailed, hint, now)
            }
            Meaning::Neutral => None,
        }
    }

    fn probe_failed(
        &mut self,
        failures: u32,
        reason: TripReason,
        hint: Option<Duration>,
        now: Moment,
    ) -> Option<Change> {
        self.probes.failures = self.probes.failures.saturating_add(failures);
        (self.probes.failures > self.rules.allowed_failures).then(|| self.open(reason, hint, now))
    }

    fn open(&mut self, reason: TripReason, hint: Option<Duration>, now: Moment) -> Change {
        self.trips += 1;
        let hint = hint.unwrap_or_default().min(self.rules.longest_hint);
        let until = now + self.open_times.next(&self.rules).max(hint);
        self.begin(Phase::Open { until, reason }, Some(reason), now)
    }

    fn close(&mut self, now: Moment) -> Change {
        let change = self.begin(Phase::Closed { since: now }, None, now);
        self.forget();
        change
    }

    /// Begins a generation; what was admitted before changes nothing any more.
    fn begin(&mut self, phase: Phase, reason: Option<TripReason>, now: Moment) -> Change {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        Change { from, to: self.state(), reason, generation: self.generation, at: now }
    }

    /// Nobody asks it any more, and answers that are still to come mean nothing.
    pub(super) fn retire(&mut self) {
        self.disable(Moment::EPOCH);
        self.first_generation = self.generation;
        (self.ring, self.window, self.probes) = (None, None, Probes::default());
    }

    /// Counts from here on.
    fn forget(&mut self) {
        self.streak = 0;
        self.counted_in = self.generation;
        if let Some(ring) = &mut self.ring {
            ring.clear();
        }
        if let Some(window) = &mut self.window {
            *window = window.emptied();
        }
    }

    pub(super) fn force_open(&mut self, now: Moment) -> Change {
        self.begin(Phase::ForcedOpen, Some(TripReason::ForcedOpen), now)
    }

    pub(super) fn force_closed(&mut self, now: Moment) -> Change {
        let change = self.begin(Phase::ForcedClosed, None, now);
        self.forget();
        change
    }

    pub(super) fn disable(&mut self, now: Moment) -> Change {
        let change = self.begin(Phase::Disabled, None, now);
        self.forget();
        change
    }

    /// Closed, as if it were new.
    pub(super) fn reset(&mut self, now: Moment) -> Change {
        self.open_times.start_over();
        self.close(now)
    }

    /// Goes on as it is, and refuses in earnest or not. `good` are the good calls that were counted elsewhere.
    pub(super) fn set_observe_only(&mut self, observe_only: bool, good: &[Buckets], now: Moment) -> Change {
        self.observe_only = observe_only;
        self.absorb(good);
        self.begin_alike(now)
    }

    /// Goes on as it is under other rules. `good` are the good calls that were counted elsewhere.
    pub(super) fn reconfigure(&mut self, rules: Rules, observe_only: bool, good: &[Buckets], now: Moment) -> Change {
        self.observe_only = observe_only;
        self.absorb(good);
        self.ring = rules.last_calls.map(|(calls, _)| match &self.ring {
            Some(ring) => ring.resized(calls),
            None => Ring::new(calls),
        });
        self.window = rules.time_window.map(|(length, _)| {
            let mut window = Buckets::new(length);
            if let Some(counted) = &mut self.window {
                counted.sum(now);
                window.absorb(counted);
            }
            window
        });
        self.rules = rules;
        self.begin_alike(now)
    }

    fn absorb(&mut self, good: &[Buckets]) {
        if let Some(window) = &mut self.window {
            good.iter().for_each(|counted| window.absorb(counted));
        }
    }

    fn begin_alike(&mut self, now: Moment) -> Change {
        self.probes.disregard();
        let change = self.begin(self.phase, self.reason(), now);
        self.counted_in = self.generation;
        change
    }

    pub(super) const fn note_would_have_refused(&mut self) {
        self.would_have_refused += 1;
    }

    /// `good_in_window` as in [`settle`](Self::settle).
    pub(super) fn snapshot(&mut self, now: Moment, good_in_window: impl FnOnce() -> u32) -> Snapshot {
        let is_half_open = matches!(self.phase, Phase::HalfOpen { .. });
        Snapshot {
            state: self.state(),
            generation: self.generation,
            reason: self.reason(),
            time_left: self.open_until().map(|until| until.since(now)),
            consecutive_failures: self.streak,
            last_calls: self.ring.as_ref().map(Ring::counts),
            time_window: self.window.as_mut().map(|window| {
                let mut counts = window.sum(now);
                counts.calls = counts.calls.saturating_add(good_in_window());
                counts
            }),
            probes: is_half_open.then(|| ProbeCounts {
                in_flight: u32::try_from(self.probes.in_flight()).unwrap_or(u32::MAX),
                successes: self.probes.successes,
                failures: self.probes.failures,
            }),
            trips: self.trips,
            stale: self.stale,
            observe_only: self.observe_only,
            would_have_refused: self.would_have_refused,
        }
    }
}
