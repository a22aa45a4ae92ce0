use std::ops::Deref;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::gate::{Gate, Passage, Seen};
use super::line::{Line, Woken};
use super::member::{Member, Refused};
use super::together;
use crate::clock::Moment;
use crate::name::Name;
use crate::rate_limit::config::{RateLimitConfig, Rules};
use crate::rate_limit::state::Verdict;
use crate::rejection::Limited;
use crate::sync::{Mutex, MutexGuard};

/// One bucket and the line before it.
#[derive(Debug)]
pub(super) struct Bucket {
    name: Name,
    gate: Gate,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
pub(super) struct Queue {
    pub(super) line: Line,
    pub(super) bounds: Bounds,
}

/// What a line is bounded by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) max_waiting: usize,
    pub(super) max_wait: Option<Duration>,
}

impl From<&RateLimitConfig> for Bounds {
    fn from(config: &RateLimitConfig) -> Self {
        Self { max_waiting: config.max_waiting, max_wait: config.max_wait }
    }
}

impl Bucket {
    pub(super) fn new(name: Name, rules: Rules, bounds: Bounds) -> Self {
        Self { name, gate: Gate::new(rules.to_words()), queue: Mutex::new(Queue { line: Line::default(), bounds }) }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    /// Takes `cost` tokens, or says what is in the way. `None` if that cannot be told without the lock.
    #[inline]
    pub(super) fn pass(&self, cost: u32, now: Moment) -> Option<Result<(), Verdict>> {
        let passage = self.gate.pass(|seen| match Rules::from_words(seen.rules).decide(full_at(seen), cost, now) {
            Verdict::Passes(full_at) => Ok(full_at.to_nanos()),
            refused => Err(refused),
        });
        match passage {
            Passage::Passed => Some(Ok(())),
            Passage::Refused(verdict) => Some(Err(verdict)),
            Passage::PassedByOldRules => {
                self.settle();
                Some(Ok(()))
            }
            Passage::Held => None,
        }
    }

    /// Somebody took by rules that hold no more: what that left is not to exceed what the new ones allow.
    #[cold]
    fn settle(&self) {
        let _woken = {
            let mut held = self.hold();
            held.full_at = held.rules.adopt(held.full_at, Moment::now());
            held.line().plan_anew()
        };
    }

    /// Takes `cost` tokens.
    #[inline]
    pub(super) fn take(self: &Arc<Self>, cost: u32, now: Moment) -> Result<(), Limited> {
        match self.pass(cost, now) {
            Some(Ok(())) => Ok(()),
            Some(Err(verdict)) => Err(Refused::by(&self.name, verdict, now).limited),
            None => self.take_slowly(cost, now),
        }
    }

    #[cold]
    fn take_slowly(self: &Arc<Self>, cost: u32, now: Moment) -> Result<(), Limited> {
        Ok(together::take(&mut Member::Bucket(self.clone()).into(), cost, now)?)
    }

    /// Keeps all others out until it is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.gate.hold();
        Held { gate: &self.gate, queue, full_at: full_at(seen), rules: Rules::from_words(seen.rules) }
    }

    /// Goes on under other rules and owes the same time, but no more than an empty bucket. Who waits is to be woken.
    pub(super) fn adopt(&self, rules: Rules, bounds: Bounds) -> Vec<Woken> {
        let mut held = self.hold();
        held.adopt(rules, bounds);
        held.line().plan_anew()
    }

    /// Where it comes when several are locked.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(&self.queue).addr()
    }
}

/// A bucket that nobody else decides about.
pub(super) struct Held<'a> {
    gate: &'a Gate,
    queue: MutexGuard<'a, Queue>,
    pub(super) full_at: Moment,
    rules: Rules,
}

impl Held<'_> {
    pub(super) const fn rules(&self) -> Rules {
        self.rules
    }

    fn adopt(&mut self, rules: Rules, bounds: Bounds) {
        self.gate.set_rules(rules.to_words());
        self.rules = rules;
        self.queue.bounds = bounds;
        // Read under the lock: by an earlier moment, what was taken meanwhile would be forgiven.
        self.full_at = rules.adopt(self.full_at, Moment::now());
    }

    pub(super) fn line(&mut self) -> &mut Line {
        &mut self.queue.line
    }
}

impl Deref for Held<'_> {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.queue
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // While somebody stands in line, nobody passes without looking.
        self.gate.leave(self.full_at.to_nanos(), !self.queue.line.is_empty());
    }
}

#[inline]
const fn full_at(seen: Seen) -> Moment {
    Moment::from_nanos(seen.full_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rate_limit::config::Quota;
    use crate::rate_limit::handle::line::Ticket;

    #[test]
    fn nobody_needs_the_lock_but_while_there_is_a_line() {
        let config = RateLimitConfig::new(Quota::per_hour(10));
        let rules = config.rules().expect("valid");
        let bucket = Bucket::new("orders".into(), rules, Bounds::from(&config));
        let now = Moment::now();
        assert_eq!(bucket.pass(1, now), Some(Ok(())));
        drop(bucket.hold());
        assert_eq!(bucket.pass(1, now), Some(Ok(())), "it was only held for a moment");
        let ticket = Ticket::next();
        bucket.hold().line().join(ticket, 1);
        assert_eq!(bucket.pass(1, now), None);
        let _left = { bucket.hold().line().leave(ticket) };
        assert_eq!(bucket.pass(1, now), Some(Ok(())));
        drop(bucket.adopt(rules, Bounds::from(&config)));
        assert_eq!(bucket.pass(1, now), Some(Ok(())));
        assert!(matches!(bucket.pass(10, now), Some(Err(Verdict::Waits(_)))));
    }
}
