use std::fmt;

use tower::Layer;

use crate::circuit_breaker::handle::KeyedCircuitBreaker;
use crate::circuit_breaker::service::KeyedCircuitBreakerService;
use crate::outcome::ErrorsAreFailures;
use crate::rejection::AsError;

/// Leaves those keys of a service alone that keep failing; made by
/// [`CircuitBreakerLayer::by_key`](crate::circuit_breaker::CircuitBreakerLayer::by_key).
///
/// Whose turn it is says only the request, so some things are not as with one breaker: the layer is ready when the wrapped
/// service is, also for a key whose circuit is open; who waits for the service is not woken when a circuit opens; and
/// a service that fails to get ready is no failure of any key.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct KeyedCircuitBreakerLayer<K, F, C = ErrorsAreFailures, R = AsError> {
    breakers: KeyedCircuitBreaker<K>,
    key_of: F,
    classify: C,
    reject: R,
}

impl<K, F> KeyedCircuitBreakerLayer<K, F> {
    /// Guards services with breakers that exist already.
    pub const fn of(breakers: KeyedCircuitBreaker<K>, key_of: F) -> Self {
        Self { breakers, key_of, classify: ErrorsAreFailures, reject: AsError }
    }
}

impl<K, F, C, R> KeyedCircuitBreakerLayer<K, F, C, R> {
    /// The breakers, to watch them and to take a hand in them.
    #[must_use]
    pub const fn breakers(&self) -> &KeyedCircuitBreaker<K> {
        &self.breakers
    }

    /// Learns from [`classify`](crate::outcome::Classify) what a result means.
    pub fn classify<C2>(self, classify: C2) -> KeyedCircuitBreakerLayer<K, F, C2, R>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { breakers, key_of, reject, .. } = self;
        KeyedCircuitBreakerLayer { breakers, key_of, classify, reject }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> KeyedCircuitBreakerLayer<K, F, C, R2>
    where
        R2: Clone + Send + Sync + 'static,
    {
        let Self { breakers, key_of, classify, .. } = self;
        KeyedCircuitBreakerLayer { breakers, key_of, classify, reject }
    }
}

impl<S, K, F: Clone, C: Clone, R: Clone> Layer<S> for KeyedCircuitBreakerLayer<K, F, C, R> {
    type Service = KeyedCircuitBreakerService<S, K, F, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { breakers, key_of, classify, reject } = self;
        KeyedCircuitBreakerService {
            inner,
            breakers: breakers.clone(),
            key_of: key_of.clone(),
            classify: classify.clone(),
            reject: reject.clone(),
        }
    }
}

impl<K, F, C, R> fmt::Debug for KeyedCircuitBreakerLayer<K, F, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCircuitBreakerLayer").field("breakers", &self.breakers).finish_non_exhaustive()
    }
}
