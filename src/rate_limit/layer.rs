use std::fmt;
use std::hash::Hash;

use tower::Layer;

use super::config::{InvalidRateLimit, KeyedConfig, OneEach, RateLimitConfig};
use super::handle::{ByKey, KeyedRateLimiter, NotAnnounced, RateLimiter};
use super::service::{RateLimit, WaitingRateLimit};
use crate::deadline::OwnLimit;
use crate::rejection::AsError;

/// Lets as many calls pass as a quota says, and refuses the others at once, or lets them [wait](Self::wait); [the
/// module](super) tells the whole story.
///
/// All services that the layer and its clones wrap share one bucket, and so do all clones of those. The presets
/// [`http_server`](Self::http_server) and [`http_client`](Self::http_client) choose for HTTP what the setters choose one
/// by one; use them first, then change what differs. What is given to a setter must be `Clone + Send + Sync + 'static`, so
/// that the layer is; put a closure that is not `Clone` into an [`Arc`](std::sync::Arc).
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct RateLimitLayer<L = RateLimiter, C = OneEach, R = AsError, A = NotAnnounced, D = OwnLimit, W = Refuses> {
    limits: L,
    cost: C,
    reject: R,
    announce: A,
    deadline_of: D,
    on_limit: W,
}

/// What is too much is refused at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refuses;

/// What is too much waits in line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits;

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
        RateLimitLayer::with(limiter)
    }

    /// A bucket for each key that `key_of` finds, such as `|request: &Job| Some(request.tenant)`.
    ///
    /// A [`RateLimitConfig`] will do; a [`KeyedConfig`] says more about the keys. A key is a value of its own (not a borrow of
    /// the request: `.cloned()` it, as `http::HeaderValue` and `Arc<str>` are cheap to clone), and the closure's parameter
    /// needs its type. Where the layer goes around nothing, the compiler wants to be told the key's: `by_key::<u32, _>`.
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
        RateLimitLayer::with(ByKey::new(limiter, key_of))
    }
}

impl<L> RateLimitLayer<L> {
    const fn with(limits: L) -> Self {
        Self {
            limits,
            cost: OneEach,
            reject: AsError,
            announce: NotAnnounced,
            deadline_of: OwnLimit,
            on_limit: Refuses,
        }
    }
}

impl<L, C, R, A, D, W> RateLimitLayer<L, C, R, A, D, W> {
    /// Counts every call in `limiter` as well. A call that one of them refuses takes nothing from any, at no time; and what
    /// it [costs](Self::cost), it costs in all of them. Give each a name, or its refusals and events are those of another.
    ///
    /// ```
    /// use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer, RateLimiter};
    ///
    /// # fn main() -> Result<(), buttress::rate_limit::InvalidRateLimit> {
    /// let hourly = RateLimiter::new(RateLimitConfig::new(Quota::per_hour(1000)).name("hourly"))?;
    /// let layer = RateLimitLayer::new(RateLimitConfig::new(Quota::per_second(10)).name("each second"))?.and(hourly);
    /// # let _ = layer;
    /// # Ok(())
    /// # }
    /// ```
    pub fn and(self, limiter: RateLimiter) -> RateLimitLayer<(L, RateLimiter), C, R, A, D, W> {
        self.counting_in(|limits| (limits, limiter))
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
    #[expect(clippy::type_complexity, reason = "it is this layer, which counts in one more")]
    pub fn and_by_key<K, F>(
        self,
        limiter: KeyedRateLimiter<K>,
        key_of: F,
    ) -> RateLimitLayer<(L, ByKey<K, F>), C, R, A, D, W>
    where
        F: Clone + Send + Sync + 'static,
    {
        self.counting_in(|limits| (limits, ByKey::new(limiter, key_of)))
    }

    /// What calls are counted in, to watch it and to take a hand in it.
    #[must_use]
    pub const fn limits(&self) -> &L {
        &self.limits
    }

    /// How many tokens a call takes, a closure `Fn(&Req) -> u32` or another [`CostOf`](super::CostOf); one each by default.
    pub fn cost<C2>(self, cost: C2) -> RateLimitLayer<L, C2, R, A, D, W>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { limits, reject, announce, deadline_of, on_limit, .. } = self;
        RateLimitLayer { limits, cost, reject, announce, deadline_of, on_limit }
    }

    /// Refuses by way of [`reject`](crate::Reject).
    pub fn reject_with<R2>(self, reject: R2) -> RateLimitLayer<L, C, R2, A, D, W>
    where
        R2: Clone + Send + Sync + 'static,
    {
        let Self { limits, cost, announce, deadline_of, on_limit, .. } = self;
        RateLimitLayer { limits, cost, reject, announce, deadline_of, on_limit }
    }

    /// Tells the caller with every answer how the limiters stand; see [`Announce`](super::Announce). It allocates.
    pub fn announce<A2>(self, announce: A2) -> RateLimitLayer<L, C, R, A2, D, W>
    where
        A2: Clone + Send + Sync + 'static,
    {
        let Self { limits, cost, reject, deadline_of, on_limit, .. } = self;
        RateLimitLayer { limits, cost, reject, announce, deadline_of, on_limit }
    }

    /// Where calls [wait](Self::wait), refuses at once what would wait beyond the deadline that `deadline_of` finds; see
    /// [`DeadlineOf`](crate::DeadlineOf). None is looked for by default.
    pub fn deadline_of<D2>(self, deadline_of: D2) -> RateLimitLayer<L, C, R, A, D2, W>
    where
        D2: Clone + Send + Sync + 'static,
    {
        let Self { limits, cost, reject, announce, on_limit, .. } = self;
        RateLimitLayer { limits, cost, reject, announce, deadline_of, on_limit }
    }

    /// Lets calls wait in line instead of refusing them, as long as [`max_wait`](RateLimitConfig::max_wait),
    /// [`max_waiting`](RateLimitConfig::max_waiting) and their deadlines allow. The service must then be `Clone`. While a
    /// call waits it holds no place in the wrapped service: that is asked whether it is ready once the tokens are there.
    pub fn wait(self) -> RateLimitLayer<L, C, R, A, D, Waits> {
        let Self { limits, cost, reject, announce, deadline_of, .. } = self;
        RateLimitLayer { limits, cost, reject, announce, deadline_of, on_limit: Waits }
    }

    fn counting_in<L2>(self, change: impl FnOnce(L) -> L2) -> RateLimitLayer<L2, C, R, A, D, W> {
        let Self { limits, cost, reject, announce, deadline_of, on_limit } = self;
        RateLimitLayer { limits: change(limits), cost, reject, announce, deadline_of, on_limit }
    }
}

impl<S, L: Clone, C: Clone, R: Clone, A: Clone, D> Layer<S> for RateLimitLayer<L, C, R, A, D, Refuses> {
    type Service = RateLimit<S, L, C, R, A>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { limits, cost, reject, announce, .. } = self;
        RateLimit {
            inner,
            limits: limits.clone(),
            cost: cost.clone(),
            reject: reject.clone(),
            announce: announce.clone(),
        }
    }
}

impl<S, L: Clone, C: Clone, R: Clone, A: Clone, D: Clone> Layer<S> for RateLimitLayer<L, C, R, A, D, Waits> {
    type Service = WaitingRateLimit<S, L, C, R, A, D>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { limits, cost, reject, announce, deadline_of, .. } = self;
        WaitingRateLimit {
            inner,
            limits: limits.clone(),
            cost: cost.clone(),
            reject: reject.clone(),
            announce: announce.clone(),
            deadline_of: deadline_of.clone(),
        }
    }
}

impl<L: fmt::Debug, C, R, A, D, W: fmt::Debug> fmt::Debug for RateLimitLayer<L, C, R, A, D, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limits", &self.limits)
            .field("on_limit", &self.on_limit)
            .finish_non_exhaustive()
    }
}
