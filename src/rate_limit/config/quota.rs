use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// How much may pass: a steady rate, and a burst at once after a pause.
///
/// Picture a bucket of `burst` tokens, full at first. A call takes as many as it costs; `amount` flow in over each period,
/// one by one and not all at its end. So within *any* span of time at most `amount` a period and one `burst` pass. Rate and
/// burst are independent of each other, and the bucket never holds more than the burst.
///
/// Between two tokens lies a whole number of nanoseconds, rounded up: what passes may fall short of the rate by a
/// thousandth at a million a second (and far less below), and never exceeds it.
///
/// ```
/// use std::time::Duration;
/// use buttress::rate_limit::Quota;
///
/// let orders = Quota::per_second(1000).burst(100); // after a pause 100 at once, then one each millisecond
/// let newsletter = Quota::per(5, Duration::from_secs(3600)); // 5 at once, then one every 12 minutes
/// # let _ = (orders, newsletter);
/// ```
///
/// In a settings file: `{ "amount": 1000, "per": "1s", "burst": 100 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Quota {
    pub(super) amount: u32,
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) per: Duration,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(super) burst: Option<u32>,
}

impl Quota {
    /// `amount` each second.
    #[must_use]
    pub const fn per_second(amount: u32) -> Self {
        Self::per(amount, SECOND)
    }

    /// `amount` each minute.
    #[must_use]
    pub const fn per_minute(amount: u32) -> Self {
        Self::per(amount, Duration::from_secs(60))
    }

    /// `amount` each hour.
    #[must_use]
    pub const fn per_hour(amount: u32) -> Self {
        Self::per(amount, Duration::from_secs(3600))
    }

    /// `amount` in each `period`: at least one, and at most a million a second.
    #[must_use]
    pub const fn per(amount: u32, period: Duration) -> Self {
        Self { amount, per: period, burst: None }
    }

    /// How many may pass at once, at least 1. By default the whole amount of a period, as one reads "a hundred a minute";
    /// less makes it smoother.
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = Some(burst);
        self
    }
}
