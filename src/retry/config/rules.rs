use std::time::Duration;

use super::{Backoff, BudgetConfig, InvalidRetry, RetryConfig, Spread};
use crate::attempt::Attempt;
use crate::name::Name;
use crate::outcome::{FailureKind, Kinds};

/// A token in the parts that budgets are counted in.
pub(in super::super) const TOKEN: u64 = 1_000_000;

/// What may be over the next time.
const BY_DEFAULT: [FailureKind; 5] = [
    FailureKind::Error,
    FailureKind::TimedOut,
    FailureKind::RequestTimeout,
    FailureKind::Throttled,
    FailureKind::Refused,
];

const MOST_RATIO: f64 = 1_000.0;
const MOST_PER_SECOND: f64 = 1e6;
const MOST_TOKENS: u32 = 1_000_000;

/// The settings, checked, and as the decision asks for them.
#[derive(Clone, Debug)]
pub(in super::super) struct Rules {
    pub(in super::super) name: Name,
    pub(in super::super) kinds: Kinds,
    pub(in super::super) backoff: Backoff,
    pub(in super::super) longest_hint: Duration,
    pub(in super::super) seed: Option<u64>,
    max_attempts: u32,
    max_attempts_within_retry: u32,
}

/// A budget's settings, checked, in parts of a token.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Rates {
    pub(in super::super) deposit: u64,
    pub(in super::super) per_second: u64,
    pub(in super::super) capacity: u64,
}

impl Rules {
    /// How often a request may be sent that is part of this attempt of somebody else.
    pub(in super::super) const fn attempts_within(&self, attempt: Attempt) -> u32 {
        if attempt.is_retry() { self.max_attempts_within_retry } else { self.max_attempts }
    }
}

impl RetryConfig {
    pub(in super::super) fn rules(self) -> Result<Rules, InvalidRetry> {
        let Self { name, max_attempts, max_attempts_within_retry, backoff, on, longest_hint, seed, .. } = self;
        if max_attempts == 0 {
            return Err(InvalidRetry::ZeroAttempts(name));
        }
        if !(1..=max_attempts).contains(&max_attempts_within_retry) {
            let attempts = max_attempts_within_retry;
            return Err(InvalidRetry::AttemptsWithinRetry { name, attempts, max_attempts });
        }
        let Backoff { base, factor, cap, spread } = backoff;
        if cap < base {
            return Err(InvalidRetry::Cap { name, base, cap });
        }
        if !(1.0..f64::INFINITY).contains(&factor) {
            return Err(InvalidRetry::Factor { name, factor });
        }
        if spread == Spread::Decorrelated && base == cap {
            return Err(InvalidRetry::NothingToSpread(name));
        }
        let kinds = Kinds::of(on.as_deref().unwrap_or(&BY_DEFAULT));
        if on.is_some_and(|kinds| kinds.is_empty()) {
            return Err(InvalidRetry::NothingToRetry(name));
        }
        Ok(Rules { name, kinds, backoff, longest_hint, seed, max_attempts, max_attempts_within_retry })
    }

    /// As long as the waits of one call can take together, where the service gives no hints.
    #[must_use]
    pub fn longest_backoff(&self) -> Duration {
        // Beyond so many retries the sum is the same as far as anybody waits.
        let retries = self.max_attempts.saturating_sub(1);
        let one_by_one = retries.min(1_000);
        let sum = (1..=one_by_one).fold(Duration::ZERO, |sum, retry| sum.saturating_add(self.backoff.ceiling(retry)));
        sum.saturating_add(self.backoff.ceiling(retries).saturating_mul(retries - one_by_one))
    }
}

impl BudgetConfig {
    pub(in super::super) fn rates(&self, name: &Name) -> Result<Rates, InvalidRetry> {
        let parts = |setting, value: f64, most: f64| {
            in_parts(value, most).ok_or(InvalidRetry::BudgetRate { name: *name, setting, value, most })
        };
        if !(2..=MOST_TOKENS).contains(&self.capacity) {
            return Err(InvalidRetry::Capacity { name: *name, capacity: self.capacity });
        }
        Ok(Rates {
            deposit: parts("ratio", self.ratio, MOST_RATIO)?,
            per_second: parts("per_second", self.per_second, MOST_PER_SECOND)?,
            capacity: u64::from(self.capacity) * TOKEN,
        })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was compared with both ends")]
fn in_parts(tokens: f64, most: f64) -> Option<u64> {
    (0.0..=most).contains(&tokens).then(|| (tokens * TOKEN as f64).round() as u64)
}
