//! Every order in which threads can meet at a gate, the part of the circuit breaker that is looked at without a lock.
//!
//! The file of the library is built a second time here, with loom's locks and atomics in the place of the real ones.

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard};
}

#[path = "../src/circuit_breaker/handle/gate.rs"]
mod gate;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as StdOrdering};
use std::task::{Wake, Waker};

use gate::{Gate, Shown};
use loom::sync::Arc;
use loom::thread;

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const QUIET: u64 = 2;

const fn shown(word: u64) -> Shown {
    Shown { word, until: word * 10, slow_from: word * 100 }
}

/// Changes what is behind the gate, and shows what came of it.
fn change<T>(gate: &Gate<T>, action: impl FnOnce(&mut T) -> u64) {
    let mut core = gate.lock();
    let word = action(&mut core);
    gate.show(&core, shown(word));
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, StdOrdering::SeqCst);
    }
}

/// How often a model came to an interesting end, over all its orders.
static LOOKED_IN_TIME: AtomicUsize = AtomicUsize::new(0);
static WOKEN: AtomicUsize = AtomicUsize::new(0);

#[test]
fn who_parks_beside_a_closed_circuit_is_woken_when_it_opens() {
    loom::model(|| {
        let gate = Arc::new(Gate::new((), shown(CLOSED)));
        let opens = {
            let gate = gate.clone();
            thread::spawn(move || {
                change(&gate, |()| OPEN);
                gate.wake_parked();
            })
        };
        let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
        let mut place = None;
        let mut sleeps = false;
        if gate.word() == CLOSED {
            gate.park(&mut place, &Waker::from(woken.clone()));
            sleeps = gate.word() == CLOSED;
        }
        opens.join().expect("no panic");
        if sleeps {
            WOKEN.fetch_add(1, StdOrdering::SeqCst);
            assert!(woken.0.load(StdOrdering::SeqCst), "it sleeps for ever");
        } else {
            LOOKED_IN_TIME.fetch_add(1, StdOrdering::SeqCst);
        }
        gate.leave(&mut place);
    });
    assert!(WOKEN.load(StdOrdering::SeqCst) > 0 && LOOKED_IN_TIME.load(StdOrdering::SeqCst) > 0, "both were tried");
}

/// The control: without the second look there is an order in which nobody wakes the sleeper.
#[test]
fn without_a_second_look_somebody_sleeps_for_ever() {
    static SLEEPS_FOR_EVER: AtomicBool = AtomicBool::new(false);
    loom::model(|| {
        let gate = Arc::new(Gate::new((), shown(CLOSED)));
        let opens = {
            let gate = gate.clone();
            thread::spawn(move || {
                change(&gate, |()| OPEN);
                gate.wake_parked();
            })
        };
        let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
        let mut place = None;
        let parks = gate.word() == CLOSED;
        if parks {
            gate.park(&mut place, &Waker::from(woken.clone()));
        }
        opens.join().expect("no panic");
        if parks && !woken.0.load(StdOrdering::SeqCst) {
            SLEEPS_FOR_EVER.store(true, StdOrdering::SeqCst);
        }
        gate.leave(&mut place);
    });
    assert!(SLEEPS_FOR_EVER.load(StdOrdering::SeqCst), "loom did not try the order that matters");
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
                gate.wake_parked();
                gate.leave(&mut place);
            })
        };
        let woken = std::sync::Arc::new(Woken(AtomicBool::new(false)));
        let mut place = None;
        gate.park(&mut place, &Waker::from(woken.clone()));
        passes_by.join().expect("no panic");
        gate.wake_parked();
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
