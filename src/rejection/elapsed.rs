use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::Rejection;
use crate::clock::nanos;
use crate::name::Name;

/// There was no answer in time, or no time left to ask.
///
/// It can be made by hand, to test what an error or a handler of yours makes of a refusal:
///
/// ```
/// use std::time::Duration;
/// use buttress::Rejection;
/// use buttress::timeout::Elapsed;
///
/// let refusal = Rejection::from(Elapsed::limit("attempt".into(), Duration::from_millis(250)));
/// assert_eq!(refusal.to_string(), "timed out in `attempt`");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Elapsed {
    name: Name,
    /// In nanoseconds, since that is half as long as a duration.
    allowed: u64,
    cause: Cause,
}

/// Whose time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    OwnLimit,
    Deadline,
    DeadlineBeforeCall,
}

impl Elapsed {
    /// There was no answer within the limit of the timeout called `name`.
    #[must_use]
    pub const fn limit(name: Name, allowed: Duration) -> Self {
        Self::new(name, allowed, Cause::OwnLimit)
    }

    /// There was no answer within what was left until the request's deadline.
    #[must_use]
    pub const fn deadline(name: Name, allowed: Duration) -> Self {
        Self::new(name, allowed, Cause::Deadline)
    }

    /// The request's deadline had passed before the call, which was not made.
    #[must_use]
    pub const fn before_call(name: Name) -> Self {
        Self::new(name, Duration::ZERO, Cause::DeadlineBeforeCall)
    }

    pub(crate) const fn new(name: Name, allowed: Duration, cause: Cause) -> Self {
        Self { name, allowed: nanos(allowed), cause }
    }

    /// The name of the timeout that gave up.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// How long the call was allowed to take; zero if it was not made.
    #[must_use]
    pub const fn allowed(&self) -> Duration {
        Duration::from_nanos(self.allowed)
    }

    /// Whether it was the request's deadline that ran out, and not the layer's own limit.
    #[must_use]
    pub const fn by_deadline(&self) -> bool {
        matches!(self.cause, Cause::Deadline | Cause::DeadlineBeforeCall)
    }

    /// Whether the wrapped service was called at all; a request that arrives past its deadline never reaches it.
    #[must_use]
    pub const fn was_called(&self) -> bool {
        !matches!(self.cause, Cause::DeadlineBeforeCall)
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::OwnLimit => write!(f, "no answer within {:?}", self.allowed()),
            Cause::Deadline => write!(f, "no answer within the {:?} left until the deadline", self.allowed()),
            Cause::DeadlineBeforeCall => f.write_str("the deadline had passed before the call"),
        }
    }
}

impl fmt::Debug for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elapsed")
            .field("name", &self.name)
            .field("allowed", &self.allowed())
            .field("cause", &self.cause)
            .finish()
    }
}

impl StdError for Elapsed {}

impl From<Elapsed> for Rejection {
    fn from(elapsed: Elapsed) -> Self {
        Self::Elapsed(elapsed)
    }
}
