//! What a breaker should do, in the plainest way there is: lists of all that happened, walked each time, in numbers that
//! are written down a second time here.

use super::*;
use crate::circuit_breaker::state::{Counts, ProbeCounts};

/// `(failures or slow calls, of so many)`, as exact as integers.
type Share = (usize, usize);

#[derive(Clone, Copy)]
struct Window {
    minimum: usize,
    failures: Share,
    slow: Option<Share>,
}

#[derive(Clone, Copy, PartialEq)]
struct Call {
    at: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy)]
enum UnderWay {
    Counted { generation: u64, began: Option<u64>, fails_if_dropped: bool },
    Probe { ticket: u64, generation: u64, began: Option<u64>, fails_if_dropped: bool },
    Uncounted { generation: u64 },
}

pub(super) struct Obvious {
    pub(super) consecutive: Option<u32>,
    last: Option<(usize, Window)>,
    /// The width of a bucket.
    window: Option<(u64, Window)>,
    slow_from: Option<u64>,
    first_open: u64,
    longest_open: u64,
    stable_after: u64,
    longest_hint: u64,
    places: usize,
    successes_to_close: u32,
    allowed_failures: u32,
    lease: u64,
    dropped_fails: bool,
    observe_only: bool,

    state: State,
    reason: Option<TripReason>,
    since: u64,
    until: u64,
    generation: u64,
    streak: u32,
    last_calls: Vec<Call>,
    /// Failed and slow calls, and good ones from before the settings changed; and the latest time they know of.
    timed: Vec<Call>,
    timed_latest: u64,
    /// Good calls, which know the time from the first of them on.
    good: Vec<Call>,
    good_latest: Option<u64>,
    probes: Vec<Probe>,
    tickets: u64,
    successes: u32,
    failures: u32,
    in_a_row: u32,
    trips: u64,
    stale: u64,
    would_have_refused: u64,
    under_way: Vec<(UnderWay, Start)>,
}

#[derive(Clone, Copy)]
struct Probe {
    ticket: u64,
    lease_ends: u64,
    /// Whether it counts as failed when its lease ends.
    is_asking: bool,
}

const NANOS: u64 = 1_000_000_000;

impl Obvious {
    pub(super) fn new(number: usize, now: Duration) -> Self {
        let mut new = Self {
            consecutive: None,
            last: None,
            window: None,
            slow_from: None,
            first_open: 0,
            longest_open: 0,
            stable_after: 0,
            longest_hint: 0,
            places: 0,
            successes_to_close: 0,
            allowed_failures: 0,
            lease: 0,
            dropped_fails: false,
            observe_only: false,
            state: State::Closed,
            reason: None,
            since: nanos(now),
            until: 0,
            generation: 0,
            streak: 0,
            last_calls: vec![],
            timed: vec![],
            timed_latest: 0,
            good: vec![],
            good_latest: None,
            probes: vec![],
            tickets: 0,
            successes: 0,
            failures: 0,
            in_a_row: 0,
            trips: 0,
            stale: 0,
            would_have_refused: 0,
            under_way: vec![],
        };
        new.set(number);
        new
    }

    fn set(&mut self, number: usize) {
        let half = (1, 2);
        self.consecutive = [Some(3), None, None, Some(4)][number];
        self.last = [
            None,
            Some((5, Window { minimum: 3, failures: (6, 10), slow: None })),
            None,
            Some((8, Window { minimum: 8, failures: half, slow: Some(half) })),
        ][number];
        self.window = [
            None,
            None,
            Some((NANOS, Window { minimum: 4, failures: half, slow: Some((7, 10)) })),
            Some((NANOS / 2, Window { minimum: 5, failures: (4, 10), slow: Some((9, 10)) })),
        ][number];
        self.slow_from = [None, None, Some(NANOS / 2 * 3), Some(NANOS / 10 * 8)][number];
        self.first_open = [2, 1, 2, 2][number] * NANOS;
        self.longest_open = [2, 6, 2, 2][number] * NANOS;
        self.stable_after = [60, 20, 60, 60][number] * NANOS;
        self.longest_hint = [300, 5, 300, 300][number] * NANOS;
        self.places = [1, 2, 3, 1][number];
        self.successes_to_close = [1, 2, 2, 1][number];
        self.allowed_failures = [0, 1, 0, 0][number];
        self.lease = [30, 30, 3, 3][number] * NANOS;
        self.dropped_fails = number == 3;
        self.observe_only = number == 3;
    }

    pub(super) fn into_model(mut self) -> impl FnMut(Duration, &Op) -> Seen {
        move |now, op| {
            let now = nanos(now);
            let shown = self.step(now, *op);
            Seen { shown, after: self.snapshot(now) }
        }
    }

    fn step(&mut self, now: u64, op: Op) -> Shown {
        match op {
            Op::Admit(start) => return self.admit(now, start),
            Op::End(which, ending) if which < self.under_way.len() => {
                let (call, start) = self.under_way.remove(which);
                self.end(now, call, start, ending);
            }
            Op::Ask(which) if which < self.under_way.len() => {
                return Shown::Held(match &self.under_way[which].0 {
                    UnderWay::Counted { generation, .. } | UnderWay::Uncounted { generation } => {
                        *generation == self.generation
                    }
                    UnderWay::Probe { ticket, generation, .. } => *generation == self.generation && self.holds(*ticket),
                });
            }
            Op::End(..) | Op::Ask(_) => {}
            Op::ForceOpen => self.begin(State::ForcedOpen, Some(TripReason::ForcedOpen)),
            Op::ForceClosed => self.begin_counting(State::ForcedClosed),
            Op::Disable => self.begin_counting(State::Disabled),
            Op::Reset => {
                self.in_a_row = 0;
                self.close(now);
            }
            Op::ObserveOnly(only) => {
                self.observe_only = only;
                self.keep_good();
                self.probes.iter_mut().for_each(|probe| probe.is_asking = false);
                self.generation += 1;
            }
            Op::Reconfigure(number) => {
                self.keep_good();
                self.probes.iter_mut().for_each(|probe| probe.is_asking = false);
                let (width, had_last) = (self.window.map(|(width, _)| width), self.last.is_some());
                self.set(number);
                if !had_last || self.last.is_none() {
                    self.last_calls.clear();
                }
                match (width, self.window) {
                    (Some(width), Some(_)) => {
                        self.timed_latest = self.timed_latest.max(now);
                        drop_old(&mut self.timed, self.timed_latest, width);
                        self.timed.iter_mut().for_each(|call| call.at = call.at / width * width);
                        self.timed_latest = self.timed_latest / width * width;
                    }
                    _ => (self.timed, self.timed_latest) = (vec![], 0),
                }
                self.generation += 1;
            }
        }
        Shown::Nothing
    }

    fn holds(&self, ticket: u64) -> bool {
        self.probes.iter().any(|probe| probe.ticket == ticket)
    }

    fn admit(&mut self, now: u64, start: Start) -> Shown {
        if self.state == State::Open && now >= self.until {
            (self.probes, self.successes, self.failures) = (vec![], 0, 0);
            self.begin(State::HalfOpen, self.reason);
        } else if self.state == State::HalfOpen {
            let expired = self.probes.iter().filter(|probe| probe.lease_ends <= now && probe.is_asking).count();
            self.probes.retain(|probe| probe.lease_ends > now);
            self.failures += u32::try_from(expired).expect("few");
            if expired > 0 && self.failures > self.allowed_failures {
                self.open(now, TripReason::ProbeExpired, None);
            }
        }
        let (generation, fails_if_dropped) = (self.generation, self.dropped_fails);
        let counts_time = self.slow_from.is_some() && self.state != State::Disabled;
        let began = (counts_time && start == Start::Begins).then_some(now);
        let call = match self.state {
            State::Closed | State::ForcedClosed | State::Disabled => {
                UnderWay::Counted { generation, began, fails_if_dropped }
            }
            State::HalfOpen if self.probes.len() < self.places => {
                let ticket = self.tickets;
                self.tickets += 1;
                let is_asking = start != Start::Rests;
                self.probes.push(Probe { ticket, lease_ends: now + self.lease, is_asking });
                UnderWay::Probe { ticket, generation, began, fails_if_dropped }
            }
            _ if self.observe_only && self.state != State::ForcedOpen => {
                self.would_have_refused += 1;
                UnderWay::Uncounted { generation }
            }
            _ => {
                let left = (self.state == State::Open).then(|| Duration::from_nanos(self.until - now));
                return Shown::Refused(self.reason.expect("refused for a reason"), left);
            }
        };
        self.under_way.push((call, start));
        Shown::Passed
    }

    fn end(&mut self, now: u64, call: UnderWay, start: Start, ending: Ending) {
        let (probe, generation, began, fails_if_dropped) = match call {
            UnderWay::Uncounted { .. } => return,
            UnderWay::Counted { generation, began, fails_if_dropped } => (None, generation, began, fails_if_dropped),
            UnderWay::Probe { ticket, generation, began, fails_if_dropped } => {
                (Some(ticket), generation, began, fails_if_dropped)
            }
        };
        let is_current = generation == self.generation && probe.is_none_or(|ticket| self.holds(ticket));
        if matches!(ending, Ending::Dropped) {
            // It was not made, or nobody cares any more.
            if start == Start::Rests || !is_current {
                self.probes.retain(|held| Some(held.ticket) != probe);
                return;
            }
        } else if start != Start::Begins {
            // It is made now, if it may be.
            if !is_current {
                self.probes.retain(|held| Some(held.ticket) != probe);
                return;
            }
            for held in self.probes.iter_mut().filter(|held| Some(held.ticket) == probe) {
                held.lease_ends = now + self.lease;
            }
        }
        let took = began.map_or(0, |began| now.saturating_sub(began));
        let slow = began.is_some() && self.slow_from.is_some_and(|from| took >= from);
        let (failed, neutral, throttled, hint) = match ending {
            Ending::Good => (false, false, false, None),
            Ending::Failed(hint) => (true, false, false, hint),
            Ending::Throttled(hint) => (false, false, true, hint),
            Ending::Panicked => (true, false, false, None),
            Ending::Dropped if fails_if_dropped => (true, false, false, None),
            Ending::Dropped | Ending::Neutral => (false, true, false, None),
        };
        if let Some(ticket) = probe {
            let Some(at) = self.probes.iter().position(|probe| probe.ticket == ticket) else {
                self.stale += 1;
                return;
            };
            let Probe { lease_ends, .. } = self.probes.remove(at);
            if generation != self.generation {
                self.stale += 1;
            } else if now >= lease_ends {
                self.probe_failed(now, TripReason::ProbeExpired, None);
            } else if failed || throttled || slow && !neutral {
                self.probe_failed(now, TripReason::ProbeFailed, hint);
            } else if !neutral {
                self.successes += 1;
                if self.successes >= self.successes_to_close {
                    self.close(now);
                }
            }
            return;
        }
        if generation != self.generation {
            self.stale += 1;
            return;
        }
        if neutral || throttled || self.state == State::Disabled {
            return;
        }
        self.count(now, Call { at: now, failed, slow }, hint);
    }

    fn count(&mut self, now: u64, call: Call, hint: Option<u64>) {
        self.streak = if call.failed { self.streak + 1 } else { 0 };
        if self.last.is_some() {
            self.last_calls.push(call);
        }
        let is_good = !call.failed && !call.slow;
        if self.window.is_some() {
            if is_good {
                let at = self.good_latest.unwrap_or(0).max(now);
                self.good_latest = Some(at);
                self.good.push(Call { at, ..call });
            } else {
                self.timed_latest = self.timed_latest.max(now);
                self.timed.push(Call { at: self.timed_latest, ..call });
            }
        }
        if is_good || self.state != State::Closed {
            return;
        }
        if let Some(reason) = self.tripped(now) {
            if now.saturating_sub(self.since) >= self.stable_after {
                self.in_a_row = 0;
            }
            self.open(now, reason, hint);
        }
    }

    fn tripped(&mut self, now: u64) -> Option<TripReason> {
        if self.consecutive.is_some_and(|most| self.streak >= most) {
            return Some(TripReason::ConsecutiveFailures);
        }
        if let Some((_, window)) = self.last {
            let calls = self.exactly_last();
            if window.fails(&calls) {
                return Some(TripReason::FailureRateOfLastCalls);
            }
            if window.is_slow(&calls) {
                return Some(TripReason::SlowRateOfLastCalls);
            }
        }
        if let Some((_, window)) = self.window {
            let calls = self.within_window(now);
            if window.fails(&calls) {
                return Some(TripReason::FailureRateInTimeWindow);
            }
            if window.is_slow(&calls) {
                return Some(TripReason::SlowRateInTimeWindow);
            }
        }
        None
    }

    fn exactly_last(&mut self) -> Vec<Call> {
        let (size, _) = self.last.expect("a rule");
        let from = self.last_calls.len().saturating_sub(size);
        self.last_calls.drain(..from);
        self.last_calls.clone()
    }

    fn within_window(&mut self, now: u64) -> Vec<Call> {
        let (width, _) = self.window.expect("a rule");
        self.timed_latest = self.timed_latest.max(now);
        drop_old(&mut self.timed, self.timed_latest, width);
        if let Some(latest) = &mut self.good_latest {
            *latest = (*latest).max(now);
            drop_old(&mut self.good, *latest, width);
        }
        self.timed.iter().chain(&self.good).copied().collect()
    }

    /// Good calls are remembered with the others when the settings change.
    fn keep_good(&mut self) {
        if let (Some((width, _)), Some(latest)) = (self.window, self.good_latest) {
            drop_old(&mut self.good, latest, width);
            self.timed_latest = self.timed_latest.max(latest / width * width);
            self.timed.append(&mut self.good);
        }
        (self.good, self.good_latest) = (vec![], None);
    }

    fn probe_failed(&mut self, now: u64, reason: TripReason, hint: Option<u64>) {
        self.failures += 1;
        if self.failures > self.allowed_failures {
            self.open(now, reason, hint);
        }
    }

    fn open(&mut self, now: u64, reason: TripReason, hint: Option<u64>) {
        let mut time = self.first_open;
        for _ in 0..self.in_a_row {
            time = (time * 2).min(self.longest_open);
        }
        self.in_a_row += 1;
        self.trips += 1;
        self.until = now + time.max((hint.unwrap_or(0) * NANOS).min(self.longest_hint));
        self.begin(State::Open, Some(reason));
    }

    fn close(&mut self, now: u64) {
        self.since = now;
        self.begin_counting(State::Closed);
    }

    fn begin(&mut self, state: State, reason: Option<TripReason>) {
        (self.state, self.reason) = (state, reason);
        self.generation += 1;
    }

    fn begin_counting(&mut self, state: State) {
        self.begin(state, None);
        self.streak = 0;
        (self.last_calls, self.timed, self.good) = (vec![], vec![], vec![]);
        (self.timed_latest, self.good_latest) = (0, None);
    }

    fn snapshot(&mut self, now: u64) -> Snapshot {
        let last_calls = self.last.is_some().then(|| counts(&self.exactly_last()));
        let time_window = self.window.is_some().then(|| counts(&self.within_window(now)));
        Snapshot {
            state: self.state,
            generation: self.generation,
            reason: self.reason,
            time_left: (self.state == State::Open).then(|| Duration::from_nanos(self.until.saturating_sub(now))),
            consecutive_failures: self.streak,
            last_calls,
            time_window,
            probes: (self.state == State::HalfOpen).then(|| ProbeCounts {
                in_flight: u32::try_from(self.probes.len()).expect("few"),
                successes: self.successes,
                failures: self.failures,
            }),
            trips: self.trips,
            stale: self.stale,
            observe_only: self.observe_only,
            would_have_refused: self.would_have_refused,
        }
    }
}

impl Window {
    fn fails(&self, calls: &[Call]) -> bool {
        self.reaches(calls, self.failures, |call| call.failed)
    }

    fn is_slow(&self, calls: &[Call]) -> bool {
        self.slow.is_some_and(|share| self.reaches(calls, share, |call| call.slow))
    }

    fn reaches(&self, calls: &[Call], (part, whole): Share, is_one: impl Fn(&Call) -> bool) -> bool {
        let ones = calls.iter().filter(|call| is_one(call)).count();
        calls.len() >= self.minimum && ones * whole >= part * calls.len()
    }
}

fn drop_old(calls: &mut Vec<Call>, latest: u64, width: u64) {
    calls.retain(|call| call.at / width + 10 > latest / width);
}

fn counts(calls: &[Call]) -> Counts {
    let count =
        |is_one: fn(&Call) -> bool| u32::try_from(calls.iter().filter(|call| is_one(call)).count()).expect("few");
    Counts { calls: count(|_| true), failures: count(|call| call.failed), slow: count(|call| call.slow) }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("hours and days")
}
