mod by_key;
mod invalid;
mod open_for;
mod rules;

use std::time::Duration;

pub use self::by_key::{KeyedConfig, WithoutKey};
pub use self::invalid::InvalidCircuitBreaker;
pub use self::open_for::OpenFor;
pub use self::rules::{LastCalls, TimeWindow};
pub(super) use self::rules::{Rate, Rates, Rules};
use crate::name::Name;

/// The settings of a circuit breaker.
///
/// Every rule that is set can trip it. Where none is set, half of the last 100 calls failing does, once there were 20.
///
/// ```
/// use std::time::Duration;
/// use buttress::circuit_breaker::{CircuitBreakerConfig, LastCalls, OpenFor};
///
/// let config = CircuitBreakerConfig::new()
///     .name("payments")
///     .consecutive_failures(15)
///     .last_calls(LastCalls::new(100).failure_rate(0.6))
///     .open_for(OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(30)).jitter(0.2))
///     .successes_to_close(2);
/// # let _ = config;
/// ```
///
/// With the feature `serde` it reads from files. The keys are the names of the setters; what is left out has its default:
///
/// ```json
/// {
///   "name": "payments",
///   "consecutive_failures": 15,
///   "last_calls": { "calls": 100, "failure_rate": 0.6, "slow_rate": 0.9, "minimum_calls": 50 },
///   "time_window": { "length": "30s", "failure_rate": 0.5 },
///   "slow_call_threshold": "2s",
///   "open_for": { "first": "1s", "longest": "30s", "jitter": 0.2 },
///   "when_dropped": "failure"
/// }
/// ```
///
/// An `open_for` without `longest` is fixed, and without `jitter` has none.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct CircuitBreakerConfig {
    pub(super) name: Name,
    pub(super) consecutive_failures: Option<u32>,
    pub(super) last_calls: Option<LastCalls>,
    pub(super) time_window: Option<TimeWindow>,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize_some"))]
    pub(super) slow_call_threshold: Option<Duration>,
    pub(super) open_for: OpenFor,
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) longest_hint: Duration,
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) stable_after: Duration,
    pub(super) permitted_probes: u32,
    pub(super) successes_to_close: u32,
    pub(super) allowed_failures: u32,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize_some"))]
    pub(super) probe_lease: Option<Duration>,
    pub(super) when_dropped: WhenDropped,
    pub(super) observe_only: bool,
}

/// What a call means that is dropped before it is answered, or together with a service that it waits to be ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WhenDropped {
    /// Nothing: the caller lost interest, and the service is not to blame.
    #[default]
    Neutral,
    /// The service was too slow for its caller. Choose it for a breaker inside a timeout of somebody else, who drops the
    /// calls that take too long; else such a breaker never sees a hanging service fail. Not where calls are dropped for
    /// other reasons, as by load shedding or a balancer outside.
    Failure,
}

impl CircuitBreakerConfig {
    /// Settings that suit most: the default rule, open for 5 s and each time in a row twice as long up to a minute (with
    /// 20 % jitter), then one probe at a time, of which the first that succeeds closes.
    #[must_use]
    pub fn new() -> Self {
        let (first, longest) = (Duration::from_secs(5), Duration::from_secs(60));
        Self {
            name: Name::fixed(&"circuit_breaker"),
            consecutive_failures: None,
            last_calls: None,
            time_window: None,
            slow_call_threshold: None,
            open_for: OpenFor::exponential(first, longest).jitter(0.2),
            longest_hint: Duration::from_secs(300),
            stable_after: Duration::from_secs(60),
            permitted_probes: 1,
            successes_to_close: 1,
            allowed_failures: 0,
            probe_lease: None,
            when_dropped: WhenDropped::Neutral,
            observe_only: false,
        }
    }

    /// What the breaker is called in events and refusals; `"circuit_breaker"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// Trips at this number of failures in a row, with no success between them (neutral answers do not count). At least 1.
    ///
    /// It reacts fastest, also where there is little traffic; with much traffic it only sees a service that fails
    /// entirely.
    #[must_use]
    pub const fn consecutive_failures(mut self, failures: u32) -> Self {
        self.consecutive_failures = Some(failures);
        self
    }

    /// Trips by the rates of failed or slow calls among exactly the last ones.
    #[must_use]
    pub const fn last_calls(mut self, window: LastCalls) -> Self {
        self.last_calls = Some(window);
        self
    }

    /// Trips by the rates of failed or slow calls within a time that moves along.
    #[must_use]
    pub const fn time_window(mut self, window: TimeWindow) -> Self {
        self.time_window = Some(window);
        self
    }

    /// A call that takes at least this long is slow, whatever its answer. Goes with a `slow_rate` of
    /// [`last_calls`](Self::last_calls) or [`time_window`](Self::time_window). A slow probe counts as a failed one.
    ///
    /// It costs two clock readings a call.
    #[must_use]
    pub const fn slow_call_threshold(mut self, threshold: Duration) -> Self {
        self.slow_call_threshold = Some(threshold);
        self
    }

    /// How long the circuit stays open: a `Duration`, or an [`OpenFor`] that grows. The answer that opens it may ask for
    /// more ([`longest_hint`](Self::longest_hint)).
    #[must_use]
    pub fn open_for(mut self, open_for: impl Into<OpenFor>) -> Self {
        self.open_for = open_for.into();
        self
    }

    /// The answer that opens the circuit may ask for more time (`Retry-After`), up to this; 5 minutes by default. Zero
    /// takes no such hints.
    #[must_use]
    pub const fn longest_hint(mut self, longest: Duration) -> Self {
        self.longest_hint = longest;
        self
    }

    /// After this time closed, the next trip starts again with the shortest open time; a minute by default.
    #[must_use]
    pub const fn stable_after(mut self, closed: Duration) -> Self {
        self.stable_after = closed;
        self
    }

    /// How many probes a half-open circuit lets in at a time: 1, the default, to 32.
    #[must_use]
    pub const fn permitted_probes(mut self, probes: u32) -> Self {
        self.permitted_probes = probes;
        self
    }

    /// How many probes must succeed to close the circuit; 1 by default.
    #[must_use]
    pub const fn successes_to_close(mut self, successes: u32) -> Self {
        self.successes_to_close = successes;
        self
    }

    /// How many probes may fail before the circuit opens again; none by default, so the first one opens it.
    #[must_use]
    pub const fn allowed_failures(mut self, failures: u32) -> Self {
        self.allowed_failures = failures;
        self
    }

    /// A probe without an answer after this time counts as failed, and its place is free; twice the
    /// [`slow_call_threshold`](Self::slow_call_threshold) by default, or 30 s without one.
    #[must_use]
    pub const fn probe_lease(mut self, lease: Duration) -> Self {
        self.probe_lease = Some(lease);
        self
    }

    /// What a call means that is dropped before it is answered; nothing by default.
    #[must_use]
    pub const fn when_dropped(mut self, meaning: WhenDropped) -> Self {
        self.when_dropped = meaning;
        self
    }

    /// Refuses nothing, and only reports what it would have refused: to try settings on live traffic. The handle turns it
    /// on and off as well.
    #[must_use]
    pub const fn observe_only(mut self, observe_only: bool) -> Self {
        self.observe_only = observe_only;
        self
    }
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self::new()
    }
}
