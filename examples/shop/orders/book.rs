//! The order book: what the shop has sold, as it came.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Order;

/// Every order that was entered, in that order; the last word on a number counts.
///
/// Nothing in it keeps an order from being entered twice, so whoever does that is found out. Clones are the same book.
#[derive(Clone, Default)]
pub(crate) struct OrderBook(Arc<Mutex<Vec<Order>>>);

impl OrderBook {
    pub(super) fn enter(&self, order: Order) {
        self.entries().push(order);
    }

    pub(super) fn find(&self, no: &str) -> Option<Order> {
        self.entries().iter().rfind(|order| order.order_no == no).cloned()
    }

    /// The number of every entry.
    pub(crate) fn numbers(&self) -> Vec<String> {
        self.entries().iter().map(|order| order.order_no.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Order>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
