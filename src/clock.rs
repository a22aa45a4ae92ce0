//! Time, as every layer is told it.
//!
//! Decisions never read a clock: they are told a [`Moment`]. The plumbing around them reads tokio's clock, here and
//! nowhere else, so that `tokio::time::pause` stops a whole stack and a test moves it on as it likes.

mod origin;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::ops::Add;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use tokio::task::coop;
use tokio::time::Sleep;

use self::origin::origin;

/// A point on tokio's clock: nanoseconds since about a day before the process first asked.
///
/// All arithmetic saturates, so no idle time, limit or deadline can overflow it (it ends after 584 years).
///
/// ```
/// use std::time::Duration;
/// use buttress::clock::Moment;
///
/// let start = Moment::EPOCH;
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.since(start), Duration::from_secs(5));
/// assert_eq!(start.since(later), Duration::ZERO, "time that runs backwards is no time passed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The first moment there is.
    pub const EPOCH: Self = Self(0);

    /// The last moment there is; it never comes.
    pub const MAX: Self = Self(u64::MAX);

    /// The present on tokio's clock: the paused time of the current runtime if it is paused, real time else, also
    /// outside any runtime.
    #[must_use]
    #[inline]
    pub fn now() -> Self {
        origin().moment(read())
    }

    /// How long before this moment `earlier` was; zero if it was not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment that was `duration` ago at this one, or the first there is.
    pub(crate) const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }

    /// As a number that fits an atomic.
    pub(crate) const fn to_nanos(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    fn instant(self) -> tokio::time::Instant {
        origin().instant(self).into()
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl From<tokio::time::Instant> for Moment {
    fn from(instant: tokio::time::Instant) -> Self {
        origin().moment_of_any(instant.into_std())
    }
}

/// The present, read from the clock when somebody first asks for it, and the same from then on.
///
/// A layer hands it to those who may need the time and may not, so that a call reads the clock once or not at all.
#[derive(Debug, Default)]
pub struct Now(Cell<Option<Moment>>);

impl Now {
    /// Not read yet.
    #[must_use]
    pub const fn unread() -> Self {
        Self(Cell::new(None))
    }

    /// Known already.
    #[must_use]
    pub const fn at(moment: Moment) -> Self {
        Self(Cell::new(Some(moment)))
    }

    /// The moment at which it was first asked.
    pub fn moment(&self) -> Moment {
        self.0.get().unwrap_or_else(|| {
            let now = Moment::now();
            self.0.set(Some(now));
            now
        })
    }
}

#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
fn read() -> Instant {
    #[cfg(test)]
    READINGS.set(READINGS.get() + 1);
    tokio::time::Instant::now().into_std()
}

/// Saturates after 584 years.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    const MOST: Duration = Duration::from_nanos(u64::MAX);
    if duration.as_secs() >= MOST.as_secs() {
        return u64::MAX;
    }
    duration.as_secs() * 1_000_000_000 + duration.subsec_nanos() as u64
}

/// The wall clock, for what the wire says in dates. It jumps; never decide by it alone.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn wall_time() -> SystemTime {
    SystemTime::now()
}

/// The same in microseconds since 1970.
pub(crate) fn unix_micros() -> u64 {
    let since = wall_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A timer beside a future that is to be bounded by it.
pub(crate) type Timer = Sleep;

/// A timer that fires after `duration`.
pub(crate) fn sleep(duration: Duration) -> Timer {
    tokio::time::sleep(duration)
}

/// A timer that fires at `moment`.
pub(crate) fn sleep_until(moment: Moment) -> Timer {
    tokio::time::sleep_until(moment.instant())
}

/// What `future` says within `duration`; the future has the last word, and one that is ready at once needs no timer.
pub(crate) async fn within<F: Future>(duration: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(duration, future).await.ok(),
    }
}

/// Whether the task has any of tokio's budget left; ask before the bounded future is polled.
///
/// Not inlined: it is asked when somebody waits, and would make every poll too long to be inlined itself.
#[inline(never)]
pub(crate) fn has_budget() -> bool {
    coop::has_budget_remaining()
}

/// Takes a part of the task's budget; if there is none, it is the turn of other tasks.
pub(crate) fn poll_turn(cx: &mut Context<'_>) -> Poll<()> {
    pin!(coop::cooperative(std::future::ready(()))).poll(cx)
}

/// Polls the timer after the future that it bounds had to wait.
///
/// A future that uses up the task's budget by itself must not keep the timer from firing. But if others had used it up
/// before (`had_budget` is false), the future may have an answer that it was not given the budget to see; then both wait
/// for the task's next turn, which is at once.
pub(crate) fn poll_timer(timer: Pin<&mut Timer>, had_budget: bool, cx: &mut Context<'_>) -> Poll<()> {
    if had_budget && !coop::has_budget_remaining() { pin!(coop::unconstrained(timer)).poll(cx) } else { timer.poll(cx) }
}

#[cfg(test)]
thread_local! {
    static READINGS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// How often this thread has read the clock so far.
#[cfg(test)]
pub(crate) fn readings() -> u32 {
    READINGS.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_obeys_paused_time() {
        let before = Moment::now();
        assert_eq!(Moment::now(), before);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(Moment::now().since(before), Duration::from_secs(3600));
    }

    #[test]
    fn outside_a_runtime_time_goes_on() {
        let before = Moment::now();
        assert!(Moment::now() >= before);
        assert!(before >= Moment::EPOCH + Duration::from_secs(60), "there is room for what was before");
    }

    #[test]
    fn a_runtime_that_is_days_ahead_leaves_the_others_their_time() {
        let paused = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let days = Duration::from_secs(3 * 86_400);
        paused().expect("a runtime").block_on(async {
            tokio::time::advance(days).await;
            assert!(Moment::now() >= Moment::EPOCH + days);
        });
        paused().expect("a runtime").block_on(async {
            let before = Moment::now();
            tokio::time::advance(Duration::from_secs(5)).await;
            assert_eq!(Moment::now().since(before), Duration::from_secs(5));
        });
    }

    #[test]
    fn a_moment_survives_the_way_to_a_timer_and_back() {
        for offset in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(86_400 * 365)] {
            let moment = Moment::now() + offset;
            assert_eq!(Moment::from(moment.instant()), moment);
        }
    }

    #[test]
    fn nanoseconds_saturate() {
        let second = 1_000_000_000;
        assert_eq!(nanos(Duration::new(7, 11)), 7 * second + 11);
        let whole = u64::MAX / second;
        assert_eq!(nanos(Duration::from_secs(whole - 1)), (whole - 1) * second);
        assert_eq!([nanos(Duration::from_secs(whole)), nanos(Duration::MAX)], [u64::MAX; 2]);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Moment::MAX + Duration::MAX, Moment::MAX);
        assert_eq!(Moment::EPOCH.since(Moment::MAX), Duration::ZERO);
        assert!(Moment::from(Moment::MAX.instant()) > Moment::now() + Duration::from_secs(60 * 60 * 24 * 365));
    }
}
