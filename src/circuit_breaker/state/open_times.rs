use std::time::Duration;

use crate::circuit_breaker::config::Rules;
use crate::clock::Moment;
use crate::jitter::Jitter;

/// How long the circuit is to be open this time.
#[derive(Debug)]
pub(super) struct OpenTimes {
    jitter: Jitter,
    /// How often it has opened without having been stable in between.
    in_a_row: u32,
}

impl OpenTimes {
    pub(super) const fn new(jitter: Jitter) -> Self {
        Self { jitter, in_a_row: 0 }
    }

    pub(super) fn next(&mut self, rules: &Rules) -> Duration {
        let doublings = 2_u32.checked_pow(self.in_a_row).unwrap_or(u32::MAX);
        self.in_a_row = self.in_a_row.saturating_add(1);
        // No longer than moments go, so that a share of it is a duration as well.
        let longest = rules.longest_open.min(Moment::MAX.since(Moment::EPOCH));
        let most = rules.first_open.saturating_mul(doublings).min(longest);
        if rules.jitter == 0.0 {
            return most;
        }
        let least = most.mul_f64(1.0 - rules.jitter);
        self.jitter.between(least.min(most), most)
    }

    pub(super) const fn start_over(&mut self) {
        self.in_a_row = 0;
    }
}
