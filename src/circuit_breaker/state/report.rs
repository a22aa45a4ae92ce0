use std::fmt;
use std::time::Duration;

use crate::clock::Moment;
use crate::rejection::TripReason;

/// What a circuit lets through.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass, and are counted.
    Closed,
    /// Calls are refused. The first that comes after the open time makes it half-open.
    Open,
    /// A few calls pass as probes, the others are refused.
    HalfOpen,
    /// Calls are refused until somebody says otherwise.
    ForcedOpen,
    /// Calls pass and are counted, but nothing trips, until somebody says otherwise.
    ForcedClosed,
    /// Calls pass and nothing is counted, until somebody says otherwise.
    Disabled,
}

impl State {
    /// The state in one word, as events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A circuit began a new generation: its state changed, or somebody took a hand in it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The state before.
    pub from: State,
    /// The state since; the same where an action of a handle left it as it was, such as other settings.
    pub to: State,
    /// Why it opened, if it did.
    pub reason: Option<TripReason>,
    /// The number of the generation that began. Each is one more than the last, so a gap shows changes that were missed.
    pub generation: u64,
    /// When it began.
    pub at: Moment,
}

/// How calls ended. A call that means nothing to the breaker is none of them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Those that were slow, failed or not.
    pub slow: u32,
}

impl Counts {
    /// The share that failed; `None` of no calls.
    #[must_use]
    pub fn failure_rate(&self) -> Option<f64> {
        self.share(self.failures)
    }

    /// The share that was slow; `None` of no calls.
    #[must_use]
    pub fn slow_rate(&self) -> Option<f64> {
        self.share(self.slow)
    }

    fn share(&self, part: u32) -> Option<f64> {
        (self.calls > 0).then(|| f64::from(part) / f64::from(self.calls))
    }

    pub(super) const fn of(failed: bool, slow: bool) -> Self {
        Self { calls: 1, failures: failed as u32, slow: slow as u32 }
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

/// The probes of a circuit that is half-open.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Those that have no answer yet.
    pub in_flight: u32,
    /// Those that succeeded.
    pub successes: u32,
    /// Those that failed.
    pub failures: u32,
}

/// A circuit breaker at a moment.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What it lets through.
    pub state: State,
    /// The number of its generation; each change of state and each action of a handle begins another.
    pub generation: u64,
    /// Why it opened, unless it is closed.
    pub reason: Option<TripReason>,
    /// What is left of the open time, if it is open; zero when the next call will be a probe.
    pub time_left: Option<Duration>,
    /// How many calls failed in a row.
    pub consecutive_failures: u32,
    /// Exactly the last calls, if there is a rule for them.
    pub last_calls: Option<Counts>,
    /// The calls within the time window, if there is a rule for it.
    pub time_window: Option<Counts>,
    /// The probes, if it is half-open.
    pub probes: Option<ProbeCounts>,
    /// How often it has opened by itself.
    pub trips: u64,
    /// How many answers came too late to mean anything: their generation was over, or their lease.
    pub stale: u64,
    /// Whether it only observes.
    pub observe_only: bool,
    /// How many calls it would have refused while it only observed.
    pub would_have_refused: u64,
}
