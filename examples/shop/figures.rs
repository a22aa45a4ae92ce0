//! From the record of a run to figures: what became of its orders and calls.

mod again;
mod entries;
mod left;
mod reads;
mod rush;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

pub(crate) use self::again::Repeats;
pub(crate) use self::entries::Entries;
pub(crate) use self::left::Left;
pub(crate) use self::reads::{InTheOutage, Reads};
pub(crate) use self::rush::Rush;
use crate::record::{Ending, Order, Played, Run, Said, Switch};
use crate::script::Phase;

/// What became of the orders and calls of one phase, and of the breaker.
pub(crate) struct Figures {
    pub(crate) played: Played,
    /// All orders that were sent in it.
    pub(crate) orders: Tally,
    /// Those by which shares are judged.
    pub(crate) judged: Tally,
    /// Those of its orders that were sent more than once.
    pub(crate) repeats: Repeats,
    /// All reads that were sent in it.
    pub(crate) reads: Reads,
    pub(crate) rush: Rush,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    pub(crate) calls: Calls,
    pub(crate) switches: Vec<Switch>,
}

impl Figures {
    pub(crate) fn of(run: &Run, act: usize) -> Self {
        let played = run.played[act].clone();
        let orders = || run.orders.iter().filter(move |order| order.act == act);
        let heard = orders().filter_map(|order| order.answer).filter(|answer| answer.said != Said::Unheard);
        let mut latencies: Vec<_> = heard.map(|answer| answer.after).collect();
        latencies.sort_unstable();
        Self {
            played,
            orders: Tally::of(orders()),
            judged: Share::judged(run, run.played[act].act.phase).tally,
            repeats: Repeats::of(orders()),
            reads: Reads::during(run, &run.during(act)),
            rush: Rush::in_act(run, act),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            calls: Calls::during(run, &run.during(act)),
            switches: run.switches.iter().filter(|switch| run.during(act).contains(&switch.at)).copied().collect(),
        }
    }
}

/// The least value that so many in a hundred do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Orders by what became of them, as the first answer to each says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) offered: usize,
    pub(crate) paid: usize,
    pub(crate) pay_later: usize,
    /// Refused since too many came.
    pub(crate) limited: usize,
    /// Not waited for by the client, which closed its connection.
    pub(crate) hung_up: usize,
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn of<'a>(orders: impl IntoIterator<Item = &'a Order>) -> Self {
        let mut tally = Self::default();
        for order in orders {
            tally.offered += 1;
            match order.answer.map(|answer| answer.said) {
                Some(Said::Paid) => tally.paid += 1,
                Some(Said::PayLater) => tally.pay_later += 1,
                Some(Said::Limited { .. }) => tally.limited += 1,
                Some(Said::Unheard) => tally.hung_up += 1,
                Some(Said::Running | Said::Unavailable | Said::Failed) => tally.failed += 1,
                None => {}
            }
        }
        tally
    }

    pub(crate) const fn answered(&self) -> usize {
        self.paid + self.pay_later + self.limited + self.failed
    }

    pub(crate) const fn admitted(&self) -> usize {
        self.offered - self.limited
    }

    /// Admitted orders whose client waited for the answer, by which it is judged how many fare how.
    pub(crate) const fn waited_for(&self) -> usize {
        self.admitted() - self.hung_up
    }

    /// Those of them that got an error, or nothing.
    pub(crate) const fn errors(&self) -> usize {
        self.waited_for() - self.paid - self.pay_later
    }
}

/// Calls to the provider by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) made: usize,
    pub(crate) answered: usize,
    pub(crate) unavailable: usize,
    pub(crate) refused: usize,
    pub(crate) broken: usize,
    pub(crate) given_up: usize,
}

impl Calls {
    /// Those that began in this time.
    fn during(run: &Run, time: &Range<Duration>) -> Self {
        let mut counts = Self::default();
        for call in run.calls.iter().filter(|call| time.contains(&call.began)) {
            counts.made += 1;
            match call.ending {
                Ending::Answered => counts.answered += 1,
                Ending::Unavailable => counts.unavailable += 1,
                Ending::Refused => counts.refused += 1,
                Ending::Broken => counts.broken += 1,
                Ending::GivenUp => counts.given_up += 1,
            }
        }
        counts
    }
}

/// Orders by which a promise is judged, beside the calls and what the script has for the same time.
#[derive(Default)]
pub(crate) struct Share {
    pub(crate) tally: Tally,
    pub(crate) calls: Calls,
    /// How long the time is.
    pub(crate) time: Duration,
    pub(crate) sample: Sample,
}

impl Share {
    /// Everything but the burst, of which there is enough by another measure: [`Rush::is_enough`].
    pub(crate) fn of_all(run: &Run) -> Self {
        let is_steady = |played: &Played| played.act.phase != Phase::Burst;
        let tally = Tally::of(run.orders.iter().filter(|order| is_steady(&run.played[order.act])));
        let played = || run.played.iter().filter(|played| is_steady(played));
        Self {
            tally,
            calls: Calls::during(run, &(Duration::ZERO..Duration::MAX)),
            time: played().map(|played| played.until - played.from).sum(),
            sample: Sample {
                unit: Unit::Orders,
                counted: tally.offered,
                due: played().map(|played| due(played.act.rate, played.until - played.from)).sum(),
                overslept: played().map(|played| played.overslept.len()).sum(),
            },
        }
    }

    /// The part of a phase in which its orders are judged.
    pub(crate) fn judged(run: &Run, phase: Phase) -> Self {
        let Some(act) = run.act(phase) else {
            return Self::default();
        };
        let played = &run.played[act];
        let part = played.judged();
        let time = part.end.saturating_sub(part.start);
        let tally = Tally::of(run.orders.iter().filter(|order| order.act == act && part.contains(&order.sent)));
        Self {
            tally,
            calls: Calls::during(run, &part),
            time,
            sample: Sample {
                unit: Unit::Orders,
                counted: tally.admitted(),
                due: due(played.act.rate, time),
                overslept: played.overslept.iter().filter(|due| part.contains(*due)).count(),
            },
        }
    }
}

/// What a promise is judged by.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Unit {
    #[default]
    Orders,
    Reads,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Orders => "orders",
            Self::Reads => "reads",
        })
    }
}

/// How many there are to judge by, of those that the script has for a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) unit: Unit,
    counted: usize,
    pub(crate) due: u128,
    /// How many were not sent through the storm's own fault.
    pub(crate) overslept: usize,
}

impl Sample {
    /// Four in five must have been sent for their fate to mean anything.
    const fn is_enough(&self, counted: usize) -> bool {
        counted > 0 && counted as u128 * 5 >= self.due * 4
    }

    pub(crate) const fn enough(self) -> Result<(), TooFew> {
        if self.is_enough(self.counted) { Ok(()) } else { Err(TooFew(self)) }
    }

    pub(crate) const fn is_short_by_oversleeping(&self) -> bool {
        !self.is_enough(self.counted) && self.is_enough(self.counted + self.overslept)
    }
}

/// How many the script has for a time.
pub(crate) fn due(rate: u32, time: Duration) -> u128 {
    u128::from(rate) * time.as_millis() / 1000
}

pub(crate) struct TooFew(Sample);

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { unit, counted, due, .. } = self.0;
        write!(f, "too few {unit}: {counted} of {due}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let hundred: Vec<_> = (1..=100).map(|ms| ms * MS).collect();
        assert_eq!(percentile(&hundred, 50), Some(50 * MS));
        assert_eq!(percentile(&hundred, 99), Some(99 * MS));
        assert_eq!(percentile(&hundred[..1], 99), Some(MS));
        assert_eq!(percentile(&[], 50), None);
    }
}
