//! Whether a call that failed is made again, and when.

mod refill;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub(super) use self::refill::Refill;
use super::config::{Backoff, Rules, Spread};
use crate::attempt::Attempt;
use crate::jitter::Jitter;
use crate::outcome::{Failure, FailureKind};

/// Timers fire up to so much late. There must be that much left, or the attempt would begin after its deadline.
const TICK: Duration = Duration::from_millis(1);

/// One call, from its first attempt to its last.
#[derive(Debug)]
pub(super) struct Session {
    attempt: Attempt,
    most: u32,
    /// The wait before this attempt, of which a decorrelated one grows.
    waited: Option<Duration>,
}

/// What is done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The call is over.
    Stop(Stop),
    /// Wait so long, if the budget pays that many tokens, and try again.
    Wait(Duration, Tokens),
}

/// Tokens of a budget.
pub(super) type Tokens = u64;

/// Why a call that failed is not made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is a failure that is not retried.
    NotRetried,
    /// The request may not be sent twice.
    NotRepeatable,
    /// It cannot be: there is no copy of it, or not all of it.
    NotCopied,
    /// It was sent as often as may be.
    AttemptsUsedUp,
    /// The service said so.
    Forbidden,
    /// The service asks for more time than anybody waits.
    HintTooLong,
    /// The deadline comes before the wait is over.
    NoTimeLeft,
    /// There are too many retries already.
    BudgetUsedUp,
}

impl Stop {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetried => "kind_not_retried",
            Self::NotRepeatable => "not_repeatable",
            Self::NotCopied => "not_copied",
            Self::AttemptsUsedUp => "attempts_used_up",
            Self::Forbidden => "service_forbids",
            Self::HintTooLong => "hint_too_long",
            Self::NoTimeLeft => "no_time_left",
            Self::BudgetUsedUp => "budget_used_up",
        }
    }

    /// Whether it would have been retried, if only there were more of something: whoever repeats the whole asks for that
    /// again, and multiplies what was tried here.
    const fn is_exhausted(self) -> bool {
        match self {
            Self::NotRetried | Self::NotRepeatable | Self::NotCopied => false,
            Self::AttemptsUsedUp | Self::Forbidden | Self::HintTooLong | Self::NoTimeLeft | Self::BudgetUsedUp => true,
        }
    }
}

impl Session {
    /// A call that may be made `most` times.
    pub(super) const fn new(most: u32) -> Self {
        Self { attempt: Attempt::FIRST, most, waited: None }
    }

    /// The attempt that is under way, or the last one.
    pub(super) const fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// Whether the attempt that failed was the last, however it failed.
    pub(super) fn may_go_on(&self, failure: &Failure) -> Result<(), Stop> {
        if failure.is_final() {
            Err(Stop::Forbidden)
        } else if self.is_last() {
            Err(Stop::AttemptsUsedUp)
        } else {
            Ok(())
        }
    }

    /// Whether whoever repeats the whole multiplies what was tried here, or repeats what the service or the budget speaks
    /// against. What was sent once for want of attempts or time was multiplied by nobody.
    pub(super) fn is_exhausted_by(&self, stop: Stop) -> bool {
        let is_our_own_want = matches!(stop, Stop::AttemptsUsedUp | Stop::NoTimeLeft);
        stop.is_exhausted() && (!is_our_own_want || self.attempt.is_retry())
    }

    /// Whether no attempt may follow.
    pub(super) const fn is_last(&self) -> bool {
        self.attempt.number() >= self.most
    }

    /// The attempt failed in a way that is retried, and there may be another. `left` is the time until the deadline, if there
    /// is one.
    pub(super) fn failed(
        &mut self,
        failure: &Failure,
        left: Option<Duration>,
        rules: &Rules,
        jitter: &mut Jitter,
    ) -> Verdict {
        let hint = failure.retry_after().unwrap_or_default();
        if hint > rules.longest_hint {
            return Verdict::Stop(Stop::HintTooLong);
        }
        let backoff = self.backoff(&rules.backoff, jitter);
        let wait = match rules.backoff.spread {
            Spread::None => hint.max(backoff),
            // On top, so that those who were told the same time do not come back together.
            Spread::Full | Spread::Equal | Spread::Decorrelated => hint.saturating_add(backoff),
        };
        if left.is_some_and(|left| wait.saturating_add(TICK) > left) {
            return Verdict::Stop(Stop::NoTimeLeft);
        }
        Verdict::Wait(wait, cost(failure.kind()))
    }

    /// The next attempt is made.
    pub(super) fn resent(&mut self) -> Attempt {
        self.attempt = self.attempt.next();
        self.attempt
    }

    fn backoff(&mut self, backoff: &Backoff, jitter: &mut Jitter) -> Duration {
        let ceiling = backoff.ceiling(self.attempt.number());
        let wait = match backoff.spread {
            Spread::Full => jitter.between(Duration::ZERO, ceiling),
            Spread::Equal => jitter.between(ceiling / 2, ceiling),
            Spread::Decorrelated => {
                let before = self.waited.unwrap_or(backoff.base);
                jitter.between(backoff.base, before.saturating_mul(3).min(backoff.cap))
            }
            Spread::None => ceiling,
        };
        self.waited = Some(wait);
        wait
    }
}

/// A service that let a call time out was kept busy by it the longest, and may be still.
const fn cost(kind: FailureKind) -> Tokens {
    match kind {
        FailureKind::TimedOut | FailureKind::RequestTimeout => 2,
        _ => 1,
    }
}
