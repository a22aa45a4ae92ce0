mod allowance;
mod by_key;
mod changes;
mod count;
mod gate;
mod label;
mod parked;
mod permit;
mod pool;
mod slot;
mod stripes;
#[cfg(test)]
mod tests;
mod word;

use std::fmt;

pub use self::by_key::{KeyedCircuitBreaker, KeyedSnapshot};
pub use self::changes::Changes;
use self::label::Label;
pub(super) use self::parked::{Parked, Seen};
pub use self::permit::Permit;
pub(super) use self::permit::Place;
use self::pool::Held;
use self::slot::{Beginning, Slot};
use super::config::{CircuitBreakerConfig, InvalidCircuitBreaker};
use super::state::{Refusal, Snapshot, State};
use crate::clock::{Moment, Now};
use crate::name::Name;
use crate::rejection::Open;

/// A circuit breaker itself, apart from any service: to watch it, to take a hand in it, and to use it without tower.
///
/// Clones are the same breaker. It works from any thread, in and out of a runtime.
///
/// ```
/// use buttress::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, State};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn charge() -> Result<(), std::io::Error> { Err(std::io::Error::other("refused")) }
/// let breaker = CircuitBreaker::new(CircuitBreakerConfig::new().name("payments").consecutive_failures(2))?;
/// for _ in 0..2 {
///     let permit = breaker.try_acquire()?;
///     match charge() {
///         Ok(()) => permit.success(),
///         Err(_) => permit.failure(),
///     }
/// }
/// assert_eq!(breaker.state(), State::Open);
/// let open = breaker.try_acquire().unwrap_err();
/// assert!(open.retry_after().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    held: Held,
    name: Name,
}

impl CircuitBreaker {
    /// A closed breaker with these settings.
    ///
    /// # Errors
    ///
    /// [`InvalidCircuitBreaker`] says which setting cannot work.
    #[expect(clippy::needless_pass_by_value, reason = "as with one by key, whose settings are given away too")]
    pub fn new(config: CircuitBreakerConfig) -> Result<Self, InvalidCircuitBreaker> {
        let rules = config.rules()?;
        let CircuitBreakerConfig { name, observe_only, .. } = config;
        Ok(Self::begin(name, Beginning::now(Label::Name(name), rules, observe_only)))
    }

    fn begin(name: Name, beginning: Beginning) -> Self {
        Self { held: Held::new(beginning), name }
    }

    /// What it is called in events and refusals.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it lets through. A circuit is open until the first call after its open time, which makes it half-open.
    #[must_use]
    pub fn state(&self) -> State {
        self.slot().word().state()
    }

    /// All there is to know of it at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.slot().snapshot(Moment::now())
    }

    /// Its changes from now on, in order.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.slot().listen()
    }

    /// Leave to make one call, for use without tower. Say how the call ended before any `?`: a [`Permit`] that is dropped
    /// without a word counts as nothing, unless [`when_dropped`](CircuitBreakerConfig::when_dropped) says otherwise.
    ///
    /// # Errors
    ///
    /// [`Open`] says for how long there is none.
    pub fn try_acquire(&self) -> Result<Permit, Open> {
        let now = Now::unread();
        self.admit(&now).map(|place| Permit::new(place, &now))
    }

    /// Refuses every call until [`reset`](Self::reset) or another action, also if the breaker only observes.
    pub fn force_open(&self) {
        self.slot().change(|circuit| circuit.force_open(Moment::now()));
    }

    /// Lets every call pass until [`reset`](Self::reset) or another action, and counts them.
    pub fn force_closed(&self) {
        self.slot().change(|circuit| circuit.force_closed(Moment::now()));
    }

    /// Lets every call pass until [`reset`](Self::reset) or another action, and counts nothing.
    pub fn disable(&self) {
        self.slot().change(|circuit| circuit.disable(Moment::now()));
    }

    /// Closes it and begins to count anew, whatever its state. It goes on observing only, if it did.
    pub fn reset(&self) {
        self.slot().change(|circuit| circuit.reset(Moment::now()));
    }

    /// Refuses nothing in earnest any more, and reports what it would have refused; or refuses again.
    pub fn observe_only(&self, observe_only: bool) {
        let now = Moment::now();
        self.slot().change_and_keep(|circuit, good| circuit.set_observe_only(observe_only, good, now));
    }

    /// Goes on under other settings, and keeps its state and what it has counted, in so far as the new rules count the
    /// same. An open circuit stays open for as long as it was to be. The name stays; whether it only observes is set as the
    /// new settings say. As each action does, it begins a generation: the answers to calls that are under way mean nothing.
    ///
    /// # Errors
    ///
    /// [`InvalidCircuitBreaker`] says which setting cannot work, and nothing has changed.
    pub fn reconfigure(&self, config: &CircuitBreakerConfig) -> Result<(), InvalidCircuitBreaker> {
        let rules = config.rules()?;
        let now = Moment::now();
        self.slot().change_and_keep(|circuit, good| circuit.reconfigure(rules, config.observe_only, good, now));
        Ok(())
    }

    pub(super) const fn slot(&self) -> &'static Slot {
        self.held.slot
    }

    pub(super) fn admit(&self, now: &Now) -> Result<Place, Open> {
        self.slot().admit(now).map_err(|refusal| self.refused(refusal))
    }

    pub(super) fn refused(&self, Refusal { reason, left }: Refusal) -> Open {
        Open::for_nanos(self.name, reason, left)
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", self.name())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
