mod config;

use tower::Layer;
use tower::layer::util::Identity;

pub use self::config::ServerStackConfig;
use super::InvalidStack;
use super::optional::{Optional, changed, optional, present};
use crate::deadline::InScope;
use crate::http::{AsResponse, InExtensions, InboundAttempts};
use crate::rate_limit::{NotAnnounced, OneEach, RateLimitLayer, RateLimiter};
use crate::timeout::{ConfiguredLimit, TimeoutLayer};

/// The layers of a server in their order; made by [`server_stack`].
///
/// | | part | does |
/// |---|---|---|
/// | `Q` | rate limit, none by default | refuses what is too much before it costs anything |
/// | `I` | [`InboundAttempts`] | keeps retries from multiplying |
/// | `D` | door timeout | bounds the handler, and tells its clients until when |
/// | `Y` | [idempotency](crate::idempotency), none by default | runs a request once, however often it is sent |
///
/// What the settings cannot say is said to the layers by [`rate_limit_with`](Self::rate_limit_with) and
/// [`door_with`](Self::door_with). `tower::layer::util::Identity` in the place of a part leaves it out, also for the compiler.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ServerStack<
    Q = Optional<HttpRateLimit>,
    I = Optional<InboundAttempts>,
    D = Optional<DoorTimeout>,
    Y = Identity,
> {
    rate_limit: Q,
    inbound_attempts: I,
    door: D,
    idempotency: Y,
}

type HttpRateLimit = RateLimitLayer<RateLimiter, OneEach, AsResponse, NotAnnounced, InExtensions>;
/// As the preset makes it, and it tells the layers inside its deadline; in scope, which allocates nothing.
type DoorTimeout = TimeoutLayer<ConfiguredLimit, InExtensions, AsResponse, InScope>;

/// The layers of a server in their order: rate limit, inbound attempts, timeout.
///
/// It refuses with responses, so the server's error may be `Infallible`, as axum's is. A single route takes it too.
///
/// ```
/// use axum::{Router, routing::get};
/// use buttress::http::{ServerStackConfig, server_stack};
/// use buttress::rate_limit::{Quota, RateLimitConfig};
///
/// # fn main() -> Result<(), buttress::http::InvalidStack> {
/// let config = ServerStackConfig::new().rate_limit(RateLimitConfig::new(Quota::per_second(1000)));
/// let app: Router = Router::new().route("/", get(async || "hello")).layer(server_stack(config)?);
/// # Ok(())
/// # }
/// ```
///
/// Clients that the handler calls keep to its deadline without being told, in the handler's own task. Where it spawns others
/// that are to keep to it, `.door_with(|door| door.export_deadline())` writes it into the request's extensions as well.
///
/// # Errors
///
/// [`InvalidStack`] says which settings cannot work.
pub fn server_stack(config: ServerStackConfig) -> Result<ServerStack, InvalidStack> {
    let ServerStackConfig { rate_limit, inbound_attempts, door } = config;
    let rate_limit = rate_limit.map(RateLimitLayer::new).transpose()?;
    let door = door.map(|door| TimeoutLayer::new(door.or_named("door"))).transpose()?;
    Ok(ServerStack {
        rate_limit: optional(rate_limit.map(RateLimitLayer::http_server)),
        inbound_attempts: optional(inbound_attempts.then(InboundAttempts::new)),
        door: optional(door.map(|door| door.http_server().export_with(InScope))),
        idempotency: Identity::new(),
    })
}

impl<Q, I, D, Y> ServerStack<Q, I, D, Y> {
    /// Refuses by way of `layer` what is too much, such as a rate limit
    /// [by key](crate::rate_limit::RateLimitLayer::by_key).
    pub fn rate_limit<Q2>(self, layer: Q2) -> ServerStack<Q2, I, D, Y> {
        let Self { inbound_attempts, door, idempotency, .. } = self;
        ServerStack { rate_limit: layer, inbound_attempts, door, idempotency }
    }

    /// Learns by way of `layer` which attempt a request is, such as
    /// [`InboundAttempts::reading`] another header.
    pub fn inbound_attempts<I2>(self, layer: I2) -> ServerStack<Q, I2, D, Y> {
        let Self { rate_limit, door, idempotency, .. } = self;
        ServerStack { rate_limit, inbound_attempts: layer, door, idempotency }
    }

    /// Bounds a request by way of `layer`.
    pub fn door<D2>(self, layer: D2) -> ServerStack<Q, I, D2, Y> {
        let Self { rate_limit, inbound_attempts, idempotency, .. } = self;
        ServerStack { rate_limit, inbound_attempts, door: layer, idempotency }
    }

    /// Runs a request once by way of `layer`, such as an
    /// [`IdempotencyLayer`](crate::idempotency::IdempotencyLayer). Whoever is told "too late" by the door asks again, and gets
    /// the answer.
    pub fn idempotency<Y2>(self, layer: Y2) -> ServerStack<Q, I, D, Y2> {
        let Self { rate_limit, inbound_attempts, door, .. } = self;
        ServerStack { rate_limit, inbound_attempts, door, idempotency: layer }
    }
}

impl<Q, I, D, Y> ServerStack<Optional<Q>, I, D, Y> {
    /// Changes the rate limit, if there is one, and keeps its settings.
    pub fn rate_limit_with<Q2>(self, change: impl FnOnce(Q) -> Q2) -> ServerStack<Optional<Q2>, I, D, Y> {
        let Self { rate_limit, inbound_attempts, door, idempotency } = self;
        ServerStack { rate_limit: changed(rate_limit, change), inbound_attempts, door, idempotency }
    }
}

impl<Q, I, D, Y> ServerStack<Q, I, Optional<D>, Y> {
    /// Changes the door timeout, if there is one, and keeps its settings.
    pub fn door_with<D2>(self, change: impl FnOnce(D) -> D2) -> ServerStack<Q, I, Optional<D2>, Y> {
        let Self { rate_limit, inbound_attempts, door, idempotency } = self;
        ServerStack { rate_limit, inbound_attempts, door: changed(door, change), idempotency }
    }
}

impl<L, C, R, A, O, W, I, D, Y> ServerStack<Optional<RateLimitLayer<L, C, R, A, O, W>>, I, D, Y> {
    /// What requests are counted in, to watch it and to take a hand in it; none where the settings say so.
    #[must_use]
    pub fn limits(&self) -> Option<&L> {
        present(&self.rate_limit).map(RateLimitLayer::limits)
    }
}

impl<S, Q, I, D, Y> Layer<S> for ServerStack<Q, I, D, Y>
where
    Y: Layer<S>,
    D: Layer<Y::Service>,
    I: Layer<D::Service>,
    Q: Layer<I::Service>,
{
    type Service = Q::Service;

    fn layer(&self, server: S) -> Self::Service {
        let door = self.door.layer(self.idempotency.layer(server));
        self.rate_limit.layer(self.inbound_attempts.layer(door))
    }
}
