mod identify;
mod keep;
mod parts;

use std::error::Error;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

pub use self::identify::{Global, Identified, Identify, NotSaid, RunOnce, ScopeOf};
pub use self::keep::{Keep, Kept, Unreadable, Verdict};
pub(super) use self::parts::hex;
pub use self::parts::{Fingerprint, InvalidRecordKey, Parts, RecordKey, ToParts};
use crate::name::Name;

/// The settings of an [`IdempotencyLayer`](super::IdempotencyLayer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct IdempotencyConfig {
    pub(super) name: Name,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize"))]
    pub(super) lease: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize"))]
    pub(super) retention: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize"))]
    pub(super) longest_run: Duration,
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize"))]
    pub(super) store_timeout: Duration,
    pub(super) max_running: usize,
    pub(super) max_attempts: NonZeroU32,
    pub(super) when_unavailable: WhenUnavailable,
    pub(super) wait: Option<Wait>,
}

/// What becomes of a request when the store of records is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum WhenUnavailable {
    /// It is refused: nobody can know whether it was run before.
    Refuse,
    /// It is run all the same, and maybe twice. Only for what something else keeps from happening twice, such as a unique
    /// index.
    Run,
}

/// How repeated requests wait for the answer of the one that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Wait {
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::human_duration::deserialize"))]
    pub(super) longest: Duration,
    pub(super) for_each_key: usize,
    pub(super) in_all: usize,
}

impl Wait {
    /// At most this long, which must be shorter than a timeout outside; 16 for each key and 1000 in all. Who may not wait, or not
    /// any longer, is refused.
    #[must_use]
    pub const fn up_to(longest: Duration) -> Self {
        Self { longest, for_each_key: 16, in_all: 1000 }
    }

    /// So many for each key; 16 by default, since a customer who clicks seventeen times is none.
    #[must_use]
    pub const fn for_each_key(mut self, requests: usize) -> Self {
        self.for_each_key = requests;
        self
    }

    /// So many for all keys together; 1000 by default.
    #[must_use]
    pub const fn in_all(mut self, requests: usize) -> Self {
        self.in_all = requests;
        self
    }
}

impl Default for Wait {
    /// Up to five seconds.
    fn default() -> Self {
        Self::up_to(Duration::from_secs(5))
    }
}

impl IdempotencyConfig {
    /// Settings that suit most.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: Name::fixed(&"idempotency"),
            lease: Duration::from_secs(30),
            retention: Duration::from_secs(24 * 60 * 60),
            longest_run: Duration::from_secs(5 * 60),
            store_timeout: Duration::from_millis(250),
            max_running: 1000,
            max_attempts: NonZeroU32::MIN.saturating_add(4),
            when_unavailable: WhenUnavailable::Refuse,
            wait: None,
        }
    }

    /// What the layer is called in events and refusals; `"idempotency"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// For how long a request belongs to a run that says nothing; 30 s by default. A run says each third of that that it is still
    /// there. After a crash nobody runs the request for as long.
    #[must_use]
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// For how long what came of a request is remembered; 24 h by default, as most published APIs have it. It should be longer
    /// than anybody repeats a request, and longer than the request's own affairs take, such as a payment's.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// For how long a request may run and be nobody else's; 5 min by default. One that hangs would keep its key and its place
    /// for ever: then its [lease is lost](super::Execution::lost), and a lease later it is stopped. Whoever repeats it takes
    /// over.
    ///
    /// For as long again it is tried to record what came of a request, if the store is not reached.
    #[must_use]
    pub const fn longest_run(mut self, longest: Duration) -> Self {
        self.longest_run = longest;
        self
    }

    /// How long the store may take for each thing it is asked; 250 ms by default, which is long for a store nearby, and short
    /// for whoever waits.
    #[must_use]
    pub const fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// How many requests run at a time, also after whoever sent them has gone; 1000 by default. More are refused.
    #[must_use]
    pub const fn max_running(mut self, requests: usize) -> Self {
        self.max_running = requests;
        self
    }

    /// After so many runs that crashed, hung or lost their lease a request is not run again: it is parked until somebody
    /// [has looked](super::IdempotencyLayer::resolve). 5 by default; 1 is at most once.
    ///
    /// A claim that a store carries out after nobody waits for it any more, as one that stood still and goes on may, counts as a
    /// run that crashed, although nothing was run.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: NonZeroU32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// What becomes of a request when the store is not reached; it is refused by default.
    #[must_use]
    pub const fn when_unavailable(mut self, when: WhenUnavailable) -> Self {
        self.when_unavailable = when;
        self
    }

    /// Lets repeated requests wait for the answer of the one that is running; by default they are refused, and told when to
    /// come back.
    #[must_use]
    pub const fn wait(mut self, wait: Wait) -> Self {
        self.wait = Some(wait);
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidIdempotency> {
        use InvalidIdempotency::{
            LeaseTooShort, NobodyMayRun, RetentionTooShort, RunTooShort, StoreTimeoutTooLong, StoreTimeoutZero,
            TooManyMayRun,
        };
        let name = self.name;
        let longest_record = self.longest_run.saturating_mul(2).saturating_add(self.lease);
        // A heartbeat has to be asked for and answered, and asked for once more, before the lease is over.
        let checks = [
            (self.lease < SHORTEST_LEASE, LeaseTooShort(name, self.lease)),
            (self.store_timeout.saturating_mul(3) > self.lease, StoreTimeoutTooLong(name, self.store_timeout)),
            (self.longest_run < self.lease, RunTooShort(name, self.longest_run)),
            (self.store_timeout.is_zero(), StoreTimeoutZero(name)),
            (self.retention <= longest_record, RetentionTooShort(name, self.retention)),
            (self.max_running == 0, NobodyMayRun(name)),
            (self.max_running > MOST_RUNNING, TooManyMayRun(name, self.max_running)),
        ];
        checks.into_iter().find(|(is_wrong, _)| *is_wrong).map_or(Ok(()), |(_, why)| Err(why))
    }
}

/// Clocks and schedulers are not exact enough for less.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// Their places can be counted on every machine.
const MOST_RUNNING: usize = 1 << 28;

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// A setting that an [`IdempotencyLayer`](super::IdempotencyLayer) cannot work with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidIdempotency {
    /// The lease of the layer of this name is shorter than 100 ms.
    LeaseTooShort(Name, Duration),
    /// The store may take longer than a third of the lease, and so the lease could end while it is renewed.
    StoreTimeoutTooLong(Name, Duration),
    /// No run could be as long as its lease.
    RunTooShort(Name, Duration),
    /// The store would have no time to answer.
    StoreTimeoutZero(Name),
    /// A request could be forgotten while it runs, or before what came of it is recorded.
    RetentionTooShort(Name, Duration),
    /// `max_running` is zero.
    NobodyMayRun(Name),
    /// `max_running` is more than any machine runs.
    TooManyMayRun(Name, usize),
}

impl fmt::Display for InvalidIdempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseTooShort(name, lease) => {
                write!(f, "`{name}`: the lease must be at least 100ms, and is {lease:?}")
            }
            Self::StoreTimeoutTooLong(name, timeout) => {
                write!(f, "`{name}`: the store's timeout must be at most a third of the lease, and is {timeout:?}")
            }
            Self::RunTooShort(name, run) => {
                write!(f, "`{name}`: the longest run must be at least as long as the lease, and is {run:?}")
            }
            Self::StoreTimeoutZero(name) => write!(f, "`{name}`: the store's timeout must not be 0"),
            Self::RetentionTooShort(name, retention) => {
                write!(
                    f,
                    "`{name}`: the retention must be longer than two of the longest runs and a lease, and is {retention:?}"
                )
            }
            Self::NobodyMayRun(name) => write!(f, "`{name}`: the number of requests that run at a time must not be 0"),
            Self::TooManyMayRun(name, requests) => {
                write!(
                    f,
                    "`{name}`: the number of requests that run at a time must be at most {MOST_RUNNING}, and is {requests}"
                )
            }
        }
    }
}

impl Error for InvalidIdempotency {}
