mod config;
mod parts;

use tower::Layer;
use tower::layer::util::Identity;

pub use self::config::ClientStackConfig;
pub(super) use self::config::DEFAULT_ATTEMPT;
use super::optional::{Optional, optional};
use super::{InvalidStack, SendOnce, WrapErrors};
use crate::circuit_breaker::CircuitBreakerLayer;
use crate::deadline::InScope;
use crate::http::{AttemptHeader, IdempotentRequests, InExtensions, StatusClassifier};
use crate::rejection::AsError;
use crate::retry::{Cloned, Kinds, NotKnown, RetryLayer};
use crate::timeout::{ConfiguredLimit, TimeoutLayer};

/// The layers of a client in their order; made by [`client_stack`].
///
/// | | part | does |
/// |---|---|---|
/// | `F` | fallback, none by default | answers what the others refuse |
/// | `T` | total timeout | bounds the call, and tells those inside until when |
/// | `R` | retry | sends again what failed, as long as there is time |
/// | `B` | circuit breaker | sees each attempt, and stops them while the service fails |
/// | `A` | attempt timeout | makes a failure of an attempt that hangs, which both see |
/// | `E` | error | [`WrapErrors`]: makes room for refusals in the client's error |
///
/// The parts that the configuration describes are checked together. Each can still be told what no setting says:
/// [`total_with`](Self::total_with), [`replay`](Self::replay), [`retry_with`](Self::retry_with),
/// [`breaker_with`](Self::breaker_with), [`attempt_with`](Self::attempt_with). A layer that is put in its place is not
/// checked, as it may be any. `tower::layer::util::Identity` leaves the part out, also for the compiler.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ClientStack<
    F = Identity,
    T = Optional<TotalTimeout>,
    R = HttpRetry,
    B = Optional<HttpBreaker>,
    A = Optional<AttemptTimeout>,
    E = WrapErrors,
> {
    fallback: F,
    total: T,
    retry: R,
    breaker: B,
    attempt: A,
    errors: E,
}

/// As the preset makes it, and it tells the layers inside its deadline; in scope, which allocates nothing.
type TotalTimeout = TimeoutLayer<ConfiguredLimit, InExtensions, AsError, InScope>;
/// A retry, or what sends once, both by the same replay.
type RetryPart<P, C, M, W, N, O, D> = Optional<RetryLayer<P, C, M, W, N, O, D>, SendOnce<P>>;
type HttpRetry = RetryPart<Cloned, StatusClassifier, IdempotentRequests, Kinds, NotKnown, AttemptHeader, InExtensions>;
type HttpBreaker = CircuitBreakerLayer<StatusClassifier, AsError>;
type AttemptTimeout = TimeoutLayer<ConfiguredLimit, InExtensions, AsError>;

/// The layers of a client in their order, with settings that are checked together: total timeout, retry, circuit breaker,
/// attempt timeout.
///
/// Goes right around the client, whose error it [wraps](WrapErrors).
///
/// ```
/// use buttress::http::{ClientStackConfig, client_stack};
/// use buttress::{BoxError, Check};
/// use http::Request;
/// use http_body_util::Full;
/// use hyper::body::Bytes;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let stack = client_stack(ClientStackConfig::new())?;
/// let breaker = stack.circuit_breaker().cloned();
/// let client = ServiceBuilder::new()
///     .layer(stack)
///     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
///     .check::<Request<Full<Bytes>>>();
/// # let _ = (client, breaker);
/// # Ok(())
/// # }
/// ```
///
/// What the settings cannot say is said to the layers, such as which errors mean that a request was never sent, that the
/// server is told how long its answer is waited for, and that each host has a breaker of its own:
///
/// ```
/// use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
/// use buttress::http::{ClientStackConfig, DeadlineHeader, client_stack};
/// use buttress::{BoxError, Check, Error};
/// use http::Request;
/// use http_body_util::Full;
/// use hyper::body::Bytes;
/// use hyper_util::{client::legacy, rt::TokioExecutor};
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let host = |request: &Request<Full<Bytes>>| request.uri().authority().cloned();
/// let stack = client_stack(ClientStackConfig::new())?
///     .retry_with(|retry| {
///         retry
///             .never_sent(|error: &Error<legacy::Error>| matches!(error, Error::Inner(error) if error.is_connect()))
///     })
///     .breaker(CircuitBreakerLayer::by_key(CircuitBreakerConfig::new().name("hosts"), host)?.http_client())
///     .attempt_with(|attempt| attempt.export_with(DeadlineHeader::grpc_timeout()));
/// let client = ServiceBuilder::new()
///     .layer(stack)
///     .service(legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
///     .check::<Request<Full<Bytes>>>();
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
///
/// A request that is sent again says so in the [`AttemptHeader`], which a [`server_stack`](super::server_stack) reads, so that
/// retries do not multiply from one service to the next; `.retry_with(|retry| retry.on_attempt(InExtensions))` keeps that
/// inside the process.
///
/// The one breaker of the settings is for all that the client calls; by host, as above, one that fails costs the others
/// nothing. A request is [cloned](Cloned) to be sent again. One that cannot be needs another
/// [`replay`](ClientStack::replay), or no retry, also for the compiler: `.retry(Identity::new())`.
///
/// The total ends with the response head, as every timeout does; [`BodyDeadline`](crate::http::BodyDeadline) bounds the rest.
/// What fails after the head is not sent again.
///
/// Clients may send again by themselves, beside the budget: hyper-util's what its pool had a dead connection for
/// (`retry_canceled_requests(false)` leaves that to the stack too), reqwest's what HTTP/2 says was never looked at.
///
/// # Errors
///
/// [`InvalidStack`] says which settings cannot work, alone or together.
///
/// # Panics
///
/// A call that has to wait must be polled within a tokio runtime that has time enabled.
pub fn client_stack(config: ClientStackConfig) -> Result<ClientStack, InvalidStack> {
    // What is wrong with one part is told before what is wrong between two.
    let config = config.filled();
    let together = config.check();
    let ClientStackConfig { total, retry, breaker, attempt } = config;
    let total = total.map(TimeoutLayer::new).transpose()?;
    let attempt = attempt.map(TimeoutLayer::new).transpose()?;
    let retry = match retry {
        Some(retry) => Optional::Left(RetryLayer::new(retry)?.http_client().on_attempt(AttemptHeader::new())),
        None => Optional::Right(SendOnce::new(Cloned)),
    };
    let breaker = breaker.map(CircuitBreakerLayer::new).transpose()?;
    together?;
    Ok(ClientStack {
        fallback: Identity::new(),
        total: optional(total.map(|total| total.http_client().export_with(InScope))),
        retry,
        breaker: optional(breaker.map(CircuitBreakerLayer::http_client)),
        attempt: optional(attempt.map(TimeoutLayer::http_client)),
        errors: WrapErrors,
    })
}

impl<S, F, T, R, B, A, E> Layer<S> for ClientStack<F, T, R, B, A, E>
where
    E: Layer<S>,
    A: Layer<E::Service>,
    B: Layer<A::Service>,
    R: Layer<B::Service>,
    T: Layer<R::Service>,
    F: Layer<T::Service>,
{
    type Service = F::Service;

    fn layer(&self, client: S) -> Self::Service {
        let client = self.attempt.layer(self.errors.layer(client));
        let client = self.retry.layer(self.breaker.layer(client));
        self.fallback.layer(self.total.layer(client))
    }
}
