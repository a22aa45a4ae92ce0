use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::idempotency::config::{RecordKey, Wait};

/// Who waits for what comes of a request that is running in this process or elsewhere.
pub(in super::super) struct Waiting {
    wait: Option<Wait>,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// Who waits for each key, and how many they are.
    keys: HashMap<RecordKey, (Arc<Notify>, usize)>,
    in_all: usize,
}

/// Somebody who waits, until it is dropped.
pub(in super::super) struct Waiter<'a> {
    waiting: &'a Waiting,
    key: RecordKey,
    ended: Arc<Notify>,
}

impl Waiting {
    pub(super) fn new(wait: Option<Wait>) -> Self {
        Self { wait, line: Mutex::default() }
    }

    /// Lets somebody wait, if it may, and for at most how long.
    pub(in super::super) fn enter(&self, key: RecordKey) -> Option<(Waiter<'_>, Duration)> {
        let wait = self.wait?;
        let mut line = self.line();
        let line = &mut *line;
        let here = line.keys.get(&key).map_or(0, |(_, waiters)| *waiters);
        if here >= wait.for_each_key || line.in_all >= wait.in_all {
            return None;
        }
        line.in_all += 1;
        let (ended, waiters) = line.keys.entry(key).or_default();
        *waiters += 1;
        Some((Waiter { waiting: self, key, ended: ended.clone() }, wait.longest))
    }

    /// A request has come to its end in this process: whoever waits for it looks now.
    pub(in super::super) fn ended(&self, key: &RecordKey) {
        let ended = self.line().keys.get(key).map(|(ended, _)| ended.clone());
        if let Some(ended) = ended {
            ended.notify_waiters();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    /// The end of the request, if it comes to it in this process. To be made before it is asked whether it has.
    pub(in super::super) fn ended(&self) -> OwnedNotified {
        self.ended.clone().notified_owned()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut line = self.waiting.line();
        line.in_all -= 1;
        if let Some((_, waiters)) = line.keys.get_mut(&self.key) {
            *waiters -= 1;
            if *waiters == 0 {
                line.keys.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_who_has_waited() {
        let waiting = Waiting::new(Some(Wait::default()));
        let key = |of| RecordKey::of(&(), &of);
        let keys_and_waiters = || {
            let line = waiting.line();
            (line.keys.len(), line.in_all)
        };
        let waiters: Vec<_> = [1_u8, 1, 2].map(|of| waiting.enter(key(of)).expect("there is room")).into();
        assert_eq!(keys_and_waiters(), (2, 3));
        drop(waiters);
        assert_eq!(keys_and_waiters(), (0, 0));
    }
}
