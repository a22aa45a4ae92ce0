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
/// Nothing in it keeps an order from being entered twice, so whoever does that is found out. It only refuses to write for a run
/// after another one has asked it what that run left. Clones are the same book.
#[derive(Clone, Default)]
pub(crate) struct OrderBook(Arc<Shared>);

#[derive(Default)]
struct Shared {
    pages: Mutex<Pages>,
    /// Told of each entry.
    entered: Notify,
}

#[derive(Default)]
struct Pages {
    entries: Vec<Order>,
    taken_over: Vec<TakenOver>,
}

/// An order is run by another run than the one that began it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakenOver {
    pub(crate) order_no: String,
    /// Larger than that of the run before.
    pub(crate) fence: u64,
    /// Whether the one before had entered it already,
    pub(crate) was_entered: bool,
    /// or would have entered it after that: it had not ended, and did not know that the order was not its own any more.
    pub(crate) was_late: bool,
}

impl OrderBook {
    /// Enters what a run has sold, if it has a fence by that; `false` if another run has taken the order over.
    #[must_use]
    pub(super) fn enter(&self, order: Order, fence: Option<u64>) -> bool {
        let mut pages = self.pages();
        let is_later =
            |run: &&mut TakenOver| run.order_no == order.order_no && fence.is_some_and(|fence| run.fence > fence);
        if let Some(later) = pages.taken_over.iter_mut().find(is_later) {
            later.was_late = true;
            return false;
        }
        pages.entries.push(order);
        self.0.entered.notify_waiters();
        true
    }

    fn find(&self, no: &str) -> Option<Order> {
        self.pages().find(no)
    }

    /// Returns what the run before entered, if it came so far; it enters nothing any more.
    fn take_over(&self, no: &str, fence: u64) -> Option<Order> {
        let mut pages = self.pages();
        let left = pages.find(no);
        let was_entered = left.is_some();
        pages.taken_over.push(TakenOver { order_no: no.into(), fence, was_entered, was_late: false });
        left
    }

    /// The number of every entry.
    pub(crate) fn numbers(&self) -> Vec<String> {
        self.pages().entries.iter().map(|order| order.order_no.clone()).collect()
    }

    /// Every order that was taken over, each time.
    pub(crate) fn taken_over(&self) -> Vec<TakenOver> {
        self.pages().taken_over.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Pages {
    fn find(&self, no: &str) -> Option<Order> {
        self.entries.iter().rfind(|order| order.order_no == no).cloned()
    }
}

/// The book as an order service has it. Where that may crash, the book outlives it in another process.
#[derive(Clone)]
pub(crate) enum Book {
    Own(OrderBook),
    Lent(Arc<Lent>),
}

impl Book {
    /// What another process lends at this address.
    pub(crate) fn lent_at(address: SocketAddr) -> Self {
        Self::Lent(Arc::new(Lent::at(address)))
    }

    /// Enters what a run has sold, if it has a fence by that; `false` if another run has taken the order over.
    pub(super) async fn enter(&self, order: Order, fence: Option<u64>) -> Result<bool, BoxError> {
        match self {
            Self::Own(book) => Ok(book.enter(order, fence)),
            Self::Lent(book) => book.enter(order, fence).await,
        }
    }

    pub(super) async fn find(&self, no: &str) -> Result<Option<Order>, BoxError> {
        match self {
            Self::Own(book) => Ok(book.find(no)),
            Self::Lent(book) => book.find(no).await,
        }
    }

    /// Returns what the run before entered, if it came so far; it enters nothing any more.
    pub(super) async fn take_over(&self, no: &str, fence: u64) -> Result<Option<Order>, BoxError> {
        match self {
            Self::Own(book) => Ok(book.take_over(no, fence)),
            Self::Lent(book) => book.take_over(no, fence).await,
        }
    }
}

impl From<OrderBook> for Book {
    fn from(book: OrderBook) -> Self {
        Self::Own(book)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    fn order(no: &str) -> Order {
        Order { order_no: no.into(), status: Status::Paid }
    }

    #[test]
    fn a_run_that_was_taken_over_from_enters_nothing_any_more() {
        let book = OrderBook::default();
        assert!(book.take_over("7", 2).is_none());
        assert!(!book.enter(order("7"), Some(1)));
        assert!(book.enter(order("8"), Some(1)), "of another order a fence says nothing");
        assert!(book.enter(order("7"), Some(2)));
        let taken_over = TakenOver { order_no: "7".into(), fence: 2, was_entered: false, was_late: true };
        assert_eq!((book.numbers(), book.taken_over()), (vec!["8".into(), "7".into()], vec![taken_over]));
    }

    #[test]
    fn whoever_has_not_been_taken_over_from_may_enter_an_order_twice_and_is_found_out() {
        let book = OrderBook::default();
        assert!(book.enter(order("7"), Some(1)) && book.enter(order("7"), Some(1)));
        assert!(book.take_over("7", 2).is_some(), "and the one who takes over knows");
        assert!(book.enter(order("7"), None), "without a fence nobody can tell");
        assert_eq!(book.numbers(), ["7"; 3]);
        assert!(book.taken_over()[0].was_entered && !book.taken_over()[0].was_late);
    }
}
