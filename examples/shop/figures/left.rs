//! What runs that nobody knew the end of have left to others.

use std::collections::HashSet;

use crate::orders::TakenOver;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Orders that were taken over, each time.
    pub(crate) taken_over: usize,
    /// Those that had been entered already,
    pub(crate) entered: usize,
    /// those that would have been entered once more after that, by whoever was not gone,
    pub(crate) late: usize,
    /// and those that nobody has entered in the end.
    pub(crate) lost: usize,
}

impl Left {
    pub(crate) fn of(orders: &[TakenOver], book: &[String]) -> Self {
        let book: HashSet<_> = book.iter().collect();
        let count = |is_such: fn(&TakenOver) -> bool| orders.iter().filter(|order| is_such(order)).count();
        Self {
            taken_over: orders.len(),
            entered: count(|order| order.was_entered),
            late: count(|order| order.was_late),
            lost: orders.iter().filter(|order| !book.contains(&order.order_no)).count(),
        }
    }
}
