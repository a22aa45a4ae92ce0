//! How often orders were sent once more, and what came of it.

use crate::record::{Again, Cause, Order, Said};

/// Requests for orders that were sent before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    pub(crate) sent: usize,
    /// Of a second click while the first had no answer yet,
    pub(crate) in_flight: usize,
    /// or when it had;
    pub(crate) later: usize,
    /// after the client had hung up before it had an answer;
    pub(crate) hung_up: usize,
    /// because it was told to come back,
    pub(crate) told: usize,
    /// or its connection had failed.
    pub(crate) cut_off: usize,
    /// Answered that the order is being run;
    pub(crate) running: usize,
    /// with an answer that was given before;
    pub(crate) replayed: usize,
    /// that too many came;
    pub(crate) limited: usize,
    /// with an answer of their own.
    pub(crate) answered: usize,
}

impl Repeats {
    pub(crate) fn of<'a>(orders: impl IntoIterator<Item = &'a Order>) -> Self {
        let mut repeats = Self::default();
        for order in orders {
            order.again.iter().for_each(|again| repeats.count(order, again));
        }
        repeats
    }

    fn count(&mut self, order: &Order, again: &Again) {
        self.sent += 1;
        match again.cause {
            Cause::Click if order.ended().is_none_or(|ended| again.sent < ended) => self.in_flight += 1,
            Cause::Click => self.later += 1,
            Cause::HungUp => self.hung_up += 1,
            Cause::Told => self.told += 1,
            Cause::CutOff => self.cut_off += 1,
        }
        let Some(answer) = again.answer else {
            return;
        };
        match answer.said {
            _ if answer.is_replay => self.replayed += 1,
            Said::Running => self.running += 1,
            Said::Limited { .. } => self.limited += 1,
            Said::Paid | Said::PayLater | Said::Unavailable | Said::Failed => self.answered += 1,
            Said::Unheard => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Answer;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_time_counts_by_why_it_was_sent_and_by_what_was_heard() {
        let answer = |said, is_replay| Some(Answer { said, after: 5 * MS, is_replay, digest: 0 });
        let again = |cause, sent, answer| Again { cause, sent: sent * MS, answer };
        let order = Order {
            act: 0,
            sent: 10 * MS,
            answer: answer(Said::Paid, false),
            again: vec![
                again(Cause::Click, 14, answer(Said::Running, false)),
                again(Cause::Click, 15, answer(Said::Limited { told_when: true }, false)),
                again(Cause::HungUp, 12, None),
                again(Cause::Told, 100, answer(Said::Paid, true)),
                again(Cause::Told, 200, answer(Said::PayLater, false)),
                again(Cause::CutOff, 300, None),
            ],
        };
        let counted = Repeats {
            sent: 6,
            in_flight: 1,
            later: 1,
            hung_up: 1,
            told: 2,
            cut_off: 1,
            running: 1,
            replayed: 1,
            limited: 1,
            answered: 1,
        };
        assert_eq!(Repeats::of([&order]), counted);
        let unanswered = Order { answer: None, ..order };
        assert_eq!(Repeats::of([&unanswered]), Repeats { in_flight: 2, later: 0, ..counted });
    }
}
