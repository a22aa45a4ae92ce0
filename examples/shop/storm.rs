//! A storm of customers: orders at a steady rate over HTTP, whether or not the shop keeps up.
//!
//! There are 200 clients with a connection each. An order that finds none of them free is missed, and so is one that
//! the storm itself woke too late for: neither is made up for later, since a burst would measure something else.
//!
//! Products are read beside that, by readers who know nothing of the orders.
//!
//! Some customers send their order more than once; what they do beside the first time is done on connections of their own.
//! Whose connection fails sends it again until there is an answer.

mod client;
mod customer;
mod reader;

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::client::Client;
use self::customer::Customer;
use self::reader::read_in_turn;
use crate::judge;
use crate::record::{Log, Played};
use crate::script::{Act, Phase};

const CLIENTS: usize = 200;

/// How late an order may be sent, or a product read. A busy machine wakes the storm ten milliseconds late now and then; what is
/// due by then is no burst yet. With 5 ms a compiler at work beside it cost an eighth of the orders.
const OVERDUE: Duration = Duration::from_millis(20);

/// How long the storm waits at the end for answers that are still to come. Who is told to come back several times takes a few
/// seconds.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) struct Storm {
    shop: SocketAddr,
    log: Log,
    /// The clients that wait for no answer. FIFO, so that all of them get their turn.
    free: mpsc::Receiver<Client>,
    back: mpsc::Sender<Client>,
    customers: JoinSet<()>,
}

impl Storm {
    pub(crate) fn over(shop: SocketAddr, log: Log) -> Self {
        let (back, free) = mpsc::channel(CLIENTS);
        for _ in 0..CLIENTS {
            back.try_send(Client::new(shop)).expect("there is room for all of them");
        }
        Self { shop, log, free, back, customers: JoinSet::new() }
    }

    /// Plays the script, and returns when all is answered or there is no more hope for it. Says when a phase begins.
    pub(crate) async fn play(mut self, acts: &[Act], mut begins: impl FnMut(Phase)) -> Vec<Played> {
        let (over, is_over) = oneshot::channel();
        let readers = tokio::spawn(read_in_turn(self.shop, self.log.clone(), is_over));
        let mut played = Vec::new();
        for (number, &act) in acts.iter().enumerate() {
            begins(act.phase);
            played.push(self.play_act(number, act).await);
        }
        drop(over);
        // Who is still waiting by then has no answer, and that is on record.
        let _ = timeout(PATIENCE, join(self.customers.join_all(), readers)).await;
        played
    }

    async fn play_act(&mut self, number: usize, act: Act) -> Played {
        let from = self.log.now();
        let end = from + act.lasts;
        let mut played = Played { act, from, until: end, missed: 0, overslept: vec![] };
        let mut orders_due = due_from(from, act.rate).peekable();
        loop {
            let now = self.log.now();
            while let Some(due) = orders_due.next_if(|due| *due <= now && *due < end) {
                if is_overdue(due, now) {
                    played.overslept.push(due);
                } else if let Ok(client) = self.free.try_recv() {
                    self.send(client, number);
                } else {
                    played.missed += 1;
                }
            }
            if now >= end {
                return played;
            }
            if act.until_decided && judge::is_recovered(&self.log.orders(), &self.log.reads(), number, from) {
                return Played { until: now, ..played };
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn send(&mut self, mut client: Client, act: usize) {
        let customer = Customer { order: self.log.sent(act), shop: self.shop, log: self.log.clone() };
        let back = self.back.clone();
        self.customers.spawn(async move {
            let told = customer.orders(&mut client).await;
            // Nobody waits for it any more once the storm is over.
            let _ = back.try_send(client);
            if let Some(told) = told {
                customer.comes_back(told).await;
            }
        });
    }
}

/// When what comes at a steady rate is due.
fn due_from(from: Duration, rate: u32) -> impl Iterator<Item = Duration> {
    (0..).map(move |number| from + Duration::from_secs(1) * number / rate)
}

fn is_overdue(due: Duration, now: Duration) -> bool {
    now - due > OVERDUE
}
