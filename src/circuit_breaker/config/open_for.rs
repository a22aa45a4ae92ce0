use std::time::Duration;

/// How long a circuit stays open.
///
/// ```
/// use std::time::Duration;
/// use buttress::circuit_breaker::OpenFor;
///
/// let always_the_same = OpenFor::fixed(Duration::from_secs(5));
/// let growing = OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(60)).jitter(0.2);
/// # let _ = (always_the_same, growing);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct OpenFor {
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) first: Duration,
    #[cfg_attr(feature = "serde", serde(default, deserialize_with = "crate::human_duration::deserialize_some"))]
    pub(super) longest: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) jitter: f64,
}

impl OpenFor {
    /// Always the same time, unless a server [asks for more](super::CircuitBreakerConfig::longest_hint).
    ///
    /// Whatever else goes on at the service in that rhythm, the probes are in step with it; a little
    /// [jitter](Self::jitter) helps.
    #[must_use]
    pub const fn fixed(time: Duration) -> Self {
        Self { first: time, longest: None, jitter: 0.0 }
    }

    /// The `first` time, and twice as long each time the circuit opens again without having been
    /// [stable](super::CircuitBreakerConfig::stable_after) in between, up to the `longest`.
    #[must_use]
    pub const fn exponential(first: Duration, longest: Duration) -> Self {
        Self { first, longest: Some(longest), jitter: 0.0 }
    }

    /// Leaves so much of each time to chance: with 0.2 a time of 10 s becomes one of 8 s to 10 s, all equally likely.
    /// Breakers that tripped together then do not all probe together. From 0, the default, to 1.
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }
}

/// A fixed time.
impl From<Duration> for OpenFor {
    fn from(time: Duration) -> Self {
        Self::fixed(time)
    }
}
