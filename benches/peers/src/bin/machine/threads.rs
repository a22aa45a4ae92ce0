//! How much faster two threads are than one, at an object that they share.
#![allow(clippy::disallowed_methods, reason = "a bench reads real time")]

mod ours;
#[cfg(feature = "peers")]
mod peers;

use std::fmt::Debug;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use tower::{Service, ServiceExt};

use crate::bare::Bare;
use crate::runtime;

const ROUNDS: usize = 15;

/// Others may need the machine's cores just then: so many rounds at most, until there were enough in which two threads that
/// share nothing were nearly twice as fast.
const MOST_ROUNDS: usize = 60;
const NEARLY_TWICE: f64 = 1.8;

/// How long one thread calls in a round. Less would measure how threads start.
const ROUND: Duration = Duration::from_millis(40);

/// Threads have numbers, and memory is asked for, before time counts.
const WARM_UP: u64 = 1_000;

/// Makes so many calls, on whatever thread it is given to.
type Caller = Box<dyn FnMut(u64) + Send>;

struct Row {
    name: &'static str,
    /// All of its callers share one object.
    caller: Box<dyn Fn() -> Caller>,
}

impl Row {
    fn new<C: FnMut(u64) + Send + 'static>(name: &'static str, caller: impl Fn() -> C + 'static) -> Self {
        Self { name, caller: Box::new(move || Box::new(caller())) }
    }

    /// Each thread calls a clone of one service, as a server's connections do.
    fn of_service<S>(name: &'static str, service: S) -> Self
    where
        S: Service<u64, Response = u64, Error: Debug> + Clone + Send + 'static,
    {
        Self::of_services(name, move || service.clone())
    }

    /// Each thread calls a service that is made for it.
    fn of_services<S>(name: &'static str, make: impl Fn() -> S + 'static) -> Self
    where
        S: Service<u64, Response = u64, Error: Debug> + Send + 'static,
    {
        Self::new(name, move || {
            let mut service = make();
            let runtime = runtime();
            move |calls| {
                // Tokio's budget would add a trip through the scheduler every so many calls.
                runtime.block_on(tokio::task::unconstrained(async {
                    for _ in 0..calls {
                        let answer = service.ready().await.expect("always ready").call(black_box(2)).await;
                        assert_eq!(answer.expect("what never fails is not refused"), 2);
                    }
                }));
            }
        })
    }

    /// Each thread calls one function that checks what came of it.
    fn of_function(name: &'static str, function: impl Fn() + Send + Sync + 'static) -> Self {
        let function = Arc::new(function);
        Self::new(name, move || {
            let function = function.clone();
            move |calls| (0..calls).for_each(|_| function())
        })
    }

    /// How long so many threads take, if each makes so many calls.
    fn time(&self, threads: usize, calls: u64) -> Duration {
        let barrier = Barrier::new(threads);
        let times = thread::scope(|scope| {
            let start = |mut caller: Caller| {
                let barrier = &barrier;
                scope.spawn(move || {
                    caller(WARM_UP);
                    barrier.wait();
                    let begin = Instant::now();
                    caller(calls);
                    (begin, Instant::now())
                })
            };
            let started: Vec<_> = (0..threads).map(|_| start((self.caller)())).collect();
            started.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        let begin = times.iter().map(|(begin, _)| *begin).min().expect("a thread");
        let end = times.iter().map(|(_, end)| *end).max().expect("a thread");
        end - begin
    }

    /// How many calls one thread makes in a round.
    fn calls(&self) -> u64 {
        let mut calls = WARM_UP;
        loop {
            let time = self.time(1, calls);
            if time * 4 > ROUND {
                let calls = u128::from(calls) * ROUND.as_nanos() / time.as_nanos();
                return u64::try_from(calls).expect("hardly more than a moment ago");
            }
            calls *= 2;
        }
    }

    /// How many times as many calls two threads make in the time of one.
    fn scaling(&self, calls: u64) -> f64 {
        2.0 * self.time(1, calls).as_secs_f64() / self.time(2, calls).as_secs_f64()
    }
}

/// Prints of every round and row how much faster two threads were than one, and how much faster at nothing shared, just
/// before.
pub(crate) fn compare() {
    let nothing_shared = Row::of_service("bare service", Bare::<()>::new());
    let counter = AtomicU64::new(0);
    let one_counter = Row::of_function("one counter", move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let rows = [one_counter].into_iter().chain(ours::rows());
    #[cfg(feature = "peers")]
    let rows = rows.chain(peers::rows());
    let rows: Vec<_> = rows.map(|row| (row.calls(), row)).collect();
    let bare_calls = nothing_shared.calls();
    let mut good_rounds = vec![0; rows.len()];
    for _ in 0..MOST_ROUNDS {
        for ((calls, row), good) in rows.iter().zip(&mut good_rounds) {
            let bare = nothing_shared.scaling(bare_calls);
            println!("{}\t{}\t{bare}", row.name, row.scaling(*calls));
            *good += usize::from(bare >= NEARLY_TWICE);
        }
        if good_rounds.iter().all(|good| *good >= ROUNDS) {
            break;
        }
    }
}
