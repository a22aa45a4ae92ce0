//! What runs that nobody knew the end of have left to others.

use crate::orders::TakenOver;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Orders that were taken over, each time.
    pub(crate) taken_over: usize,
    /// Those that had been entered already,
    pub(crate) entered: usize,
    /// and those that would have been entered once more after that, by whoever was not gone.
    pub(crate) late: usize,
}

impl Left {
    pub(crate) fn of(orders: &[TakenOver]) -> Self {
        Self {
            taken_over: orders.len(),
            entered: orders.iter().filter(|order| order.was_entered).count(),
            late: orders.iter().filter(|order| order.was_late).count(),
        }
    }
}
