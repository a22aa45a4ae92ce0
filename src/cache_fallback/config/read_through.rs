use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

/// The settings of a [`ReadThroughLayer`](crate::cache_fallback::ReadThroughLayer).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct ReadThroughConfig {
    #[cfg_attr(feature = "serde", serde(with = "crate::human_duration"))]
    pub(in super::super) fresh: Duration,
    #[cfg_attr(feature = "serde", serde(default, with = "crate::human_duration"))]
    pub(in super::super) stale_while_revalidate: Duration,
    #[cfg_attr(feature = "serde", serde(default = "default_jitter"))]
    pub(in super::super) jitter: f64,
    #[cfg_attr(feature = "serde", serde(default = "default_call_within", with = "crate::human_duration"))]
    pub(in super::super) call_within: Duration,
    #[cfg_attr(feature = "serde", serde(default = "default_max_refreshes"))]
    pub(in super::super) max_refreshes: NonZeroUsize,
}

const fn default_jitter() -> f64 {
    0.1
}

const fn default_call_within() -> Duration {
    Duration::from_secs(10)
}

const fn default_max_refreshes() -> NonZeroUsize {
    NonZeroUsize::new(32).expect("not zero")
}

impl ReadThroughConfig {
    /// Settings by which an answer is told without asking the service until it is `fresh` old, or for as long as its service
    /// [allows](crate::cache_fallback::Allowed), whichever is sooner.
    ///
    /// With zero the service is always asked, but once for all who ask at the same time.
    #[must_use]
    pub const fn new(fresh: Duration) -> Self {
        Self {
            fresh,
            stale_while_revalidate: Duration::ZERO,
            jitter: default_jitter(),
            call_within: default_call_within(),
            max_refreshes: default_max_refreshes(),
        }
    }

    /// Tells an answer for so long after it was fresh, while another one is asked for in the background; not at all by default.
    ///
    /// Nobody waits then for an answer that is asked for often, and what is told is at most this much older; also
    /// than [`stale_if_error`](crate::cache_fallback::CacheFallbackConfig::new), which is about failures. (RFC 5861, section 3.)
    #[must_use]
    pub const fn stale_while_revalidate(mut self, so_long: Duration) -> Self {
        self.stale_while_revalidate = so_long;
        self
    }

    /// Takes up to this share of its time from each answer that is fresh, another one from each; a tenth (0.1) by default.
    ///
    /// Answers that came at the same time, as after a restart, would all have to be asked for again at the same time else.
    #[must_use]
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// For how long one call may be made for all; 10 s by default, which is longer than callers wait.
    ///
    /// Those who wait for it are released then, and one of them makes another. The call itself goes on for as long as somebody
    /// waits for it who came first; in the background it is given up.
    #[must_use]
    pub const fn call_within(mut self, limit: Duration) -> Self {
        self.call_within = limit;
        self
    }

    /// Asks for no more than so many answers in the background at a time; 32 by default. Beyond that an answer is told that is
    /// fresh no more, and the next request for it asks again.
    #[must_use]
    pub const fn max_refreshes(mut self, number: NonZeroUsize) -> Self {
        self.max_refreshes = number;
        self
    }

    pub(in super::super) fn check(&self) -> Result<(), InvalidReadThrough> {
        if !(0.0..1.0).contains(&self.jitter) {
            return Err(InvalidReadThrough::Jitter(self.jitter));
        }
        if self.call_within.is_zero() {
            return Err(InvalidReadThrough::NoTimeToCall);
        }
        Ok(())
    }
}

/// A setting that a [`ReadThroughLayer`](crate::cache_fallback::ReadThroughLayer) cannot work with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum InvalidReadThrough {
    /// `jitter` is no share from 0 to less than 1.
    Jitter(f64),
    /// `call_within` is zero: no call could ever be made for others.
    NoTimeToCall,
}

impl fmt::Display for InvalidReadThrough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jitter(share) => {
                write!(f, "the `jitter` of a read-through must be from 0 to less than 1, not {share}")
            }
            Self::NoTimeToCall => f.write_str("`call_within` of a read-through must be longer than zero"),
        }
    }
}

impl Error for InvalidReadThrough {}
