use proptest::prelude::*;

use super::*;
use crate::retry::config::RetryConfig;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn rules(config: &RetryConfig) -> Rules {
    config.clone().rules().expect("valid")
}

/// From 100 ms to 1 s.
fn backoff(spread: Spread) -> Backoff {
    Backoff::exponential(100 * MS, SEC).spread(spread)
}

fn unspread() -> Rules {
    rules(&RetryConfig::new().backoff(backoff(Spread::None)))
}

fn error() -> Failure {
    Failure::new(FailureKind::Error)
}

fn busy(wait: Duration) -> Failure {
    Failure::new(FailureKind::Throttled).with_retry_after(wait)
}

/// What a call of `most` attempts does that fails in this way at once, at its first attempt.
fn first(failure: &Failure, left: Option<Duration>, rules: &Rules) -> Verdict {
    Session::new(3).failed(failure, left, rules, &mut Jitter::seeded(1))
}

/// The waits of a call that always fails.
fn waits(most: u32, rules: &Rules, seed: u64) -> Vec<Duration> {
    let (mut session, mut jitter) = (Session::new(most), Jitter::seeded(seed));
    let mut waits = Vec::new();
    while session.may_go_on(&error()).is_ok() {
        let verdict = session.failed(&error(), None, rules, &mut jitter);
        let Verdict::Wait(wait, 1) = verdict else { panic!("{verdict:?}") };
        waits.push(wait);
        session.resent();
    }
    assert_eq!(session.may_go_on(&error()), Err(Stop::AttemptsUsedUp));
    waits
}

#[test]
fn the_first_attempt_is_one_of_the_most() {
    let rules = unspread();
    for most in 1..5 {
        assert_eq!(u32::try_from(waits(most, &rules, 1).len()), Ok(most - 1));
    }
    assert_eq!(waits(6, &rules, 1), [100, 200, 400, 800, 1000].map(|ms| ms * MS));
}

#[test]
fn a_hint_is_waited_for_with_the_backoff_on_top_where_there_is_chance() {
    assert_eq!(first(&busy(2 * SEC), None, &unspread()), Verdict::Wait(2 * SEC, 1));
    assert_eq!(first(&busy(MS), None, &unspread()), Verdict::Wait(100 * MS, 1), "the backoff is longer");
    for spread in [Spread::Full, Spread::Equal, Spread::Decorrelated] {
        let rules = rules(&RetryConfig::new().backoff(backoff(spread)));
        let mut seen = Vec::new();
        for seed in 0..100 {
            let verdict = Session::new(3).failed(&busy(2 * SEC), None, &rules, &mut Jitter::seeded(seed));
            let Verdict::Wait(wait, 1) = verdict else { panic!("{verdict:?}") };
            assert!((2 * SEC..=2 * SEC + 300 * MS).contains(&wait), "never before its time: {wait:?}");
            seen.push(wait);
        }
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 90, "who was told the same time does not come back together");
    }
}

#[test]
fn who_asks_for_more_time_than_anybody_waits_is_not_called_again() {
    let rules = rules(&RetryConfig::new().longest_hint(2 * SEC).backoff(backoff(Spread::None)));
    assert_eq!(first(&busy(2 * SEC), None, &rules), Verdict::Wait(2 * SEC, 1));
    assert_eq!(first(&busy(2 * SEC + MS), None, &rules), Verdict::Stop(Stop::HintTooLong));
    assert_eq!(first(&busy(Duration::MAX), None, &rules), Verdict::Stop(Stop::HintTooLong));
}

#[test]
fn a_wait_that_does_not_fit_the_deadline_is_not_begun() {
    let rules = unspread();
    assert_eq!(
        first(&error(), Some(101 * MS), &rules),
        Verdict::Wait(100 * MS, 1),
        "a timer may be a millisecond late"
    );
    let almost = 101 * MS - Duration::from_nanos(1);
    assert_eq!(first(&error(), Some(almost), &rules), Verdict::Stop(Stop::NoTimeLeft));
    assert_eq!(
        first(&error(), Some(100 * MS), &rules),
        Verdict::Stop(Stop::NoTimeLeft),
        "no time for the attempt itself"
    );
    assert_eq!(first(&error(), Some(Duration::ZERO), &rules), Verdict::Stop(Stop::NoTimeLeft));
    assert_eq!(first(&busy(5 * SEC), Some(4 * SEC), &rules), Verdict::Stop(Stop::NoTimeLeft));
}

#[test]
fn what_the_service_wants_not_retried_is_not() {
    for session in [Session::new(3), Session::new(1)] {
        assert_eq!(session.may_go_on(&error().not_to_be_retried()), Err(Stop::Forbidden));
    }
    assert_eq!(Session::new(3).may_go_on(&error()), Ok(()), "the control");
}

#[test]
fn a_retry_after_a_timeout_costs_twice_as_much() {
    let cost = |kind| first(&Failure::new(kind), None, &unspread());
    for kind in [FailureKind::TimedOut, FailureKind::RequestTimeout] {
        assert_eq!(cost(kind), Verdict::Wait(100 * MS, 2), "{kind}");
    }
    for kind in [FailureKind::Error, FailureKind::Throttled, FailureKind::Refused, FailureKind::Permanent] {
        assert_eq!(cost(kind), Verdict::Wait(100 * MS, 1), "{kind}");
    }
}

#[test]
fn what_was_given_up_for_want_of_something_is_not_to_be_repeated_further_out() {
    let mut retried = Session::new(3);
    retried.resent();
    let is_exhausted = |stop| [Session::new(1).is_exhausted_by(stop), retried.is_exhausted_by(stop)];
    for stop in [Stop::NotRetried, Stop::NotRepeatable, Stop::NotCopied] {
        assert_eq!(is_exhausted(stop), [false; 2], "{stop:?}");
    }
    for stop in [Stop::Forbidden, Stop::HintTooLong, Stop::BudgetUsedUp] {
        assert_eq!(is_exhausted(stop), [true; 2], "{stop:?}");
    }
    for stop in [Stop::AttemptsUsedUp, Stop::NoTimeLeft] {
        assert_eq!(is_exhausted(stop), [false, true], "what was sent once was multiplied by nobody: {stop:?}");
    }
}

#[test]
fn each_spread_uses_all_of_its_range_and_no_more() {
    let range = |spread, retry: usize| {
        let rules = rules(&RetryConfig::new().backoff(backoff(spread)));
        let mut waits: Vec<_> = (0..2000).map(|seed| waits(7, &rules, seed)[retry - 1]).collect();
        waits.sort();
        (waits[0], waits[1999])
    };
    let near = |(least, most): (Duration, Duration), (from, to): (u32, u32)| {
        let (from, to) = (from * MS, to * MS);
        let slack = (to - from) / 50;
        assert!((from..=from + slack).contains(&least), "{least:?} of {from:?}");
        assert!((to - slack..=to).contains(&most), "{most:?} of {to:?}");
    };
    near(range(Spread::Full, 1), (0, 100));
    near(range(Spread::Full, 3), (0, 400));
    near(range(Spread::Full, 6), (0, 1000));
    near(range(Spread::Equal, 1), (50, 100));
    near(range(Spread::Equal, 6), (500, 1000));
    near(range(Spread::Decorrelated, 1), (100, 300));
    near(range(Spread::Decorrelated, 6), (100, 1000));
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop::sample::select(vec![Spread::Full, Spread::Equal, Spread::Decorrelated, Spread::None])
}

proptest! {
    #[test]
    fn no_wait_is_longer_than_the_cap_or_its_ceiling(
        base in 0..10_000_000_000_u64,
        more in 0..100_000_000_000_u64,
        factor in 1.0..10.0,
        spread in spreads(),
        seed: u64,
    ) {
        let (base, cap) = (Duration::from_nanos(base), Duration::from_nanos(base + more));
        let backoff = Backoff::exponential(base, cap).factor(factor).spread(spread);
        let rules = rules(&RetryConfig::new().backoff(backoff));
        for (retry, wait) in (1..).zip(waits(12, &rules, seed)) {
            prop_assert!(wait <= cap);
            prop_assert!(wait <= backoff.ceiling(retry) + Duration::from_nanos(1), "{wait:?} before retry {retry}");
        }
    }

    #[test]
    fn no_wait_is_begun_that_ends_at_the_deadline_or_after(
        hint in 0..5_000_u64,
        left in 0..5_000_u64,
        spread in spreads(),
        seed: u64,
    ) {
        let rules = rules(&RetryConfig::new().backoff(backoff(spread)));
        let (hint, left) = (Duration::from_millis(hint), Duration::from_millis(left));
        match Session::new(3).failed(&busy(hint), Some(left), &rules, &mut Jitter::seeded(seed)) {
            Verdict::Wait(wait, _) => prop_assert!(wait >= hint && wait + MS <= left),
            Verdict::Stop(stop) => prop_assert_eq!(stop, Stop::NoTimeLeft),
        }
    }
}
