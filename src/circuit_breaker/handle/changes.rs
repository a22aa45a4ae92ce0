use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError, error::TryRecvError};

use super::label::Label;
use crate::circuit_breaker::state::Change;
use crate::telemetry;

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
    /// The generation in which somebody began to listen. A change that is still being told then is not theirs.
    since: u64,
    missed: u64,
}

impl Changes {
    /// The next change; `None` when the breaker is gone. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            match self.receiver.recv().await {
                Ok(change) if change.generation > self.since => return Some(change),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The next change, if it has happened already.
    pub fn try_next(&mut self) -> Option<Change> {
        loop {
            match self.receiver.try_recv() {
                Ok(change) if change.generation > self.since => return Some(change),
                Ok(_) => {}
                Err(TryRecvError::Lagged(missed)) => self.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }

    /// How many changes were missed so far because nobody asked for them in time. A gap between the numbers of generations
    /// shows all that were missed, also where a circuit changed faster than anybody could tell.
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

/// Changes of one breaker on their way out. They are queued under the circuit's lock, so their order is the circuit's, and
/// delivered outside of all locks by one thread at a time, which finishes what it has begun although the breaker is gone.
#[derive(Default)]
pub(super) struct Delivery(Mutex<Outbox>);

#[derive(Default)]
struct Outbox {
    queue: VecDeque<Change>,
    is_under_way: bool,
    listeners: Option<Sender<Change>>,
}

impl Delivery {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listen(&self, since: u64) -> Changes {
        let mut outbox = self.outbox();
        let listeners = outbox.listeners.get_or_insert_with(|| broadcast::channel(REMEMBERED).0);
        Changes { receiver: listeners.subscribe(), since, missed: 0 }
    }

    pub(super) fn queue(&self, change: Change) {
        let queue = &mut self.outbox().queue;
        if queue.len() == REMEMBERED {
            queue.pop_front();
        }
        queue.push_back(change);
    }

    /// Delivers what is queued; if somebody else is at it, they deliver this too.
    pub(super) fn deliver(&self, label: &Label) {
        while let Some((batch, listeners)) = self.take() {
            let _end = EndOfDelivery(self);
            // The listeners first: a subscriber that panics must not keep anything from them.
            for change in &batch {
                if let Some(listeners) = &listeners {
                    // It fails where nobody listens any more, and that is fine.
                    let _ = listeners.send(*change);
                }
            }
            for Change { from, to, reason, generation, .. } in batch {
                telemetry::circuit_changed(label, from.as_str(), to.as_str(), reason, generation);
            }
        }
    }

    /// What is to be delivered, unless somebody is at it or there is nothing.
    fn take(&self) -> Option<(VecDeque<Change>, Option<Sender<Change>>)> {
        let mut outbox = self.outbox();
        if outbox.is_under_way || outbox.queue.is_empty() {
            return None;
        }
        outbox.is_under_way = true;
        Some((std::mem::take(&mut outbox.queue), outbox.listeners.clone()))
    }
}

/// The next one may deliver, even if somebody who was told panicked.
struct EndOfDelivery<'d>(&'d Delivery);

impl Drop for EndOfDelivery<'_> {
    fn drop(&mut self) {
        self.0.outbox().is_under_way = false;
    }
}
