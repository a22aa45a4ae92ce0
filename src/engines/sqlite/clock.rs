use std::sync::Arc;

use super::steady::Steady;
use crate::clock::Moment;
use crate::idempotency::StoreError;

/// Time since 1970, as all who have the file open are told it.
///
/// What the wall clock says counts once, since it may be set; from then on time goes on with a clock that is not.
#[derive(Debug)]
pub(super) struct Clock {
    steady: Steady,
    /// From when on the steady one counts.
    began: Moment,
}

impl Clock {
    /// One that somebody has set who saw the same steady one.
    pub(super) const fn new(steady: Steady, began: Moment) -> Self {
        Self { steady, began }
    }

    pub(super) fn set(steady: Steady, time: Moment) -> Result<Self, StoreError> {
        let began = Moment::EPOCH + time.since(now(&steady)?);
        Ok(Self { steady, began })
    }

    pub(super) const fn began(&self) -> Moment {
        self.began
    }

    pub(super) fn boot(&self) -> Option<&str> {
        self.steady.boot()
    }

    /// What was written is never in the future of whoever reads it.
    pub(super) fn time(&self, largest: Moment) -> Result<Moment, StoreError> {
        let since = now(&self.steady)?.since(Moment::EPOCH);
        Ok(largest.max(self.began + since))
    }
}

fn now(steady: &Steady) -> Result<Moment, StoreError> {
    let unknown = || StoreError::Unavailable(Arc::new("the machine does not say any more how long it is up".into()));
    steady.now().ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn at(years: u32) -> Moment {
        Moment::EPOCH + YEAR * years
    }

    #[test]
    fn it_goes_on_from_what_it_was_set_to() {
        let clock = Clock::set(Steady::Process, at(50)).expect("set");
        let time = clock.time(at(0)).expect("told");
        assert!(time >= at(50) && time < at(51));
        assert_eq!(clock.time(at(60)).expect("told"), at(60), "what was written is not in the future");
    }

    #[test]
    fn two_of_one_machine_are_the_same() {
        let clock = Clock::set(Steady::find(), at(50)).expect("set");
        let other = Clock::new(Steady::find(), clock.began());
        let first = clock.time(at(0)).expect("told");
        let second = other.time(at(0)).expect("told");
        assert!(first <= second && second <= clock.time(at(0)).expect("told"));
    }

    #[test]
    fn one_that_is_set_to_before_it_began_is_no_panic() {
        assert!(Clock::set(Steady::Process, at(0)).expect("set").time(at(0)).expect("told") < at(1));
    }
}
