//! What the readers of products were shown.

use std::ops::Range;
use std::time::Duration;

use super::{Sample, Unit, due};
use crate::record::{Read, Run};
use crate::script::{Phase, READS};

/// Reads by what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) sent: usize,
    /// Shown as the catalogue says meanwhile,
    pub(crate) fresh: usize,
    /// from memory, and marked so,
    pub(crate) stale: usize,
    /// with a mark that is missing, or wrong.
    pub(crate) mismarked: usize,
    /// How old the oldest was when it was shown.
    pub(crate) oldest: Option<Duration>,
}

impl Reads {
    pub(crate) fn of<'a>(reads: impl IntoIterator<Item = &'a Read>) -> Self {
        let mut counts = Self::default();
        for read in reads {
            counts.sent += 1;
            let Some(shown) = read.shown else { continue };
            match (read.is_from_memory(), shown.is_marked) {
                (false, false) => counts.fresh += 1,
                (true, true) => counts.stale += 1,
                (true, false) | (false, true) => counts.mismarked += 1,
            }
            counts.oldest = counts.oldest.max(Some(shown.at.saturating_sub(shown.as_of)));
        }
        counts
    }

    /// Those that were sent in this time.
    pub(crate) fn during(run: &Run, time: &Range<Duration>) -> Self {
        Self::of(run.reads.iter().filter(|read| time.contains(&read.sent)))
    }

    pub(crate) const fn answered(&self) -> usize {
        self.fresh + self.stale + self.mismarked
    }

    /// Those that got an error, or nothing.
    pub(crate) const fn failed(&self) -> usize {
        self.sent - self.answered()
    }
}

/// The reads by which it is judged what is shown in the outage.
pub(crate) struct InTheOutage {
    pub(crate) reads: Reads,
    pub(crate) sample: Sample,
}

impl InTheOutage {
    /// All that were sent in it once the shop has found out, unless the catalogue was back when it answered them.
    pub(crate) fn of(run: &Run) -> Self {
        let outage = run.act(Phase::Outage).map(|act| &run.played[act]);
        let part = outage.map(|played| played.from + Phase::Outage.settling()..played.until).unwrap_or_default();
        let is_judged = |read: &&Read| {
            let was_back = !read.is_from_memory() && read.shown.is_some_and(|shown| shown.as_of >= part.end);
            part.contains(&read.sent) && !was_back
        };
        let reads = Reads::of(run.reads.iter().filter(is_judged));
        let sample = Sample {
            unit: Unit::Reads,
            counted: reads.sent,
            due: due(READS, part.end.saturating_sub(part.start)),
            overslept: run.reads_overslept.iter().filter(|due| part.contains(*due)).count(),
        };
        Self { reads, sample }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Shown;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_read_counts_by_when_it_was_so_and_by_its_mark() {
        let read = |as_of, is_marked| Read {
            sent: 100 * MS,
            shown: Some(Shown { as_of: as_of * MS, at: 107 * MS, is_marked }),
        };
        let failed = Read { sent: 100 * MS, shown: None };
        let reads = [
            read(100, false),
            read(105, false),
            read(99, true),
            read(7, true),
            read(99, false),
            read(100, true),
            failed,
        ];
        let counted = Reads::of(&reads);
        assert_eq!(counted, Reads { sent: 7, fresh: 2, stale: 2, mismarked: 2, oldest: Some(100 * MS) });
        assert_eq!((counted.answered(), counted.failed()), (6, 1));
        assert_eq!(Reads::of(&[failed]).oldest, None);
    }
}
