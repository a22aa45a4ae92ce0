//! A service that crashes goes on selling, and what it left behind is brought to an end.

use std::collections::HashSet;
use std::time::Duration;

use super::{Promise, at_least, is_unavailable};
use crate::figures::Left;
use crate::layers::Layer;
use crate::record::{Answer, Crash, Run, Said};

/// So many orders must have been left to others by runs that were killed. The scripts have several times as many, unless the
/// breaker opens before the crash of the slow phase.
pub(super) const ENOUGH_LEFT: usize = 10;

/// So many orders must have been sold between a restart and the next crash. The scripts have several times as many.
pub(super) const ENOUGH_SOLD: usize = 50;

/// What was running when the service crashed is known to have been begun: else nobody takes it over, and whoever sends it
/// again begins it anew. Most have not come as far as the book by then; how many have is chance.
///
/// Who was killed enters nothing late. What is late was run while somebody else ran it, and only the book has kept it from
/// being entered twice.
pub(super) fn taken_over(run: &Run) -> Promise {
    let Left { taken_over, entered, late, lost } = Left::of(&run.taken_over, &run.book);
    let figure = format!("{taken_over} orders, {entered} of them entered already, {late} late, {lost} lost");
    let held = taken_over >= ENOUGH_LEFT && late + lost == 0;
    Promise { name: "taken over where a crash left it", layer: Layer::Dedup, held, figure }
}

/// What a crash leaves in the records keeps nobody else from being served.
pub(super) fn sold_after_each_crash(run: &Run) -> Promise {
    let due = run.played.iter().filter(|played| played.act.phase.crash_after().is_some()).count();
    let sold = sold_after(run);
    let held = due > 0 && sold.len() == due && sold.iter().all(|sold| *sold >= ENOUGH_SOLD);
    let figure = format!("{sold:?} orders after {due} crashes, at least {ENOUGH_SOLD} each");
    Promise { name: "orders sold after each crash", layer: Layer::Dedup, held, figure }
}

/// How many orders are in the book that were sent for the first time after each restart, and before the next crash.
fn sold_after(run: &Run) -> Vec<usize> {
    let numbers: HashSet<usize> = run.book.iter().filter_map(|number| number.parse().ok()).collect();
    let sold: Vec<_> = numbers.iter().filter_map(|number| run.orders.get(*number)).map(|order| order.sent).collect();
    let crashes = run.crashes.as_deref().unwrap_or_default();
    let ends = crashes.iter().skip(1).map(|crash| crash.at).chain([Duration::MAX]);
    let until = |(crash, end): (&Crash, Duration)| crash.open_again..end;
    let times = crashes.iter().zip(ends).map(until);
    times.map(|time| sold.iter().filter(|sent| time.contains(*sent)).count()).collect()
}

const SERVED: &str = "served in the end";

/// Whose connection fails comes back, and so the last answer to nearly all is what became of the order, or that the limit
/// turned it away. A few may have been told that nobody can tell now, and left it at that.
pub(super) fn served_in_the_end(run: &Run) -> Promise {
    let (sent, served) = (run.orders.len(), told_in_the_end(run, is_of_use));
    let held = sent > 0 && at_least(99, served, sent);
    Promise { name: SERVED, layer: Layer::Dedup, held, figure: format!("{served} of {sent}") }
}

fn told_in_the_end(run: &Run, is_so: impl Fn(&Answer) -> bool) -> usize {
    run.orders.iter().filter(|order| order.answers().last().flatten().is_some_and(|last| is_so(&last))).count()
}

const fn is_of_use(last: &Answer) -> bool {
    matches!(last.said, Said::Paid | Said::PayLater | Said::Limited { .. })
}

/// Why the run says nothing about who is served, if that alone is not held, and would be if whoever was told that nobody can
/// tell had been served. Nobody touches the store: one that does not answer has no time to.
pub(super) fn nobody_could_tell(run: &Run, promises: &[Promise]) -> Option<String> {
    let broken = promises.iter().filter(|promise| !promise.held).map(|promise| promise.name);
    let (served, unknown) = (told_in_the_end(run, is_of_use), told_in_the_end(run, is_unavailable));
    let sent = run.orders.len();
    (broken.eq([SERVED]) && at_least(99, served + unknown, sent))
        .then(|| format!("{unknown} of {sent} customers were told in the end that nobody can tell"))
}

/// Why the run says nothing about crashes in the middle of the phases, if one was not.
pub(super) fn out_of_its_phase(run: &Run) -> Option<String> {
    let was_on =
        |phase, at| run.act(phase).is_some_and(|act| (run.played[act].from..run.played[act].until).contains(&at));
    let stray = run.crashes.iter().flatten().find(|crash| !was_on(crash.phase, crash.at))?;
    Some(format!(
        "the crash of the {} phase came {} ms into the run, when that was over",
        stray.phase.name(),
        stray.at.as_millis()
    ))
}
