//! One value for each thread that runs at a time, so that threads do not write what others write.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

/// More would cost memory, and whoever looks at them all time.
const MOST: usize = 64;

/// As many values as the machine runs threads at a time. As long as there are no more threads than that, and none has
/// ended, each has one of its own.
#[derive(Debug)]
pub(crate) struct Striped<T>(Box<[Apart<T>]>);

/// On cache lines of its own; two, since some processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Striped<T> {
    pub(crate) fn new(make: impl FnMut() -> T) -> Self {
        Self(std::iter::repeat_with(make).take(places()).map(Apart).collect())
    }

    /// The current thread's.
    #[inline]
    pub(crate) fn mine(&self) -> &T {
        &self.0[place_of_thread()].0
    }

    /// The same without a way out of line, and so `None` for a thread that has not asked for any before.
    #[inline]
    pub(crate) fn mine_by_now(&self) -> Option<&T> {
        self.0.get(PLACE.get()).map(|apart| &apart.0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().map(|apart| &apart.0)
    }
}

thread_local! {
    /// Out of bounds until the thread first asks.
    static PLACE: Cell<usize> = const { Cell::new(MOST) };
}

/// How many places there are, which is once for all, since a thread has the same one everywhere.
fn places() -> usize {
    static PLACES: OnceLock<usize> = OnceLock::new();
    *PLACES.get_or_init(|| available_parallelism().map_or(1, usize::from).min(MOST))
}

/// Which stripe is the current thread's.
#[inline]
fn place_of_thread() -> usize {
    let place = PLACE.get();
    if place < MOST { place } else { take_place() }
}

/// Threads count themselves as they come, so that neighbours in time do not share a stripe.
#[cold]
#[inline(never)]
fn take_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let place = NEXT.fetch_add(1, Ordering::Relaxed) % places();
    PLACE.set(place);
    place
}

/// A value that many calls hold on to at a time, each by a reference that is counted apart from those of other threads.
///
/// A clone of an [`Arc`] for each call would make all threads write one count. There is a copy of the value beside each
/// count, and a reference to one of them for each place of a thread, so that a call that begins has the shortest way.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct SharedByCalls<T>([Arc<Apart<T>>; MOST]);

impl<T: Clone> SharedByCalls<T> {
    pub(crate) fn new(value: &T) -> Self {
        let stripes = Striped::new(|| Arc::new(Apart(value.clone())));
        Self(std::array::from_fn(|place| stripes.0[place % stripes.0.len()].0.clone()))
    }
}

impl<T> SharedByCalls<T> {
    /// A reference for a call that begins on this thread.
    #[inline]
    pub(crate) fn for_call(&self) -> ForCall<T> {
        ForCall(self.0[place_of_thread()].clone())
    }
}

impl<T> Deref for SharedByCalls<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0[0].0
    }
}

/// A call's reference to a value.
#[derive(Debug)]
pub(crate) struct ForCall<T>(Arc<Apart<T>>);

impl<T> Deref for ForCall<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_stays_with_its_stripe_and_the_next_one_has_another() {
        // What takes no room is all at one address.
        let striped = Striped::new(|| 0_u8);
        let mine = || std::ptr::from_ref(striped.mine()) as usize;
        let first = mine();
        assert_eq!(first, mine());
        if striped.iter().count() > 1 {
            // Other tests start threads as well, which take numbers in between.
            let others = std::thread::scope(|scope| [(); 64].map(|()| scope.spawn(mine).join().expect("no panic")));
            assert!(others.iter().any(|other| *other != first));
        }
    }

    #[test]
    fn a_call_keeps_the_value_alive_and_the_last_one_lets_go_of_it() {
        let watched = Arc::new(());
        let shared = SharedByCalls::new(&watched);
        let call = shared.for_call();
        drop(shared);
        assert_eq!(Arc::strong_count(&watched), 2);
        drop(call);
        assert_eq!(Arc::strong_count(&watched), 1);
    }
}
