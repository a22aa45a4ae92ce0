mod bucket;
mod by_key;
mod gate;
mod limits;
mod line;
mod member;
mod standing;
mod table;
mod together;
mod waiting;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::bucket::{Bounds, Bucket};
pub use self::by_key::{KeyedRateLimiter, KeyedSnapshot};
pub use self::limits::{ByKey, Limits};
use self::line::Line;
use self::member::Member;
pub(super) use self::member::Members;
pub use self::standing::{Announce, NotAnnounced, Standing};
pub use self::waiting::Taking;
use super::config::{InvalidRateLimit, RateLimitConfig};
use crate::clock::Moment;
use crate::deadline::Deadline;
use crate::name::Name;
use crate::rejection::Limited;
use crate::telemetry;

/// A rate limiter itself, apart from any service: to watch it, to take a hand in it, and to use it without tower.
///
/// Clones are the same limiter. It works from any thread, in and out of a runtime (only waiting needs one). All who share it
/// should have the same time: one that is shared by tests with paused times of their own is as empty as the one furthest
/// ahead has left it.
///
/// ```
/// use buttress::rate_limit::{Quota, RateLimitConfig, RateLimiter};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mails = RateLimiter::new(RateLimitConfig::new(Quota::per_hour(20).burst(3)).name("mails"))?;
/// mails.try_take(2)?;
/// assert_eq!(mails.remaining(), 1);
/// let limited = mails.try_take(2).unwrap_err();
/// assert!(limited.retry_after().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    bucket: Arc<Bucket>,
}

/// A bucket at a moment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// How many tokens there are.
    pub remaining: u32,
    /// How many there can be.
    pub burst: u32,
    /// The time between two tokens.
    pub interval: Duration,
    /// How long it takes until there is one token more; nothing in a full bucket.
    pub next_in: Duration,
    /// How long it takes until the bucket is full.
    pub full_in: Duration,
    /// How many calls stand in line.
    pub waiting: usize,
}

impl RateLimiter {
    /// A limiter with these settings, with its bucket full.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] says which setting cannot work.
    #[expect(clippy::needless_pass_by_value, reason = "as with a limiter by key, whose settings are given away too")]
    pub fn new(config: RateLimitConfig) -> Result<Self, InvalidRateLimit> {
        let rules = config.rules()?;
        let bounds = Bounds::from(&config);
        Ok(Self::of(Arc::new(Bucket::new(config.name, rules, bounds))))
    }

    const fn of(bucket: Arc<Bucket>) -> Self {
        Self { bucket }
    }

    /// What it is called in events and refusals.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.bucket.name()
    }

    /// Takes `cost` tokens if there are as many, and nothing else. It does not pass those who stand in line.
    ///
    /// # Errors
    ///
    /// [`Limited`] says after which time there would be as many, if there can be.
    pub fn try_take(&self, cost: u32) -> Result<(), Limited> {
        self.bucket.take(cost, Moment::now())
    }

    /// Waits for `cost` tokens and takes them, in turn with all others who wait.
    ///
    /// # Errors
    ///
    /// At once, where it is known that the wait would be too long ([`max_wait`](RateLimitConfig::max_wait)), that as many
    /// wait as may ([`max_waiting`](RateLimitConfig::max_waiting)), or that there can never be as many. While it waits, if
    /// somebody makes the wait longer ([`drain`](Self::drain), [`reconfigure`](Self::reconfigure)).
    ///
    /// # Panics
    ///
    /// If it has to wait, and is polled outside of a tokio runtime with its time enabled.
    pub fn take(&self, cost: u32) -> Taking {
        Taking::new(Ok(self.members()), cost, None)
    }

    /// The same, but not beyond `deadline`.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    ///
    /// # Panics
    ///
    /// As [`take`](Self::take).
    pub fn take_before(&self, cost: u32, deadline: Deadline) -> Taking {
        Taking::new(Ok(self.members()), cost, Some(deadline))
    }

    /// Whether [`try_take`](Self::try_take) would take so many tokens at this moment; it takes none.
    ///
    /// # Errors
    ///
    /// [`Limited`], as `try_take`.
    pub fn peek(&self, cost: u32) -> Result<(), Limited> {
        Ok(together::peek(self.members(), cost, Moment::now())?)
    }

    /// How many tokens there are.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.snapshot().remaining
    }

    /// All there is to know of it at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.member().snapshot(Moment::now())
    }

    /// Takes all tokens there are, for whoever has learnt elsewhere that there is nothing left: from a 429, say. Those who
    /// stand in line wait anew.
    pub fn drain(&self) {
        self.member().drain(Moment::now());
        telemetry::rate_limit_drained(self.name());
    }

    /// Goes on under other settings and keeps what it owes: as much time as before must pass until it is full, but no more
    /// than an empty bucket of the new quota takes. Those who stand in line stay, and wait as the new settings say. The name
    /// stays too.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] says which setting cannot work, and nothing has changed.
    pub fn reconfigure(&self, config: &RateLimitConfig) -> Result<(), InvalidRateLimit> {
        let rules = config.quota.rules(self.name())?;
        let _woken = self.bucket.adopt(rules, Bounds::from(config));
        telemetry::rate_limit_reconfigured(self.name(), rules.interval(), rules.burst.get());
        Ok(())
    }

    fn member(&self) -> Member {
        Member::Bucket(self.bucket.clone())
    }

    fn members(&self) -> Members {
        Members::from(self.member())
    }
}

impl Member {
    /// The bucket at this moment.
    fn snapshot(&self, now: Moment) -> Snapshot {
        let locked = self.lock();
        let (rules, full_at) = (locked.rules(), locked.full_at(self));
        let remaining = rules.remaining(full_at, now);
        let after_next = rules.interval().saturating_mul(rules.burst.get() - remaining.min(rules.burst.get() - 1) - 1);
        Snapshot {
            remaining,
            next_in: full_at.since(now).saturating_sub(after_next),
            burst: rules.burst.get(),
            interval: rules.interval(),
            full_in: full_at.since(now),
            waiting: locked.line(self).map_or(0, Line::len),
        }
    }

    fn drain(&self, now: Moment) {
        let _woken = {
            let mut locked = self.lock();
            let emptied = locked.rules().emptied(now).max(locked.full_at(self));
            locked.put(self, emptied, now);
            locked.line_mut_if_any(self).map(Line::plan_anew).unwrap_or_default()
        };
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("name", self.name())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
