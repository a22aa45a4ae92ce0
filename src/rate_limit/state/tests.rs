use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::clock::nanos;
use crate::model;

const SEC: Duration = Duration::from_secs(1);
const T0: Moment = Moment::from_nanos(3_600_000_000_000);

/// A token each second, and at most `burst`.
fn rules(burst: u32) -> Rules {
    Rules::new(SEC, NonZeroU32::new(burst).expect("not zero"))
}

fn passes(rules: Rules, full_at: &mut Moment, cost: u32, now: Moment) -> bool {
    match rules.decide(*full_at, cost, now) {
        Verdict::Passes(next) => {
            *full_at = next;
            true
        }
        Verdict::Waits(_) | Verdict::Never => false,
    }
}

#[test]
fn a_bucket_holds_exactly_the_burst() {
    let (rules, mut bucket) = (rules(3), Moment::EPOCH);
    assert_eq!((0..10).filter(|_| passes(rules, &mut bucket, 1, T0)).count(), 3);
    assert_eq!(bucket, T0 + 3 * SEC);
    assert_eq!(
        (0..10).filter(|_| passes(rules, &mut bucket, 1, T0 + 60 * 86_400 * SEC)).count(),
        3,
        "after 60 idle days"
    );
}

#[test]
fn who_does_not_pass_is_told_the_exact_moment() {
    let (rules, mut bucket) = (rules(3), Moment::EPOCH);
    assert!(passes(rules, &mut bucket, 3, T0));
    assert_eq!(rules.decide(bucket, 1, T0), Verdict::Waits(T0 + SEC));
    assert_eq!(rules.decide(bucket, 3, T0), Verdict::Waits(T0 + 3 * SEC));
    let almost = Moment::from_nanos((T0 + SEC).to_nanos() - 1);
    assert_eq!(rules.decide(bucket, 1, almost), Verdict::Waits(T0 + SEC));
    assert_eq!(rules.decide(bucket, 1, T0 + SEC), Verdict::Passes(T0 + 4 * SEC));
}

#[test]
fn a_cost_is_taken_whole_or_not_at_all() {
    let (rules, mut bucket) = (rules(5), Moment::EPOCH);
    assert!(passes(rules, &mut bucket, 3, T0));
    assert!(!passes(rules, &mut bucket, 3, T0));
    assert!(passes(rules, &mut bucket, 2, T0));
    assert_eq!(rules.decide(bucket, 6, T0 + 3600 * SEC), Verdict::Never);
    assert_eq!(rules.decide(bucket, 0, T0), Verdict::Passes(bucket), "what costs nothing passes an empty bucket");
}

#[test]
fn what_remains_is_whole_tokens() {
    let (rules, mut bucket) = (rules(3), Moment::EPOCH);
    assert_eq!(rules.remaining(bucket, T0), 3);
    assert!(passes(rules, &mut bucket, 1, T0));
    assert_eq!(rules.remaining(bucket, T0), 2);
    assert_eq!(rules.remaining(bucket, Moment::from_nanos((T0 + SEC).to_nanos() - 1)), 2);
    assert_eq!(rules.remaining(bucket, T0 + SEC), 3);
    assert_eq!(rules.remaining(T0 + 100 * SEC, T0), 0, "owes more than it can");
}

#[test]
fn other_rules_keep_the_debt_but_no_more_than_all() {
    let bucket = T0 + 2 * SEC;
    assert_eq!(rules(3).adopt(bucket, T0), bucket);
    assert_eq!(rules(1).adopt(bucket, T0), T0 + SEC);
    assert_eq!(rules(3).adopt(Moment::EPOCH, T0), Moment::EPOCH);
    assert_eq!(rules(3).emptied(T0), T0 + 3 * SEC);
}

#[test]
fn time_has_no_end_that_a_bucket_could_reach() {
    let century = Rules::new(100 * 365 * 86_400 * SEC, NonZeroU32::MIN);
    for now in [Moment::EPOCH, Moment::MAX] {
        let Verdict::Passes(full_at) = century.decide(Moment::EPOCH, 1, now) else { panic!("a full bucket") };
        assert!(full_at.to_nanos() < 1 << 63, "the upper bit is needed for something else");
        assert!(matches!(century.decide(full_at, 1, now), Verdict::Waits(_)));
        assert!(century.emptied(now).to_nanos() < 1 << 63);
        assert!(century.outlook(full_at, u64::MAX, now) >= Moment::from_nanos(u64::MAX - nanos(century.refill())));
    }
}

/// Tokens counted in pieces of a nanosecond, poured in whenever somebody looks.
struct Obvious {
    rules: Rules,
    pieces: u64,
    at: Moment,
}

impl Obvious {
    fn new(rules: Rules) -> Self {
        Self { rules, pieces: nanos(rules.refill()), at: Moment::EPOCH }
    }

    /// How long until `cost` passes, nothing if it did; none if never.
    fn take(&mut self, cost: u32, now: Moment) -> Option<Duration> {
        let passed = u64::try_from(now.since(self.at).as_nanos()).expect("not that long");
        self.pieces = self.pieces.saturating_add(passed).min(nanos(self.rules.refill()));
        self.at = now;
        let cost = u64::from(cost) * nanos(self.rules.interval());
        if cost > nanos(self.rules.refill()) {
            return None;
        }
        let missing = cost.saturating_sub(self.pieces);
        self.pieces -= if missing == 0 { cost } else { 0 };
        Some(Duration::from_nanos(missing))
    }

    fn remaining(&self) -> u64 {
        self.pieces / nanos(self.rules.interval())
    }
}

/// A bucket that is told an earlier time is emptier, and this is not about that.
fn forwards(latest: &mut Moment, now: Duration) -> Moment {
    *latest = (*latest).max(Moment::EPOCH + now);
    *latest
}

fn histories(reference: Rules, subject: Rules) -> Option<String> {
    model::differs(
        0..7_u32,
        || {
            let (mut full_at, mut latest) = (Moment::EPOCH, Moment::EPOCH);
            move |now: Duration, cost: &u32| {
                let now = forwards(&mut latest, now);
                let wait = match subject.decide(full_at, *cost, now) {
                    Verdict::Passes(next) => {
                        full_at = next;
                        Some(Duration::ZERO)
                    }
                    Verdict::Waits(until) => Some(until.since(now)),
                    Verdict::Never => None,
                };
                (wait, u64::from(subject.remaining(full_at, now)))
            }
        },
        || {
            let (mut bucket, mut latest) = (Obvious::new(reference), Moment::EPOCH);
            move |now: Duration, cost: &u32| {
                let wait = bucket.take(*cost, forwards(&mut latest, now));
                (wait, bucket.remaining())
            }
        },
    )
}

#[test]
fn it_agrees_with_a_bucket_that_is_poured_into() {
    for interval in [1_000, 999_999, 1_000_000_000, 333_333_334] {
        let rules = Rules::new(Duration::from_nanos(interval), rules(5).burst);
        assert_eq!(histories(rules, rules), None);
    }
    assert!(histories(rules(5), rules(4)).is_some(), "a reference that is off by one is found out");
    let slower = Rules::new(SEC + Duration::from_nanos(1), rules(5).burst);
    assert!(histories(rules(5), slower).is_some(), "a reference that is off by a nanosecond is found out");
}

proptest! {
    #[test]
    fn the_outlook_is_what_comes_of_taking_in_turn(
        owes in 0..8_000_000_000_u64, costs in prop::collection::vec(1..=5_u32, 1..10), after in 0..8_000_000_000_u64,
    ) {
        let (rules, now) = (rules(5), T0 + Duration::from_nanos(after));
        let mut full_at = rules.adopt(T0 + Duration::from_nanos(owes), now);
        let total = costs.iter().map(|cost| u64::from(*cost)).sum();
        let outlook = rules.outlook(full_at, total, now);
        let mut time = now;
        for cost in costs {
            if let Verdict::Waits(until) = rules.decide(full_at, cost, time) {
                time = until;
            }
            prop_assert!(passes(rules, &mut full_at, cost, time));
        }
        prop_assert_eq!(outlook, time);
    }

    #[test]
    fn within_no_span_of_time_more_passes_than_rate_and_burst(
        steps in prop::collection::vec((-2_000_i64..3_000, 1..=4_u32), 1..60), burst in 1..6_u32,
    ) {
        let (rules, mut full_at, mut now, mut latest) = (rules(burst), Moment::EPOCH, T0, Moment::EPOCH);
        let mut passed: Vec<(Moment, u32)> = Vec::new();
        for (millis, cost) in steps {
            let step = Duration::from_millis(millis.unsigned_abs());
            now = if millis < 0 { Moment::EPOCH + now.since(Moment::EPOCH + step) } else { now + step };
            if passes(rules, &mut full_at, cost, now) {
                // Whoever is told an earlier time than the one before passes at the same time as that one.
                latest = latest.max(now);
                passed.push((latest, cost));
            }
        }
        for (first, (from, _)) in passed.iter().enumerate() {
            let mut total = 0;
            for (to, cost) in &passed[first..] {
                total += cost;
                let allowed = u64::from(burst) + u64::try_from(to.since(*from).as_nanos()).expect("short") / nanos(rules.interval());
                prop_assert!(u64::from(total) <= allowed, "{total} of {allowed} within {:?}", to.since(*from));
            }
        }
    }
}
