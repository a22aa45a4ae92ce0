use crate::clock::Moment;

/// What time pays in, counted when somebody asks.
#[derive(Debug)]
pub(in super::super) struct Refill {
    until: Moment,
    /// What did not fill a part of a token, in billionths of one.
    rest: u64,
}

const SECOND: u128 = 1_000_000_000;

impl Refill {
    pub(in super::super) const fn new(now: Moment) -> Self {
        Self { until: now, rest: 0 }
    }

    /// What has come since it was last asked, at a rate of so much per second; never more than `most`, which fills the
    /// budget, and so however long nobody asked, it is one step.
    pub(in super::super) fn at(&mut self, now: Moment, per_second: u64, most: u64) -> u64 {
        let passed = now.since(self.until);
        self.until = self.until.max(now);
        let come = passed.as_nanos() * u128::from(per_second) + u128::from(self.rest);
        match u64::try_from(come / SECOND) {
            Ok(whole) if whole < most => {
                self.rest = u64::try_from(come % SECOND).unwrap_or(0);
                whole
            }
            _ => {
                self.rest = 0;
                most
            }
        }
    }

    /// There was no room for more, so a part of a part is lost as well.
    pub(in super::super) const fn overflowed(&mut self) {
        self.rest = 0;
    }
}
