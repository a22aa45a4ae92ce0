//! Between the platform's clock and ours.

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::{Moment, nanos};

/// What the process counts from lies at least this long before its first reading, so that "before" can be said as well.
const BEFORE_FIRST_READING: Duration = Duration::from_secs(24 * 60 * 60);

/// As far ahead as a timer is ever set when the true moment is beyond what the platform's clock can say.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// So many seconds on, a moment can still be told by multiplying, whatever the nanoseconds.
const PLAIN_SECONDS: u64 = u64::MAX / 1_000_000_000 - 1;

/// The first reading, from which all others are counted. Real time, although it may be a paused clock that is read first: a
/// test that moves its own time on by days must not make that the beginning of time for all others.
static ORIGIN: OnceLock<Origin> = OnceLock::new();

#[derive(Clone, Copy)]
pub(super) struct Origin {
    first: Instant,
    at: Moment,
    /// What a reading shows at [`Moment::EPOCH`].
    epoch_seconds: u64,
    /// Fewer seconds on, moments are as readings show; none if they show nothing of use.
    plain_seconds: u64,
}

#[inline]
pub(super) fn origin() -> &'static Origin {
    #[expect(clippy::disallowed_methods, reason = "`clock` is the one place")]
    ORIGIN.get_or_init(|| Origin::new(Instant::now()))
}

impl Origin {
    fn new(first: Instant) -> Self {
        let shown = Shown::by(first);
        let reads = Self {
            first,
            at: Moment::EPOCH + BEFORE_FIRST_READING + Duration::from_nanos(shown.nanos),
            epoch_seconds: shown.seconds.wrapping_sub(BEFORE_FIRST_READING.as_secs()),
            plain_seconds: PLAIN_SECONDS,
        };
        if reads.is_right() { reads } else { Self { plain_seconds: 0, ..reads } }
    }

    /// Whether what instants show is what they are.
    fn is_right(&self) -> bool {
        let steps =
            [Duration::ZERO, Duration::new(0, 1), Duration::new(1, 999_999_999), Duration::new(86_400, 600_000_000)];
        let mut later = steps.into_iter().filter_map(|step| self.first.checked_add(step));
        later.all(|later| self.moment(later) == self.moment_of_any(later))
    }

    /// The moment of a reading, which is hardly ever long before the first or centuries after it.
    #[inline]
    pub(super) fn moment(&self, reading: Instant) -> Moment {
        let shown = Shown::by(reading);
        let seconds = shown.seconds.wrapping_sub(self.epoch_seconds);
        if seconds < self.plain_seconds {
            return Moment(seconds * 1_000_000_000 + shown.nanos);
        }
        self.moment_of_any(reading)
    }

    /// The same for whatever somebody calls an instant.
    #[cold]
    #[inline(never)]
    pub(super) fn moment_of_any(&self, instant: Instant) -> Moment {
        match instant.checked_duration_since(self.first) {
            Some(after) => self.at + after,
            None => Moment(self.at.0.saturating_sub(nanos(self.first - instant))),
        }
    }

    pub(super) fn instant(&self, moment: Moment) -> Instant {
        if moment >= self.at {
            self.first.checked_add(moment.since(self.at)).unwrap_or_else(|| self.first + FAR)
        } else {
            self.first.checked_sub(self.at.since(moment)).unwrap_or(self.first)
        }
    }
}

/// The numbers in an [`Instant`], as it feeds them to a hasher: seconds and nanoseconds, on every platform that std knows.
///
/// To subtract two instants takes three times as long as to multiply here, and is most of what a reading of the clock takes
/// in all. Nobody has promised these numbers, and so [`Origin::new`] tries them out first.
#[derive(Default)]
struct Shown {
    seconds: u64,
    nanos: u64,
}

impl Shown {
    #[inline]
    fn by(instant: Instant) -> Self {
        let mut shown = Self::default();
        instant.hash(&mut shown);
        shown
    }
}

impl Hasher for Shown {
    #[inline]
    fn write_u64(&mut self, seconds: u64) {
        self.seconds = seconds;
    }

    #[inline]
    fn write_i64(&mut self, seconds: i64) {
        self.seconds = seconds.cast_unsigned();
    }

    #[inline]
    fn write_u32(&mut self, nanos: u32) {
        self.nanos = nanos.into();
    }

    /// Something else; then nothing is shown.
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn here_a_reading_shows_its_numbers() {
        assert_eq!(origin().plain_seconds, PLAIN_SECONDS, "readings cost more than they need to");
    }

    #[test]
    fn where_a_reading_shows_nothing_it_is_subtracted() {
        let blind = Origin { plain_seconds: 0, ..Origin::new(origin().first) };
        let step = Duration::new(5, 7);
        assert_eq!(blind.moment(blind.first + step), blind.at + step);
    }

    #[test]
    fn numbers_that_are_not_a_clocks_are_not_believed() {
        let right = Origin::new(origin().first);
        assert!(right.is_right());
        for (epoch_seconds, at) in
            [(right.epoch_seconds + 1, right.at), (right.epoch_seconds, right.at + Duration::from_nanos(1))]
        {
            assert!(!Origin { epoch_seconds, at, ..right }.is_right());
        }
    }

    #[test]
    fn a_reading_from_before_the_first_one_comes_earlier() {
        let origin = origin();
        for before in [1, 60, 86_399, 86_401].map(Duration::from_secs) {
            let Some(past) = origin.first.checked_sub(before) else { continue };
            let moment = origin.moment(past);
            assert_eq!(moment, origin.moment_of_any(past), "{before:?}");
            assert_eq!(origin.at.since(moment), before.min(origin.at.since(Moment::EPOCH)));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_subtracting_says(seconds in 0..1_000_000_000_000_u64, nanos in 0..1_000_000_000_u32) {
            let later = origin().first.checked_add(Duration::new(seconds, nanos));
            if let Some(later) = later {
                prop_assert_eq!(origin().moment(later), origin().moment_of_any(later));
            }
        }
    }
}
