//! What came to the limit in a phase, and how much of it was let in.

use std::time::Duration;

use crate::orders::{BURST, RATE};
use crate::record::{Decision, Run};

const SECOND: Duration = Duration::from_secs(1);

/// Time runs from just before the first decision to just after the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rush {
    pub(crate) offered: usize,
    pub(crate) admitted: usize,
    pub(crate) time: Duration,
    /// For how long of it a bucket that lets in all it can would have stood full, since too few came. In the rest of the
    /// time there was overload.
    pub(crate) idle: Duration,
}

impl Rush {
    /// Who comes back when the act is over is no part of its rush.
    pub(crate) fn in_act(run: &Run, act: usize) -> Self {
        let time = run.played[act].from..run.played[act].until;
        let mut decisions: Vec<_> = run.decisions.iter().filter(|decision| time.contains(&decision.began)).collect();
        decisions.sort_unstable_by_key(|decision| decision.began);
        let (Some(first), Some(last)) = (decisions.first(), decisions.iter().map(|decision| decision.ended).max())
        else {
            return Self::default();
        };
        Self {
            offered: decisions.len(),
            admitted: decisions.iter().filter(|decision| decision.admitted).count(),
            time: last.saturating_sub(first.began),
            idle: idle(&decisions),
        }
    }

    pub(crate) const fn refused(&self) -> usize {
        self.offered - self.admitted
    }

    /// How much the rate alone lets in.
    pub(crate) const fn rate_by_time(&self) -> u128 {
        RATE as u128 * self.time.as_nanos() / SECOND.as_nanos()
    }

    /// A limit lets in no more than this.
    pub(crate) const fn most(&self) -> u128 {
        self.rate_by_time() + BURST as u128
    }

    /// And no less while there is overload: 97 in a hundred of what the rate lets in.
    pub(crate) const fn least(&self) -> u128 {
        let overload = self.time.saturating_sub(self.idle);
        (RATE as u128 * overload.as_nanos() * 97).div_ceil(SECOND.as_nanos() * 100)
    }

    /// Whether twice the limit was offered; less shows little of it.
    pub(crate) const fn is_enough(&self) -> bool {
        self.offered > 0 && self.offered as u128 * SECOND.as_nanos() >= 2 * RATE as u128 * self.time.as_nanos()
    }
}

/// Asks not what the limit made of them but when they came, so that a limit that refuses too much has no excuse in it.
fn idle(decisions: &[&Decision]) -> Duration {
    let token = SECOND / RATE;
    let (mut idle, mut full_at) = (Duration::ZERO, Duration::ZERO);
    for (number, now) in decisions.iter().map(|decision| decision.began).enumerate() {
        if now > full_at {
            // Before the first there is no time.
            idle += if number > 0 { now - full_at } else { Duration::ZERO };
            full_at = now;
        }
        if full_at + token <= now + token * BURST {
            full_at += token;
        }
    }
    idle
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// When orders came, from a second on; none was let in.
    fn idle_of(millis: impl IntoIterator<Item = u32>) -> Duration {
        let at = |ms| Decision { began: SECOND + ms * MS, ended: SECOND + ms * MS, admitted: false };
        let decisions: Vec<_> = millis.into_iter().map(at).collect();
        idle(&decisions.iter().collect::<Vec<_>>())
    }

    #[test]
    fn orders_at_the_rate_leave_no_time_idle() {
        assert_eq!(idle_of(0..100), Duration::ZERO);
        assert_eq!(idle_of((0..100).map(|order| 2 * order)), 99 * MS, "half the rate");
    }

    #[test]
    fn a_pause_is_bridged_as_long_as_the_bucket_is_not_full() {
        let emptied = || std::iter::repeat_n(0, 150);
        assert_eq!(idle_of(emptied().chain([100])), Duration::ZERO);
        assert_eq!(idle_of(emptied().chain([130])), 30 * MS);
        assert_eq!(idle_of(emptied().take(40).chain([130])), 90 * MS, "only 40 had been taken");
    }
}
