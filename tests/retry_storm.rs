//! A retry adds no more to the load than its budget pays for, and so does not keep an overload alive that nothing else
//! causes any more.
//!
//! What is simulated is a *metastable failure* (N. Bronson, A. Aghayev, A. Charapko, T. Zhu: "Metastable Failures in
//! Distributed Systems", HotOS 2021). A server bears its load well until a short fault fills its queue: the trigger. Who
//! waits in a full queue times out before being served, so the server works on calls that nobody waits for, each of them is
//! sent again, and that keeps the queue full: the sustaining effect. The fault is over, the load that comes from outside is
//! what it was, and the failure stays.
//!
//! Everything runs in paused time from fixed seeds, and comes out the same each time.

use std::collections::VecDeque;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::clock::Moment;
use buttress::jitter::Jitter;
use buttress::retry::{RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use futures::future::{BoxFuture, FutureExt, join_all};
use tokio::time::sleep;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// The default budget: what it holds, what a second pays in, and what a call that succeeds at once does.
const HELD: f64 = 100.0;
const PER_SECOND: f64 = 3.0;
const RATIO: f64 = 0.2;

async fn sleep_until(moment: Moment) {
    sleep(moment.since(Moment::now())).await;
}

/// How many calls reached a server for 10 000 that were made, a millisecond apart, and how many seconds that took. The
/// server fails those of which `fails` says so.
async fn sent_for_ten_thousand(config: RetryConfig, fails: fn(u64) -> bool) -> (f64, f64) {
    let sent = Arc::new(AtomicU64::new(0));
    let counting = sent.clone();
    let server = service_fn(move |call: u64| {
        counting.fetch_add(1, Ordering::Relaxed);
        ready(if fails(call) { Err(BoxError::from("no")) } else { Ok(()) })
    });
    let service = RetryLayer::new(config).expect("settings that work").layer(server);
    let began = Moment::now();
    let calls = (0..10_000).map(|call| {
        let service = service.clone();
        async move {
            sleep_until(began + call * MS).await;
            // The last word of the server, which is not what is counted.
            let _ = service.oneshot(u64::from(call)).await;
        }
    });
    join_all(calls).await;
    (sent.load(Ordering::Relaxed) as f64, Moment::now().since(began).as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_to_a_server_that_always_fails_stay_within_the_budget() {
    let config = RetryConfig::new().max_attempts(4).seed(1);
    let (sent, seconds) = sent_for_ten_thousand(config.clone(), |_| true).await;
    let paid_for = HELD + PER_SECOND * seconds;
    assert!(sent <= 10_000.0 + paid_for, "{sent} sent in {seconds} s");
    assert!(sent >= 10_000.0 + HELD + PER_SECOND * 9.0, "what the budget pays for is used: {sent}");
    assert!(sent <= 10_000.0 * (1.0 + RATIO));

    let (sent, _) = sent_for_ten_thousand(config.without_budget(), |_| true).await;
    assert_eq!(sent, 40_000.0, "without a budget");
}

#[tokio::test(start_paused = true)]
async fn calls_that_succeed_pay_for_retries_of_those_that_do_not() {
    let config = RetryConfig::new().max_attempts(4).seed(2);
    let (sent, seconds) = sent_for_ten_thousand(config, |call| call % 2 == 0).await;
    let paid_for = HELD + PER_SECOND * seconds + RATIO * 5_000.0;
    assert!(sent <= 10_000.0 + paid_for, "{sent} sent in {seconds} s");
    assert!(sent >= 10_000.0 + HELD + RATIO * 4_900.0, "what the budget pays for is used: {sent}");
}

/// Calls that the server can serve in a second, one after the other.
const CAPACITY: u32 = 500;

/// Calls that are made in a second, four fifths of that.
const ARRIVALS: u32 = 400;

/// How many calls wait at the server at most, two seconds of its work. Further ones are turned away at once.
const QUEUE: usize = 2 * CAPACITY as usize;

/// How long a client waits for the answer to an attempt.
const PATIENCE: Duration = SEC;

/// The clients have a budget each.
const CLIENTS: usize = 4;

/// The server stands still,
const FAULT: u32 = 10;

/// and goes on.
const FAULT_OVER: u32 = 15;

/// How long the simulation lasts, in seconds.
const END: u32 = 90;

/// In which second of the simulation that is.
fn second_of(began: Moment, moment: Moment) -> usize {
    usize::try_from(moment.since(began).as_secs()).expect("a short simulation")
}

/// Serves in the order in which calls come, also those that nobody waits for any more.
#[derive(Clone)]
struct Server(Arc<Mutex<Queue>>);

struct Queue {
    began: Moment,
    /// When the calls that were let in are served, or were.
    served: VecDeque<Moment>,
    /// How many calls came in each second, let in or not.
    load: Vec<u32>,
}

impl Queue {
    /// When a call that comes now is served; `None` if the queue is full.
    fn enter(&mut self) -> Option<Moment> {
        let now = Moment::now();
        // The last retries come when the simulation is over.
        if let Some(load) = self.load.get_mut(second_of(self.began, now)) {
            *load += 1;
        }
        while self.served.front().is_some_and(|served| *served <= now) {
            self.served.pop_front();
        }
        if self.served.len() >= QUEUE {
            return None;
        }
        let turn = self.served.back().map_or(now, |before| now.max(*before));
        let mut served = turn + SEC / CAPACITY;
        let (fault, over) = (self.began + SEC * FAULT, self.began + SEC * FAULT_OVER);
        if served > fault && turn < over {
            served = over + SEC / CAPACITY;
        }
        self.served.push_back(served);
        Some(served)
    }
}

impl Service<()> for Server {
    type Response = ();
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        let served = self.0.lock().expect("nobody panics in it").enter();
        async move {
            sleep_until(served.ok_or("the queue is full")?).await;
            Ok(())
        }
        .boxed()
    }
}

/// A second of the simulation.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Calls that clients made.
    made: u32,
    /// Those of them that were answered in the end.
    answered: u32,
    /// What came to the server, retries included.
    load: u32,
}

impl Second {
    fn percent_answered(&self) -> u32 {
        self.answered * 100 / self.made
    }
}

/// What became of the calls of each second, where clients retry as `config` says.
async fn simulate(config: RetryConfig) -> Vec<Second> {
    let began = Moment::now();
    let queue = Queue { began, served: VecDeque::new(), load: vec![0; END as usize] };
    let server = Server(Arc::new(Mutex::new(queue)));
    let clients: Vec<_> = (1..=CLIENTS as u64)
        .map(|number| {
            let retry = RetryLayer::new(config.clone().seed(number)).expect("settings that work");
            let timeout = TimeoutLayer::new(TimeoutConfig::new(PATIENCE)).expect("a limit");
            ServiceBuilder::new().layer(retry).layer(timeout).service(server.clone())
        })
        .collect();

    // Clients come whether or not those before them have been answered.
    let mut chance = Jitter::seeded(7);
    let mut due = began;
    let mut calls = Vec::new();
    loop {
        due = due + chance.between(Duration::ZERO, 2 * SEC / ARRIVALS);
        let second = second_of(began, due);
        if second >= END as usize {
            break;
        }
        sleep_until(due).await;
        let client = clients[calls.len() % CLIENTS].clone();
        calls.push((second, tokio::spawn(client.oneshot(()))));
    }

    let mut seconds = vec![Second::default(); END as usize];
    for (second, call) in calls {
        seconds[second].made += 1;
        seconds[second].answered += u32::from(call.await.expect("no call panics").is_ok());
    }
    let load = server.0.lock().expect("nobody panics in it").load.clone();
    for (second, load) in seconds.iter_mut().zip(load) {
        second.load = load;
    }
    seconds
}

/// In the seconds from `from` to `until`.
fn all(seconds: &[Second], from: u32, until: u32, is_so: impl Fn(&Second) -> bool) -> bool {
    seconds[from as usize..until as usize].iter().all(is_so)
}

fn is_normal(second: &Second) -> bool {
    second.percent_answered() > 95 && second.load <= CAPACITY
}

/// The server bears its load, and then there is a fault that no retry bridges.
fn assert_normal_until_the_fault(seconds: &[Second]) {
    assert!(all(seconds, 0, FAULT, is_normal), "{seconds:#?}");
    assert!(all(seconds, FAULT, FAULT_OVER, |second| second.percent_answered() < 5), "{seconds:#?}");
}

#[tokio::test(start_paused = true)]
async fn with_a_budget_the_load_returns_to_normal_after_a_fault() {
    let seconds = simulate(RetryConfig::new().max_attempts(4)).await;
    assert_normal_until_the_fault(&seconds);
    assert!(all(&seconds, FAULT_OVER + 10, END, is_normal), "{seconds:#?}");
}

/// What the one above is to be compared with: it is the budget that does it.
#[tokio::test(start_paused = true)]
async fn without_a_budget_retries_keep_a_server_down_that_has_long_recovered() {
    let seconds = simulate(RetryConfig::new().max_attempts(4).without_budget()).await;
    assert_normal_until_the_fault(&seconds);
    let is_down = |second: &Second| second.percent_answered() < 5 && second.load > 2 * CAPACITY;
    // The retries of the very last calls come after the end.
    assert!(all(&seconds, FAULT_OVER + 1, END - 5, is_down), "{seconds:#?}");
}

/// And it is the retries that keep it down: the queue alone drains.
#[tokio::test(start_paused = true)]
async fn without_retries_the_load_returns_to_normal_after_a_fault() {
    let seconds = simulate(RetryConfig::new().max_attempts(1)).await;
    assert_normal_until_the_fault(&seconds);
    assert!(all(&seconds, FAULT_OVER + 10, END, is_normal), "{seconds:#?}");
}
