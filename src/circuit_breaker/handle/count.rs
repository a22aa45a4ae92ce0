//! How many handles there are, counted without a lock and apart by threads. It knows nothing of breakers, so that
//! `tests/loom` can try every order of events.

use crate::sync::{AtomicU64, Ordering, fence};

/// What one thread counts: the handles that it made, and how many of them are gone. Both only grow.
#[derive(Debug)]
pub(crate) struct Share {
    made: AtomicU64,
    gone: AtomicU64,
}

/// Which lives have ended, of something that is used again when its last handle is gone.
#[derive(Debug)]
pub(crate) struct Ended(AtomicU64);

impl Share {
    pub(crate) fn new() -> Self {
        Self { made: AtomicU64::new(0), gone: AtomicU64::new(0) }
    }

    /// Another handle; whoever makes it has one, or begins a life.
    #[inline]
    pub(crate) fn add(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// One that was made here is gone. Whether it was the last of this share; then it may have been the last of all.
    #[inline]
    pub(crate) fn remove(&self) -> bool {
        let gone = self.gone.fetch_add(1, Ordering::AcqRel) + 1;
        gone == self.made.load(Ordering::Relaxed)
    }
}

impl Ended {
    pub(crate) fn never() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Whether none is left of all shares, and nobody has been told so before.
    ///
    /// Those that are gone are counted first: had there been a handle in between, it would have been made by the time that
    /// those who were made are counted, and its end would have come too late.
    pub(crate) fn ends<'a>(&self, shares: impl Iterator<Item = &'a Share> + Clone) -> bool {
        // Of those who remove the last of their shares at once, the last one here sees all the others gone.
        fence(Ordering::SeqCst);
        let gone: u64 = shares.clone().map(|share| share.gone.load(Ordering::Acquire)).sum();
        let made: u64 = shares.map(|share| share.made.load(Ordering::Acquire)).sum();
        // As many as that were made when this life ended, and more in every life after it.
        gone == made && self.0.fetch_max(made, Ordering::AcqRel) < made
    }
}
