//! An order that is sent more than once is run once.
//!
//! What the customers hear proves little: two runs may well say the same. So orders are counted in the shop's book and
//! charges in the provider's ledger, by the number of the order.
//!
//! Neither takes everything. The ledger has a charge once for each key, and without dedup each run has a key of its own. The book
//! refuses a run after another one has taken the order over, which hides that both ran at once; so where the service crashes,
//! what it refused counts as well.

use super::Promise;
use crate::figures::{Entries, Repeats};
use crate::layers::Layer;
use crate::record::{Answer, Order, Run, Said};

/// So often, each way, must an order have been sent again for nothing to have happened twice by no accident. The scripts
/// have several times as many.
pub(super) const ENOUGH: usize = 20;

/// Two clicks are two ways: the second may come while the first is running, and when it is answered. A client that hangs up
/// is the third.
pub(super) fn one_order_for_each_number(run: &Run) -> Promise {
    let (held, figure) = each_once(run, book(run));
    Promise { name: "one order for each number", layer: Layer::Dedup, held, figure }
}

/// Also where the shop knows nothing of the charge, because it took too long: there the second one would be as silent.
pub(super) fn one_charge_for_each_number(run: &Run) -> Promise {
    let (held, figure) = each_once(run, ledger(run));
    Promise { name: "one charge for each number", layer: Layer::Dedup, held, figure }
}

/// What the shop has sold; who was told so is to be there.
pub(super) fn book(run: &Run) -> Entries {
    Entries::of(&run.book, numbers(run, |said| matches!(said, Said::Paid | Said::PayLater)))
}

/// What the provider has charged for; who was told that it is paid is to be there.
pub(super) fn ledger(run: &Run) -> Entries {
    Entries::of(&run.charged, numbers(run, |said| said == Said::Paid))
}

/// The orders whose customers were told so.
fn numbers(run: &Run, told: impl Fn(Said) -> bool) -> impl Iterator<Item = usize> {
    let was_told = move |order: &Order| order.answers().flatten().any(|answer| told(answer.said));
    run.orders.iter().enumerate().filter(move |(_, order)| was_told(order)).map(|(number, _)| number)
}

/// Whether no number is there twice, and none is missing.
fn each_once(run: &Run, entries: Entries) -> (bool, String) {
    let Repeats { in_flight, later, hung_up, .. } = Repeats::of(&run.orders);
    if in_flight.min(later).min(hung_up) < ENOUGH {
        let seen = format!("{in_flight} in flight, {later} later, {hung_up} after hanging up");
        return (false, format!("too few sent again: {seen}"));
    }
    let Entries { numbers, twice, missing } = entries;
    let figure = format!("{twice} of {numbers} more than once");
    match missing {
        0 => (twice == 0 && numbers > 0, figure),
        _ => (false, format!("{figure}, {missing} missing")),
    }
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
