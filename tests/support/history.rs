//! A history of orders that many clients send, some of which go away, to services that fail, hang and panic, over a store that
//! is cut off or loses its answers now and then; and whether each order was carried out once in it.
//!
//! All times are drawn in units, which are short where nobody pauses time.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::Error;
use buttress::idempotency::{Acquired, Execution, IdempotencyConfig, Store};
use futures::future::join_all;
use tokio::time::{sleep, timeout};
use tower::{Service, service_fn};

use super::book::{Book, Page};
use super::far::Far;
use super::orders::{Failure, Order};

/// How many orders are sent at a time, and after how many calls there is another one in place of the oldest.
const AT_A_TIME: u32 = 8;
const CALLS_FOR_EACH: u32 = 5;

/// How many calls there are at most, and how many orders that makes.
pub(crate) const CALLS: u32 = 120;
const ORDERS: u32 = CALLS / CALLS_FOR_EACH + AT_A_TIME;

pub(crate) fn config(unit: Duration) -> IdempotencyConfig {
    IdempotencyConfig::new().lease(3000 * unit).longest_run(6000 * unit).max_attempts(NonZeroU32::MAX)
}

#[derive(Clone)]
pub(crate) struct History {
    unit: Duration,
    /// The number of the first order.
    first: u32,
    random: Arc<Mutex<fastrand::Rng>>,
    book: Arc<Book>,
    answers: Arc<Mutex<HashMap<u32, Vec<u32>>>>,
}

/// What there was in a history that is sound.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) replays: u32,
    pub(crate) takeovers: u32,
}

impl History {
    /// One that nobody has an order in common with who has another place.
    pub(crate) fn new(seed: u64, place: u32, unit: Duration) -> Self {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        Self { unit, first: place * ORDERS, random, book: Arc::default(), answers: Arc::default() }
    }

    pub(crate) fn roll(&self, range: Range<u32>) -> u32 {
        self.random.lock().expect("no panic").u32(range)
    }

    pub(crate) fn one_in(&self, times: u32) -> bool {
        self.roll(0..times) == 0
    }

    /// Waits for so many units.
    pub(crate) async fn pause(&self, units: Range<u32>) {
        sleep(self.roll(units) * self.unit).await;
    }

    /// What is asked for by a call of this number.
    pub(crate) fn order(&self, call: u32) -> Order {
        Order(self.first + call / CALLS_FOR_EACH + self.roll(0..AT_A_TIME))
    }

    fn orders(&self) -> Range<u32> {
        self.first..self.first + ORDERS
    }

    /// What carries out the orders.
    pub(crate) fn service(
        &self,
    ) -> impl Service<Order, Response = u32, Error = Failure, Future: Send> + Clone + Send + Sync + 'static {
        let history = self.clone();
        service_fn(move |Order(order)| {
            let history = history.clone();
            async move {
                let result = history.carry_out(order).await;
                history.book.page(order, |page| page.ended += 1);
                result
            }
        })
    }

    /// Carries out an order, or fails to, or takes too long.
    async fn carry_out(&self, order: u32) -> Result<u32, Failure> {
        let run = Execution::current().expect("it runs once");
        let run = Acquired { fence: run.fence(), attempt: run.attempt() };
        let before = self.book.begin(order, run);
        if let Some(effect) = before.filter(|_| run.is_recovered()) {
            return Ok(effect);
        }
        // Some are quick, some take as long as the lease, and some longer than they may.
        let longest = if self.one_in(4) { 12_000 } else { 500 };
        self.pause(1..longest).await;
        if self.one_in(50) {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        if self.one_in(6) {
            self.book.page(order, |page| page.releases += 1);
            return Err(Error::Inner("busy"));
        }
        let effect = self.book.write(order, run.fence, self.roll(0..1 << 30))?;
        self.pause(1..400).await;
        Ok(effect)
    }

    /// Waits for the answer to an order, or goes away before, and says so.
    pub(crate) fn client(
        &self,
        order: &Order,
        call: impl Future<Output = Result<u32, Failure>> + Send + 'static,
        has_gone: impl FnOnce() + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (history, order) = (self.clone(), order.0);
        let patience = self.one_in(3).then(|| self.roll(1..3000) * self.unit);
        async move {
            let answer = match patience {
                None => call.await,
                Some(patience) => match timeout(patience, call).await {
                    Ok(answer) => answer,
                    Err(_) => return has_gone(),
                },
            };
            if let Ok(answer) = answer {
                history.hear(order, answer);
            }
        }
    }

    fn hear(&self, order: u32, answer: u32) {
        self.answers.lock().expect("no panic").entry(order).or_default().push(answer);
    }

    /// Cuts a store off for a while, or has it lose its answers.
    pub(crate) fn cut_off<S: Store + Clone>(&self, far: &Far<S>) -> impl Future<Output = ()> + Send + 'static {
        let is_down = self.one_in(2);
        let (far, long) = (far.clone(), self.roll(1000..8000) * self.unit);
        far.set(|link| (link.is_down, link.loses_answers) = (is_down, !is_down));
        async move {
            sleep(long).await;
            far.set(|link| (link.is_down, link.loses_answers) = (false, false));
        }
    }

    /// When nothing runs any more: whoever asks now hears what came of each order.
    pub(crate) async fn is_settled(&self, ask: impl AsyncFn(Order) -> Option<u32>) -> Result<(), String> {
        let all = self.orders().map(async |order| {
            let effect = self.book.page(order, |page| page.effects.last().map(|(_, effect)| *effect));
            let answer = ask(Order(order)).await;
            if effect.is_some() && answer != effect {
                return Err(format!("order {order} is {effect:?}, and whoever asks now hears {answer:?}"));
            }
            answer.into_iter().for_each(|answer| self.hear(order, answer));
            Ok(())
        });
        join_all(all).await.into_iter().collect()
    }

    /// What is wrong with it, if anything.
    pub(crate) fn judge(&self) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let mut answers = std::mem::take(&mut *self.answers.lock().expect("no panic"));
        for order in self.orders() {
            let Page { effects, runs, takeovers, releases, zombies, ended, fences_grew, .. } =
                self.book.page(order, std::mem::take);
            if runs > 1 + takeovers + releases {
                return Err(format!("order {order} was run {runs} times: {takeovers} takeovers, {releases} releases"));
            }
            if !fences_grew {
                return Err(format!("order {order} was run by a fence that was no larger than one before"));
            }
            tally.takeovers += takeovers;
            let answers = answers.remove(&order).unwrap_or_default();
            let (_, effect) = match effects[..] {
                [effect] => effect,
                [] if answers.is_empty() && ended == releases + zombies => continue,
                _ => return Err(format!("order {order} was carried out {} times in {runs} runs", effects.len())),
            };
            if let Some(other) = answers.iter().find(|answer| **answer != effect) {
                return Err(format!("order {order} is {effect}, and somebody heard of {other}"));
            }
            tally.replays += u32::try_from(answers.len()).expect("a few").saturating_sub(1);
        }
        Ok(tally)
    }
}
