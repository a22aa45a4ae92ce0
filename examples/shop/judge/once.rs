//! An order that is sent more than once is run once.
//!
//! What the customers hear proves little: two runs may well say the same. So orders are counted in the shop's book and
//! charges in the provider's ledger, by the number of the order, and neither keeps a number from coming twice.

use std::collections::HashMap;

use super::Promise;
use crate::figures::{Left, Repeats};
use crate::layers::Layer;
use crate::record::{Answer, Order, Run, Said};

/// So often, each way, must an order have been sent again for nothing to have happened twice by no accident. The scripts
/// have several times as many.
pub(super) const ENOUGH: usize = 20;

/// So many orders must have been left to others by runs that were killed. The scripts have several times as many, unless the
/// breaker opens before the crash of the slow phase.
pub(super) const ENOUGH_LEFT: usize = 10;

/// Two clicks are two ways: the second may come while the first is running, and when it is answered. A client that hangs up
/// is the third.
pub(super) fn one_order_for_each_number(run: &Run) -> Promise {
    let sold = numbers(run, |said| matches!(said, Said::Paid | Said::PayLater));
    let (held, figure) = each_once(run, &run.book, sold);
    Promise { name: "one order for each number", layer: Layer::Dedup, held, figure }
}

/// Also where the shop knows nothing of the charge, because it took too long: there the second one would be as silent.
pub(super) fn one_charge_for_each_number(run: &Run) -> Promise {
    let paid = numbers(run, |said| said == Said::Paid);
    let (held, figure) = each_once(run, &run.charged, paid);
    Promise { name: "one charge for each number", layer: Layer::Dedup, held, figure }
}

/// The orders whose customers were told so.
fn numbers(run: &Run, told: impl Fn(Said) -> bool) -> impl Iterator<Item = usize> {
    let was_told = move |order: &Order| order.answers().flatten().any(|answer| told(answer.said));
    run.orders.iter().enumerate().filter(move |(_, order)| was_told(order)).map(|(number, _)| number)
}

/// Whether no number is in the record twice, and none of `known` is not in it.
fn each_once(run: &Run, record: &[String], known: impl Iterator<Item = usize>) -> (bool, String) {
    let Repeats { in_flight, later, hung_up, .. } = Repeats::of(&run.orders);
    if in_flight.min(later).min(hung_up) < ENOUGH {
        let seen = format!("{in_flight} in flight, {later} later, {hung_up} after hanging up");
        return (false, format!("too few sent again: {seen}"));
    }
    let mut times = HashMap::<_, usize>::new();
    for number in record {
        *times.entry(number.as_str()).or_default() += 1;
    }
    let twice = times.values().filter(|times| **times > 1).count();
    let missing = known.filter(|number| !times.contains_key(number.to_string().as_str())).count();
    let figure = format!("{twice} of {} more than once", times.len());
    match missing {
        0 => (twice == 0 && !times.is_empty(), figure),
        _ => (false, format!("{figure}, {missing} missing")),
    }
}

/// What was running when the service crashed is known to have been begun: else nobody takes it over, and whoever sends it
/// again begins it anew. Most have not come as far as the book by then; how many have is chance.
pub(super) fn taken_over(run: &Run) -> Promise {
    let Left { taken_over, entered, .. } = Left::of(&run.taken_over);
    let figure = format!("{taken_over} orders, {entered} of them entered already");
    let held = taken_over >= ENOUGH_LEFT;
    Promise { name: "taken over where a crash left it", layer: Layer::Dedup, held, figure }
}

/// Who sends an order again while it runs is told so, and whoever asks gets the answer that the first one got, in the end.
/// Where nobody waited for that, all get the same.
pub(super) fn the_first_answer_for_all(run: &Run) -> Promise {
    let Repeats { running, replayed, .. } = Repeats::of(&run.orders);
    let other: usize = sent_again(run).map(other_answers).sum();
    let without = left_without(run);
    let (held, figure) = if running.min(replayed) < ENOUGH {
        (false, format!("too few: {running} told that it runs, {replayed} replayed"))
    } else {
        (other + without == 0, format!("{replayed} replayed, {other} of them another; {without} left without"))
    };
    Promise { name: "the first answer to each click", layer: Layer::Dedup, held, figure }
}

fn sent_again(run: &Run) -> impl Iterator<Item = &Order> {
    run.orders.iter().filter(|order| !order.again.is_empty())
}

/// Whoever asked again and has no answer in the end.
pub(super) fn left_without(run: &Run) -> usize {
    sent_again(run).filter(|order| order.answers().last().is_none_or(is_open)).count()
}

const fn is_open(last: Option<Answer>) -> bool {
    matches!(last, None | Some(Answer { said: Said::Running | Said::Unheard, .. }))
}

/// How many replays are not what the order was answered with; that nobody can tell now is no answer. If nobody waited for one,
/// all are to be the same.
fn other_answers(order: &Order) -> usize {
    let is_original =
        |answer: &Answer| !answer.is_replay && matches!(answer.said, Said::Paid | Said::PayLater | Said::Failed);
    let replays = || order.answers().flatten().filter(|answer| answer.is_replay);
    let mut known: Vec<_> = order.answers().flatten().filter(is_original).map(|answer| answer.digest).collect();
    if known.is_empty() {
        known.extend(replays().next().map(|answer| answer.digest));
    }
    replays().filter(|replay| !known.contains(&replay.digest)).count()
}
