mod backoff;
mod budget;
mod invalid;
mod never_sent;
mod on_attempt;
mod repeat;
mod replay;
mod rules;
mod trigger;

use std::time::Duration;

pub use self::backoff::{Backoff, Spread};
pub use self::budget::BudgetConfig;
pub use self::invalid::InvalidRetry;
pub use self::never_sent::{NeverSent, NotKnown};
pub use self::on_attempt::{OnAttempt, Untold};
pub use self::repeat::{AnyRequest, MayRepeat};
pub use self::replay::{Cloned, Copied, Replay};
pub(super) use self::rules::{Rates, Rules, TOKEN};
pub use self::trigger::RetryWhen;
use crate::name::Name;
use crate::outcome::FailureKind;

/// The settings of a [`RetryLayer`](super::RetryLayer).
///
/// ```
/// use std::time::Duration;
/// use buttress::retry::{Backoff, BudgetConfig, RetryConfig};
///
/// let config = RetryConfig::new()
///     .name("payments")
///     .max_attempts(4)
///     .backoff(Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2)))
///     .budget(BudgetConfig::new().ratio(0.1));
/// # let _ = config;
/// ```
///
/// With the feature `serde` it reads from files. The keys are the names of the setters; what is left out has its default:
///
/// ```json
/// {
///   "name": "payments",
///   "max_attempts": 4,
///   "backoff": { "base": "50ms", "factor": 2.0, "cap": "2s", "spread": "full" },
///   "budget": { "ratio": 0.1, "per_second": 3.0, "capacity": 100 },
///   "on": ["error", "timed_out"],
///   "longest_hint": "30s",
///   "max_attempts_within_retry": 1
/// }
/// ```
///
/// `"budget": null` is none at all.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct RetryConfig {
    pub(super) name: Name,
    pub(super) max_attempts: u32,
    pub(super) backoff: Backoff,
    pub(super) budget: Option<BudgetConfig>,
    pub(super) on: Option<Vec<FailureKind>>,
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) longest_hint: Duration,
    pub(super) max_attempts_within_retry: u32,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) seed: Option<u64>,
}

impl RetryConfig {
    /// Settings that suit most: three attempts, [`Backoff::default`] between them, as many retries as
    /// [`BudgetConfig::new`] pays for, and the failures that may be over the next time: `Error`, `TimedOut`,
    /// `RequestTimeout`, `Throttled`, `Refused`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: Name::fixed(&"retry"),
            max_attempts: 3,
            backoff: Backoff::default(),
            budget: Some(BudgetConfig::new()),
            on: None,
            longest_hint: Duration::from_secs(30),
            max_attempts_within_retry: 1,
            seed: None,
        }
    }

    /// What the layer is called in events; `"retry"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// How often a request is sent at most, the first time included; at least 1, and 3 by default.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long to wait before each retry.
    #[must_use]
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many retries there may be beside the calls. To share a budget with other layers, make the layer
    /// [`with_budget`](super::RetryLayer::with_budget).
    #[must_use]
    pub const fn budget(mut self, budget: BudgetConfig) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Any number of retries: a service that fails under load then gets up to `max_attempts` times as much of it. For a
    /// caller that makes few calls, and where something further in bounds them.
    #[must_use]
    pub const fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }

    /// Retries these kinds of failure, and no others; by default those that [`new`](Self::new) names.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = FailureKind>) -> Self {
        self.on = Some(kinds.into_iter().collect());
        self
    }

    /// Retries these, where it was not told which.
    #[allow(dead_code, reason = "asked only by the ready stacks of the feature `http`")]
    pub(crate) fn or_on(mut self, kinds: &[FailureKind]) -> Self {
        self.on.get_or_insert_with(|| kinds.into());
        self
    }

    /// A service, or a layer that refused, may ask to be left alone (`Retry-After`) for up to this long, and is, and the
    /// backoff comes on top; 30 s by default. Who asks for more is not called again: it would refuse before its time, and
    /// the caller has better to do than to wait.
    #[must_use]
    pub const fn longest_hint(mut self, longest: Duration) -> Self {
        self.longest_hint = longest;
        self
    }

    /// How often a request is sent at most that is made on behalf of one which is itself a retry; 1 by default. Retries of
    /// retries multiply: three layers that send three times each send 27 times.
    ///
    /// Which those are, [`MayRepeat::attempt_of`] says.
    #[must_use]
    pub const fn max_attempts_within_retry(mut self, attempts: u32) -> Self {
        self.max_attempts_within_retry = attempts;
        self
    }

    /// Makes the same waits each time, for tests: those of the first call that fails, of the second, and so on.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self::new()
    }
}
