//! Until when an answer is of use to whoever asked.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;

use crate::clock::{Moment, Now};

thread_local! {
    static IN_SCOPE: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// The moment after which nobody waits for the answer any more.
///
/// ```
/// use std::time::Duration;
/// use buttress::Deadline;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let deadline = Deadline::within(Duration::from_secs(1));
/// tokio::time::advance(Duration::from_millis(400)).await;
/// assert_eq!(deadline.left(), Duration::from_millis(600));
///
/// // Whatever runs inside sees it; client layers told `InScope` or `http::InExtensions` keep to it.
/// assert_eq!(deadline.scope(async { Deadline::current() }).await, Some(deadline));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Moment);

impl Deadline {
    /// At this moment.
    #[must_use]
    pub const fn at(moment: Moment) -> Self {
        Self(moment)
    }

    /// So long from now.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self(Moment::now() + time)
    }

    /// The moment itself.
    #[must_use]
    pub const fn moment(self) -> Moment {
        self.0
    }

    /// How much time is left; zero once it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.since(Moment::now())
    }

    /// The deadline the current task works under, if it runs inside a [`scope`](Self::scope).
    #[must_use]
    pub fn current() -> Option<Self> {
        IN_SCOPE.get()
    }

    /// Runs `future` under this deadline, or the one it is in already if that comes first.
    ///
    /// Make the call inside, as in `scope(async { service.call(request).await })`: what a layer does in `call`, and that is most
    /// of it, it does before there is a future to put into a scope.
    ///
    /// A task that `future` spawns is not in the scope; give it one of its own.
    pub fn scope<F: Future>(self, future: F) -> Scoped<F> {
        Scoped { future, deadline: self }
    }

    /// Until the guard is dropped, this deadline holds for whatever the thread runs, or the one that holds already if that
    /// comes first.
    pub(crate) fn enter(self) -> Entered {
        let outer = IN_SCOPE.get();
        IN_SCOPE.set(Some(outer.map_or(self, |outer| outer.min(self))));
        Entered { outer }
    }
}

/// Puts back what was there, also when there is a panic.
#[must_use = "a deadline that is left at once holds for nothing"]
pub(crate) struct Entered {
    outer: Option<Deadline>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        IN_SCOPE.set(self.outer);
    }
}

/// A future that runs under a [`Deadline`].
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Scoped<F> {
    #[pin]
    future: F,
    deadline: Deadline,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.deadline.enter();
        this.future.poll(cx)
    }
}

/// Finds the deadline a request comes with.
///
/// Ready-made are [`OwnLimit`] (the default: none), [`InScope`] and, for HTTP,
/// [`http::InExtensions`](crate::http::InExtensions) and
/// [`http::TrustedDeadline`](crate::http::TrustedDeadline), which a `DeadlineHeader` becomes by saying whom to trust. A
/// closure `Fn(&Req) -> Option<Deadline>` serves too; one that owns something that cannot be cloned goes into an
/// [`Arc`]. A pair of them takes the earlier of both deadlines.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot find the deadline of a `{Req}`",
    note = "`InScope` finds the one that any request is made under; `http::InExtensions`, which the HTTP presets choose, needs an `http::Request`",
    note = "an `http::DeadlineHeader` can once it is told whom to believe: `.trusting(..)`",
    note = "a closure `|request: &{Req}| -> Option<Deadline>` can as well; `OwnLimit` looks for none"
)]
pub trait DeadlineOf<Req> {
    /// The deadline of `request`, if it has one. Who needs the time asks `now`, so that the call reads the clock once.
    fn deadline_of(&self, request: &Req, now: &Now) -> Option<Deadline>;
}

#[diagnostic::do_not_recommend]
impl<F, Req> DeadlineOf<Req> for F
where
    F: Fn(&Req) -> Option<Deadline>,
{
    fn deadline_of(&self, request: &Req, _: &Now) -> Option<Deadline> {
        self(request)
    }
}

impl<D, Req> DeadlineOf<Req> for Arc<D>
where
    D: DeadlineOf<Req> + ?Sized,
{
    fn deadline_of(&self, request: &Req, now: &Now) -> Option<Deadline> {
        (**self).deadline_of(request, now)
    }
}

/// The earlier of two deadlines, or the one there is.
impl<A, B, Req> DeadlineOf<Req> for (A, B)
where
    A: DeadlineOf<Req>,
    B: DeadlineOf<Req>,
{
    fn deadline_of(&self, request: &Req, now: &Now) -> Option<Deadline> {
        earlier(self.0.deadline_of(request, now), self.1.deadline_of(request, now))
    }
}

/// The earlier of two deadlines, or the one there is.
pub(crate) fn earlier(one: Option<Deadline>, other: Option<Deadline>) -> Option<Deadline> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Looks for no deadline: a layer's own limit is all there is.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnLimit;

impl<Req> DeadlineOf<Req> for OwnLimit {
    fn deadline_of(&self, _: &Req, _: &Now) -> Option<Deadline> {
        None
    }
}

/// Takes the deadline of the [`scope`](Deadline::scope) that the call is made in, whatever the request is.
#[derive(Clone, Copy, Debug, Default)]
pub struct InScope;

impl<Req> DeadlineOf<Req> for InScope {
    fn deadline_of(&self, _: &Req, _: &Now) -> Option<Deadline> {
        Deadline::current()
    }
}

/// Tells the wrapped service until when its answer is waited for.
///
/// Ready-made are [`NotExported`] (the default), [`InScope`] and, for HTTP,
/// [`http::InExtensions`](crate::http::InExtensions) and [`http::DeadlineHeader`](crate::http::DeadlineHeader). A
/// closure `Fn(&mut Req, Deadline, Moment)` serves too; the moment is the present. Every exporter but `NotExported` also
/// puts the wrapped service's work into the deadline's [`scope`](Deadline::scope).
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot write a deadline into a `{Req}`",
    note = "a closure `|request: &mut {Req}, deadline: Deadline, now: Moment| ..` can"
)]
pub trait ExportDeadline<Req> {
    /// Whether anything is exported; `false` saves reading the clock.
    const EXPORTS: bool = true;

    /// Writes `deadline` into `request`; it is `now`.
    fn export(&self, request: &mut Req, deadline: Deadline, now: Moment);
}

#[diagnostic::do_not_recommend]
impl<F, Req> ExportDeadline<Req> for F
where
    F: Fn(&mut Req, Deadline, Moment),
{
    fn export(&self, request: &mut Req, deadline: Deadline, now: Moment) {
        self(request, deadline, now);
    }
}

impl<X, Req> ExportDeadline<Req> for Arc<X>
where
    X: ExportDeadline<Req> + ?Sized,
{
    const EXPORTS: bool = X::EXPORTS;

    fn export(&self, request: &mut Req, deadline: Deadline, now: Moment) {
        (**self).export(request, deadline, now);
    }
}

impl<Req> ExportDeadline<Req> for InScope {
    fn export(&self, _: &mut Req, _: Deadline, _: Moment) {}
}

/// Keeps the deadline to itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotExported;

impl<Req> ExportDeadline<Req> for NotExported {
    const EXPORTS: bool = false;

    fn export(&self, _: &mut Req, _: Deadline, _: Moment) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Deadline = Deadline::at(Moment::EPOCH);

    fn later(seconds: u64) -> Deadline {
        Deadline::at(Moment::EPOCH + Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn a_scope_ends_with_its_future() {
        assert_eq!(Deadline::current(), None);
        let seen = later(1).scope(async {
            tokio::task::yield_now().await;
            Deadline::current()
        });
        assert_eq!(seen.await, Some(later(1)));
        assert_eq!(Deadline::current(), None);
    }

    #[tokio::test]
    async fn the_earlier_of_two_nested_deadlines_holds() {
        let inner = async { Deadline::current() };
        assert_eq!(later(1).scope(later(9).scope(inner)).await, Some(later(1)));
        let inner = async { Deadline::current() };
        assert_eq!(later(9).scope(later(1).scope(inner)).await, Some(later(1)));
    }

    #[tokio::test]
    async fn two_futures_polled_in_turn_keep_their_own_deadlines() {
        let look = |deadline: Deadline| {
            deadline.scope(async move {
                for _ in 0..3 {
                    assert_eq!(Deadline::current(), Some(deadline));
                    tokio::task::yield_now().await;
                }
            })
        };
        futures::join!(look(later(1)), look(later(2)), async { assert_eq!(Deadline::current(), None) });
    }

    #[test]
    fn a_panic_inside_leaves_no_deadline_behind() {
        let panicked = std::panic::catch_unwind(|| {
            let _entered = T0.enter();
            panic!("on purpose");
        });
        assert!(panicked.is_err());
        assert_eq!(Deadline::current(), None);
    }

    #[test]
    fn a_pair_takes_the_earlier_deadline_or_the_one_there_is() {
        let of = |one: Option<Deadline>, other: Option<Deadline>| {
            (move |(): &()| one, move |(): &()| other).deadline_of(&(), &Now::unread())
        };
        assert_eq!(of(Some(later(1)), Some(later(2))), Some(later(1)));
        assert_eq!(of(Some(later(2)), Some(later(1))), Some(later(1)));
        assert_eq!(of(Some(later(2)), None), Some(later(2)));
        assert_eq!(of(None, Some(later(2))), Some(later(2)));
        assert_eq!(of(None, None), None);
    }

    #[test]
    fn a_passed_deadline_leaves_nothing() {
        assert_eq!(T0.left(), Duration::ZERO);
        assert!(Deadline::within(Duration::MAX).left() > Duration::from_secs(60 * 60 * 24 * 365 * 100));
    }
}
