//! All of a breaker that is looked at without a lock. It knows nothing of circuits, so that `tests/loom` can try every
//! order of events.

use std::sync::PoisonError;
use std::task::Waker;

use slab::Slab;

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// A value behind a lock, what everybody may know of it without the lock, and who waits beside it.
pub(crate) struct Gate<T> {
    sign: Sign,
    core: Mutex<T>,
    parked: Mutex<Slab<Option<Waker>>>,
}

/// What hangs outside for all to read. It is written when the circuit changes, and so has cache lines of its own (two:
/// processors fetch them in pairs).
#[repr(align(128))]
struct Sign {
    word: AtomicU64,
    until: AtomicU64,
    slow_from: AtomicU64,
}

/// What the sign says.
#[derive(Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) word: u64,
    pub(crate) until: u64,
    pub(crate) slow_from: u64,
}

impl<T> Gate<T> {
    pub(crate) fn new(core: T, shown: Shown) -> Self {
        let sign = Sign {
            word: AtomicU64::new(shown.word),
            until: AtomicU64::new(shown.until),
            slow_from: AtomicU64::new(shown.slow_from),
        };
        Self { sign, core: Mutex::new(core), parked: Mutex::new(Slab::new()) }
    }

    #[inline]
    pub(crate) fn word(&self) -> u64 {
        self.sign.word.load(Ordering::Acquire)
    }

    /// At least as new as the word that was read before it.
    pub(crate) fn until(&self) -> u64 {
        self.sign.until.load(Ordering::Relaxed)
    }

    /// At least as new as the word that was read before it.
    pub(crate) fn slow_from(&self) -> u64 {
        self.sign.slow_from.load(Ordering::Relaxed)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hangs out another sign, releases the lock, and then wakes those who are parked, if it concerns them. Whoever looks at
    /// the sign after having parked must see it changed, or be woken.
    pub(crate) fn publish(&self, lock: MutexGuard<'_, T>, shown: Shown, wakes: bool) {
        self.sign.until.store(shown.until, Ordering::Relaxed);
        self.sign.slow_from.store(shown.slow_from, Ordering::Relaxed);
        self.show_word(&lock, shown.word);
        drop(lock);
        if wakes {
            self.wake_parked();
        }
    }

    /// Changes the word alone, where it differs. Only who has the lock may.
    pub(crate) fn show_word(&self, _lock: &MutexGuard<'_, T>, shown: u64) {
        if self.sign.word.load(Ordering::Relaxed) != shown {
            self.sign.word.store(shown, Ordering::Release);
        }
    }

    /// Waits to be woken. Whoever parks looks at the word once more afterwards: it may have
    /// changed before anybody could know that somebody is parked.
    pub(crate) fn park(&self, place: &mut Option<usize>, waker: &Waker) {
        // A waker is somebody else's code: it is cloned before the lock and dropped after it.
        let mut waker = Some(waker.clone());
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        match *place {
            Some(key) => std::mem::swap(&mut parked[key], &mut waker),
            None => *place = Some(parked.insert(waker.take())),
        }
        drop(parked);
    }

    /// Waits no more.
    pub(crate) fn leave(&self, place: &mut Option<usize>) {
        if let Some(key) = place.take() {
            let waker = self.parked.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            drop(waker);
        }
    }

    /// Wakes everyone who is parked, outside the lock.
    fn wake_parked(&self) {
        let wakers: Vec<Waker> = {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            parked.iter_mut().filter_map(|(_, waker)| waker.take()).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}
