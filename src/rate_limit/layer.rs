mod waiting;

use std::fmt;
use std::hash::Hash;

use tower::Layer;

pub use self::waiting::WaitingRateLimitLayer;
use super::config::{InvalidRateLimit, KeyedConfig, OneEach, RateLimitConfig};
use super::handle::{ByKey, KeyedRateLimiter, NotAnnounced, RateLimiter};
use super::service::RateLimit;
use crate::rejection::AsError;

/// Lets as many calls pass as a quota says, and refuses the others at once; [the module](super) tells the whole story.
///
/// All services that the layer and its clones wrap share one bucket, and so do all clones of those. The presets
/// [`http_server`](Self::http_server) and [`http_client`](Self::http_client) choose for HTTP what the setters choose one
/// by one; use them first, then change what differs. What is given to a setter must be `Clone + Send + Sync + 'static`, so
/// that the layer is; put a closure that is not `Clone` into an [`Arc`](std::sync::Arc).
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct RateLimitLayer<L = RateLimiter, C = OneEach, R = AsError, A = NotAnnounced> {
    limits: L,
    cost: C,
    reject: R,
    announce: A,
}

impl RateLimitLayer {
    /// A bucket with these settings, which refuses with the wrapped service's own error.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] says which setting cannot work.
    pub fn new(config: RateLimitConfig) -> Result<Self, InvalidRateLimit> {
        Ok(Self::of(RateLimiter::new(config)?))
    }

    /// Counts in a limiter that exists already, for layers that differ in what they wrap and are to share it.
    pub const fn of(limiter: RateLimiter) -> Self {
        Self { limits: limiter, cost: OneEach, reject: AsError, announce: NotAnnounced }
    }

    /// A bucket for each key that `key_of` finds, such as `|request: &Job| Some(request.tenant)`.
    ///
    /// A [`RateLimitConfig`] will do; a [`KeyedConfig`] says more about the keys. A key is a value of its own (not a borrow of
    /// the request; `http::HeaderValue` and `Arc<str>` are cheap to clone), and the closure's parameter needs its type.
    ///
    /// ```
    /// use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
    /// use buttress::{BoxError, Check};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let config = RateLimitConfig::new(Quota::per_minute(1)).name("tenants");
    /// let work = RateLimitLayer::by_key(config, |tenant: &u32| Some(*tenant))?
    ///     .layer(service_fn(async |_: u32| Ok::<_, BoxError>("done")))
    ///     .check::<u32>();
    ///
    /// assert_eq!(work.clone().oneshot(7).await?, "done");
    /// work.clone().oneshot(7).await.unwrap_err();
    /// assert_eq!(work.oneshot(8).await?, "done");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] says which setting cannot work.
    pub fn by_key<K, F>(
        config: impl Into<KeyedConfig>,
        key_of: F,
    ) -> Result<RateLimitLayer<ByKey<K, F>>, InvalidRateLimit>
    where
        K: Hash,
        F: Clone + Send + Sync + 'static,
    {
        Ok(Self::of_keys(KeyedRateLimiter::new(config)?, key_of))
    }

    /// Counts by key in a limiter that exists already.
    pub const fn of_keys<K, F>(limiter: KeyedRateLimiter<K>, key_of: F) -> RateLimitLayer<ByKey<K, F>>
    where
        F: Clone + Send + Sync + 'static,
    {
        RateLimitLayer { limits: ByKey::new(limiter, key_of), cost: OneEach, reject: AsError, announce: NotAnnounced }
    }
}

impl<L, C, R, A> RateLimitLayer<L, C, R, A> {
    /// Counts every call in `limiter` as well. A call that one of them refuses takes nothing from any, at no time.
    pub fn and(self, limiter: RateLimiter) -> RateLimitLayer<(L, RateLimiter), C, R, A> {
        let Self { limits, cost, reject, announce } = self;
        RateLimitLayer { limits: (limits, limiter), cost, reject, announce }
    }

    /// The same, by key: so many for each client, and so many for all of them.
    ///
    /// ```
    /// use buttress::rate_limit::{KeyedRateLimiter, Quota, RateLimitConfig, RateLimitLayer};
    ///
    /// # fn main() -> Result<(), buttress::rate_limit::InvalidRateLimit> {
    /// # struct Job { tenant: u32 }
    /// let each = KeyedRateLimiter::<u32>::new(RateLimitConfig::new(Quota::per_second(10)).name("tenants"))?;
    /// let layer = RateLimitLayer::new(RateLimitConfig::new(Quota::per_second(1000)).name("all"))?
    ///     .and_by_key(each, |job: &Job| Some(job.tenant));
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn and_by_key<K, F>(self, limiter: KeyedRateLimiter<K>, key_of: F) -> RateLimitLayer<(L, ByKey<K, F>), C, R, A>
    where
        F: Clone + Send + Sync + 'static,
    {
        let Self { limits, cost, reject, announce } = self;
        RateLimitLayer { limits: (limits, ByKey::new(limiter, key_of)), cost, reject, announce }
    }

    /// What calls are counted in, to watch it and to take a hand in it.
    #[must_use]
    pub const fn limits(&self) -> &L {
        &self.limits
    }

    /// How many tokens a call takes, a closure `Fn(&Req) -> u32` or another [`CostOf`](super::CostOf); one each by default.
    pub fn cost<C2>(self, cost: C2) -> RateLimitLayer<L, C2, R, A>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { limits, reject, announce, .. } = self;
        RateLimitLayer { limits, cost, reject, announce }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> RateLimitLayer<L, C, R2, A>
    where
        R2: Clone + Send + Sync + 'static,
    {
        let Self { limits, cost, announce, .. } = self;
        RateLimitLayer { limits, cost, reject, announce }
    }

    /// Tells the caller with every answer how the limiters stand; see [`Announce`](super::Announce). It allocates.
    pub fn announce<A2>(self, announce: A2) -> RateLimitLayer<L, C, R, A2>
    where
        A2: Clone + Send + Sync + 'static,
    {
        let Self { limits, cost, reject, .. } = self;
        RateLimitLayer { limits, cost, reject, announce }
    }

    /// Lets calls wait in line instead of refusing them, as long as [`max_wait`](RateLimitConfig::max_wait),
    /// [`max_waiting`](RateLimitConfig::max_waiting) and their deadlines allow. The service must then be `Clone`. Say before
    /// this what calls are counted in, what they cost and what is announced.
    pub fn wait(self) -> WaitingRateLimitLayer<L, C, R, A> {
        WaitingRateLimitLayer::new(self)
    }
}

impl<S, L: Clone, C: Clone, R: Clone, A: Clone> Layer<S> for RateLimitLayer<L, C, R, A> {
    type Service = RateLimit<S, L, C, R, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { limits, cost, reject, announce } = self.clone();
        RateLimit { inner, limits, cost, reject, announce }
    }
}

impl<L: fmt::Debug, C, R, A> fmt::Debug for RateLimitLayer<L, C, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("limits", &self.limits).finish_non_exhaustive()
    }
}
