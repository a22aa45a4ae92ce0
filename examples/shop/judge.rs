//! Whether the promises held: a pure function of the record of a run.
//!
//! Every promise has a lower bound as well: over too few orders it is not held, whatever became of them.
//!
//! Some orders are sent more than once. How many of them fare how is judged by the first answer to each, and only where the
//! client waited for it; the time that answers take, and what the limit does, by everything that was sent.
//!
//! Where the order service crashes, nothing is promised of how soon it answers and how many orders are paid: while it is gone
//! it is gone. Nor is anything of the products that it shows: what it remembers of them dies with it. What it sells once stays
//! sold once all the same, it sells again when it is back, and who was cut off is served.

mod crashes;
mod once;
mod reads;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::figures::{self, Calls, Entries, Figures, InTheOutage, Left, Rush, Sample, Share, Tally};
use crate::layers::Layer;
use crate::orders::{DOOR, RATE};
use crate::payments::{BUDGET, BUDGET_PER_SECOND};
use crate::record::{Answer, Crash, Order, Read, Run, Said};
use crate::script::Phase;

/// How much longer than promised an order may take, for the machine's sake.
const SLACK: Duration = Duration::from_millis(500);

/// How soon after the provider is back orders must be paid again, beside the time that the breaker does not look.
const PAID_AGAIN_WITHIN: Duration = Duration::from_secs(2);

/// So many paid orders in a row are no accident.
const IN_A_ROW: usize = 100;

/// So many calls must have met the provider both ways: without a listener, and with nothing but 503s.
const TELLING: usize = 100;

/// A run in which the ticker woke later than that says nothing about the shop.
const LATEST_WAKE: Duration = Duration::from_millis(150);

/// The phases of which a promise says how many in a hundred orders fare how.
const JUDGED_BY_SHARE: [Phase; 3] = [Phase::Calm, Phase::Shaky, Phase::Outage];

pub(crate) struct Verdict {
    pub(crate) phases: Vec<Figures>,
    pub(crate) promises: Vec<Promise>,
    /// `None` where the order service was not to crash.
    pub(crate) crashes: Option<Vec<Crash>>,
    pub(crate) left: Left,
    pub(crate) book: Entries,
    pub(crate) ledger: Entries,
    pub(crate) latest_wake: Duration,
    /// Why the run says nothing about the shop, if the machine was too busy.
    pub(crate) void: Option<String>,
}

impl Verdict {
    pub(crate) fn all_held(&self) -> bool {
        self.promises.iter().all(|promise| promise.held)
    }
}

/// A promise that the shop makes, and whether it kept it.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    /// The kind of layer it speaks for. Without that, and those that [hide](Layer::hidden_by) it, at least one of its
    /// promises breaks; others guard against what the layer must not do, such as answering "pay later" on a good day.
    pub(crate) layer: Layer,
    pub(crate) held: bool,
    /// What was found, for people.
    pub(crate) figure: String,
}

pub(crate) fn judge(run: &Run) -> Verdict {
    let phases = (0..run.played.len()).map(|act| Figures::of(run, act)).collect();
    let (crashes, left) = (run.crashes.clone(), Left::of(&run.taken_over, &run.book));
    let (book, ledger) = (once::book(run), once::ledger(run));
    let promises = promises(run);
    let void = void(run, &promises);
    Verdict { phases, promises, crashes, left, book, ledger, latest_wake: run.latest_wake, void }
}

fn promises(run: &Run) -> Vec<Promise> {
    let once = [
        once::one_order_for_each_number(run),
        once::one_charge_for_each_number(run),
        once::the_first_answer_for_all(run),
    ];
    if run.crashes.is_none() {
        let of_a_service_that_is_there = [
            answered_in_time(run),
            paid_while_calm(run),
            paid_while_shaky(run),
            pay_later_in_the_outage(run),
            left_alone_in_the_outage(run),
            no_retry_storm_in_the_outage(run),
            paid_again_after_recovery(run),
            held_to_the_limit(run),
            told_when_to_come_back(run),
            reads::shown_in_the_outage(run),
            reads::marked_in_the_outage(run),
            reads::fresh_after_recovery(run),
        ];
        of_a_service_that_is_there.into_iter().chain(once).collect()
    } else {
        let of_a_service_that_crashes =
            [crashes::taken_over(run), crashes::sold_after_each_crash(run), crashes::served_in_the_end(run)];
        once.into_iter().chain(of_a_service_that_crashes).collect()
    }
}

fn void(run: &Run, promises: &[Promise]) -> Option<String> {
    if run.latest_wake > LATEST_WAKE {
        return Some(format!("a ticker woke {} ms late", run.latest_wake.as_millis()));
    }
    if run.crashes.is_some() {
        if let Some(stray) = crashes::out_of_its_phase(run) {
            return Some(stray);
        }
        // Nobody touches the store: one that does not answer has no time to.
        let (unknown, left) = (answers(run).flatten().filter(is_unavailable).count(), once::left_without(run));
        let why = || format!("nobody could tell {unknown} times, and {left} customers were left waiting for an answer");
        return (unknown > 0 && left > 0).then(why).or_else(|| crashes::nobody_could_tell(run, promises));
    }
    // A promise over too few orders is not held. If that is the storm's own fault, it is not broken either.
    let shares = JUDGED_BY_SHARE.iter().map(|&phase| Share::judged(run, phase)).chain([Share::of_all(run)]);
    let mut samples = shares.map(|share| share.sample).chain([InTheOutage::of(run).sample]);
    if let Some(Sample { unit, due, overslept, .. }) = samples.find(Sample::is_short_by_oversleeping) {
        return Some(format!("the storm overslept {overslept} of {due} {unit}"));
    }
    let Rush { offered, time, .. } = rush(run).filter(|rush| !rush.is_enough())?;
    Some(format!("{offered} requests in {} ms are less than twice the limit of {RATE}/s", time.as_millis()))
}

fn is_unavailable(answer: &Answer) -> bool {
    answer.said == Said::Unavailable
}

const fn at_least(percent: usize, part: usize, whole: usize) -> bool {
    part * 100 >= whole * percent
}

/// What became of everything that was sent, the first time and again.
fn answers(run: &Run) -> impl Iterator<Item = Option<Answer>> {
    run.orders.iter().flat_map(Order::answers)
}

/// Each time that an order was sent; but who hung up has not waited for as long.
fn answered_in_time(run: &Run) -> Promise {
    let bound = DOOR + SLACK;
    let (sent, unanswered) = (answers(run).count(), answers(run).filter(Option::is_none).count());
    let slowest = answers(run).flatten().map(|answer| answer.after).max().unwrap_or_default();
    let (held, figure) = if let Err(too_few) = Share::of_all(run).sample.enough() {
        (false, too_few.to_string())
    } else if unanswered > 0 {
        (false, format!("{unanswered} of {sent} never"))
    } else {
        (slowest <= bound, format!("slowest {} ms, allowed {}", slowest.as_millis(), bound.as_millis()))
    };
    Promise { name: "answered within the door timeout", layer: Layer::Timeout, held, figure }
}

fn paid_while_calm(run: &Run) -> Promise {
    let (held, figure) = paid(run, Phase::Calm, 99);
    Promise { name: "paid while calm", layer: Layer::Fallback, held, figure }
}

/// Of what fails three times in ten, four tries in a row leave less than one in a hundred unpaid.
fn paid_while_shaky(run: &Run) -> Promise {
    let (held, figure) = paid(run, Phase::Shaky, 97);
    Promise { name: "paid while the provider is shaky", layer: Layer::Retry, held, figure }
}

/// Whether so many in a hundred orders of a phase that somebody waited for were paid; "pay later" is no payment.
fn paid(run: &Run, phase: Phase, percent: usize) -> (bool, String) {
    let judged = Share::judged(run, phase);
    let (paid, waited_for) = (judged.tally.paid, judged.tally.waited_for());
    match judged.sample.enough() {
        Err(too_few) => (false, too_few.to_string()),
        Ok(()) => (at_least(percent, paid, waited_for), format!("{paid} of {waited_for}")),
    }
}

fn pay_later_in_the_outage(run: &Run) -> Promise {
    let judged = Share::judged(run, Phase::Outage);
    let Tally { pay_later, .. } = judged.tally;
    let (waited_for, errors) = (judged.tally.waited_for(), judged.tally.errors());
    let (held, figure) = if let Err(too_few) = judged.sample.enough() {
        (false, too_few.to_string())
    } else if !was_out(judged.calls) {
        let Calls { made, unavailable, refused, .. } = judged.calls;
        (false, format!("no such outage: of {made} calls {unavailable} got a 503 and {refused} were refused"))
    } else {
        let held = at_least(99, pay_later, waited_for) && errors == 0;
        (held, format!("{pay_later} of {waited_for}, errors: {errors}"))
    };
    Promise { name: "pay later in the outage", layer: Layer::Fallback, held, figure }
}

/// Whether the provider was out, as far as the calls that it got can tell.
///
/// Behind the breaker those are a few probes, or one. They come a whole number of the provider's open and shut turns
/// apart, so all of them may meet it the same way; only many calls must have met it both ways. One that is answered or
/// given up met a provider that is well or slow, and a connection that breaks says nothing.
const fn was_out(calls: Calls) -> bool {
    let Calls { made, answered, unavailable, refused, given_up, .. } = calls;
    let met_it = unavailable + refused > 0 && answered == 0 && given_up * 10 <= made;
    let both_ways = unavailable * 10 >= made && refused * 10 >= made;
    met_it && (both_ways || made < TELLING)
}

/// An order is run whether its client waits or not, and however often it is sent it is to be run once.
fn left_alone_in_the_outage(run: &Run) -> Promise {
    let judged = Share::judged(run, Phase::Outage);
    let (admitted, calls) = (judged.tally.admitted(), judged.calls.made);
    let (held, figure) = match judged.sample.enough() {
        Err(too_few) => (false, too_few.to_string()),
        Ok(()) => (calls * 100 <= admitted, format!("{calls} calls for {admitted} orders")),
    };
    Promise { name: "provider left alone in the outage", layer: Layer::Breaker, held, figure }
}

/// One call for each order, and the retries that the budget pays for: what it held, and what time paid in. No order that
/// could pay for more is paid in an outage.
///
/// Behind the breaker there is next to no call, and so it holds whatever the budget does.
fn no_retry_storm_in_the_outage(run: &Run) -> Promise {
    let judged = Share::judged(run, Phase::Outage);
    let (admitted, calls) = (judged.tally.admitted(), judged.calls.made);
    let allowed = admitted as u128 + u128::from(BUDGET) + figures::due(BUDGET_PER_SECOND, judged.time);
    let (held, figure) = match judged.sample.enough() {
        Err(too_few) => (false, too_few.to_string()),
        Ok(()) => (calls as u128 <= allowed, format!("{calls} calls for {admitted} orders, allowed {allowed}")),
    };
    Promise { name: "no storm of retries in the outage", layer: Layer::Budget, held, figure }
}

fn paid_again_after_recovery(run: &Run) -> Promise {
    let allowed = run.open_for + PAID_AGAIN_WITHIN;
    let paid_again = run.act(Phase::Recovery).and_then(|act| paid_again(&run.orders, act, run.played[act].from));
    let (held, figure) = match paid_again {
        None => (false, format!("never {IN_A_ROW} in a row")),
        Some(after) => (after <= allowed, format!("after {} ms, allowed {}", after.as_millis(), allowed.as_millis())),
    };
    Promise { name: "paid again after recovery", layer: Layer::Timeout, held, figure }
}

fn rush(run: &Run) -> Option<Rush> {
    run.act(Phase::Burst).map(|act| Rush::in_act(run, act))
}

/// The limit asks nobody whether they have come before, and so this is about everything that is sent.
///
/// Whether it was put to the test is for [`void`] to say. A limit that refuses nobody then has not shown that it is one.
fn held_to_the_limit(run: &Run) -> Promise {
    let rush = rush(run).unwrap_or_default();
    let Rush { offered, admitted, .. } = rush;
    let (least, most) = (rush.least(), rush.most());
    let (held, figure) = match rush.refused() {
        0 => (false, format!("nobody of {offered} was refused, allowed {least} to {most}")),
        _ => {
            let held = (least..=most).contains(&(admitted as u128));
            (held, format!("{admitted} of {offered} let in, allowed {least} to {most}"))
        }
    };
    Promise { name: "held to the limit in the burst", layer: Layer::Limit, held, figure }
}

fn told_when_to_come_back(run: &Run) -> Promise {
    let told_when = answers(run).flatten().filter_map(|answer| match answer.said {
        Said::Limited { told_when } => Some(told_when),
        Said::Paid | Said::PayLater | Said::Running | Said::Unavailable | Said::Unheard | Said::Failed => None,
    });
    let (told, refused) = told_when.fold((0, 0), |(told, refused), is_told| (told + usize::from(is_told), refused + 1));
    let (held, figure) = match refused {
        0 => (false, "nobody was refused".into()),
        _ => (told == refused, format!("{told} of {refused}")),
    };
    Promise { name: "refused with when to come back", layer: Layer::Limit, held, figure }
}

/// Whether the promises are decided that a recovery is played for.
pub(crate) fn is_recovered(orders: &[Order], reads: &[Read], act: usize, recovered: Duration) -> bool {
    paid_again(orders, act, recovered).is_some() && reads::fresh_again(reads, recovered).is_some()
}

/// How long after `recovered` the first of a hundred admitted orders in a row was paid. An order that has no answer yet
/// breaks the row, so what was found once stays found. One that its client did not wait for says nothing.
fn paid_again(orders: &[Order], act: usize, recovered: Duration) -> Option<Duration> {
    let mut first = None;
    let mut in_a_row = 0;
    for order in orders.iter().filter(|order| order.act == act) {
        match order.answer {
            Some(Answer { said: Said::Paid, after, .. }) => {
                let paid = order.sent + after;
                in_a_row += 1;
                let first = *first.get_or_insert(paid);
                if in_a_row == IN_A_ROW {
                    return Some(first.saturating_sub(recovered));
                }
            }
            Some(Answer { said: Said::Limited { .. } | Said::Unheard, .. }) => {}
            _ => {
                first = None;
                in_a_row = 0;
            }
        }
    }
    None
}
