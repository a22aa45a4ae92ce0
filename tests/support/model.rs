//! A state machine against a slow, obvious reference.
//!
//! The pattern for the tests of every `state.rs`: write what it should do in the plainest way there is (a list of all
//! that happened, walked each time), and let thousands of random histories look for one in which the two differ.

use std::fmt::Debug;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

/// How many histories are tried.
const HISTORIES: u32 = 2_000;

/// Whether `subject` and `reference` show the same in every history of `operations`; the shortest history in which they
/// do not is the error.
///
/// Both are made anew for each history, and told how much time has passed since it began and what happens now. Between
/// two operations time stands still, ticks, jumps by days, or runs backwards.
pub(crate) fn differs<Op, Seen, S, R>(
    operations: impl Strategy<Value = Op>,
    subject: impl Fn() -> S,
    reference: impl Fn() -> R,
) -> Option<String>
where
    Op: Debug,
    Seen: Debug + PartialEq,
    S: FnMut(Duration, &Op) -> Seen,
    R: FnMut(Duration, &Op) -> Seen,
{
    let mut runner = TestRunner::new(Config { cases: HISTORIES, failure_persistence: None, ..Config::default() });
    let histories = vec((a_while(), operations), 1..60);
    let result = runner.run(&histories, |history| {
        let (mut subject, mut reference) = (subject(), reference());
        let mut now = Duration::from_secs(60 * 60);
        for (step, (passed, operation)) in history.iter().enumerate() {
            now = passed.since(now);
            let (is, should_be) = (subject(now, operation), reference(now, operation));
            prop_assert_eq!(is, should_be, "in step {} at {:?}", step, now);
        }
        Ok(())
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, history)) => Some(format!("{reason}\nin the history {history:#?}")),
        Err(TestError::Abort(reason)) => panic!("no history could be tried: {reason}"),
    }
}

/// Fails with the shortest history in which `subject` and `reference` differ, if there is one.
pub(crate) fn agree<Op, Seen, S, R>(
    operations: impl Strategy<Value = Op>,
    subject: impl Fn() -> S,
    reference: impl Fn() -> R,
) where
    Op: Debug,
    Seen: Debug + PartialEq,
    S: FnMut(Duration, &Op) -> Seen,
    R: FnMut(Duration, &Op) -> Seen,
{
    if let Some(difference) = differs(operations, subject, reference) {
        panic!("{difference}");
    }
}

/// How time goes on between two operations.
#[derive(Clone, Copy, Debug)]
enum Passed {
    Forward(Duration),
    Back(Duration),
}

impl Passed {
    fn since(self, now: Duration) -> Duration {
        match self {
            Self::Forward(by) => now.saturating_add(by),
            Self::Back(by) => now.saturating_sub(by),
        }
    }
}

fn a_while() -> impl Strategy<Value = Passed> {
    prop_oneof![
        4 => Just(Passed::Forward(Duration::ZERO)),
        8 => (0..3_000_u64).prop_map(|ms| Passed::Forward(Duration::from_millis(ms))),
        4 => (0..5_u64).prop_map(|seconds| Passed::Forward(Duration::from_secs(seconds))),
        1 => (1..100_u64).prop_map(|days| Passed::Forward(Duration::from_secs(days * 86_400))),
        1 => (1..5_000_u64).prop_map(|ms| Passed::Back(Duration::from_millis(ms))),
    ]
}
