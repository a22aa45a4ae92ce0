mod by_key;

use std::fmt;
use std::hash::Hash;

use tower::Layer;

pub use self::by_key::KeyedCircuitBreakerLayer;
use super::config::{CircuitBreakerConfig, InvalidCircuitBreaker, KeyedConfig};
use super::handle::{CircuitBreaker, KeyedCircuitBreaker};
use super::service::CircuitBreakerService;
use crate::outcome::ErrorsAreFailures;
use crate::rejection::AsError;

/// Leaves a service alone that keeps failing; [the module](super) tells the whole story.
///
/// All services that the layer and its clones wrap share one breaker, and so do all clones of those. The presets
/// [`http_server`](Self::http_server) and [`http_client`](Self::http_client) choose for HTTP what the setters choose one
/// by one; use them first, then change what differs. What is given to a setter must be `Clone + Send + Sync + 'static`, so
/// that the layer is; put a closure that is not `Clone` into an [`Arc`](std::sync::Arc).
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct CircuitBreakerLayer<C = ErrorsAreFailures, R = AsError> {
    breaker: CircuitBreaker,
    classify: C,
    reject: R,
}

impl CircuitBreakerLayer {
    /// A closed breaker with these settings, which refuses with the wrapped service's own error.
    ///
    /// # Errors
    ///
    /// [`InvalidCircuitBreaker`] says which setting cannot work.
    pub fn new(config: CircuitBreakerConfig) -> Result<Self, InvalidCircuitBreaker> {
        Ok(Self::of(CircuitBreaker::new(config)?))
    }

    /// Guards services with a breaker that exists already, for layers that differ in what they wrap and are to share it.
    pub const fn of(breaker: CircuitBreaker) -> Self {
        Self { breaker, classify: ErrorsAreFailures, reject: AsError }
    }

    /// A breaker for each key that `key_of` finds, such as `|request: &Job| Some(request.host.clone())`.
    ///
    /// One host, tenant or route that fails then costs the others nothing. A [`CircuitBreakerConfig`] will do; a
    /// [`KeyedConfig`] says more about the keys. A key is a value of its own (a `String`, not a `&str` of the request), and the
    /// closure's parameter needs its type.
    ///
    /// ```
    /// use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, State};
    /// use buttress::{BoxError, Check};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let config = CircuitBreakerConfig::new().name("hosts").consecutive_failures(1);
    /// let layer = CircuitBreakerLayer::by_key(config, |host: &String| Some(host.clone()))?;
    /// let breakers = layer.breakers().clone();
    /// let client = layer
    ///     .layer(service_fn(async |host: String| if host == "good" { Ok("fine") } else { Err(BoxError::from("down")) }))
    ///     .check::<String>();
    ///
    /// client.clone().oneshot("bad".into()).await.unwrap_err();
    /// assert_eq!(breakers.get(&"bad".into()).map(|breaker| breaker.state()), Some(State::Open));
    /// assert_eq!(client.oneshot("good".into()).await?, "fine");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidCircuitBreaker`] says which setting cannot work.
    pub fn by_key<K, F>(
        config: impl Into<KeyedConfig>,
        key_of: F,
    ) -> Result<KeyedCircuitBreakerLayer<K, F>, InvalidCircuitBreaker>
    where
        K: Hash + Eq + Clone + fmt::Debug + Send + Sync + 'static,
        F: Clone + Send + Sync + 'static,
    {
        Ok(KeyedCircuitBreakerLayer::of(KeyedCircuitBreaker::new(config)?, key_of))
    }
}

impl<C, R> CircuitBreakerLayer<C, R> {
    /// The breaker, to watch it and to take a hand in it.
    #[must_use]
    pub const fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    /// Learns from [`classify`](crate::outcome::Classify) what a result means.
    pub fn classify<C2>(self, classify: C2) -> CircuitBreakerLayer<C2, R>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { breaker, reject, .. } = self;
        CircuitBreakerLayer { breaker, classify, reject }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> CircuitBreakerLayer<C, R2>
    where
        R2: Clone + Send + Sync + 'static,
    {
        let Self { breaker, classify, .. } = self;
        CircuitBreakerLayer { breaker, classify, reject }
    }
}

impl<S, C: Clone, R: Clone> Layer<S> for CircuitBreakerLayer<C, R> {
    type Service = CircuitBreakerService<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreakerService::new(inner, self.breaker.clone(), self.classify.clone(), self.reject.clone())
    }
}

impl<C, R> fmt::Debug for CircuitBreakerLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerLayer").field("breaker", &self.breaker).finish_non_exhaustive()
    }
}
