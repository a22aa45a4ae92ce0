//! Every order in which threads can meet at a bucket's gate, the part of the rate limiter that is looked at without a lock.

#[path = "../../src/rate_limit/handle/gate.rs"]
mod gate;

use std::sync::atomic::{AtomicUsize, Ordering};

use gate::{Gate, Seen};
use loom::sync::Arc;
use loom::thread;

/// Here a bucket's number counts what has passed, and the rules say how much may.
fn one_more(seen: Seen) -> Result<u64, Seen> {
    if seen.full_at < seen.rules[0] { Ok(seen.full_at + 1) } else { Err(seen) }
}

#[test]
fn no_more_pass_than_may() {
    loom::model(|| {
        let gate = Arc::new(Gate::new([2, 0]));
        let threads = [(); 2].map(|()| {
            let gate = gate.clone();
            thread::spawn(move || gate.pass(one_more) == Some(Ok(())))
        });
        let here = gate.pass(one_more) == Some(Ok(()));
        let passed = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        assert_eq!(passed.filter(|passed| *passed).count() + usize::from(here), 2);
        assert_eq!(gate.look(), Some(Seen { full_at: 2, rules: [2, 0] }));
    });
}

/// Somebody decides about several buckets while another passes; whether both counted, over all orders.
fn lost_beside_a_holder(really_holds: bool) -> usize {
    let lost = std::sync::Arc::new(AtomicUsize::new(0));
    let count = lost.clone();
    loom::model(move || {
        let gate = Arc::new(Gate::new([100, 0]));
        let holder = {
            let gate = gate.clone();
            thread::spawn(move || {
                let seen = if really_holds { gate.hold() } else { gate.look().expect("nobody holds it") };
                gate.leave(seen.full_at + 10, false);
            })
        };
        let passed = gate.pass(one_more) == Some(Ok(()));
        holder.join().expect("no panic");
        let full_at = gate.look().expect("nobody holds it").full_at;
        count.fetch_add(usize::from(full_at != 10 + u64::from(passed)), Ordering::SeqCst);
    });
    lost.load(Ordering::SeqCst)
}

#[test]
fn who_holds_the_gate_loses_nobody_elses_tokens() {
    assert_eq!(lost_beside_a_holder(true), 0);
    assert!(lost_beside_a_holder(false) > 0, "the control: the order that matters was not tried");
}

/// Somebody changes both rules while another decides by them, who passes or does not; how often by half of each.
fn decided_by_halves(passes: bool, holds: bool) -> usize {
    let halves = std::sync::Arc::new(AtomicUsize::new(0));
    let count = halves.clone();
    loom::model(move || {
        let gate = Arc::new(Gate::new([1, 1]));
        let changer = {
            let gate = gate.clone();
            thread::spawn(move || {
                if holds {
                    let seen = gate.hold();
                    gate.set_rules([2, 2]);
                    gate.leave(seen.full_at + 10, false);
                } else {
                    gate.set_rules([2, 2]);
                }
            })
        };
        let last = std::cell::Cell::new([0, 0]);
        let decided = gate.pass(|seen| {
            last.set(seen.rules);
            if passes { Ok(seen.full_at + 1) } else { Err(()) }
        });
        let [one, other] = last.get();
        count.fetch_add(usize::from(decided.is_some() && one != other), Ordering::SeqCst);
        changer.join().expect("no panic");
    });
    halves.load(Ordering::SeqCst)
}

#[test]
fn nobody_decides_by_half_of_the_old_rules_and_half_of_the_new() {
    for passes in [true, false] {
        assert_eq!(decided_by_halves(passes, true), 0);
        assert!(decided_by_halves(passes, false) > 0, "the control: the order that matters was not tried");
    }
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
                assert_eq!(gate.pass(one_more), None);
                let seen_again = gate.hold();
                assert_eq!(seen, seen_again);
                gate.leave(seen_again.full_at, false);
            })
        };
        let _ = gate.pass(one_more);
        waits.join().expect("no panic");
        assert!(gate.look().is_some());
    });
}
