use std::time::Duration;

use crate::clock::Moment;
use crate::rejection::Cause;

/// How long a call may take, in nanoseconds: half as long as a `Duration`, and every call carries one. What is longer than
/// they can say, 584 years, is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit(u64);

impl Limit {
    pub(super) const ZERO: Self = Self(0);
    pub(super) const NONE: Self = Self(u64::MAX);

    pub(super) fn of(limit: Duration) -> Self {
        Self((Moment::EPOCH + limit).to_nanos())
    }

    pub(super) const fn duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// How long a call may take, decided before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// So long, from when it first has to wait.
    FromFirstWait(Limit),
    /// Until a moment. Kept beside it: how long that was from the call, and what set it.
    Until { end: Moment, allowed: Limit, cause: Cause },
    /// It is not to be made: its deadline has passed.
    NotAtAll,
}

impl Allowance {
    /// Of a call at `now` that is bounded by a limit and, if there is one, a deadline; the one that ends first holds.
    pub(super) fn from_call(limit: Limit, deadline: Option<Moment>, now: Moment) -> Self {
        let until = |allowed: Limit, cause| Self::Until { end: now + allowed.duration(), allowed, cause };
        match deadline.map(|deadline| Limit::of(deadline.since(now))) {
            Some(Limit::ZERO) => Self::NotAtAll,
            Some(left) if left.0 < limit.0 => until(left, Cause::Deadline),
            None if limit == Limit::NONE => Self::FromFirstWait(limit),
            _ => until(limit, Cause::OwnLimit),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model;

    const SEC: Duration = Duration::from_secs(1);
    const T0: Moment = Moment::EPOCH;

    fn of(limit: Duration) -> Limit {
        Limit::of(limit)
    }

    #[test]
    fn the_earlier_of_limit_and_deadline_holds() {
        let at = T0 + 10 * SEC;
        assert_eq!(
            Allowance::from_call(of(SEC), Some(at + 5 * SEC), at),
            Allowance::Until { end: at + SEC, allowed: of(SEC), cause: Cause::OwnLimit }
        );
        assert_eq!(
            Allowance::from_call(of(5 * SEC), Some(at + SEC), at),
            Allowance::Until { end: at + SEC, allowed: of(SEC), cause: Cause::Deadline }
        );
    }

    #[test]
    fn at_the_same_instant_the_own_limit_is_named() {
        assert_eq!(
            Allowance::from_call(of(SEC), Some(T0 + SEC), T0),
            Allowance::Until { end: T0 + SEC, allowed: of(SEC), cause: Cause::OwnLimit }
        );
    }

    #[test]
    fn a_deadline_that_is_now_has_passed() {
        assert_eq!(Allowance::from_call(of(SEC), Some(T0 + SEC), T0 + SEC), Allowance::NotAtAll);
        assert_eq!(Allowance::from_call(of(SEC), Some(T0), T0 + 60 * SEC), Allowance::NotAtAll);
    }

    #[test]
    fn no_limit_and_no_deadline_is_no_end() {
        assert_eq!(Allowance::from_call(of(Duration::MAX), None, T0), Allowance::FromFirstWait(Limit::NONE));
        assert_eq!(
            Allowance::from_call(of(Duration::MAX), Some(T0 + SEC), T0),
            Allowance::Until { end: T0 + SEC, allowed: of(SEC), cause: Cause::Deadline }
        );
    }

    /// What a call comes with, in nanoseconds: a limit, and a deadline that many hours from the start.
    type Call = (u64, Option<u64>);

    fn call() -> impl Strategy<Value = Call> {
        let nanos = || prop_oneof![Just(0), Just(u64::MAX), 0..10_000_000_000_u64, any::<u64>()];
        (nanos(), proptest::option::of(nanos()))
    }

    /// The end in nanoseconds and who sets it; no end; or no call.
    #[derive(Debug, PartialEq)]
    enum Seen {
        Ends { at: i128, by_deadline: bool },
        Never,
        Refused,
    }

    /// `u64::MAX` nanoseconds stand for no limit.
    fn limit_of(nanos: u64) -> Duration {
        if nanos == u64::MAX { Duration::MAX } else { Duration::from_nanos(nanos) }
    }

    fn subject(now: Duration, &(limit, deadline): &Call) -> Seen {
        let deadline = deadline.map(|nanos| T0 + Duration::from_nanos(nanos));
        match Allowance::from_call(Limit::of(limit_of(limit)), deadline, T0 + now) {
            Allowance::NotAtAll => Seen::Refused,
            Allowance::FromFirstWait(Limit::NONE) => Seen::Never,
            Allowance::FromFirstWait(_) => panic!("it counts from the call"),
            Allowance::Until { end, allowed, cause } => {
                assert_eq!(T0 + now + allowed.duration(), end);
                let at = i128::try_from(end.since(T0).as_nanos()).expect("a moment has 64 bits");
                Seen::Ends { at, by_deadline: cause == Cause::Deadline }
            }
        }
    }

    /// Tries every end there is and takes the first, in numbers so large that none saturates.
    fn obvious(now: Duration, &(limit, deadline): &Call) -> Seen {
        let now = i128::try_from(now.as_nanos()).expect("hours and days");
        let by_limit = (limit != u64::MAX).then(|| now + i128::from(limit));
        let by_deadline = deadline.map(i128::from);
        match (by_limit, by_deadline) {
            (_, Some(deadline)) if deadline <= now => Seen::Refused,
            (Some(limit), Some(deadline)) if deadline < limit => Seen::Ends { at: deadline, by_deadline: true },
            (Some(limit), _) => Seen::Ends { at: limit.min(i128::from(u64::MAX)), by_deadline: false },
            (None, Some(deadline)) => Seen::Ends { at: deadline, by_deadline: true },
            (None, None) => Seen::Never,
        }
    }

    #[test]
    fn it_agrees_with_the_obvious_reference() {
        model::agree(call(), || subject, || obvious);
    }
}
