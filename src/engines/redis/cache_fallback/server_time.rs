use std::sync::{Mutex, PoisonError};

use crate::clock::Moment;

/// What a server's clock shows, in microseconds, as it was last told.
#[derive(Debug, Default)]
pub(super) struct ServerTime(Mutex<Option<Told>>);

#[derive(Clone, Copy, Debug)]
struct Told {
    micros: u64,
    /// When that came here, where it was later by then.
    at: Moment,
}

impl ServerTime {
    pub(super) fn told(&self, micros: u64, at: Moment) {
        let told = Told { micros, at };
        // Answers overtake each other.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.at <= at) {
            *last = Some(told);
        }
    }

    /// What it shows at least; zero if it has not been told.
    pub(super) fn at(&self, moment: Moment) -> u64 {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(0, |Told { micros, at }| {
            let since = u64::try_from(moment.since(at).as_micros()).unwrap_or(u64::MAX);
            micros.saturating_add(since)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn it_goes_on_from_what_was_told_last() {
        let time = ServerTime::default();
        assert_eq!(time.at(at(5)), 0, "nobody has said");
        time.told(100_000_000, at(5));
        assert_eq!([5, 7].map(|second| time.at(at(second))), [100_000_000, 102_000_000]);
        assert_eq!(time.at(at(4)), 100_000_000, "and never back");
        time.told(50_000_000, at(8));
        assert_eq!(time.at(at(9)), 51_000_000, "it was set back");
        time.told(100_000_000, at(6));
        assert_eq!(time.at(at(9)), 51_000_000, "an answer that was overtaken");
    }
}
