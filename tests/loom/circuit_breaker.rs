//! Every order in which threads can meet at a gate, an allowance or a count of handles, the parts of the circuit breaker that
//! are looked at and counted without a lock.

#[path = "../../src/circuit_breaker/handle/allowance.rs"]
mod allowance;
#[path = "../../src/circuit_breaker/handle/count.rs"]
mod count;
#[path = "../../src/circuit_breaker/handle/gate.rs"]
mod gate;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as StdOrdering};
use std::task::{Wake, Waker};

use allowance::Allowance;
use count::{Ended, Share};
use gate::{Gate, Shown};
use loom::sync::Arc;
use loom::thread;

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const QUIET: u64 = 2;

const fn shown(word: u64) -> Shown {
    Shown { word, until: word * 10, slow_from: word * 100 }
}

/// Changes what is behind the gate, and shows what came of it; who is parked is woken when it opens.
fn change<T>(gate: &Gate<T>, action: impl FnOnce(&mut T) -> u64) {
    let mut core = gate.lock();
    let word = action(&mut core);
    gate.publish(core, shown(word), word == OPEN);
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, StdOrdering::SeqCst);
    }
}

/// How those fared who parked beside a circuit that opened meanwhile, over all orders.
#[derive(Default)]
struct Parked {
    saw_it_open: AtomicUsize,
    woken: AtomicUsize,
    sleep_for_ever: AtomicUsize,
}

impl Parked {
    fn beside_a_circuit_that_opens(looks_again: bool) -> std::sync::Arc<Self> {
        let parked = std::sync::Arc::new(Self::default());
        let counts = parked.clone();
        loom::model(move || {
            let gate = Arc::new(Gate::new((), shown(CLOSED)));
            let opens = {
                let gate = gate.clone();
                thread::spawn(move || change(&gate, |()| OPEN))
            };
            let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
            let mut place = None;
            let mut sleeps = gate.word() == CLOSED;
            if sleeps {
                gate.park(&mut place, &Waker::from(woken.clone()));
                sleeps = !looks_again || gate.word() == CLOSED;
            }
            opens.join().expect("no panic");
            let count = match (sleeps, woken.0.load(StdOrdering::SeqCst)) {
                (false, _) => &counts.saw_it_open,
                (true, true) => &counts.woken,
                (true, false) => &counts.sleep_for_ever,
            };
            count.fetch_add(1, StdOrdering::SeqCst);
            gate.leave(&mut place);
        });
        parked
    }

    fn counts(&self) -> [usize; 3] {
        [&self.saw_it_open, &self.woken, &self.sleep_for_ever].map(|count| count.load(StdOrdering::SeqCst))
    }
}

#[test]
fn who_parks_beside_a_closed_circuit_is_woken_when_it_opens() {
    let [saw_it_open, woken, sleep_for_ever] = Parked::beside_a_circuit_that_opens(true).counts();
    assert_eq!(sleep_for_ever, 0);
    assert!(saw_it_open > 0 && woken > 0, "both were tried");
}

/// The control: without the second look there is an order in which nobody wakes the sleeper.
#[test]
fn without_a_second_look_somebody_sleeps_for_ever() {
    let [.., sleep_for_ever] = Parked::beside_a_circuit_that_opens(false).counts();
    assert!(sleep_for_ever > 0, "the order that matters was not tried");
}

/// One leaves while another is woken: a place is never taken from somebody else.
#[test]
fn leaving_takes_nobody_elses_place() {
    loom::model(|| {
        let gate = Arc::new(Gate::new((), shown(CLOSED)));
        let passes_by = {
            let gate = gate.clone();
            thread::spawn(move || {
                let mut place = None;
                gate.park(&mut place, Waker::noop());
                change(&gate, |()| OPEN);
                gate.leave(&mut place);
            })
        };
        let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
        let mut place = None;
        gate.park(&mut place, &Waker::from(woken.clone()));
        passes_by.join().expect("no panic");
        change(&gate, |()| OPEN);
        assert!(woken.0.load(StdOrdering::SeqCst));
        gate.leave(&mut place);
    });
}

/// What was shown before a word is seen by whoever has read the word.
#[test]
fn the_end_of_the_open_time_is_at_least_as_new_as_the_word() {
    loom::model(|| {
        let gate = Arc::new(Gate::new((), shown(CLOSED)));
        let opens_twice = {
            let gate = gate.clone();
            thread::spawn(move || {
                change(&gate, |()| 5);
                change(&gate, |()| 7);
            })
        };
        let word = gate.word();
        assert!(gate.until() >= word * 10 && gate.slow_from() >= word * 100);
        opens_twice.join().expect("no panic");
        assert_eq!((gate.word(), gate.until(), gate.slow_from()), (7, 70, 700));
    });
}

/// A good call is skipped where the sign says that it changes nothing. It must not skip a failure that came before it.
#[test]
fn a_good_call_after_a_failure_sees_that_it_counts() {
    loom::model(|| {
        let gate = Arc::new(Gate::new(0_u32, shown(QUIET)));
        let good = |gate: &Gate<u32>| {
            let is_counted = gate.word() & QUIET == 0;
            if is_counted {
                change(gate, |streak| {
                    *streak = 0;
                    QUIET
                });
            }
            is_counted
        };
        let fails_and_recovers = {
            let gate = gate.clone();
            thread::spawn(move || {
                change(&gate, |streak| {
                    *streak += 1;
                    CLOSED
                });
                good(&gate)
            })
        };
        let was_counted = good(&gate);
        let was_counted_after_the_failure = fails_and_recovers.join().expect("no panic");
        assert!(was_counted || was_counted_after_the_failure, "the failure was never made good");
        assert_eq!(*gate.lock(), 0);
    });
}

/// Whatever was taken when the owner looks is found, once, and nothing of it is taken afterwards.
#[test]
fn what_is_taken_is_found_by_the_next_look() {
    loom::model(|| {
        let allowance = Arc::new(Allowance::none());
        let mut granted = 2;
        allowance.grant(granted, 1, u64::MAX);
        let taker = {
            let allowance = allowance.clone();
            thread::spawn(move || u32::from(allowance.take(1, 0)) + u32::from(allowance.take(1, 0)))
        };
        let found = allowance.revoke(&mut granted);
        granted = 2;
        allowance.grant(granted, 2, u64::MAX);
        assert_eq!(found, taker.join().expect("no panic"));
        assert_eq!(allowance.revoke(&mut granted), 0, "nothing of it was for an earlier generation");
    });
}

/// Two who take at the same time take two.
#[test]
fn nobody_takes_what_somebody_else_takes() {
    loom::model(|| {
        let allowance = Arc::new(Allowance::none());
        let mut granted = 2;
        allowance.grant(granted, 1, u64::MAX);
        let other = {
            let allowance = allowance.clone();
            thread::spawn(move || allowance.take(1, 0))
        };
        assert!(allowance.take(1, 0) && other.join().expect("no panic"));
        assert!(!allowance.take(1, 0), "there were two");
        assert_eq!(allowance.revoke(&mut granted), 2);
    });
}

/// Whoever comes in the time of the next allowance is not counted by the last one.
#[test]
fn nothing_is_taken_after_the_end_of_the_time() {
    loom::model(|| {
        let allowance = Arc::new(Allowance::none());
        let mut granted = 1;
        allowance.grant(granted, 1, 10);
        let late = {
            let allowance = allowance.clone();
            thread::spawn(move || u32::from(allowance.take(1, 15)))
        };
        let in_time = u32::from(allowance.take(1, 5));
        let found_in_time = allowance.revoke(&mut granted);
        granted = 1;
        allowance.grant(granted, 1, 20);
        let was_late = late.join().expect("no panic");
        assert_eq!((found_in_time, allowance.revoke(&mut granted)), (in_time, was_late));
    });
}

/// The reference of both: the same in one thread.
#[test]
fn an_allowance_goes_as_far_as_it_was_granted() {
    loom::model(|| {
        let allowance = Allowance::none();
        let mut granted = 0;
        assert!(!allowance.take(0, 0));
        assert_eq!(allowance.revoke(&mut granted), 0);
        granted = 3;
        allowance.grant(granted, 7, 100);
        assert_eq!([allowance.take(6, 0), allowance.take(8, 0), allowance.take(7, 100)], [false; 3]);
        assert!(allowance.take(7, 0) && allowance.take(7, 99));
        assert_eq!((allowance.revoke(&mut granted), granted), (2, 0));
        granted = Allowance::MOST;
        allowance.grant(granted, 8, 100);
        assert!(!allowance.take(7, 0) && allowance.take(8, 0));
        assert_eq!(allowance.revoke(&mut granted), 1);
        granted = 1;
        allowance.grant(granted, 8, 100);
        assert_eq!([allowance.take(8, 0), allowance.take(8, 0)], [true, false]);
        assert_eq!(allowance.revoke(&mut granted), 1);
    });
}

/// Handles that are counted in shares of their own; how often each life of what they hold has ended.
struct Handles {
    shares: [Share; 2],
    ended: Ended,
    ends: AtomicUsize,
}

impl Handles {
    fn none() -> Arc<Self> {
        let shares = [Share::new(), Share::new()];
        Arc::new(Self { shares, ended: Ended::never(), ends: AtomicUsize::new(0) })
    }

    fn one_goes_elsewhere(handles: &Arc<Self>) -> thread::JoinHandle<()> {
        let handles = handles.clone();
        thread::spawn(move || handles.drop_one_of(1))
    }

    fn drop_one_of(&self, share: usize) {
        if self.shares[share].remove() && self.ended.ends(self.shares.iter()) {
            self.ends.fetch_add(1, StdOrdering::SeqCst);
        }
    }
}

#[test]
fn the_last_of_two_handles_that_go_at_once_ends_it_and_only_that() {
    loom::model(|| {
        let handles = Handles::none();
        handles.shares.iter().for_each(Share::add);
        let other = Handles::one_goes_elsewhere(&handles);
        handles.drop_one_of(0);
        other.join().expect("no panic");
        assert_eq!(handles.ends.load(StdOrdering::SeqCst), 1);
    });
}

#[test]
fn a_handle_that_is_handed_on_by_clones_never_ends_it_on_the_way() {
    loom::model(|| {
        let handles = Handles::none();
        handles.shares.iter().for_each(Share::add);
        let other = Handles::one_goes_elsewhere(&handles);
        // Cloned from the first into the second share and back, each time before its original goes.
        handles.shares[1].add();
        handles.drop_one_of(0);
        handles.shares[0].add();
        handles.drop_one_of(1);
        assert_eq!(handles.ends.load(StdOrdering::SeqCst), 0, "one is left");
        handles.drop_one_of(0);
        other.join().expect("no panic");
        assert_eq!(handles.ends.load(StdOrdering::SeqCst), 1);
    });
}

#[test]
fn whoever_is_late_to_see_an_end_does_not_end_the_next_life() {
    loom::model(|| {
        let handles = Handles::none();
        handles.shares.iter().for_each(Share::add);
        let other = Handles::one_goes_elsewhere(&handles);
        handles.drop_one_of(0);
        if handles.ends.load(StdOrdering::SeqCst) == 1 {
            // It is used again at once, while the other may still be counting.
            handles.shares[0].add();
            other.join().expect("no panic");
            assert_eq!(handles.ends.load(StdOrdering::SeqCst), 1, "the new life has a handle");
            handles.drop_one_of(0);
            assert_eq!(handles.ends.load(StdOrdering::SeqCst), 2);
        } else {
            other.join().expect("no panic");
        }
    });
}
