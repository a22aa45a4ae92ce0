use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of bodies may be kept at a time, by all that share it.
///
/// Cloning it shares it. Each [`ReplayBodies`](super::ReplayBodies) that is given none uses one of 64 MiB for the whole
/// process: enough for a thousand bodies of the largest size that is kept by default.
///
/// ```
/// use buttress::http::{ReplayBodies, ReplayPool};
///
/// let pool = ReplayPool::new(1024 * 1024);
/// let uploads = ReplayBodies::new().pool(pool.clone());
/// # let _ = uploads;
/// assert_eq!((pool.used(), pool.size()), (0, 1024 * 1024));
/// ```
#[derive(Clone)]
pub struct ReplayPool(Whose);

#[derive(Clone)]
enum Whose {
    /// Not counted by those who use it, which are all.
    Process,
    Own(Arc<Pool>),
}

static OF_THE_PROCESS: Pool = Pool { size: 64 * 1024 * 1024, used: AtomicUsize::new(0) };

struct Pool {
    size: usize,
    used: AtomicUsize,
}

impl ReplayPool {
    /// A pool of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Whose::Own(Arc::new(Pool { size: bytes, used: AtomicUsize::new(0) })))
    }

    /// The pool of 64 MiB that is used where no other is given, to see what it holds.
    #[must_use]
    pub const fn of_the_process() -> Self {
        Self(Whose::Process)
    }

    fn pool(&self) -> &Pool {
        match &self.0 {
            Whose::Process => &OF_THE_PROCESS,
            Whose::Own(pool) => pool,
        }
    }

    /// How many bytes are kept now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.pool().used.load(Ordering::Relaxed)
    }

    /// How many bytes may be kept.
    #[must_use]
    pub fn size(&self) -> usize {
        self.pool().size
    }

    fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.size());
        self.pool().used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn put_back(&self, bytes: usize) {
        if bytes > 0 {
            self.pool().used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for ReplayPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayPool").field("used", &self.used()).field("size", &self.size()).finish()
    }
}

/// What one body has taken of a pool, and gives back.
pub(super) struct Reservation {
    pool: ReplayPool,
    bytes: usize,
}

impl Reservation {
    pub(super) const fn none(pool: ReplayPool) -> Self {
        Self { pool, bytes: 0 }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// `false`, and nothing is taken, if the pool has not as much.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let fits = bytes == 0 || self.pool.take(bytes);
        if fits {
            self.bytes += bytes;
        }
        fits
    }

    pub(super) fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.pool.put_back(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.put_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{ReplayPool, Reservation};

    #[test]
    fn a_pool_gives_what_it_has_and_gets_it_back() {
        let pool = ReplayPool::new(10);
        let (mut one, mut other) = (Reservation::none(pool.clone()), Reservation::none(pool.clone()));
        assert!(one.grow(6));
        assert!(!other.grow(5), "4 are left");
        assert_eq!((pool.used(), other.bytes()), (6, 0));
        assert!(other.grow(4));
        assert!(!other.grow(usize::MAX), "the sum does not wrap");
        one.shrink(5);
        assert_eq!((pool.used(), one.bytes()), (5, 1));
        drop((one, other));
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let pool = ReplayPool::new(1_000);
        let start = std::sync::Barrier::new(4);
        let taken: usize = std::thread::scope(|scope| {
            let take = || {
                let mut reservation = Reservation::none(pool.clone());
                start.wait();
                while reservation.grow(1) {
                    assert!(pool.used() <= 1_000);
                }
                reservation
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            let all: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
            assert_eq!(pool.used(), 1_000);
            all.iter().map(Reservation::bytes).sum()
        });
        assert_eq!(taken, 1_000);
        assert_eq!(pool.used(), 0);
    }
}
