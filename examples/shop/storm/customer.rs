//! Who places an order: most send it once and wait for the answer, and some do not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::client::{Client, Reply};
use crate::record::{Cause, Log};

/// How long one waits who hangs up: less than a charge takes at best, and more than the way to the shop.
const HANGS_UP_AFTER: Duration = Duration::from_millis(2);

/// How long one waits whose connection failed: a moment, in which a shop that crashed may be open again.
const CUT_OFF_FOR: Duration = Duration::from_millis(100);

pub(super) struct Customer {
    /// The number of the order.
    pub(super) order: usize,
    pub(super) shop: SocketAddr,
    pub(super) log: Log,
}

/// Why and when a customer sends an order once more.
pub(super) struct ComesBack {
    cause: Cause,
    after: Duration,
}

impl ComesBack {
    const CUT_OFF: Self = Self { cause: Cause::CutOff, after: CUT_OFF_FOR };

    /// Who clicks twice comes back while the order is running; turned away by the limit, they leave it at that.
    fn for_the_answer(reply: Option<&Reply>) -> Option<Self> {
        let Some(reply) = reply else { return Some(Self::CUT_OFF) };
        let after = reply.retry_after.filter(|_| reply.is_running())?;
        Some(Self { cause: Cause::Told, after })
    }

    /// Who is back already comes as often as they are told.
    fn once_more(reply: Option<&Reply>) -> Option<Self> {
        let Some(reply) = reply else { return Some(Self::CUT_OFF) };
        Some(Self { cause: Cause::Told, after: reply.retry_after? })
    }
}

enum Habit {
    /// Sends the order, and waits for the answer.
    Waits,
    /// Sends it twice at once.
    ClicksTwice,
    /// Sends it again when it is answered.
    ClicksLater,
    /// Waits no longer than [`HANGS_UP_AFTER`], closes the connection, and sends it again.
    HangsUp,
}

impl Habit {
    /// Of twenty customers two click twice, two once more later, and one hangs up. All that is sent again together is four
    /// tenths of what is sent at first, which the limit has room for but in the burst.
    const fn of(order: usize) -> Self {
        match order % 20 {
            3 | 13 => Self::ClicksTwice,
            7 | 17 => Self::ClicksLater,
            11 => Self::HangsUp,
            _ => Self::Waits,
        }
    }
}

impl Customer {
    /// Places the order, as this customer does; and what there is to come back for.
    pub(super) async fn orders(&self, client: &mut Client) -> Option<ComesBack> {
        match Habit::of(self.order) {
            Habit::Waits => self.sends(client).await.err(),
            Habit::ClicksTwice => self.clicks_twice(client).await,
            Habit::ClicksLater => match self.sends(client).await {
                Ok(()) => ComesBack::for_the_answer(self.sends_again(client, Cause::Click).await.as_ref()),
                Err(cut_off) => Some(cut_off),
            },
            Habit::HangsUp => match timeout(HANGS_UP_AFTER, self.sends(client)).await {
                Ok(sent) => sent.err(),
                Err(_) => {
                    self.log.hung_up(self.order);
                    Some(ComesBack { cause: Cause::HungUp, after: Duration::ZERO })
                }
            },
        }
    }

    /// Sends the order until the answer is not to come back.
    pub(super) async fn comes_back(&self, first: ComesBack) {
        let mut client = Client::new(self.shop);
        let mut next = Some(first);
        while let Some(ComesBack { cause, after }) = next {
            // Up to half as long again: all who are told so in one moment would be back in one.
            sleep(after.mul_f64(1.0 + fastrand::f64() / 2.0)).await;
            next = ComesBack::once_more(self.sends_again(&mut client, cause).await.as_ref());
        }
    }

    async fn clicks_twice(&self, client: &mut Client) -> Option<ComesBack> {
        let mut another = Client::new(self.shop);
        let second = async {
            // If it fails, so does what follows.
            let _ = another.connect().await;
            let number = self.log.sent_again(self.order, Cause::Click);
            (number, self.hears(&mut another).await)
        };
        let (first, (number, second)) = tokio::join!(self.hears(client), second);
        // The one that the shop took first is the order, and the other one asks for it again.
        let (first, second) =
            if first.as_ref().is_some_and(Reply::is_of_another) { (second, first) } else { (first, second) };
        if let Some(reply) = first {
            self.log.answered(self.order, reply.heard);
        }
        if let Some(reply) = &second {
            self.log.answered_again(self.order, number, reply.heard);
        }
        ComesBack::for_the_answer(second.as_ref())
    }

    async fn sends(&self, client: &mut Client) -> Result<(), ComesBack> {
        let reply = self.hears(client).await.ok_or(ComesBack::CUT_OFF)?;
        self.log.answered(self.order, reply.heard);
        Ok(())
    }

    async fn sends_again(&self, client: &mut Client, cause: Cause) -> Option<Reply> {
        let number = self.log.sent_again(self.order, cause);
        let reply = self.hears(client).await?;
        self.log.answered_again(self.order, number, reply.heard);
        Some(reply)
    }

    /// Sends the order; `None` if the connection fails.
    async fn hears(&self, client: &mut Client) -> Option<Reply> {
        client.order(self.order, &self.log).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio::net::TcpListener;

    use super::*;
    use crate::record::{Answer, Said};

    /// Hangs up on whoever comes before that many, and takes the orders of all others.
    async fn shop_that_is_back_for(customer: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            for _ in 1..customer {
                drop(listener.accept().await);
            }
            axum::serve(listener, Router::new().route("/orders", post(async || StatusCode::CREATED))).await
        });
        address
    }

    #[tokio::test]
    async fn whose_connection_fails_sends_the_order_again_until_there_is_an_answer() {
        for habit in [0, 3, 7] {
            let log = Log::start();
            (0..=habit).for_each(|_| {
                log.sent(0);
            });
            // Who clicks twice makes up to three connections for that.
            let customer = Customer { order: habit, shop: shop_that_is_back_for(6).await, log: log.clone() };
            let cut_off = customer.orders(&mut Client::new(customer.shop)).await.expect("something to come back for");
            assert_eq!(cut_off.cause, Cause::CutOff);
            customer.comes_back(cut_off).await;
            let order = log.orders()[habit].clone();
            let last = order.answers().last().flatten();
            assert!(matches!(last, Some(Answer { said: Said::Paid, .. })), "habit {habit}: {order:?}");
            assert!(order.again.iter().filter(|again| again.cause == Cause::CutOff).count() >= 2, "{order:?}");
            assert_eq!(order.answers().flatten().count(), 1, "{order:?}");
        }
    }
}
