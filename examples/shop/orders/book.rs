//! The order book: what the shop has sold, as it came.

mod lent;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use buttress::BoxError;
use tokio::sync::Notify;

use self::lent::Lent;
use super::Order;

/// Every order that was entered, in that order; the last word on a number counts.
///
/// Nothing in it keeps an order from being entered twice, so whoever does that is found out. Clones are the same book.
#[derive(Clone, Default)]
pub(crate) struct OrderBook(Arc<Pages>);

#[derive(Default)]
struct Pages {
    entries: Mutex<Vec<Order>>,
    taken_over: Mutex<Vec<TakenOver>>,
    /// Told of each entry.
    entered: Notify,
}

/// An order is run by another run than the one that began it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenOver {
    /// Whether the one before had entered it already.
    pub(crate) was_entered: bool,
}

impl OrderBook {
    pub(super) fn enter(&self, order: Order) {
        locked(&self.0.entries).push(order);
        self.0.entered.notify_waiters();
    }

    fn find(&self, no: &str) -> Option<Order> {
        locked(&self.0.entries).iter().rfind(|order| order.order_no == no).cloned()
    }

    /// Notes that an order is taken over, and returns what the run before entered, if it came so far.
    fn take_over(&self, no: &str) -> Option<Order> {
        let left = self.find(no);
        locked(&self.0.taken_over).push(TakenOver { was_entered: left.is_some() });
        left
    }

    /// The number of every entry.
    pub(crate) fn numbers(&self) -> Vec<String> {
        locked(&self.0.entries).iter().map(|order| order.order_no.clone()).collect()
    }

    /// Every order that was taken over, each time.
    pub(crate) fn taken_over(&self) -> Vec<TakenOver> {
        locked(&self.0.taken_over).clone()
    }

    /// Waits until another order is entered.
    pub(crate) async fn next_entry(&self) {
        self.0.entered.notified().await;
    }

    /// Lends it to other processes, and returns where they find it.
    pub(crate) async fn lend(&self) -> io::Result<SocketAddr> {
        lent::lend(self.clone()).await
    }
}

fn locked<T>(pages: &Mutex<T>) -> MutexGuard<'_, T> {
    pages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The book as an order service has it. Where that may crash, the book outlives it in another process.
#[derive(Clone)]
pub(crate) enum Book {
    Own(OrderBook),
    Lent(Lent),
}

impl Book {
    /// What another process lends at this address.
    pub(crate) fn lent_at(address: SocketAddr) -> Self {
        Self::Lent(Lent::at(address))
    }

    pub(super) async fn enter(&self, order: Order) -> Result<(), BoxError> {
        match self {
            Self::Own(book) => book.enter(order),
            Self::Lent(book) => book.enter(&order).await?,
        }
        Ok(())
    }

    pub(super) async fn find(&self, no: &str) -> Result<Option<Order>, BoxError> {
        match self {
            Self::Own(book) => Ok(book.find(no)),
            Self::Lent(book) => book.find(no).await,
        }
    }

    /// Notes that an order is taken over, and returns what the run before entered, if it came so far.
    pub(super) async fn take_over(&self, no: &str) -> Result<Option<Order>, BoxError> {
        match self {
            Self::Own(book) => Ok(book.take_over(no)),
            Self::Lent(book) => book.take_over(no).await,
        }
    }
}

impl From<OrderBook> for Book {
    fn from(book: OrderBook) -> Self {
        Self::Own(book)
    }
}
