use super::*;
use crate::circuit_breaker::config::{CircuitBreakerConfig, LastCalls, OpenFor, TimeWindow};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const T0: Moment = Moment::EPOCH;

/// A circuit with its good calls counted beside it, as its caller has to.
struct Told {
    circuit: Circuit,
    good: Buckets,
}

fn told(config: &CircuitBreakerConfig) -> Told {
    let rules = config.rules().expect("valid");
    let length = rules.time_window.map_or(SEC, |(length, _)| length);
    Told { circuit: Circuit::new(rules, false, 1, Jitter::seeded(1), T0), good: Buckets::new(length) }
}

/// Trips at the first failure; open for 10 s.
fn new() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new().consecutive_failures(1).open_for(OpenFor::fixed(10 * SEC))
}

const FAILED: Meaning = Meaning::Failed { hint: None };

impl Told {
    fn admit(&mut self, at: Moment) -> Result<Admitted, Refusal> {
        match self.circuit.admit(at).0 {
            Admission::Pass(admitted) => Ok(admitted),
            Admission::Refuse(refusal) => Err(refusal),
        }
    }

    fn pass(&mut self, at: Moment) -> Admitted {
        self.admit(at).expect("it passes")
    }

    fn settle(&mut self, admitted: Admitted, meaning: Meaning, is_slow: bool, at: Moment) -> Option<Change> {
        if meaning == Meaning::Good && !is_slow {
            self.good.record_good(at);
        }
        let good = &mut self.good;
        self.circuit.settle(admitted, meaning, is_slow, at, || good.sum(at).calls)
    }

    fn call(&mut self, meaning: Meaning, at: Moment) -> Option<Change> {
        let admitted = self.pass(at);
        self.settle(admitted, meaning, false, at)
    }

    /// So many calls that end alike; the number of the one that opened the circuit.
    fn calls(&mut self, meaning: Meaning, count: u32, at: Moment) -> Option<u32> {
        (1..=count).find(|_| self.call(meaning, at).is_some())
    }

    /// Open since `at`, by one failure.
    fn tripped(mut self, at: Moment) -> Self {
        assert_eq!(self.call(FAILED, at).map(|change| change.to), Some(State::Open));
        self
    }

    fn left(&mut self, at: Moment) -> Duration {
        Duration::from_nanos(self.admit(at).expect_err("open").left)
    }

    fn state(&self) -> State {
        self.circuit.state()
    }

    fn stale(&self) -> u64 {
        self.circuit.stale()
    }
}

#[test]
fn failures_in_a_row_trip_and_a_success_ends_the_row() {
    let mut told = told(&new().consecutive_failures(3));
    assert_eq!(told.calls(FAILED, 2, T0), None);
    assert_eq!(told.calls(Meaning::Good, 1, T0), None);
    assert_eq!(told.calls(FAILED, 2, T0), None);
    let change = told.call(FAILED, T0 + SEC).expect("the third in a row");
    let expected = Change {
        from: State::Closed,
        to: State::Open,
        reason: Some(TripReason::ConsecutiveFailures),
        generation: 2,
        at: T0 + SEC,
    };
    assert_eq!(change, expected);
}

/// A breaker whose classifier knows success and failure alone takes a 429 for a success, and never trips while one comes
/// between any two failures.
#[test]
fn a_neutral_answer_neither_counts_nor_ends_a_row() {
    let mut told = told(&new().consecutive_failures(3));
    for meaning in [FAILED, Meaning::Neutral, FAILED, Meaning::Throttled { hint: Some(SEC) }] {
        assert_eq!(told.call(meaning, T0), None);
    }
    assert_eq!(told.call(FAILED, T0).map(|change| change.to), Some(State::Open));
}

/// A window that only adds up: after 100 000 successes it took 100 000 failures to open.
#[test]
fn good_calls_of_long_ago_do_not_outweigh_failures() {
    for good in [0, 100, 1_000, 100_000] {
        let rule = LastCalls::new(100).failure_rate(0.6).minimum_calls(60);
        let mut told = told(&CircuitBreakerConfig::new().last_calls(rule));
        assert_eq!(told.calls(Meaning::Good, good, T0), None);
        assert_eq!(told.calls(FAILED, 1000, T0), Some(60), "after {good} good calls");
        assert_eq!(told.circuit.reason(), Some(TripReason::FailureRateOfLastCalls));
    }
}

/// The minimum was dead where the window had to be full as well.
#[test]
fn the_minimum_is_enough_before_all_of_the_last_calls_were_made() {
    let rule = |minimum| CircuitBreakerConfig::new().last_calls(LastCalls::new(100).minimum_calls(minimum));
    assert_eq!(told(&rule(5)).calls(FAILED, 100, T0), Some(5));
    assert_eq!(told(&rule(100)).calls(FAILED, 100, T0), Some(100));
    let by_time = |minimum| CircuitBreakerConfig::new().time_window(TimeWindow::new(SEC).minimum_calls(minimum));
    assert_eq!(told(&by_time(5)).calls(FAILED, 100, T0), Some(5));
}

#[test]
fn a_rate_is_exact() {
    for (rate, needed) in [(0.07, 7), (0.29, 29), (0.57, 57), (0.58, 58), (1.0, 100)] {
        let mut told = told(&CircuitBreakerConfig::new().last_calls(LastCalls::new(100).failure_rate(rate)));
        assert_eq!(told.calls(Meaning::Good, 100, T0), None);
        assert_eq!(told.calls(FAILED, 100, T0), Some(needed), "{rate}");
    }
}

#[test]
fn a_rule_is_looked_at_when_a_call_is_bad_so_a_good_one_never_opens() {
    let mut told = told(&CircuitBreakerConfig::new().last_calls(LastCalls::new(20).minimum_calls(20)));
    assert_eq!(told.calls(FAILED, 10, T0), None);
    assert_eq!(told.calls(Meaning::Good, 10, T0), None, "half of the twenty failed");
    assert_eq!(told.calls(FAILED, 10, T0), Some(1));
}

#[test]
fn a_window_of_time_forgets() {
    let rule = TimeWindow::new(10 * SEC).failure_rate(0.5).minimum_calls(4);
    let mut told = told(&CircuitBreakerConfig::new().time_window(rule));
    assert_eq!(told.calls(FAILED, 3, T0), None, "too few");
    assert_eq!(told.calls(FAILED, 3, T0 + 10 * SEC), None, "the others are forgotten");
    assert_eq!(told.calls(Meaning::Good, 5, T0 + 11 * SEC), None);
    assert_eq!(told.calls(FAILED, 9, T0 + 12 * SEC), Some(2), "5 of 10");
    assert_eq!(told.circuit.reason(), Some(TripReason::FailureRateInTimeWindow));
}

#[test]
fn slow_calls_trip_by_their_own_rate_whether_or_not_they_fail() {
    let last = LastCalls::new(10).slow_rate(0.5).minimum_calls(10);
    let config = CircuitBreakerConfig::new().last_calls(last).slow_call_threshold(SEC);
    let mut told = told(&config);
    let slow = |told: &mut Told, meaning| {
        let admitted = told.pass(T0);
        told.settle(admitted, meaning, true, T0)
    };
    assert_eq!(told.calls(Meaning::Good, 6, T0), None);
    for meaning in [Meaning::Good, FAILED, Meaning::Good] {
        assert_eq!(slow(&mut told, meaning), None);
    }
    assert_eq!(slow(&mut told, Meaning::Good), None, "4 of 10");
    let reason = slow(&mut told, Meaning::Good).expect("5 of 10").reason;
    assert_eq!(reason, Some(TripReason::SlowRateOfLastCalls));
}

#[test]
fn the_first_rule_of_those_that_hold_is_the_reason() {
    let all = CircuitBreakerConfig::new()
        .consecutive_failures(4)
        .last_calls(LastCalls::new(4).slow_rate(1.0))
        .time_window(TimeWindow::new(SEC).slow_rate(1.0).minimum_calls(4))
        .slow_call_threshold(SEC);
    let reason_of = |config: &CircuitBreakerConfig, calls: [Meaning; 4]| {
        let mut told = told(config);
        let mut last = None;
        for meaning in calls {
            let admitted = told.pass(T0);
            last = told.settle(admitted, meaning, true, T0);
        }
        last.expect("the fourth call trips").reason.expect("it opened")
    };
    assert_eq!(reason_of(&all, [FAILED; 4]), TripReason::ConsecutiveFailures);
    let mixed = [FAILED, FAILED, Meaning::Good, FAILED];
    assert_eq!(reason_of(&all, mixed), TripReason::FailureRateOfLastCalls);
    assert_eq!(reason_of(&all, [Meaning::Good; 4]), TripReason::SlowRateOfLastCalls);
    let by_time = CircuitBreakerConfig::new()
        .time_window(TimeWindow::new(SEC).slow_rate(1.0).minimum_calls(4))
        .slow_call_threshold(SEC);
    assert_eq!(reason_of(&by_time, mixed), TripReason::FailureRateInTimeWindow);
    assert_eq!(reason_of(&by_time, [Meaning::Good; 4]), TripReason::SlowRateInTimeWindow);
}

#[test]
fn an_open_circuit_refuses_for_its_time_and_then_probes() {
    let mut told = told(&new()).tripped(T0);
    assert_eq!(told.left(T0), 10 * SEC);
    assert_eq!(told.left(T0 + 9999 * MS), MS);
    let (admission, change) = told.circuit.admit(T0 + 10 * SEC);
    assert!(matches!(admission, Admission::Pass(Admitted { ticket: Some(_), .. })));
    let change = change.expect("half-open");
    assert_eq!((change.from, change.to, change.reason), (State::Open, State::HalfOpen, None));
}

#[test]
fn sixty_idle_days_cost_nothing() {
    let days = 60 * 86_400 * SEC;
    let mut told = told(&new()).tripped(T0);
    let probe = told.pass(T0 + days);
    assert_eq!(told.settle(probe, Meaning::Good, false, T0 + days).map(|change| change.to), Some(State::Closed));
    assert_eq!(told.call(FAILED, T0 + 2 * days).map(|change| change.to), Some(State::Open));
    assert_eq!(told.left(T0 + 2 * days), 10 * SEC);
    assert_eq!(told.admit(Moment::MAX).map(|admitted| admitted.ticket.is_some()), Ok(true));
}

#[test]
fn time_that_runs_backwards_is_no_time_passed() {
    let mut told = told(&new()).tripped(T0 + 100 * SEC);
    assert!(told.admit(T0).is_err());
    let probe = told.pass(T0 + 110 * SEC);
    assert_eq!(told.settle(probe, Meaning::Good, false, T0).map(|change| change.to), Some(State::Closed));
}

#[test]
fn each_time_in_a_row_is_twice_as_long_up_to_the_longest() {
    let config = new().open_for(OpenFor::exponential(SEC, 5 * SEC));
    let mut told = told(&config).tripped(T0);
    let mut at = T0;
    for seconds in [1, 2, 4, 5, 5] {
        assert_eq!(told.left(at), seconds * SEC);
        at = at + seconds * SEC;
        assert!(told.call(FAILED, at).is_some(), "the probe fails");
    }
}

#[test]
fn a_stable_time_closed_starts_the_open_times_over() {
    let config = new().open_for(OpenFor::exponential(SEC, 60 * SEC)).stable_after(30 * SEC);
    for (closed, expected) in [(29 * SEC, 2 * SEC), (30 * SEC, SEC)] {
        let mut told = told(&config).tripped(T0);
        told.call(Meaning::Good, T0 + SEC).expect("closed");
        told.call(FAILED, T0 + SEC + closed).expect("open");
        assert_eq!(told.left(T0 + SEC + closed), expected, "after {closed:?}");
    }
}

#[test]
fn jitter_shortens_and_never_exceeds_the_longest() {
    let config = new().open_for(OpenFor::exponential(SEC, 4 * SEC).jitter(0.5));
    let mut told = told(&config).tripped(T0);
    let mut at = T0;
    let mut lefts = Vec::new();
    for _ in 0..200 {
        let left = told.left(at);
        lefts.push(left);
        at = at + left;
        assert!(told.call(FAILED, at).is_some());
    }
    assert!(SEC / 2 <= lefts[0] && lefts[0] <= SEC, "{:?}", lefts[0]);
    let longest = &lefts[2..];
    assert!(longest.iter().all(|left| (2 * SEC..=4 * SEC).contains(left)));
    assert!(longest.iter().any(|left| *left < 5 * SEC / 2) && longest.iter().any(|left| *left > 7 * SEC / 2));
}

#[test]
fn no_open_time_is_too_long_for_jitter() {
    let mut told = told(&new().open_for(OpenFor::fixed(Duration::MAX).jitter(1e-9))).tripped(T0);
    assert!(told.left(T0) > 500 * (365 * 86_400 * SEC));
}

#[test]
fn the_answer_that_opens_may_ask_for_more_time_up_to_the_longest() {
    let after = |hint, longest| {
        let mut told = told(&new().longest_hint(longest));
        told.call(Meaning::Failed { hint }, T0).expect("open");
        told.left(T0)
    };
    let minute = 60 * SEC;
    assert_eq!(after(None, minute), 10 * SEC);
    assert_eq!(after(Some(5 * SEC), minute), 10 * SEC, "it cannot shorten");
    assert_eq!(after(Some(30 * SEC), minute), 30 * SEC);
    assert_eq!(after(Some(Duration::MAX), minute), minute);
    assert_eq!(after(Some(30 * SEC), Duration::ZERO), 10 * SEC);
}

#[test]
fn a_throttled_probe_fails_and_its_hint_extends() {
    let mut told = told(&new()).tripped(T0);
    let at = T0 + 10 * SEC;
    let change = told.call(Meaning::Throttled { hint: Some(42 * SEC) }, at).expect("open again");
    assert_eq!((change.to, change.reason), (State::Open, Some(TripReason::ProbeFailed)));
    assert_eq!(told.left(at), 42 * SEC);
}

#[test]
fn no_more_probes_than_there_are_places() {
    let mut told = told(&new().permitted_probes(3).successes_to_close(3)).tripped(T0);
    let at = T0 + 10 * SEC;
    let probes = [told.pass(at), told.pass(at), told.pass(at)];
    let refusal = told.admit(at).expect_err("no place");
    assert_eq!(refusal, Refusal::for_who_knows_how_long(TripReason::ConsecutiveFailures));
    assert_eq!(told.settle(probes[0], Meaning::Good, false, at), None);
    let fourth = told.pass(at);
    assert!(told.admit(at).is_err());
    assert_eq!(told.settle(probes[1], Meaning::Good, false, at), None);
    let change = told.settle(fourth, Meaning::Good, false, at).expect("three successes");
    assert_eq!((change.from, change.to), (State::HalfOpen, State::Closed));
    assert_eq!(told.settle(probes[2], FAILED, false, at), None, "too late");
    assert_eq!((told.state(), told.stale()), (State::Closed, 1));
}

#[test]
fn the_first_failed_probe_opens_again_unless_some_are_allowed() {
    let mut told1 = told(&new().permitted_probes(2).successes_to_close(2)).tripped(T0);
    let at = T0 + 10 * SEC;
    told1.call(Meaning::Good, at);
    assert_eq!(told1.call(FAILED, at).map(|change| change.reason), Some(Some(TripReason::ProbeFailed)));

    let mut told2 = told(&new().successes_to_close(2).allowed_failures(1)).tripped(T0);
    assert_eq!(told2.call(FAILED, at), None);
    assert_eq!(told2.call(Meaning::Good, at), None);
    assert_eq!(told2.call(Meaning::Good, at).map(|change| change.to), Some(State::Closed));
}

#[test]
fn a_slow_probe_is_a_failed_one() {
    let slow = LastCalls::new(1).slow_rate(1.0);
    let mut told = told(&new().last_calls(slow).slow_call_threshold(SEC)).tripped(T0);
    let probe = told.pass(T0 + 10 * SEC);
    let change = told.settle(probe, Meaning::Good, true, T0 + 11 * SEC).expect("open again");
    assert_eq!(change.reason, Some(TripReason::ProbeFailed));
}

/// A probe that its caller drops closed the circuit elsewhere, or took its place away for good.
#[test]
fn a_neutral_probe_gives_its_place_back_and_decides_nothing() {
    let mut told = told(&new()).tripped(T0);
    let at = T0 + 10 * SEC;
    for _ in 0..100 {
        assert_eq!(told.call(Meaning::Neutral, at), None);
        assert_eq!(told.state(), State::HalfOpen);
    }
    assert_eq!(told.call(Meaning::Good, at).map(|change| change.to), Some(State::Closed));
}

/// One hung probe held a half-open circuit shut: six days, in one report.
#[test]
fn a_probe_that_hangs_holds_its_place_for_its_lease_and_no_longer() {
    let mut told = told(&new()).tripped(T0);
    let at = T0 + 10 * SEC;
    let hung = told.pass(at);
    assert!(told.admit(at + 29_999 * MS).is_err());
    let (admission, change) = told.circuit.admit(at + 30 * SEC);
    assert_eq!(change.map(|change| change.reason), Some(Some(TripReason::ProbeExpired)));
    assert!(matches!(admission, Admission::Refuse(Refusal { left, .. }) if Duration::from_nanos(left) == 10 * SEC));
    assert_eq!(told.settle(hung, Meaning::Good, false, at + 31 * SEC), None, "its answer is late");
    assert_eq!(told.stale(), 1);
    assert!(told.call(Meaning::Good, at + 40 * SEC).is_some(), "the next one closes");
}

#[test]
fn the_lease_is_twice_the_slow_threshold_or_what_was_said() {
    let slow = new().last_calls(LastCalls::new(1).slow_rate(1.0)).slow_call_threshold(2 * SEC);
    for (config, lease) in [(slow.clone(), 4 * SEC), (slow.probe_lease(SEC), SEC), (new(), 30 * SEC)] {
        let mut told = told(&config).tripped(T0);
        let at = T0 + 10 * SEC;
        told.pass(at);
        assert_eq!(told.circuit.admit(at + (lease - MS)).1, None);
        assert!(told.circuit.admit(at + lease).1.is_some());
    }
}

#[test]
fn an_answer_after_the_lease_is_a_failure_although_nobody_had_looked() {
    for meaning in [Meaning::Good, Meaning::Neutral] {
        let mut told = told(&new()).tripped(T0);
        let probe = told.pass(T0 + 10 * SEC);
        let change = told.settle(probe, meaning, false, T0 + 40 * SEC).expect("open again");
        assert_eq!(change.reason, Some(TripReason::ProbeExpired));
    }
}

#[test]
fn a_place_that_expires_is_free_where_failures_are_allowed() {
    let mut told = told(&new().allowed_failures(1)).tripped(T0);
    let at = T0 + 10 * SEC;
    told.pass(at);
    let second = told.pass(at + 30 * SEC);
    assert_eq!(told.state(), State::HalfOpen);
    assert_eq!(told.settle(second, Meaning::Good, false, at + 30 * SEC).map(|change| change.to), Some(State::Closed));
}

/// A slow call from before the trip that ended well closed the circuit while the real probe was still under way.
#[test]
fn a_late_good_answer_does_not_close_a_half_open_circuit() {
    let mut told = told(&new());
    let early = told.pass(T0);
    let mut told = told.tripped(T0);
    let probe = told.pass(T0 + 10 * SEC);
    assert_eq!(told.settle(early, Meaning::Good, false, T0 + 11 * SEC), None);
    assert_eq!((told.state(), told.stale()), (State::HalfOpen, 1));
    assert!(told.admit(T0 + 11 * SEC).is_err(), "and it frees no place");
    assert!(told.settle(probe, FAILED, false, T0 + 12 * SEC).is_some());
}

/// And one that failed opened a circuit that had just recovered.
#[test]
fn a_late_failure_does_not_open_a_circuit_that_has_recovered() {
    let mut told = told(&new());
    let early = told.pass(T0);
    let mut told = told.tripped(T0);
    told.call(Meaning::Good, T0 + 10 * SEC).expect("closed");
    assert_eq!(told.settle(early, FAILED, false, T0 + 11 * SEC), None);
    assert_eq!((told.state(), told.stale()), (State::Closed, 1));
}

/// A window shorter than the probes take together forgot the successes, and all permits were spent.
#[test]
fn probes_that_take_longer_than_the_window_close_the_circuit() {
    let window = TimeWindow::new(100 * MS).minimum_calls(1);
    let mut told = told(&new().time_window(window).successes_to_close(3)).tripped(T0);
    let mut at = T0 + 10 * SEC;
    for expected in [State::HalfOpen, State::HalfOpen, State::Closed] {
        let probe = told.pass(at);
        at = at + 150 * MS;
        told.settle(probe, Meaning::Good, false, at);
        assert_eq!(told.state(), expected);
    }
}

#[test]
fn a_circuit_that_closes_begins_to_count_anew() {
    let config = new().consecutive_failures(3).last_calls(LastCalls::new(10).minimum_calls(10));
    let mut told = told(&config);
    told.calls(FAILED, 3, T0).expect("open");
    told.call(Meaning::Good, T0 + 10 * SEC).expect("closed");
    let after = told.circuit.snapshot(T0 + 10 * SEC, || 0);
    assert_eq!((after.consecutive_failures, after.last_calls), (0, Some(Counts::default())));
    assert_eq!(told.calls(FAILED, 3, T0 + 10 * SEC), Some(3));
}

#[test]
fn an_open_circuit_still_shows_what_tripped_it() {
    let mut told = told(&new().consecutive_failures(3).last_calls(LastCalls::new(10)));
    assert_eq!(told.calls(FAILED, 3, T0), Some(3));
    let open = told.circuit.snapshot(T0 + SEC, || 0);
    assert_eq!((open.state, open.reason), (State::Open, Some(TripReason::ConsecutiveFailures)));
    assert_eq!((open.time_left, open.consecutive_failures), (Some(9 * SEC), 3));
    assert_eq!(open.last_calls.and_then(|counts| counts.failure_rate()), Some(1.0));
}

#[test]
fn forced_states_ignore_time_and_outcomes_until_reset() {
    let later = T0 + 365 * 86_400 * SEC;
    let mut told = told(&new());
    assert_eq!(told.circuit.force_open(T0).reason, Some(TripReason::ForcedOpen));
    let refusal = told.admit(later).expect_err("forced open");
    assert_eq!(refusal, Refusal::for_who_knows_how_long(TripReason::ForcedOpen));

    told.circuit.force_closed(T0);
    assert_eq!(told.calls(FAILED, 100, later), None);
    assert_eq!(told.circuit.snapshot(later, || 0).consecutive_failures, 100, "it counts");

    told.circuit.disable(T0);
    assert_eq!(told.calls(FAILED, 100, later), None);
    assert_eq!(told.circuit.snapshot(later, || 0).consecutive_failures, 0, "it does not");

    assert_eq!(told.circuit.reset(later).to, State::Closed);
    assert_eq!(told.calls(FAILED, 100, later), Some(1));
}

#[test]
fn every_action_begins_a_generation_and_leaves_old_answers_behind() {
    type Action = fn(&mut Circuit) -> Change;
    let actions: [Action; 6] = [
        |circuit| circuit.force_open(T0),
        |circuit| circuit.force_closed(T0),
        |circuit| circuit.disable(T0),
        |circuit| circuit.reset(T0),
        |circuit| circuit.set_observe_only(true, &[], T0),
        |circuit| circuit.reconfigure(new().rules().expect("valid"), false, &[], T0),
    ];
    for action in actions {
        let mut told = told(&new());
        let early = told.pass(T0);
        let generation = told.circuit.generation();
        assert_eq!(action(&mut told.circuit).generation, generation + 1);
        assert_eq!(told.settle(early, FAILED, false, T0), None);
        assert_eq!(told.stale(), 1);
    }
}

#[test]
fn reset_starts_the_open_times_over() {
    let mut told = told(&new().open_for(OpenFor::exponential(SEC, 60 * SEC))).tripped(T0);
    told.circuit.reset(T0);
    told.call(FAILED, T0).expect("open");
    assert_eq!(told.left(T0), SEC);
}

#[test]
fn other_settings_keep_what_was_counted() {
    let mut told = told(&new().consecutive_failures(9).last_calls(LastCalls::new(10).minimum_calls(10)));
    told.calls(Meaning::Good, 4, T0);
    told.calls(FAILED, 5, T0);
    let rules = new().consecutive_failures(9).last_calls(LastCalls::new(6).failure_rate(1.0).minimum_calls(6));
    told.circuit.reconfigure(rules.rules().expect("valid"), false, &[], T0);
    let after = told.circuit.snapshot(T0, || 0);
    assert_eq!(after.last_calls, Some(Counts { calls: 6, failures: 5, slow: 0 }), "the latest six");
    assert_eq!(after.consecutive_failures, 5);
    assert_eq!(told.calls(FAILED, 3, T0), Some(1), "all of the last six");

    told.circuit.reconfigure(new().open_for(OpenFor::fixed(60 * SEC)).rules().expect("valid"), false, &[], T0);
    assert_eq!(
        (told.state(), told.left(T0)),
        (State::Open, 10 * SEC),
        "an open circuit stays open as long as it was to be"
    );
}

#[test]
fn probes_keep_their_places_when_the_settings_change() {
    let mut told = told(&new()).tripped(T0);
    let at = T0 + 10 * SEC;
    let probe = told.pass(at);
    told.circuit.reconfigure(new().rules().expect("valid"), false, &[], at);
    assert!(told.admit(at).is_err(), "there is still one under way");
    assert_eq!(told.settle(probe, Meaning::Good, false, at), None, "which means nothing any more");
    assert_eq!(told.stale(), 1);
    assert!(told.call(Meaning::Good, at).is_some());
}

#[test]
fn while_there_is_a_row_of_failures_every_good_call_changes_it() {
    let config = CircuitBreakerConfig::new().consecutive_failures(5).last_calls(LastCalls::new(10).failure_rate(1.0));
    let mut told = told(&config);
    assert_eq!(told.calls(Meaning::Good, 10, T0), None);
    assert!(told.circuit.ahead() > 0, "the control");
    assert_eq!(told.calls(FAILED, 1, T0), None);
    assert_eq!(told.circuit.ahead(), 0, "a good call ends the row");
    assert_eq!(told.calls(Meaning::Good, 1, T0), None);
    assert!(told.circuit.ahead() > 0);
}
