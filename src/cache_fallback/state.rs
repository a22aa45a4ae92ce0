//! How long an answer is good for, and for what.

use std::time::Duration;

use crate::clock::Moment;

/// How long whoever gave an answer allows it to be used, in its own words; `None` where it says nothing.
///
/// It can only shorten what the [settings](super::CacheFallbackConfig) say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// How old it was when it came.
    pub age: Duration,
    /// How old it may be when it stands in for a failure.
    pub stale_if_error: Option<Duration>,
}

/// When an answer was given, and how old it may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    kept_at: Moment,
    age_when_kept: Duration,
    longest: Duration,
}

impl Life {
    /// Of an answer that is kept now, and may stand in until it is `longest` old unless less is allowed.
    pub(super) fn begin(now: Moment, longest: Duration, allowed: Allowed) -> Self {
        let longest = allowed.stale_if_error.map_or(longest, |allowed| allowed.min(longest));
        Self { kept_at: now, age_when_kept: allowed.age, longest }
    }

    pub(super) fn age(&self, now: Moment) -> Duration {
        self.age_when_kept.saturating_add(now.since(self.kept_at))
    }

    /// How old it is, if it may stand in for a failure now, for somebody who takes nothing that is older than `most`.
    pub(super) fn may_stand_in(&self, now: Moment, most: Option<Duration>) -> Option<Duration> {
        let age = self.age(now);
        (age <= self.longest && most.is_none_or(|most| age <= most)).then_some(age)
    }

    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.may_stand_in(now, None).is_none()
    }
}
