//! Lists the rows, makes the calls of one for `scripts/bench` to count, or times them all.
#![allow(clippy::disallowed_methods, reason = "the control reads real time")]

use std::env::args;
use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use buttress_peers::rows::{self, Calls, Row};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;

/// Memory is asked for, threads have numbers and windows are full before the calls are counted.
const WARM_UP: u64 = 4_096;

const ROUNDS: usize = 15;

/// Long enough that reading the clock is nothing beside it, short enough that a row and its bare one run on the same
/// machine: neighbours come and go.
const BATCH_NANOS: u64 = 5_000_000;

const USAGE: &str = "rows list | rows count ROW CALLS | rows time";

fn main() {
    // Timers can be armed; they do not fire, since nobody drives them.
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let words: Vec<String> = args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => list(),
        ["count", row, calls] => count(row, calls.parse().expect(USAGE)),
        ["time"] => time(),
        _ => panic!("{USAGE}"),
    }
}

/// A line for each row: its name, its bare row, the peer if it is one's, and our rows that it stands beside.
fn list() {
    for Row { name, bare, peer, beside, .. } in rows::all() {
        println!("{name}\t{bare}\t{}\t{}", peer.unwrap_or_default(), beside.join("|"));
    }
}

fn count(row: &str, calls: u64) {
    let mut make = match row {
        "control" => control(),
        _ => rows::all().into_iter().find(|known| known.name == row).expect("a row of the list").make(),
    };
    make(WARM_UP);
    batch(&mut || make(calls));
}

/// Allocates 4 bytes, reads the clock, locks and unlocks, each once a call: who counts something else counts wrong.
fn control() -> Calls {
    let lock = Mutex::new(0);
    Box::new(move |times| {
        for _ in 0..times {
            black_box(Box::new(black_box(7)));
            black_box(Instant::now());
            *lock.lock().expect("no panic") += 1;
        }
    })
}

/// Whatever it executes is counted, and nothing else.
#[inline(never)]
fn batch(calls: &mut dyn FnMut()) {
    calls();
}

struct Timed {
    name: String,
    bare: String,
    make: Calls,
    /// In a batch.
    calls: u64,
}

/// A line for each row and round: its name, and the nanoseconds of a call of its bare row and of its own.
fn time() {
    let mut rows: Vec<Timed> = rows::all()
        .into_iter()
        .map(|row| {
            let (name, bare) = (row.name.clone(), row.bare.to_owned());
            let mut make = row.make();
            make(WARM_UP);
            let calls = (BATCH_NANOS * WARM_UP / nanos(&mut make, WARM_UP).max(1)).max(1);
            Timed { name, bare, make, calls }
        })
        .collect();
    for _ in 0..ROUNDS {
        // The bare rows are found by their names, whatever the order.
        fastrand::shuffle(&mut rows);
        for row in 0..rows.len() {
            let bare = rows.iter().position(|bare| bare.name == rows[row].bare).expect("it is in the list");
            if bare != row {
                let (of_bare, of_row) = (per_call(&mut rows[bare]), per_call(&mut rows[row]));
                println!("{}\t{of_bare}\t{of_row}", rows[row].name);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_call(row: &mut Timed) -> f64 {
    nanos(&mut row.make, row.calls) as f64 / row.calls as f64
}

/// What so many calls take of this thread's time: what neighbours take is not in it.
fn nanos(make: &mut Calls, calls: u64) -> u64 {
    let start = thread_nanos();
    make(calls);
    thread_nanos() - start
}

fn thread_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanos).expect("centuries")
}
