use std::time::Duration;

use super::super::InvalidStack;
use crate::circuit_breaker::{CircuitBreakerConfig, TimeWindow};
use crate::outcome::FailureKind;
use crate::retry::RetryConfig;
use crate::timeout::TimeoutConfig;

const TOTAL: Duration = Duration::from_secs(30);
pub(in super::super) const DEFAULT_ATTEMPT: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(30);

/// The settings of a [`client_stack`](super::super::client_stack).
///
/// ```
/// use std::time::Duration;
/// use buttress::http::ClientStackConfig;
/// use buttress::retry::RetryConfig;
/// use buttress::timeout::TimeoutConfig;
///
/// let config = ClientStackConfig::new()
///     .total(TimeoutConfig::new(Duration::from_secs(2)))
///     .retry(RetryConfig::new().max_attempts(2))
///     .without_breaker()
///     .attempt(TimeoutConfig::new(Duration::from_millis(800)));
/// # let _ = config;
/// ```
///
/// With the feature `serde` it reads from files. What is left out has its default, and `null` leaves a part out:
///
/// ```json
/// {
///   "total": { "limit": "2s" },
///   "retry": { "max_attempts": 2 },
///   "breaker": null,
///   "attempt": { "limit": "800ms" }
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct ClientStackConfig {
    pub(super) total: Option<TimeoutConfig>,
    pub(super) retry: Option<RetryConfig>,
    pub(super) breaker: Option<CircuitBreakerConfig>,
    pub(super) attempt: Option<TimeoutConfig>,
}

impl ClientStackConfig {
    /// Settings that suit most: 30 s in all, [`RetryConfig::new`], [`CircuitBreakerConfig::new`], and 10 s for each attempt.
    /// Where they leave it open, two things are other than those of the layers alone:
    ///
    /// - The retry leaves alone what is [refused](FailureKind::Refused) further in, so that an open breaker is heard of at
    ///   once.
    /// - Half of the calls of the last 30 s trip the breaker, once there were 20. In 30 s there is time for each of three
    ///   attempts to hang; a window shorter than that forgets those that did.
    #[must_use]
    pub fn new() -> Self {
        Self {
            total: Some(TimeoutConfig::new(TOTAL)),
            retry: Some(RetryConfig::new()),
            breaker: Some(CircuitBreakerConfig::new()),
            attempt: Some(TimeoutConfig::new(DEFAULT_ATTEMPT)),
        }
    }

    /// With what the parts leave open.
    pub(super) fn filled(self) -> Self {
        let kinds = [FailureKind::Error, FailureKind::TimedOut, FailureKind::RequestTimeout, FailureKind::Throttled];
        Self {
            total: self.total.map(|total| total.or_named("total")),
            retry: self.retry.map(|retry| retry.or_on(&kinds)),
            breaker: self.breaker.map(|breaker| breaker.or_time_window(TimeWindow::new(WINDOW))),
            attempt: self.attempt.map(|attempt| attempt.or_named("attempt")),
        }
    }

    /// How long a call may take, all attempts and waits together; 30 s by default. One of 10 s or less needs an
    /// [`attempt`](Self::attempt) that is shorter, or [none](Self::without_attempt). It is called `"total"` unless it has a
    /// name.
    #[must_use]
    pub fn total(mut self, total: TimeoutConfig) -> Self {
        self.total = Some(total);
        self
    }

    /// A call takes as long as its attempts and waits do.
    #[must_use]
    pub fn without_total(mut self) -> Self {
        self.total = None;
        self
    }

    /// What is sent again, how often and when. Where it is told to retry [`Refused`](FailureKind::Refused) too, a call waits
    /// for an open breaker, if that fits into the total and the budget pays for it.
    #[must_use]
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Every request is sent once.
    #[must_use]
    pub fn without_retry(mut self) -> Self {
        self.retry = None;
        self
    }

    /// When the service is left alone for a while: by the calls of the last 30 s, unless it has a rule.
    #[must_use]
    pub fn breaker(mut self, breaker: CircuitBreakerConfig) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// The service is called however often it fails.
    #[must_use]
    pub fn without_breaker(mut self) -> Self {
        self.breaker = None;
        self
    }

    /// How long one attempt may take; 10 s by default. It is called `"attempt"` unless it has a name.
    #[must_use]
    pub fn attempt(mut self, attempt: TimeoutConfig) -> Self {
        self.attempt = Some(attempt);
        self
    }

    /// An attempt takes as long as is left in all.
    #[must_use]
    pub fn without_attempt(mut self) -> Self {
        self.attempt = None;
        self
    }

    /// Whether the parts go together.
    pub(super) fn check(&self) -> Result<(), InvalidStack> {
        let total = self.total.as_ref().and_then(TimeoutConfig::bound);
        let attempt = self.attempt.as_ref().and_then(TimeoutConfig::bound);
        let backoffs = self.retry.as_ref().map(RetryConfig::longest_backoff);
        if let (Some(attempt), Some(total)) = (attempt, total)
            && attempt >= total
        {
            return Err(InvalidStack::AttemptTimeout { attempt, total });
        }
        if let (Some(backoffs), Some(total)) = (backoffs, total)
            && backoffs > total
        {
            return Err(InvalidStack::Backoffs { backoffs, total });
        }
        if let (Some(breaker), Some(attempt)) = (&self.breaker, attempt) {
            check_breaker(breaker, attempt)?;
        }
        Ok(())
    }
}

fn check_breaker(breaker: &CircuitBreakerConfig, attempt: Duration) -> Result<(), InvalidStack> {
    if let Some(window) = breaker.window().filter(|window| *window < attempt.saturating_mul(2)) {
        return Err(InvalidStack::TimeWindow { window, attempt });
    }
    // Where calls can be too slow, a slow probe has failed, and need not be waited for.
    let lease = breaker.lease();
    if !breaker.has_slow_calls() && lease < attempt {
        return Err(InvalidStack::ProbeLease { lease, attempt });
    }
    Ok(())
}

impl Default for ClientStackConfig {
    fn default() -> Self {
        Self::new()
    }
}
