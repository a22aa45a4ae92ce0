//! Which try of a request this is.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;

thread_local! {
    static IN_SCOPE: Cell<Option<Attempt>> = const { Cell::new(None) };
    /// Apart, since it is asked less often.
    static IS_EXHAUSTED: Cell<bool> = const { Cell::new(false) };
}

/// Which try of a request this is, counted from 1.
///
/// ```
/// use buttress::Attempt;
///
/// let second = Attempt::FIRST.next();
/// assert_eq!((second.number(), second.resends(), second.is_retry()), (2, 1, true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(NonZeroU32);

impl Attempt {
    /// The first one.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The one of this number.
    #[must_use]
    pub const fn new(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0.get()
    }

    /// How many came before it.
    #[must_use]
    pub const fn resends(self) -> u32 {
        self.number() - 1
    }

    /// Whether another came before it.
    #[must_use]
    pub const fn is_retry(self) -> bool {
        self.resends() > 0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Runs `future` on behalf of a request that came as this attempt, or as the one of the scope that it is in already if
    /// that is a later one. A [retry](crate::retry) in it knows then: what is sent for a retry is not multiplied by retries
    /// of its own.
    ///
    /// A task that `future` spawns is not in the scope; give it one of its own (that retries were
    /// [given up](Scoped::is_exhausted) in it is not heard of in this one).
    pub fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { future, inbound: Inbound { attempt: self, is_exhausted: false } }
    }

    /// The same for a future that is yet to be made, which is done on behalf of the request too.
    #[allow(dead_code, reason = "asked only by the servers of the feature `http`")]
    pub(crate) fn scope_of<F: Future>(self, make: impl FnOnce() -> F) -> Scoped<F> {
        let mut inbound = Inbound { attempt: self, is_exhausted: false };
        let future = {
            let _entered = Entered::of(&mut inbound);
            make()
        };
        Scoped { future, inbound }
    }

    /// As which attempt the request came that the current task works for, if it runs inside a [`scope`](Self::scope).
    #[must_use]
    #[inline]
    pub fn current() -> Option<Self> {
        IN_SCOPE.get()
    }

    /// Until the guard is dropped, whatever the thread runs is done for this attempt, or for the one that it is done for
    /// already if that is a later one. Whoever runs the scope around it still hears of retries that were given up.
    pub(crate) fn enter(self) -> Within {
        let outer = Inbound::current();
        let is_exhausted = outer.is_some_and(|outer| outer.is_exhausted);
        Inbound::set(Some(Inbound { attempt: self.or_later(outer), is_exhausted }));
        Within { outer }
    }

    fn or_later(self, outer: Option<Inbound>) -> Self {
        outer.map_or(self, |outer| outer.attempt.max(self))
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The request that the current task works for.
#[derive(Clone, Copy, Debug)]
struct Inbound {
    attempt: Attempt,
    is_exhausted: bool,
}

impl Inbound {
    fn current() -> Option<Self> {
        IN_SCOPE.get().map(|attempt| Self { attempt, is_exhausted: IS_EXHAUSTED.get() })
    }

    fn set(inbound: Option<Self>) {
        IN_SCOPE.set(inbound.map(|inbound| inbound.attempt));
        IS_EXHAUSTED.set(inbound.is_some_and(|inbound| inbound.is_exhausted));
    }
}

/// Retries of something that is done for the inbound request were given up: it is of no use to repeat the whole.
pub(crate) fn exhausted() {
    if let Some(inbound) = Inbound::current() {
        Inbound::set(Some(Inbound { is_exhausted: true, ..inbound }));
    }
}

/// A future that runs on behalf of an inbound [`Attempt`].
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Scoped<F> {
    #[pin]
    future: F,
    inbound: Inbound,
}

impl<F> Scoped<F> {
    /// Whether a retry inside was given up, so that whoever repeats the whole only adds to the load.
    pub const fn is_exhausted(&self) -> bool {
        self.inbound.is_exhausted
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::of(this.inbound);
        this.future.poll(cx)
    }
}

/// Puts back what was there, also when there is a panic.
struct Entered<'scope> {
    outer: Option<Inbound>,
    inbound: &'scope mut Inbound,
}

impl<'scope> Entered<'scope> {
    fn of(inbound: &'scope mut Inbound) -> Self {
        let outer = Inbound::current();
        Inbound::set(Some(Inbound { attempt: inbound.attempt.or_later(outer), ..*inbound }));
        Self { outer, inbound }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.inbound.is_exhausted = Inbound::current().is_some_and(|inside| inside.is_exhausted);
        let heard = |outer: Inbound| Inbound { is_exhausted: outer.is_exhausted || self.inbound.is_exhausted, ..outer };
        Inbound::set(self.outer.map(heard));
    }
}

/// The same for an attempt of a retry, which has nobody of its own to tell.
#[must_use = "an attempt that is left at once holds for nothing"]
pub(crate) struct Within {
    outer: Option<Inbound>,
}

impl Drop for Within {
    fn drop(&mut self) {
        let is_exhausted = Inbound::current().is_some_and(|inside| inside.is_exhausted);
        Inbound::set(self.outer.map(|outer| Inbound { is_exhausted, ..outer }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Attempt = Attempt::FIRST.next();

    #[tokio::test]
    async fn a_scope_ends_with_its_future() {
        assert_eq!(Attempt::current(), None);
        let seen = SECOND.scope(async {
            tokio::task::yield_now().await;
            Attempt::current()
        });
        assert_eq!(seen.await, Some(SECOND));
        assert_eq!(Attempt::current(), None);
    }

    #[tokio::test]
    async fn the_scope_hears_of_a_retry_that_was_given_up_and_others_do_not() {
        let mut given_up = std::pin::pin!(SECOND.scope(async {
            exhausted();
            tokio::task::yield_now().await;
        }));
        let mut other = std::pin::pin!(Attempt::FIRST.scope(async { tokio::task::yield_now().await }));
        futures::join!(given_up.as_mut(), other.as_mut());
        assert!(given_up.is_exhausted());
        assert!(!other.is_exhausted());
        exhausted();
        assert_eq!(Attempt::current(), None, "outside of any scope there is nobody to tell");
    }

    #[tokio::test]
    async fn what_makes_the_future_is_in_the_scope_too() {
        let mut made_outside = std::pin::pin!(SECOND.scope_of(|| {
            assert_eq!(Attempt::current(), Some(SECOND));
            exhausted();
            async { Attempt::current() }
        }));
        assert_eq!(Attempt::current(), None);
        assert!(made_outside.is_exhausted());
        assert_eq!(made_outside.as_mut().await, Some(SECOND));
    }

    #[tokio::test]
    async fn of_nested_scopes_the_later_attempt_holds() {
        let inner = async { Attempt::current() };
        assert_eq!(SECOND.scope(Attempt::FIRST.scope(inner)).await, Some(SECOND));
        let inner = async { Attempt::current() };
        assert_eq!(Attempt::FIRST.scope(SECOND.scope(inner)).await, Some(SECOND));
        for gives_up in [false, true] {
            let inner = async move {
                if gives_up {
                    exhausted();
                }
            };
            let mut outer = std::pin::pin!(Attempt::FIRST.scope(SECOND.scope(inner)));
            outer.as_mut().await;
            assert_eq!(outer.is_exhausted(), gives_up, "and the outer one hears what the inner one hears");
        }
    }

    #[test]
    fn the_scope_around_an_attempt_hears_what_was_given_up_in_it() {
        let look = async |gives_up: bool| {
            assert_eq!(Attempt::current(), Some(Attempt::FIRST));
            {
                let _within = SECOND.enter();
                assert_eq!(Attempt::current(), Some(SECOND));
                if gives_up {
                    exhausted();
                }
            }
            assert_eq!(Attempt::current(), Some(Attempt::FIRST));
        };
        for gives_up in [false, true] {
            let mut scope = Box::pin(Attempt::FIRST.scope(look(gives_up)));
            futures::executor::block_on(&mut scope);
            assert_eq!(scope.is_exhausted(), gives_up);
        }
        drop(SECOND.enter());
        assert_eq!(Attempt::current(), None);
    }

    #[test]
    fn a_panic_inside_leaves_no_scope_behind() {
        let mut panics = Box::pin(SECOND.scope(async { panic!("on purpose") }));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = futures::FutureExt::now_or_never(&mut panics);
        }));
        assert!(panicked.is_err());
        assert_eq!(Attempt::current(), None);
    }

    #[test]
    fn the_last_number_has_no_successor() {
        let last = Attempt::new(NonZeroU32::MAX);
        assert_eq!(last.next(), last);
    }
}
