use std::fmt;

use tower::Layer;

use super::RateLimitLayer;
use crate::deadline::OwnLimit;
use crate::rate_limit::config::OneEach;
use crate::rate_limit::handle::{NotAnnounced, RateLimiter};
use crate::rate_limit::service::WaitingRateLimit;
use crate::rejection::AsError;

/// Lets as many calls pass as a quota says, and the others wait in line; made by [`RateLimitLayer::wait`].
///
/// While a call waits it holds no place in the wrapped service: that is asked whether it is ready once the tokens are there.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct WaitingRateLimitLayer<L = RateLimiter, C = OneEach, R = AsError, A = NotAnnounced, D = OwnLimit> {
    layer: RateLimitLayer<L, C, R, A>,
    deadline_of: D,
}

impl<L, C, R, A> WaitingRateLimitLayer<L, C, R, A> {
    pub(super) const fn new(layer: RateLimitLayer<L, C, R, A>) -> Self {
        Self { layer, deadline_of: OwnLimit }
    }
}

impl<L, C, R, A, D> WaitingRateLimitLayer<L, C, R, A, D> {
    /// What calls are counted in, to watch it and to take a hand in it.
    #[must_use]
    pub const fn limits(&self) -> &L {
        self.layer.limits()
    }

    /// Refuses at once what would have to wait beyond the deadline that `deadline_of` finds; see
    /// [`DeadlineOf`](crate::DeadlineOf). None is looked for by default.
    pub fn deadline_of<D2>(self, deadline_of: D2) -> WaitingRateLimitLayer<L, C, R, A, D2>
    where
        D2: Clone + Send + Sync + 'static,
    {
        WaitingRateLimitLayer { layer: self.layer, deadline_of }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> WaitingRateLimitLayer<L, C, R2, A, D>
    where
        R2: Clone + Send + Sync + 'static,
    {
        WaitingRateLimitLayer { layer: self.layer.reject_with(reject), deadline_of: self.deadline_of }
    }
}

impl<S, L: Clone, C: Clone, R: Clone, A: Clone, D: Clone> Layer<S> for WaitingRateLimitLayer<L, C, R, A, D> {
    type Service = WaitingRateLimit<S, L, C, R, A, D>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { layer: RateLimitLayer { limits, cost, reject, announce }, deadline_of } = self.clone();
        WaitingRateLimit { inner, limits, cost, reject, announce, deadline_of }
    }
}

impl<L: fmt::Debug, C, R, A, D> fmt::Debug for WaitingRateLimitLayer<L, C, R, A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingRateLimitLayer").field("limits", self.limits()).finish_non_exhaustive()
    }
}
