use std::time::Duration;

use super::report::Counts;
use crate::clock::Moment;

const BUCKETS: usize = 10;
const COUNT: u64 = BUCKETS as u64;

/// How the calls of the last so many seconds ended, in ten buckets of time: the current one, which is not over yet, and
/// the nine before it.
#[derive(Clone, Debug)]
pub(in super::super) struct Buckets {
    /// Of one bucket, in nanoseconds.
    width: u64,
    /// The number of the current bucket, counted from the beginning of time.
    newest: u64,
    counts: [Counts; BUCKETS],
}

impl Buckets {
    pub(in super::super) fn new(length: Duration) -> Self {
        let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self::of_width(length.div_ceil(COUNT).max(1))
    }

    /// An empty one with buckets as wide as these.
    pub(in super::super) fn emptied(&self) -> Self {
        Self::of_width(self.width)
    }

    fn of_width(width: u64) -> Self {
        Self { width, newest: 0, counts: Default::default() }
    }

    pub(in super::super) fn record_good(&mut self, now: Moment) {
        self.record(Counts::of(false, false), now);
    }

    /// Takes in so many good calls of the current bucket.
    pub(in super::super) fn pass_good(&mut self, calls: u32) {
        self.counts[slot(self.newest)].add(Counts { calls, ..Counts::default() });
    }

    /// Whether they have been told any time.
    pub(in super::super) const fn have_begun(&self) -> bool {
        self.newest > 0
    }

    /// When the current bucket is over.
    pub(in super::super) const fn ends(&self) -> Moment {
        self.began(self.newest.saturating_add(1))
    }

    pub(super) fn record(&mut self, call: Counts, now: Moment) {
        self.advance(now);
        self.counts[slot(self.newest)].add(call);
    }

    pub(in super::super) fn sum(&mut self, now: Moment) -> Counts {
        self.advance(now);
        let mut sum = Counts::default();
        self.counts.iter().for_each(|bucket| sum.add(*bucket));
        sum
    }

    /// Takes in what `others` counted, by the time at which their buckets began.
    pub(in super::super) fn absorb(&mut self, others: &Self) {
        self.advance(others.began(others.newest));
        for number in others.newest.saturating_sub(COUNT - 1)..=others.newest {
            let into = others.began(number).to_nanos() / self.width;
            if into + COUNT > self.newest {
                self.counts[slot(into)].add(others.counts[slot(number)]);
            }
        }
    }

    /// Told an earlier time than before, it takes it that no time has passed.
    fn advance(&mut self, now: Moment) {
        let current = now.to_nanos() / self.width;
        if current > self.newest {
            let passed = (current - self.newest).min(COUNT);
            (self.newest + 1..=self.newest + passed).for_each(|number| self.counts[slot(number)] = Counts::default());
            self.newest = current;
        }
    }

    const fn began(&self, number: u64) -> Moment {
        Moment::from_nanos(number.saturating_mul(self.width))
    }
}

const fn slot(number: u64) -> usize {
    (number % COUNT) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model;

    const SEC: Duration = Duration::from_secs(1);

    #[derive(Clone, Debug)]
    enum Op {
        Record(bool, bool),
        Sum,
        /// Goes on with windows so long.
        Resize(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            10 => any::<(bool, bool)>().prop_map(|(failed, slow)| Op::Record(failed, slow)),
            5 => Just(Op::Sum),
            1 => (10..100_000_u64).prop_map(Op::Resize),
        ]
    }

    fn subject() -> impl FnMut(Duration, &Op) -> Counts {
        let mut buckets = Buckets::new(10 * SEC);
        move |now, op| {
            let now = Moment::EPOCH + now;
            match *op {
                Op::Record(failed, slow) => buckets.record(Counts::of(failed, slow), now),
                Op::Sum => {}
                Op::Resize(millis) => {
                    let mut resized = Buckets::new(Duration::from_millis(millis));
                    buckets.advance(now);
                    resized.absorb(&buckets);
                    buckets = resized;
                }
            }
            buckets.sum(now)
        }
    }

    /// Keeps every call with its time, and looks at all of them each time.
    fn obvious() -> impl FnMut(Duration, &Op) -> Counts {
        let mut calls: Vec<(u128, Counts)> = Vec::new();
        let (mut latest, mut width) = (0, 1_000_000_000);
        move |now, op| {
            latest = now.as_nanos().max(latest);
            match *op {
                Op::Record(failed, slow) => calls.push((latest, Counts::of(failed, slow))),
                Op::Sum => {}
                Op::Resize(millis) => {
                    // What was not counted any more is not counted again, and the rest is as old as its bucket.
                    calls.retain(|(at, _)| at / width + 10 > latest / width);
                    calls.iter_mut().for_each(|(at, _)| *at = *at / width * width);
                    latest = (latest / width * width).max(now.as_nanos());
                    width = u128::from(millis) * 100_000;
                }
            }
            let mut sum = Counts::default();
            calls.iter().filter(|(at, _)| at / width + 10 > latest / width).for_each(|(_, call)| sum.add(*call));
            sum
        }
    }

    #[test]
    fn it_agrees_with_a_list_of_all_calls() {
        model::agree(op(), subject, obvious);
    }

    #[test]
    fn sixty_idle_days_cost_no_more_than_a_moment() {
        let mut buckets = Buckets::new(SEC);
        let start = Moment::EPOCH + SEC;
        buckets.record(Counts::of(true, false), start);
        assert_eq!(buckets.sum(start + 900 * Duration::from_millis(1)).failures, 1);
        assert_eq!(buckets.sum(start + 60 * 86_400 * SEC), Counts::default());
        assert_eq!(buckets.sum(Moment::MAX), Counts::default());
        buckets.record(Counts::of(true, false), start);
        assert_eq!(buckets.sum(start).calls, 1, "an earlier time is no time passed");
    }
}
