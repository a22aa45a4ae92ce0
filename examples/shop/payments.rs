//! Calls to the payment provider, and what stands between them and the shop.
//!
//! ```text
//! fallback "pay later" -> total timeout 700 ms -> retry -> breaker -> attempt timeout 250 ms
//!     -> counted -> hyper-util's client -> provider
//! ```
//!
//! Every layer leaves the types as they are: what comes out is the client's response, or its error in
//! [`buttress::Error`], which can carry a refusal as well.

use std::error::Error;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, OpenFor};
use buttress::deadline::InScope;
use buttress::fallback::{Failed, FallbackConfig, FallbackLayer};
use buttress::outcome::FailureKind;
use buttress::retry::{Backoff, BudgetConfig, RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder};

use crate::client::{ClientError, client};
use crate::layers::{self, Without};
use crate::record::{Call, Ending, Log};

/// All tries of a charge together. It leaves the shop some of the second that its door allows. It alone bounds a
/// charge: an order that is run does not inherit the deadline of whoever waits at the door.
const TOTAL: Duration = Duration::from_millis(700);

/// One try. Two that are not answered fit into the total, with the longest wait between them and some of a third.
const ATTEMPT: Duration = Duration::from_millis(250);

/// How many retries the budget holds at most,
pub(crate) const BUDGET: u32 = 100;

/// and how many more a second pays for, beside those that good calls pay for.
pub(crate) const BUDGET_PER_SECOND: u32 = 10;

/// The client with everything around it.
pub(crate) type Payments = BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, ClientError>;

/// The breaker leaves a failing provider alone for `open_for` at a time.
pub(crate) fn payments(without: &Without, open_for: Duration, log: Log) -> Result<Payments, BoxError> {
    // Whatever goes wrong at the provider's, the order stands; it is marked `Degraded`, so that the shop knows.
    let pay_later = FallbackLayer::new(FallbackConfig::new().name("pay-later"))?
        .http_client()
        .with(|_: Failed<_, _>| Ok(response(StatusCode::ACCEPTED)));

    // Whoever reads the deadline keeps to it: the retry begins no wait beyond it, and the attempt takes what is left. So what
    // ends a charge is an answer or a timeout that the breaker has counted, and hardly ever this.
    let total = TimeoutLayer::new(TimeoutConfig::new(TOTAL).name("total"))?.http_client().export_with(InScope);

    // Where three calls in ten fail, three tries leave 2.7 % of the orders unpaid, and four 0.8 %. They take 0.42 retries for
    // each order, of which the 0.7 that are paid at once pay for as many; with a fifth of a retry each, they would pay for
    // a third of that. What our breaker refuses is not tried again: the order would wait until it looks at the provider.
    let config = RetryConfig::new()
        .name("charge")
        .max_attempts(4)
        .backoff(Backoff::exponential(Duration::from_millis(50), Duration::from_millis(200)).factor(2.0))
        .on([FailureKind::Error, FailureKind::TimedOut, FailureKind::RequestTimeout, FailureKind::Throttled]);
    let budget = BudgetConfig::new().ratio(1.0).per_second(BUDGET_PER_SECOND.into()).capacity(BUDGET);
    let config = match without.keep(layers::Layer::Budget, budget) {
        Some(budget) => config.budget(budget),
        None => config.without_budget(),
    };
    let retry = RetryLayer::new(config)?.http_client();

    // It sees every try. The row sees within a moment that nothing works any more; the rate sees it too while good answers
    // that took their time still come in between. Three in ten that fail are far from both.
    let config = CircuitBreakerConfig::new()
        .name("provider")
        .consecutive_failures(15)
        .last_calls(LastCalls::new(100).failure_rate(0.6).minimum_calls(100))
        .open_for(OpenFor::fixed(open_for))
        .permitted_probes(1)
        .successes_to_close(2);
    let breaker = CircuitBreakerLayer::new(config)?.http_client();
    log.watch(breaker.breaker().changes());

    // It keeps to what is left of the total, too.
    let attempt = TimeoutLayer::new(TimeoutConfig::new(ATTEMPT).name("attempt"))?.http_client();

    let stack = ServiceBuilder::new()
        .option_layer(without.keep(layers::Layer::Fallback, pay_later))
        .option_layer(without.keep(layers::Layer::Timeout, total))
        .option_layer(without.keep(layers::Layer::Retry, retry))
        .option_layer(without.keep(layers::Layer::Breaker, breaker))
        .option_layer(without.keep(layers::Layer::Timeout, attempt))
        .map_err(buttress::Error::inner)
        .layer(Counted(log))
        // The fallback makes responses of its own, and nobody but hyper can make its `Incoming`.
        .map_response(|response: Response<Incoming>| response.map(Body::new))
        .service(client())
        .check::<Request<Full<Bytes>>>();
    Ok(BoxCloneSyncService::new(stack))
}

fn response(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Notes every call and how it ended. It is innermost, since a refused connection can be counted at this end only.
#[derive(Clone)]
struct Counted(Log);

impl<S> Layer<S> for Counted {
    type Service = Counting<S>;

    fn layer(&self, client: S) -> Counting<S> {
        Counting { client, log: self.0.clone() }
    }
}

#[derive(Clone)]
struct Counting<S> {
    client: S,
    log: Log,
}

impl<S, Req, B> Service<Req> for Counting<S>
where
    S: Service<Req, Response = Response<B>, Error: Error + 'static>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let open = OpenCall::new(self.log.clone());
        let call = self.client.call(request);
        async move {
            let result = call.await;
            open.ended(match &result {
                Ok(response) if response.status().is_server_error() => Ending::Unavailable,
                Ok(_) => Ending::Answered,
                Err(error) if is_refusal(error) => Ending::Refused,
                Err(_) => Ending::Broken,
            });
            result
        }
        .boxed()
    }
}

/// Notes the call when it is dropped, so that one that is given up counts as well.
struct OpenCall {
    call: Call,
    log: Log,
}

impl OpenCall {
    fn new(log: Log) -> Self {
        Self { call: Call { began: log.now(), ending: Ending::GivenUp }, log }
    }

    fn ended(mut self, ending: Ending) {
        self.call.ending = ending;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.log.called(self.call);
    }
}

fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        next = error.source();
    }
    false
}
