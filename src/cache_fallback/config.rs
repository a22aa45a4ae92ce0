mod read_through;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use self::read_through::{InvalidReadThrough, ReadThroughConfig};
use crate::name::Name;
use crate::outcome::FailureKind;

/// The settings of a [`CacheFallbackLayer`](super::CacheFallbackLayer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct CacheFallbackConfig {
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(super) stale_if_error: Duration,
    #[cfg_attr(feature = "serde", serde(default = "default_name"))]
    pub(super) name: Name,
    #[cfg_attr(feature = "serde", serde(default = "default_on"))]
    pub(super) on: Vec<FailureKind>,
    #[cfg_attr(feature = "serde", serde(default = "default_ready_within", with = "crate::human_duration"))]
    pub(super) ready_within: Duration,
}

const fn default_name() -> Name {
    Name::fixed(&"cache_fallback")
}

fn default_on() -> Vec<FailureKind> {
    use FailureKind::{Error, Expired, Refused, TimedOut};
    vec![Error, TimedOut, Expired, Refused]
}

const fn default_ready_within() -> Duration {
    Duration::from_millis(50)
}

impl CacheFallbackConfig {
    /// Settings by which an answer stands in for a failure until it is `stale_if_error` old, counted from when it was asked for.
    ///
    /// How old is too old only you can say: a price may be a minute old, a catalogue a day, and what is in stock, or paid, must
    /// never be told from memory.
    #[must_use]
    pub fn new(stale_if_error: Duration) -> Self {
        Self { stale_if_error, name: default_name(), on: default_on(), ready_within: default_ready_within() }
    }

    /// What the layer is called in events and marks; `"cache_fallback"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }

    /// Stands in for these kinds of failure, and no others. By default for those that neither the request nor its sender is to
    /// blame for: `Error`, `TimedOut`, `Expired`, `Refused`.
    #[must_use]
    pub fn on(mut self, kinds: impl IntoIterator<Item = FailureKind>) -> Self {
        self.on = kinds.into_iter().collect();
        self
    }

    /// How long a call waits for a service that is not ready to take it, before it is answered from memory; 50 ms by default.
    ///
    /// A call for which nothing is remembered waits on, and so does any where refusals ([`Refused`](FailureKind::Refused)) are not
    /// [stood in for](Self::on). So a service that has been asked for more than it can do at once is
    /// relieved of those who can do without it. A pause that is shorter than this, as for a connection within one network, is
    /// no failure.
    #[must_use]
    pub const fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidCacheFallback> {
        let Self { name, .. } = *self;
        if self.on.is_empty() {
            return Err(InvalidCacheFallback::NothingToStandInFor(name));
        }
        if self.stale_if_error.is_zero() {
            return Err(InvalidCacheFallback::NothingToStandIn(name));
        }
        Ok(())
    }
}

/// A setting that a [`CacheFallbackLayer`](super::CacheFallbackLayer) cannot work with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidCacheFallback {
    /// `on` names no kind of failure: the layer of this name would never do anything.
    NothingToStandInFor(Name),
    /// `stale_if_error` is zero: no answer could ever stand in, so that the layer of this name would never do anything.
    NothingToStandIn(Name),
}

impl fmt::Display for InvalidCacheFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToStandInFor(name) => {
                write!(f, "the cache fallback `{name}` must name at least one kind of failure in `on`")
            }
            Self::NothingToStandIn(name) => {
                write!(f, "`stale_if_error` of the cache fallback `{name}` must be longer than zero")
            }
        }
    }
}

impl Error for InvalidCacheFallback {}
