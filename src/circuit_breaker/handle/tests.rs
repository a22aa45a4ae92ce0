//! The breaker as all threads use it (sign, lock and stripes) against a plain list of everything that happened.

mod obvious;

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use self::obvious::Obvious;
use super::allowance::Allowance;
use super::slot::LOCKED;
use super::word::REASONS;
use super::*;
use crate::circuit_breaker::config::{LastCalls, OpenFor, TimeWindow, WhenDropped};
use crate::jitter::Jitter;
use crate::model;
use crate::outcome::{Failure, FailureKind};
use crate::rejection::TripReason;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const T0: Moment = Moment::EPOCH;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A call asks for leave, and begins, or is reserved while the service gets ready, or while nobody calls it.
    Admit(Start),
    /// One of those that are under way ends.
    End(usize, Ending),
    /// Whether one of them may still begin.
    Ask(usize),
    ForceOpen,
    ForceClosed,
    Disable,
    Reset,
    ObserveOnly(bool),
    Reconfigure(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Start {
    Begins,
    Waits,
    Rests,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Good,
    Failed(Option<u64>),
    Throttled(Option<u64>),
    Neutral,
    Dropped,
    Panicked,
}

fn op() -> impl Strategy<Value = Op> {
    let hint = || proptest::option::of(0..10_u64);
    let ending = prop_oneof![
        6 => Just(Ending::Good),
        8 => hint().prop_map(Ending::Failed),
        1 => hint().prop_map(Ending::Throttled),
        1 => Just(Ending::Neutral),
        1 => Just(Ending::Dropped),
        1 => Just(Ending::Panicked),
    ];
    prop_oneof![
        30 => Just(Op::Admit(Start::Begins)),
        2 => prop_oneof![Just(Start::Waits), Just(Start::Rests)].prop_map(Op::Admit),
        30 => (0..3_usize, ending).prop_map(|(which, ending)| Op::End(which, ending)),
        2 => (0..3_usize).prop_map(Op::Ask),
        1 => prop_oneof![Just(Op::ForceOpen), Just(Op::ForceClosed), Just(Op::Disable), Just(Op::Reset)],
        1 => Just(Op::Reset),
        1 => any::<bool>().prop_map(Op::ObserveOnly),
        2 => (0..CONFIGS).prop_map(Op::Reconfigure),
    ]
}

const CONFIGS: usize = 4;

/// Each of the rules alone, and all together.
fn config(number: usize) -> CircuitBreakerConfig {
    let new = CircuitBreakerConfig::new().open_for(OpenFor::fixed(2 * SEC));
    match number {
        0 => new.consecutive_failures(3),
        1 => new
            .last_calls(LastCalls::new(5).failure_rate(0.6).minimum_calls(3))
            .open_for(OpenFor::exponential(SEC, 6 * SEC))
            .stable_after(20 * SEC)
            .longest_hint(5 * SEC)
            .permitted_probes(2)
            .successes_to_close(2)
            .allowed_failures(1),
        2 => new
            .time_window(TimeWindow::new(10 * SEC).minimum_calls(4).slow_rate(0.7))
            .slow_call_threshold(1500 * MS)
            .permitted_probes(3)
            .successes_to_close(2),
        _ => new
            .consecutive_failures(4)
            .last_calls(LastCalls::new(8).slow_rate(0.5))
            .time_window(TimeWindow::new(5 * SEC).failure_rate(0.4).slow_rate(0.9).minimum_calls(5))
            .slow_call_threshold(800 * MS)
            .probe_lease(3 * SEC)
            .when_dropped(WhenDropped::Failure)
            .observe_only(true),
    }
}

/// What an operation shows, and the breaker after it.
#[derive(Debug, PartialEq)]
struct Seen {
    shown: Shown,
    after: Snapshot,
}

#[derive(Debug, PartialEq)]
enum Shown {
    Passed,
    Refused(TripReason, Option<Duration>),
    Held(bool),
    Nothing,
}

fn breaker(config: &CircuitBreakerConfig, now: Moment) -> CircuitBreaker {
    let rules = config.rules().expect("valid");
    let CircuitBreakerConfig { name, observe_only, .. } = config.clone();
    let beginning = Beginning { label: Label::Name(name), rules, observe_only, jitter: Jitter::seeded(1), now };
    CircuitBreaker::begin(name, beginning)
}

fn failure(kind: FailureKind, hint: Option<u64>) -> Failure {
    match hint {
        Some(seconds) => Failure::new(kind).with_retry_after(Duration::from_secs(seconds)),
        None => Failure::new(kind),
    }
}

fn left_of(refusal: Refusal) -> Option<Duration> {
    (refusal.left != u64::MAX).then(|| Duration::from_nanos(refusal.left))
}

fn end(mut place: Place, start: Start, ending: Ending, now: &Now) {
    if start != Start::Begins && !matches!(ending, Ending::Dropped) {
        if !place.claim(now) {
            return place.abandon(now);
        }
        place.begin(now);
    }
    match ending {
        Ending::Good => place.succeeded(now),
        Ending::Failed(hint) => place.failed(failure(FailureKind::Error, hint), now),
        Ending::Throttled(hint) => place.failed(failure(FailureKind::Throttled, hint), now),
        Ending::Neutral => place.ignored(now),
        Ending::Dropped => place.abandon(now),
        Ending::Panicked => {
            place.run();
            place.abandon(now);
        }
    }
}

fn subject(number: usize) -> impl FnMut(Duration, &Op) -> Seen {
    let breaker = breaker(&config(number), T0 + 3600 * SEC);
    let first = breaker.slot().word().generation();
    let mut under_way: Vec<(Place, Start)> = Vec::new();
    move |now, op| {
        let now = T0 + now;
        let slot = breaker.slot();
        let mut shown = Shown::Nothing;
        match *op {
            Op::Admit(start) => match slot.admit(&Now::at(now)) {
                Ok(mut place) => {
                    match start {
                        Start::Begins => place.begin(&Now::at(now)),
                        Start::Waits => place.wait(&Now::at(now)),
                        Start::Rests => {
                            place.wait(&Now::at(now));
                            place.rest();
                        }
                    }
                    under_way.push((place, start));
                    shown = Shown::Passed;
                }
                Err(refusal) => shown = Shown::Refused(refusal.reason, left_of(refusal)),
            },
            Op::End(which, ending) if which < under_way.len() => {
                let (place, start) = under_way.remove(which);
                end(place, start, ending, &Now::at(now));
            }
            Op::Ask(which) if which < under_way.len() => shown = Shown::Held(under_way[which].0.is_held()),
            Op::End(..) | Op::Ask(_) => {}
            Op::ForceOpen => slot.change(|circuit| circuit.force_open(now)),
            Op::ForceClosed => slot.change(|circuit| circuit.force_closed(now)),
            Op::Disable => slot.change(|circuit| circuit.disable(now)),
            Op::Reset => slot.change(|circuit| circuit.reset(now)),
            Op::ObserveOnly(only) => {
                slot.change_and_keep(|circuit, good| circuit.set_observe_only(only, good, now));
            }
            Op::Reconfigure(number) => {
                let config = config(number);
                let rules = config.rules().expect("valid");
                slot.change_and_keep(|circuit, good| circuit.reconfigure(rules, config.observe_only, good, now));
            }
        }
        let mut after = slot.snapshot(now);
        assert_eq!(after.state, slot.word().state(), "the sign says something else");
        after.generation -= first;
        Seen { shown, after }
    }
}

#[test]
fn it_agrees_with_a_list_of_all_that_happened() {
    let reached = RefCell::new(HashSet::new());
    for number in 0..CONFIGS {
        let watched = || {
            let (mut subject, reached) = (subject(number), &reached);
            move |now, op: &Op| {
                let seen = subject(now, op);
                reached.borrow_mut().insert((seen.after.state, seen.after.reason));
                seen
            }
        };
        model::agree(op(), watched, || Obvious::new(number, 3600 * SEC).into_model());
    }
    // The histories are worth something only if they lead everywhere.
    let reached = reached.into_inner();
    for state in [State::Closed, State::ForcedClosed, State::Disabled] {
        assert!(reached.contains(&(state, None)), "{state}");
    }
    for reason in REASONS {
        let state = if reason == TripReason::ForcedOpen { State::ForcedOpen } else { State::Open };
        assert!(reached.contains(&(state, Some(reason))), "{state} after {reason}");
    }
    assert!(reached.iter().any(|(state, _)| *state == State::HalfOpen));
}

/// The control: a reference with one rule that is a little different is found out.
#[test]
fn a_reference_that_is_off_by_one_is_found_out() {
    let wrong = || {
        let mut obvious = Obvious::new(0, 3600 * SEC);
        obvious.consecutive = Some(4);
        obvious.into_model()
    };
    assert!(model::differs(op(), || subject(0), wrong).is_some());
}

fn good(breaker: &CircuitBreaker, now: Moment) {
    let now = Now::at(now);
    let mut place = breaker.slot().admit(&now).expect("closed");
    place.begin(&now);
    place.succeeded(&now);
}

fn bad(breaker: &CircuitBreaker, now: Moment) {
    let now = Now::at(now);
    let mut place = breaker.slot().admit(&now).expect("closed");
    place.begin(&now);
    place.failed(Failure::new(FailureKind::Error), &now);
}

fn locked(during: impl FnOnce()) -> u32 {
    let before = LOCKED.get();
    during();
    LOCKED.get() - before
}

#[test]
fn a_healthy_circuit_is_read_and_never_locked() {
    let config = CircuitBreakerConfig::new().consecutive_failures(5).last_calls(LastCalls::new(10));
    let breaker = breaker(&config, T0);
    let hundred = || locked(|| (0..100).for_each(|_| good(&breaker, T0)));
    assert_eq!(hundred(), 10, "until the ring is full of good calls");
    assert_eq!(hundred(), 0);
    bad(&breaker, T0);
    assert_eq!(hundred(), 3, "the control: until the failure has left the ring");
    assert_eq!(hundred(), 0);
}

#[test]
fn an_open_circuit_refuses_without_a_lock() {
    let breaker = breaker(&CircuitBreakerConfig::new().consecutive_failures(1), T0);
    bad(&breaker, T0);
    let refusals = || (0..100).for_each(|_| assert!(breaker.slot().admit(&Now::at(T0)).is_err()));
    assert_eq!(locked(refusals), 0);
    breaker.slot().change_and_keep(|circuit, good| circuit.set_observe_only(true, good, T0));
    let passes = || (0..100).for_each(|_| drop(breaker.slot().admit(&Now::at(T0)).expect("it only observes")));
    assert!(locked(passes) >= 100, "the control: these are counted");
    breaker.slot().change(|circuit| circuit.force_open(T0));
    assert_eq!(locked(refusals), 0, "what is forced is meant");
}

#[test]
fn a_time_window_is_counted_without_the_circuits_lock() {
    let breaker = breaker(&CircuitBreakerConfig::new().time_window(TimeWindow::new(10 * SEC)), T0);
    let hundred = || locked(|| (0..100).for_each(|_| good(&breaker, T0)));
    assert_eq!(hundred(), 1, "the first one asks how wide the buckets are");
    assert_eq!(hundred(), 0);
    assert_eq!(breaker.slot().snapshot(T0).time_window.expect("it has one").calls, 200);
}

#[test]
fn the_clock_is_read_only_if_a_rule_asks_for_the_time() {
    let readings = |config: CircuitBreakerConfig| {
        let breaker = CircuitBreaker::new(config).expect("valid");
        breaker.try_acquire().expect("closed").success();
        let before = crate::clock::readings();
        breaker.try_acquire().expect("closed").success();
        crate::clock::readings() - before
    };
    let new = CircuitBreakerConfig::new();
    assert_eq!(readings(new.clone().last_calls(LastCalls::new(1))), 0);
    assert_eq!(readings(new.clone().consecutive_failures(1)), 0);
    assert_eq!(readings(new.clone().time_window(TimeWindow::new(SEC))), 1);
    let slow = LastCalls::new(1).slow_rate(0.5);
    assert_eq!(readings(new.last_calls(slow).slow_call_threshold(SEC)), 2);
    let open = CircuitBreaker::new(CircuitBreakerConfig::new().consecutive_failures(1)).expect("valid");
    open.try_acquire().expect("closed").failure();
    let before = crate::clock::readings();
    open.try_acquire().expect_err("open");
    assert_eq!(crate::clock::readings() - before, 1);
}

#[test]
fn a_breaker_fits_into_two_kibibytes_whatever_its_settings() {
    let config = CircuitBreakerConfig::new()
        .consecutive_failures(u32::MAX)
        .last_calls(LastCalls::new(2048).slow_rate(1.0))
        .time_window(TimeWindow::new(SEC))
        .slow_call_threshold(SEC)
        .permitted_probes(32);
    let rules = config.rules().expect("valid");
    // Names are kept apart, once for all who are called alike.
    let label = Label::Name("x".into());
    let heap = allocation_counter::measure(|| {
        let beginning = Beginning { label, rules, observe_only: false, jitter: Jitter::seeded(1), now: T0 };
        std::mem::forget(Slot::new(beginning));
    });
    let bytes = usize::try_from(heap.bytes_total).expect("small") + size_of::<Slot>();
    assert!(bytes <= 2048, "{bytes} bytes");
    assert!(heap.bytes_total >= 512, "the control: the ring alone takes so many");
}

/// A slot is used again, and what was admitted under the breaker before it is none of the new one's business.
#[test]
fn what_a_breaker_that_is_gone_has_let_through_changes_nothing() {
    let beginning = || Beginning {
        label: Label::Name("test".into()),
        rules: CircuitBreakerConfig::new().consecutive_failures(1).rules().expect("valid"),
        observe_only: false,
        jitter: Jitter::seeded(1),
        now: T0,
    };
    let slot: &'static Slot = Box::leak(Box::new(Slot::new(beginning())));
    let admitted = || {
        let mut place = slot.admit(&Now::at(T0)).expect("closed");
        place.begin(&Now::at(T0));
        place
    };
    let [mut while_idle, mut under_the_next, mut good] = [admitted(), admitted(), admitted()];
    slot.retire();
    while_idle.failed(Failure::new(FailureKind::Error), &Now::at(T0));
    slot.begin_again(beginning());
    under_the_next.failed(Failure::new(FailureKind::Error), &Now::at(T0));
    good.succeeded(&Now::at(T0));
    let after = slot.snapshot(T0);
    assert_eq!((after.state, after.stale, after.consecutive_failures), (State::Closed, 0, 0));
    admitted().failed(Failure::new(FailureKind::Error), &Now::at(T0));
    assert_eq!(slot.snapshot(T0).state, State::Open, "the control: its own calls count");
}

/// Nobody looks in between, as the models do after each call, and so good calls pass in great numbers.
#[test]
fn what_passes_without_a_look_is_as_exact_as_what_is_looked_at() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..300 {
        let calls = random.u32(1..300);
        let rates = LastCalls::new(calls).failure_rate(1.0).minimum_calls(calls);
        let breaker = breaker(&CircuitBreakerConfig::new().last_calls(rates), T0);
        breaker.force_closed();
        let mut list = VecDeque::new();
        for _ in 0..random.u32(1..1000) {
            let failed = random.u32(0..40) == 0;
            if failed {
                bad(&breaker, T0);
            } else {
                good(&breaker, T0);
            }
            list.push_back(failed);
            if list.len() > calls as usize {
                list.pop_front();
            }
        }
        let failures = list.iter().filter(|failed| **failed).count();
        let counts = breaker.slot().snapshot(T0).last_calls.expect("a ring");
        let counted = (counts.calls as usize, counts.failures as usize);
        assert_eq!(counted, (list.len(), failures), "round {round}, {calls} calls");
    }
}

/// To take one from the next generation's nothing would leave as many as there can be.
#[test]
fn nothing_is_taken_from_another_generation_where_nothing_is_left_of_it() {
    for generation in [0, 1, (1 << 40) - 2, (1 << 40) - 1] {
        let allowance = Allowance::none();
        allowance.grant(0, generation + 1, u64::MAX);
        assert!(!allowance.take(generation, 0) && !allowance.take(generation + 1, 0), "{generation}");
        allowance.grant(1, generation + 1, u64::MAX);
        assert!(!allowance.take(generation, 0) && allowance.take(generation + 1, 0), "{generation}");
        allowance.grant(Allowance::MOST, generation, u64::MAX);
        assert!(!allowance.take(generation + 1, 0) && allowance.take(generation, 0), "{generation}");
    }
}

/// The name was asked for by a second lock, under which the slot could be another breaker's by then.
#[test]
fn a_late_answer_is_counted_and_named_under_one_lock() {
    let breaker = breaker(&CircuitBreakerConfig::new().last_calls(LastCalls::new(10).failure_rate(1.0)), T0);
    let calls = [(); 2].map(|()| {
        let mut call = breaker.slot().admit(&Now::at(T0)).expect("closed");
        call.begin(&Now::at(T0));
        call
    });
    breaker.reset();
    let [mut good, mut bad] = calls;
    assert_eq!(locked(|| good.succeeded(&Now::at(T0))), 1);
    assert_eq!(locked(|| bad.failed(Failure::new(FailureKind::Error), &Now::at(T0))), 1);
    assert_eq!(breaker.slot().snapshot(T0).stale, 2, "both came too late");
}
