use std::time::Duration;

use crate::clock::Moment;
use crate::rejection::Cause;

/// How long a call may take, decided before it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// As long as it likes.
    Unlimited,
    /// So long, from when it first has to wait.
    FromFirstWait(Duration),
    /// Until a moment. Kept beside it: how long that was from the call, and what set it.
    Until { end: Moment, allowed: Duration, cause: Cause },
    /// It is not to be made: its deadline has passed.
    NotAtAll,
}

impl Allowance {
    /// Of a call that is bounded by the layer's own limit alone. `Duration::MAX` is no limit.
    pub(super) fn own(limit: Duration) -> Self {
        if limit == Duration::MAX { Self::Unlimited } else { Self::FromFirstWait(limit) }
    }

    /// Of a call at `now` that is bounded by a limit and, if there is one, a deadline; the one that ends first holds.
    pub(super) fn from_call(limit: Duration, deadline: Option<Moment>, now: Moment) -> Self {
        let left = deadline.map(|deadline| deadline.since(now));
        match left {
            Some(Duration::ZERO) => Self::NotAtAll,
            Some(left) if left < limit => Self::Until { end: now + left, allowed: left, cause: Cause::Deadline },
            None if limit == Duration::MAX => Self::Unlimited,
            _ => Self::Until { end: now + limit, allowed: limit, cause: Cause::OwnLimit },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEC: Duration = Duration::from_secs(1);
    const T0: Moment = Moment::EPOCH;

    #[test]
    fn without_a_deadline_the_limit_counts_from_the_first_wait() {
        assert_eq!(Allowance::own(SEC), Allowance::FromFirstWait(SEC));
        assert_eq!(Allowance::own(Duration::MAX), Allowance::Unlimited);
    }

    #[test]
    fn the_earlier_of_limit_and_deadline_holds() {
        let at = T0 + 10 * SEC;
        assert_eq!(
            Allowance::from_call(SEC, Some(at + 5 * SEC), at),
            Allowance::Until { end: at + SEC, allowed: SEC, cause: Cause::OwnLimit }
        );
        assert_eq!(
            Allowance::from_call(5 * SEC, Some(at + SEC), at),
            Allowance::Until { end: at + SEC, allowed: SEC, cause: Cause::Deadline }
        );
    }

    #[test]
    fn at_the_same_instant_the_own_limit_is_named() {
        assert_eq!(
            Allowance::from_call(SEC, Some(T0 + SEC), T0),
            Allowance::Until { end: T0 + SEC, allowed: SEC, cause: Cause::OwnLimit }
        );
    }

    #[test]
    fn a_deadline_that_is_now_has_passed() {
        assert_eq!(Allowance::from_call(SEC, Some(T0 + SEC), T0 + SEC), Allowance::NotAtAll);
        assert_eq!(Allowance::from_call(SEC, Some(T0), T0 + 60 * SEC), Allowance::NotAtAll);
    }

    #[test]
    fn no_limit_and_no_deadline_is_no_end() {
        assert_eq!(Allowance::from_call(Duration::MAX, None, T0), Allowance::Unlimited);
        assert_eq!(
            Allowance::from_call(Duration::MAX, Some(T0 + SEC), T0),
            Allowance::Until { end: T0 + SEC, allowed: SEC, cause: Cause::Deadline }
        );
    }

    fn moment() -> impl Strategy<Value = Moment> {
        prop_oneof![Just(0), Just(u64::MAX), 0..1000_u64, any::<u64>()].prop_map(|ns| T0 + Duration::from_nanos(ns))
    }

    fn limit() -> impl Strategy<Value = Duration> {
        prop_oneof![Just(Duration::ZERO), Just(Duration::MAX), (0..1000_u64).prop_map(Duration::from_nanos)]
    }

    proptest! {
        /// The reference counts nanoseconds in `i128`, where nothing saturates.
        #[test]
        fn it_ends_at_the_smaller_of_both_and_never_after_either(
            limit in limit(),
            deadline in proptest::option::of(moment()),
            now in moment(),
        ) {
            let number = |moment: Moment| i128::try_from(moment.since(T0).as_nanos()).unwrap_or(i128::MAX);
            let last = number(Moment::MAX);
            let by_limit = (number(now) + i128::try_from(limit.as_nanos()).unwrap_or(i128::MAX)).min(last);
            let by_deadline = deadline.map(number);
            match Allowance::from_call(limit, deadline, now) {
                Allowance::NotAtAll => prop_assert!(by_deadline.is_some_and(|deadline| deadline <= number(now))),
                Allowance::Unlimited => prop_assert!(by_deadline.is_none() && limit == Duration::MAX),
                Allowance::FromFirstWait(_) => prop_assert!(false, "it counts from the call"),
                Allowance::Until { end, allowed, .. } => {
                    prop_assert_eq!(number(end), by_deadline.map_or(by_limit, |deadline| deadline.min(by_limit)));
                    prop_assert!(allowed <= limit);
                }
            }
        }
    }
}
