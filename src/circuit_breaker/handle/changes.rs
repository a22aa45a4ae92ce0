use std::collections::VecDeque;
use std::fmt;

use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError, error::TryRecvError};

use crate::circuit_breaker::state::Change;

/// So many changes wait for a listener that is slow, and so many for somebody to deliver them. A circuit that changes
/// faster than that is worth a gap in its story.
const REMEMBERED: usize = 64;

/// The changes of a circuit, in order, from when it was asked for.
///
/// It is a queue of its own: a listener that is slow holds up nobody, and misses the oldest changes at worst; one that
/// panics is alone with it.
///
/// ```
/// use buttress::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), buttress::circuit_breaker::InvalidCircuitBreaker> {
/// let breaker = CircuitBreaker::new(CircuitBreakerConfig::new().name("payments"))?;
/// let mut changes = breaker.changes();
/// let listener = tokio::spawn(async move {
///     while let Some(change) = changes.next().await {
///         println!("payments: {} -> {}", change.from, change.to);
///     }
/// });
/// breaker.force_open();
/// drop(breaker); // the last handle; the listener hears of the end
/// # listener.await.unwrap();
/// # Ok(())
/// # }
/// ```
pub struct Changes {
    receiver: Receiver<Change>,
    missed: u64,
}

impl Changes {
    /// The next change; `None` when the breaker is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            match self.receiver.recv().await {
                Ok(change) => return Some(change),
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next change, if it has happened already.
    pub fn try_next(&mut self) -> Option<Change> {
        loop {
            match self.receiver.try_recv() {
                Ok(change) => return Some(change),
                Err(TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// How many changes were missed so far because nobody asked for them in time.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("missed", &self.missed).finish_non_exhaustive()
    }
}

/// Changes on their way out. They are queued under the circuit's lock, so their order is the circuit's, and delivered
/// outside of it by one thread at a time.
#[derive(Default)]
pub(super) struct Delivery {
    queue: VecDeque<Change>,
    is_under_way: bool,
    listeners: Option<Sender<Change>>,
}

/// What one thread delivers.
pub(super) struct Batch {
    pub(super) changes: VecDeque<Change>,
    pub(super) listeners: Option<Sender<Change>>,
}

impl Delivery {
    pub(super) fn listen(&mut self) -> Changes {
        let listeners = self.listeners.get_or_insert_with(|| broadcast::channel(REMEMBERED).0);
        Changes { receiver: listeners.subscribe(), missed: 0 }
    }

    pub(super) fn queue(&mut self, change: Change) {
        if self.queue.len() == REMEMBERED {
            self.queue.pop_front();
        }
        self.queue.push_back(change);
    }

    /// What is to be delivered, unless somebody is at it or there is nothing.
    pub(super) fn begin(&mut self) -> Option<Batch> {
        if self.is_under_way || self.queue.is_empty() {
            return None;
        }
        self.is_under_way = true;
        Some(Batch { changes: std::mem::take(&mut self.queue), listeners: self.listeners.clone() })
    }

    pub(super) const fn end(&mut self) {
        self.is_under_way = false;
    }
}
