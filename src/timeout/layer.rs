use std::fmt;

use tower::Layer;

use super::config::{ConfiguredLimit, InvalidTimeout, TimeoutConfig};
use super::service::Timeout;
use super::state::Limit;
use crate::deadline::{NotExported, OwnLimit};
use crate::rejection::AsError;

/// Fails calls that take too long; [the module](super) tells the whole story.
///
/// The presets [`http_server`](Self::http_server) and [`http_client`](Self::http_client) choose for HTTP what the
/// setters choose one by one; use them first, then change what differs. What is given to a setter must be
/// `Clone + Send + Sync + 'static`, so that the layer is; put a closure that is not `Clone` into an [`Arc`](std::sync::Arc),
/// which costs a reference count per call where the closure makes a refusal, and nothing elsewhere.
///
/// # Panics
///
/// A call that has to wait must be polled within a tokio runtime that has time enabled.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct TimeoutLayer<L = ConfiguredLimit, D = OwnLimit, R = AsError, X = NotExported> {
    config: TimeoutConfig,
    limit_of: L,
    deadline_of: D,
    reject: R,
    export: X,
}

impl TimeoutLayer {
    /// A timeout with these settings, which refuses with the wrapped service's own error.
    ///
    /// # Errors
    ///
    /// [`InvalidTimeout`] says which setting cannot work.
    pub fn new(config: TimeoutConfig) -> Result<Self, InvalidTimeout> {
        config.check()?;
        Ok(Self { config, limit_of: ConfiguredLimit, deadline_of: OwnLimit, reject: AsError, export: NotExported })
    }
}

impl<L, D, R, X> TimeoutLayer<L, D, R, X> {
    /// Asks `limit_of` how long each request may take, such as `|job: &Job| job.limit`. Where it answers `None`, the
    /// configured limit holds; zero fails a call as soon as it has to wait. A deadline of the request still counts.
    pub fn limit_of<L2>(self, limit_of: L2) -> TimeoutLayer<L2, D, R, X>
    where
        L2: Clone + Send + Sync + 'static,
    {
        let Self { config, deadline_of, reject, export, .. } = self;
        TimeoutLayer { config, limit_of, deadline_of, reject, export }
    }

    /// Keeps to the deadline that [`deadline_of`](crate::deadline::DeadlineOf) finds for each request.
    pub fn deadline_of<D2>(self, deadline_of: D2) -> TimeoutLayer<L, D2, R, X>
    where
        D2: Clone + Send + Sync + 'static,
    {
        let Self { config, limit_of, reject, export, .. } = self;
        TimeoutLayer { config, limit_of, deadline_of, reject, export }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> TimeoutLayer<L, D, R2, X>
    where
        R2: Clone + Send + Sync + 'static,
    {
        let Self { config, limit_of, deadline_of, export, .. } = self;
        TimeoutLayer { config, limit_of, deadline_of, reject, export }
    }

    /// Tells the wrapped service how long it has, by way of [`export`](crate::deadline::ExportDeadline).
    ///
    /// The limit then counts from the call, since that is what the service is told.
    pub fn export_with<X2>(self, export: X2) -> TimeoutLayer<L, D, R, X2>
    where
        X2: Clone + Send + Sync + 'static,
    {
        let Self { config, limit_of, deadline_of, reject, .. } = self;
        TimeoutLayer { config, limit_of, deadline_of, reject, export }
    }
}

impl<S, L, D, R, X> Layer<S> for TimeoutLayer<L, D, R, X>
where
    L: Clone,
    D: Clone,
    R: Clone,
    X: Clone,
{
    type Service = Timeout<S, L, D, R, X>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { config, limit_of, deadline_of, reject, export } = self.clone();
        let TimeoutConfig { limit, name } = config;
        Timeout { inner, name, limit: Limit::of(limit), limit_of, deadline_of, reject, export }
    }
}

impl<L, D, R, X> fmt::Debug for TimeoutLayer<L, D, R, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutLayer").field("config", &self.config).finish_non_exhaustive()
    }
}
