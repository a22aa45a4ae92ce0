//! Makes the calls of one row for `scripts/costs` to count; without a row's name, it prints the names.
#![allow(clippy::disallowed_methods, reason = "the control reads real time")]

use std::env::args;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use buttress_peers::{Measure, rows, runtime};

/// Memory is asked for, threads have numbers and windows are full before the calls are counted.
const WARM_UP: u64 = 1_000;

/// As many as `scripts/costs` divides by.
const CALLS: u64 = 10_000;

struct Counts {
    wanted: Option<String>,
}

impl Measure for Counts {
    fn row(&mut self, name: &str, mut calls: impl AsyncFnMut(u64)) {
        match &self.wanted {
            None => println!("{name}"),
            Some(wanted) if wanted == name => {
                let runtime = runtime();
                // Tokio's budget would add a trip through the scheduler every so many calls.
                let mut make = |times| runtime.block_on(tokio::task::unconstrained(calls(times)));
                make(WARM_UP);
                batch(&mut || make(CALLS));
            }
            Some(_) => {}
        }
    }
}

/// Whatever it executes is counted, and nothing else.
#[inline(never)]
fn batch(calls: &mut dyn FnMut()) {
    calls();
}

fn main() {
    let mut counts = Counts { wanted: args().nth(1) };
    let lock = Mutex::new(0);
    // Allocates once, reads the clock once, locks and unlocks: who counts something else counts wrong.
    counts.row("control", async |calls| {
        for _ in 0..calls {
            black_box(Box::new(black_box(7)));
            black_box(Instant::now());
            *lock.lock().expect("no panic") += 1;
        }
    });
    rows(&mut counts);
}
