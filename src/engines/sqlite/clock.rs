use std::time::{Duration, SystemTime};

use crate::clock::Moment;

/// Time since 1970, as a file that outlives processes and clocks is told it.
///
/// The wall clock is asked once, since it jumps; from then on time goes on by itself. It never is before the largest time in
/// the file, so what was written is never in the future of whoever reads it.
#[derive(Debug)]
pub(super) struct Clock {
    began: Moment,
    wall: Moment,
}

impl Clock {
    pub(super) fn set(wall: SystemTime, now: Moment) -> Self {
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { began: now, wall: Moment::EPOCH + since }
    }

    /// A clock that was behind the file goes on from there.
    pub(super) fn time(&mut self, largest: Moment, now: Moment) -> Moment {
        let time = self.wall + now.since(self.began);
        if time < largest {
            *self = Self { began: now, wall: largest };
        }
        time.max(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const T0: Moment = Moment::from_nanos(7);

    fn at(seconds: u32) -> Moment {
        Moment::EPOCH + SEC * seconds
    }

    #[test]
    fn it_goes_on_from_what_the_wall_said() {
        let mut clock = Clock::set(SystemTime::UNIX_EPOCH + 100 * SEC, T0);
        assert_eq!(clock.time(at(0), T0), at(100));
        assert_eq!(clock.time(at(0), T0 + 5 * SEC), at(105));
    }

    #[test]
    fn it_goes_on_from_the_file_if_that_is_further() {
        let mut clock = Clock::set(SystemTime::UNIX_EPOCH + 100 * SEC, T0);
        assert_eq!(clock.time(at(700), T0), at(700));
        assert_eq!(clock.time(at(700), T0 + 5 * SEC), at(705), "it does not stand still until the wall has caught up");
        assert_eq!(clock.time(at(900), T0 + 6 * SEC), at(900), "another process was further");
        assert_eq!(clock.time(at(0), T0 + 7 * SEC), at(901));
    }

    #[test]
    fn a_wall_clock_of_before_1970_is_no_panic() {
        assert_eq!(Clock::set(SystemTime::UNIX_EPOCH - SEC, T0).time(at(3), T0), at(3));
    }
}
