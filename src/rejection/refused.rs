use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::Rejection;
use crate::clock::nanos;
use crate::name::Name;

/// A request that is to be run once was not run, and it is told why.
///
/// It can be made by hand, to test what an error or a handler of yours makes of a refusal:
///
/// ```
/// use std::time::Duration;
/// use buttress::Rejection;
/// use buttress::idempotency::{RefusalReason, Refused};
///
/// let refused = Refused::new("orders".into(), RefusalReason::Running).with_retry_after(Duration::from_secs(2));
/// assert_eq!(refused.to_string(), "the same request is running; it may be asked for again in 2s");
/// assert_eq!(Rejection::from(refused).to_string(), "not run once more by `orders`");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    name: Name,
    /// In nanoseconds; as many as there can be where nobody knows.
    retry_after: u64,
    reason: RefusalReason,
}

impl Refused {
    /// The layer called `name` has not run a request.
    #[must_use]
    pub const fn new(name: Name, reason: RefusalReason) -> Self {
        Self { name, reason, retry_after: u64::MAX }
    }

    /// Adds after how long it is worth asking again.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = nanos(wait);
        self
    }

    /// The name of the layer.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Why the request was not run.
    #[must_use]
    pub const fn reason(&self) -> RefusalReason {
        self.reason
    }

    /// The time after which it is worth asking again; `None` where no time helps, or nobody knows it.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.retry_after {
            u64::MAX => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)?;
        match self.retry_after() {
            Some(wait) => write!(f, "; it may be asked for again in {wait:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("name", &self.name)
            .field("reason", &self.reason)
            .field("retry_after", &self.retry_after())
            .finish()
    }
}

impl StdError for Refused {}

impl From<Refused> for Rejection {
    fn from(refused: Refused) -> Self {
        Self::Idempotency(refused)
    }
}

/// Why a request that is to be run once was not run.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// The same request is running, and there is nothing to answer yet.
    Running,
    /// There was another request under this key.
    Mismatch,
    /// It was run, and what came of it could not be kept.
    NotReplayable,
    /// It was run, and nobody knows what came of it.
    OutcomeUnknown,
    /// It was run, and the run did not come to its end. Whoever asks again may run it anew, as often as it
    /// [may be run](crate::idempotency::IdempotencyConfig::max_attempts).
    Interrupted,
    /// It was run, and all that was done in its [transaction](crate::idempotency::InTransaction) is undone, since it could not be
    /// committed. Whoever asks again runs it anew.
    RolledBack,
    /// It has no key, and needs one.
    WithoutKey,
    /// Nobody says whose request it is, and so its key could be another's.
    WithoutScope,
    /// Its key is not one that can be read.
    MalformedKey,
    /// It is larger than what a fingerprint is taken of.
    TooLarge,
    /// It came to an end before it was whole.
    Cut,
    /// It took longer to come than it may.
    TooSlow,
    /// The store of records was not reached, and so nobody knows whether it was run before.
    StoreUnavailable,
    /// The store of records has no room for it.
    StoreFull,
    /// As many are running as may.
    TooManyRunning,
    /// The layer lets what is running come to its end, and runs nothing new.
    Draining,
}

impl RefusalReason {
    /// The reason in one word, as events write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Mismatch => "mismatch",
            Self::NotReplayable => "not_replayable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Interrupted => "interrupted",
            Self::RolledBack => "rolled_back",
            Self::WithoutKey => "without_key",
            Self::WithoutScope => "without_scope",
            Self::MalformedKey => "malformed_key",
            Self::TooLarge => "too_large",
            Self::Cut => "cut",
            Self::TooSlow => "too_slow",
            Self::StoreUnavailable => "store_unavailable",
            Self::StoreFull => "store_full",
            Self::TooManyRunning => "too_many_running",
            Self::Draining => "draining",
        }
    }

    /// Whether something may have come of the request: it was run, and there is no answer to tell.
    #[must_use]
    pub const fn was_run(self) -> bool {
        matches!(self, Self::NotReplayable | Self::OutcomeUnknown | Self::Interrupted)
    }

    /// Whether the same request may be answered otherwise later, when it is sent again as it is.
    #[must_use]
    pub const fn may_pass_later(self) -> bool {
        match self {
            Self::Running
            | Self::Interrupted
            | Self::RolledBack
            | Self::Cut
            | Self::TooSlow
            | Self::StoreUnavailable
            | Self::StoreFull
            | Self::TooManyRunning
            | Self::Draining => true,
            Self::Mismatch
            | Self::NotReplayable
            | Self::OutcomeUnknown
            | Self::WithoutKey
            | Self::WithoutScope
            | Self::MalformedKey
            | Self::TooLarge => false,
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "the same request is running",
            Self::Mismatch => "its key was used for another request",
            Self::NotReplayable => "it was run, and its answer could not be kept",
            Self::OutcomeUnknown => "it was run, and nobody knows what came of it",
            Self::Interrupted => "its run did not come to its end",
            Self::RolledBack => "it was run, and what it did is undone",
            Self::WithoutKey => "it has no key",
            Self::WithoutScope => "nobody says whose it is",
            Self::MalformedKey => "its key cannot be read",
            Self::TooLarge => "it is too large to be told from others",
            Self::Cut => "it came to an end before it was whole",
            Self::TooSlow => "it took longer to come than it may",
            Self::StoreUnavailable => "the store of records was not reached",
            Self::StoreFull => "the store of records has no room for it",
            Self::TooManyRunning => "as many are running as may",
            Self::Draining => "nothing new is run any more",
        })
    }
}
