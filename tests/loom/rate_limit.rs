//! Every order in which threads can meet at a bucket's gate, the part of the rate limiter that is looked at without a lock.

#[path = "../../src/rate_limit/handle/gate.rs"]
mod gate;

use std::sync::atomic::{AtomicUsize, Ordering};

use gate::{Gate, Passage, Seen};
use loom::sync::Arc;
use loom::thread;

/// Here a bucket's number counts what has passed, and the first rule says how much may.
fn one_more(seen: Seen) -> Result<u64, Seen> {
    if seen.full_at < seen.rules[0] { Ok(seen.full_at + 1) } else { Err(seen) }
}

fn passes(gate: &Gate) -> bool {
    gate.pass(one_more) == Passage::Passed
}

fn look(gate: &Gate) -> Seen {
    match gate.pass(Err) {
        Passage::Refused(seen) => seen,
        other => panic!("nobody holds it: {other:?}"),
    }
}

#[test]
fn no_more_pass_than_may() {
    loom::model(|| {
        let gate = Arc::new(Gate::new([2, 0]));
        let threads = [(); 2].map(|()| {
            let gate = gate.clone();
            thread::spawn(move || passes(&gate))
        });
        let here = passes(&gate);
        let passed = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        assert_eq!(passed.filter(|passed| *passed).count() + usize::from(here), 2);
        assert_eq!(look(&gate), Seen { full_at: 2, rules: [2, 0] });
    });
}

/// Somebody decides about several buckets while another passes; in how many orders one of them did not count.
fn lost_beside_a_holder(really_holds: bool) -> usize {
    let lost = std::sync::Arc::new(AtomicUsize::new(0));
    let count = lost.clone();
    loom::model(move || {
        let gate = Arc::new(Gate::new([100, 0]));
        let holder = {
            let gate = gate.clone();
            thread::spawn(move || {
                let seen = if really_holds { gate.hold() } else { look(&gate) };
                gate.leave(seen.full_at + 10, false);
            })
        };
        let passed = passes(&gate);
        holder.join().expect("no panic");
        count.fetch_add(usize::from(look(&gate).full_at != 10 + u64::from(passed)), Ordering::SeqCst);
    });
    lost.load(Ordering::SeqCst)
}

#[test]
fn who_holds_the_gate_loses_nobody_elses_tokens() {
    assert_eq!(lost_beside_a_holder(true), 0);
    assert!(lost_beside_a_holder(false) > 0, "the control: the order that matters was not tried");
}

/// Half of the old rules and half of the new may make no sense at all: nobody is even asked to decide by them.
#[test]
fn nobody_is_asked_to_decide_by_half_of_the_old_rules_and_half_of_the_new() {
    let by_new_rules = std::sync::Arc::new(AtomicUsize::new(0));
    let count = by_new_rules.clone();
    loom::model(move || {
        let gate = Arc::new(Gate::new([1, 1]));
        let changer = {
            let gate = gate.clone();
            thread::spawn(move || {
                let seen = gate.hold();
                gate.set_rules([2, 2]);
                gate.leave(seen.full_at, false);
            })
        };
        let count = count.clone();
        let _ = gate.pass(|Seen { rules: [one, other], full_at }| {
            assert_eq!(one, other);
            count.fetch_add(usize::from(one == 2), Ordering::SeqCst);
            Ok::<_, ()>(full_at + 1)
        });
        changer.join().expect("no panic");
    });
    assert!(by_new_rules.load(Ordering::SeqCst) > 0, "the order that matters was not tried");
}

/// Whoever passes by old rules after new ones hold is told so, although the bucket's number is what it was before. Returns
/// in how many orders that happened.
fn told_of_old_rules(changes: u64) -> usize {
    let told = std::sync::Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    loom::model(move || {
        let gate = Arc::new(Gate::new([1, 1]));
        let changer = {
            let gate = gate.clone();
            thread::spawn(move || {
                for change in 0..changes {
                    let seen = gate.hold();
                    gate.set_rules([2 + change; 2]);
                    // It clamps what passed before, and leaves what it found.
                    gate.leave(seen.full_at.min(1), false);
                }
            })
        };
        // By the first rules one token is 100; the later ones allow no more than 1.
        let passage = gate.pass(|seen| Ok::<_, ()>(seen.full_at + if seen.rules[0] == 1 { 100 } else { 1 }));
        changer.join().expect("no panic");
        if passage == Passage::PassedByOldRules {
            count.fetch_add(1, Ordering::SeqCst);
            let seen = gate.hold();
            gate.leave(seen.full_at.min(1), false);
        }
        assert!(changes == 0 || look(&gate).full_at <= 1, "a debt by old rules is left: {passage:?}");
    });
    told.load(Ordering::SeqCst)
}

#[test]
fn nobody_passes_by_old_rules_unnoticed() {
    assert_eq!(told_of_old_rules(0), 0);
    assert!(told_of_old_rules(1) > 0, "the order that matters was not tried");
}

#[test]
fn nobody_passes_while_there_is_a_line() {
    loom::model(|| {
        let gate = Arc::new(Gate::new([100, 0]));
        let waits = {
            let gate = gate.clone();
            thread::spawn(move || {
                let seen = gate.hold();
                gate.leave(seen.full_at, true);
                // The lock is free, and the gate is still held.
                assert_eq!(gate.pass(one_more), Passage::Held);
                let seen_again = gate.hold();
                assert_eq!(seen, seen_again);
                gate.leave(seen_again.full_at, false);
            })
        };
        let _ = gate.pass(one_more);
        waits.join().expect("no panic");
        look(&gate);
    });
}
