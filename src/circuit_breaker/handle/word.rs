use crate::circuit_breaker::state::{Circuit, State};
use crate::rejection::TripReason;

/// All that a call has to know of a circuit before it passes, in one number: bits for the state, the reason and what a
/// call has to do, and the generation above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

const STATE: u64 = 0b111;
/// Of the states in which not every call passes.
const ASKS: u64 = 0b100;
const QUIET: u64 = 1 << 3;
const TIMED: u64 = 1 << 4;
const WINDOWED: u64 = 1 << 5;
const OBSERVED: u64 = 1 << 6;
const DROPPED_FAILS: u64 = 1 << 7;
const REASON: u32 = 8;
/// Whether a good call changes nothing at all, which is said in one bit because every call asks.
const SKIPS_GOOD: u64 = 1 << 11;
/// Whether a good call is counted however long it took, in one bit for the same reason.
const COUNTS_GOOD: u64 = 1 << 12;
const GENERATION: u32 = 13;

const CLOSED: u64 = 0;
const FORCED_CLOSED: u64 = 1;
const DISABLED: u64 = 2;
const OPEN: u64 = ASKS;
const HALF_OPEN: u64 = ASKS | 1;
const FORCED_OPEN: u64 = ASKS | 2;

pub(super) const REASONS: [TripReason; 8] = [
    TripReason::ConsecutiveFailures,
    TripReason::FailureRateOfLastCalls,
    TripReason::SlowRateOfLastCalls,
    TripReason::FailureRateInTimeWindow,
    TripReason::SlowRateInTimeWindow,
    TripReason::ProbeFailed,
    TripReason::ProbeExpired,
    TripReason::ForcedOpen,
];

impl Word {
    pub(super) fn of(circuit: &Circuit) -> Self {
        let state = match circuit.state() {
            State::Closed => CLOSED,
            State::ForcedClosed => FORCED_CLOSED,
            State::Disabled => DISABLED,
            State::Open => OPEN,
            State::HalfOpen => HALF_OPEN,
            State::ForcedOpen => FORCED_OPEN,
        };
        let reason = REASONS.iter().position(|reason| Some(*reason) == circuit.reason()).unwrap_or_default() as u64;
        let counts = circuit.state() != State::Disabled;
        let is_timed = counts && circuit.rules().slow_call_threshold.is_some();
        let bit = |bit, is_set| if is_set { bit } else { 0 };
        Self(
            state
                | bit(TIMED, is_timed)
                | bit(COUNTS_GOOD, state & ASKS == 0 && !is_timed)
                | bit(WINDOWED, counts && circuit.rules().time_window.is_some())
                | bit(OBSERVED, circuit.observe_only())
                | bit(DROPPED_FAILS, circuit.rules().dropped_fails)
                | reason << REASON
                | circuit.generation() << GENERATION,
        )
        .with_quiet(circuit.is_quiet())
    }

    /// The same, for a circuit that has become quiet, or is not any more.
    pub(super) const fn with_quiet(self, is_quiet: bool) -> Self {
        let quiet = if is_quiet { QUIET } else { 0 };
        let skips = if is_quiet && self.0 & COUNTS_GOOD != 0 && !self.is_windowed() { SKIPS_GOOD } else { 0 };
        Self(self.0 & !(QUIET | SKIPS_GOOD) | quiet | skips)
    }

    /// What a call has that is none of the circuit's business.
    pub(super) const fn of_nobody(self) -> Self {
        Self(self.0 & !STATE | FORCED_OPEN)
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 >> GENERATION
    }

    pub(super) const fn is_of(self, generation: u64) -> bool {
        self.generation() == generation
    }

    pub(super) const fn state(self) -> State {
        match self.0 & STATE {
            FORCED_CLOSED => State::ForcedClosed,
            DISABLED => State::Disabled,
            OPEN => State::Open,
            HALF_OPEN => State::HalfOpen,
            FORCED_OPEN => State::ForcedOpen,
            _ => State::Closed,
        }
    }

    /// Whether every call passes.
    pub(super) const fn passes(self) -> bool {
        self.0 & ASKS == 0
    }

    pub(super) const fn is_open(self) -> bool {
        self.0 & STATE == OPEN
    }

    pub(super) const fn is_half_open(self) -> bool {
        self.0 & STATE == HALF_OPEN
    }

    pub(super) const fn is_forced_open(self) -> bool {
        self.0 & STATE == FORCED_OPEN
    }

    /// Why it is open, if it is.
    pub(super) const fn reason(self) -> TripReason {
        REASONS[(self.0 >> REASON) as usize % REASONS.len()]
    }

    /// Whether another good call changes nothing, apart from the time window.
    pub(super) const fn is_quiet(self) -> bool {
        self.0 & QUIET != 0
    }

    /// Whether a good call that began under `admitted` changes nothing at all. Within a generation a word differs in no
    /// more than that.
    #[inline]
    pub(super) const fn is_indifferent_to(self, admitted: Self) -> bool {
        self.beyond_good_calls(admitted) == 0
    }

    /// Whether a good call that began under `admitted` is counted, however long it took.
    #[inline]
    pub(super) const fn counts_good_of(self, admitted: Self) -> bool {
        self.beyond_good_calls(admitted) & !(QUIET | SKIPS_GOOD) == 0
    }

    /// The bits in which the circuit is not what `admitted` saw, with good calls at their easiest: quiet, and none of them
    /// timed or left out.
    #[inline]
    const fn beyond_good_calls(self, admitted: Self) -> u64 {
        self.0 ^ (admitted.0 | QUIET | SKIPS_GOOD | COUNTS_GOOD)
    }

    /// Whether it matters how long a call takes.
    pub(super) const fn is_timed(self) -> bool {
        self.0 & TIMED != 0
    }

    /// Whether good calls are counted by time.
    pub(super) const fn is_windowed(self) -> bool {
        self.0 & WINDOWED != 0
    }

    /// Whether nothing is refused in earnest.
    pub(super) const fn only_observes(self) -> bool {
        self.0 & OBSERVED != 0
    }

    /// Whether a call that is dropped counts as failed.
    pub(super) const fn dropped_fails(self) -> bool {
        self.0 & DROPPED_FAILS != 0
    }
}
