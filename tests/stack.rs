//! Layers together: whatever the order, the types that come out are those that went in.

mod support;

use std::convert::Infallible;
use std::future::{Future, Ready, pending, ready};
use std::hash::Hash;
use std::num::NonZeroU64;
use std::time::Duration;

use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, Clones, MemoryStore};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, TripReason};
use buttress::fallback::{Failed, FallbackConfig, FallbackLayer};
use buttress::http::{CachedResponses, CopiedBody, InExtensions, StatusClassifier};
use buttress::outcome::AnyErrorIsFailure;
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::{RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check, Classify, Degraded, Error, FailureKind, MayCarryRejection, Rejection};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Bytes;
use support::readiness;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("a limit above zero")
}

fn breaker() -> CircuitBreakerLayer {
    CircuitBreakerLayer::new(CircuitBreakerConfig::new().consecutive_failures(1)).expect("valid")
}

fn limiter() -> RateLimitLayer {
    RateLimitLayer::new(RateLimitConfig::new(Quota::per_second(1))).expect("valid")
}

fn retry() -> RetryLayer {
    RetryLayer::new(RetryConfig::new()).expect("valid")
}

/// A service of exactly these types.
struct Typed<Res, E>(fn() -> Result<Res, E>);

impl<Res, E> Clone for Typed<Res, E> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<Req, Res, E> Service<Req> for Typed<Res, E> {
    type Response = Res;
    type Error = E;
    type Future = Ready<Result<Res, E>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), E>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        ready((self.0)())
    }
}

/// Compiles only if `_outer` has the response and the error of `_inner`.
fn same_types<Req, Res, E>(_inner: &Typed<Res, E>, _outer: &impl Service<Req, Response = Res, Error = E>) {}

/// Each layer alone, every order of two, and a stack of all, around a service that answers requests of type `$request`.
macro_rules! every_stack_keeps_types {
    ($request:ty, $inner:expr, $timeout:expr, $breaker:expr, $limiter:expr, $line:expr, $retry:expr, $fallback:expr, $cache:expr) => {{
        let (inner, timeout, breaker, fallback) = ($inner, $timeout, $breaker, $fallback);
        let (limiter, line, retry, cache) = ($limiter, $line, $retry, $cache);
        same_types::<$request, _, _>(&inner, &timeout.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &fallback.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &fallback.layer(timeout.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &timeout.layer(fallback.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &breaker.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &breaker.layer(timeout.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &timeout.layer(breaker.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &breaker.layer(fallback.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &fallback.layer(breaker.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &limiter.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &limiter.layer(timeout.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &limiter.layer(breaker.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &limiter.layer(fallback.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &timeout.layer(limiter.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &breaker.layer(limiter.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &fallback.layer(limiter.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &line.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &line.layer(timeout.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &line.layer(breaker.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &line.layer(fallback.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &line.layer(limiter.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &limiter.layer(line.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &timeout.layer(line.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &breaker.layer(line.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &fallback.layer(line.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &retry.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &retry.layer(timeout.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &retry.layer(breaker.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &retry.layer(fallback.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &retry.layer(limiter.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &retry.layer(line.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &timeout.layer(retry.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &breaker.layer(retry.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &fallback.layer(retry.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &limiter.layer(retry.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &line.layer(retry.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &cache.layer(inner.clone()));
        same_types::<$request, _, _>(&inner, &cache.layer(timeout.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &cache.layer(breaker.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &cache.layer(limiter.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &cache.layer(line.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &cache.layer(retry.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &cache.layer(fallback.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &timeout.layer(cache.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &breaker.layer(cache.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &limiter.layer(cache.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &line.layer(cache.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &retry.layer(cache.layer(inner.clone())));
        same_types::<$request, _, _>(&inner, &fallback.layer(cache.layer(inner.clone())));
        let all = ServiceBuilder::new()
            .layer(timeout.clone())
            .layer(cache.clone())
            .layer(retry.clone())
            .layer(fallback.clone())
            .layer(breaker.clone())
            .layer(limiter.clone())
            .layer(line.clone())
            .layer(timeout.clone())
            .layer(retry)
            .layer(fallback)
            .layer(breaker)
            .layer(limiter)
            .layer(line)
            .layer(cache)
            .layer(timeout)
            .service(inner.clone());
        same_types::<$request, _, _>(&inner, &all);
    }};
}

#[derive(Clone, Debug, thiserror::Error)]
enum UserError {
    #[error("out of stock")]
    OutOfStock,
    #[error(transparent)]
    Refused(#[from] Rejection),
}

impl MayCarryRejection for UserError {
    fn rejection(&self) -> Option<Rejection> {
        Rejection::find(self)
    }
}

fn cache<K: Eq + Hash + Clone, V>() -> CacheFallbackLayer<K, V> {
    let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
    CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(1)), store).expect("valid")
}

type NumberOf = fn(&u32) -> Option<u32>;

fn by_number() -> CacheFallbackLayer<u32, u32, Clones<NumberOf>> {
    let number: NumberOf = |number| Some(*number);
    cache().key(number)
}

/// For a body that cannot be made of one that passes.
fn whole<B>(_: CopiedBody<B>) -> B
where
    B: Body + Default,
{
    B::default()
}

#[test]
fn a_users_enum_needs_one_from() {
    let inner = Typed(|| Err::<u32, _>(UserError::OutOfStock));
    let fallback = FallbackLayer::default().value(1);
    every_stack_keeps_types!(
        u32,
        inner,
        timeout(),
        breaker(),
        limiter(),
        limiter().wait(),
        retry(),
        fallback,
        by_number()
    );
}

#[test]
fn a_boxed_error_keeps_types() {
    let inner = Typed(|| Ok::<u32, BoxError>(1));
    let fallback = FallbackLayer::default().value(1);
    every_stack_keeps_types!(
        u32,
        inner,
        timeout(),
        breaker(),
        limiter(),
        limiter().wait(),
        retry(),
        fallback,
        by_number()
    );
}

#[test]
fn hyper_utils_error_in_ours_keeps_types() {
    let inner = Typed(|| Ok::<_, Error<hyper_util::client::legacy::Error>>(Response::new(Full::<Bytes>::default())));
    let fallback = FallbackLayer::default().http_client().with(|failed: Failed<_, _>| failed.result);
    let (limiter, line) = (limiter().http_client(), limiter().wait().http_client());
    let (timeout, breaker) = (timeout().http_client(), breaker().http_client());
    let (retry, cache) = (retry().http_client(), cache().http_client(CachedResponses::new(), whole));
    every_stack_keeps_types!(Request<()>, inner, timeout, breaker, limiter, line, retry, fallback, cache);
}

#[test]
fn a_service_that_cannot_fail_still_cannot() {
    let inner = Typed(|| Ok::<_, Infallible>(Response::new(axum::body::Body::empty())));
    let fallback = FallbackLayer::default().http_server().with(|failed: Failed<_, _>| failed.result);
    let timeout = timeout().http_server().export_deadline();
    let by_key = RateLimitLayer::by_key(RateLimitConfig::new(Quota::per_second(1)), |_: &Request<()>| Some(1));
    let limiter = by_key.expect("valid").http_server().rate_limit_headers();
    let line = limiter.clone().wait().http_server();
    let (breaker, retry) = (breaker().http_server(), retry().http_server());
    let cache = cache().http_server(CachedResponses::new(), axum::body::Body::new);
    every_stack_keeps_types!(Request<()>, inner, timeout, breaker, limiter, line, retry, fallback, cache);
}

#[test]
fn a_service_that_cannot_be_cloned_or_sent_has_its_timeout_breaker_and_limit() {
    struct NotClone(std::rc::Rc<()>);
    impl Service<u32> for NotClone {
        type Response = ();
        type Error = BoxError;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: u32) -> Self::Future {
            let held = self.0.clone();
            Box::pin(async move {
                drop(held);
                Ok(())
            })
        }
    }
    let inner = NotClone(std::rc::Rc::new(()));
    let service = limiter().layer(timeout().layer(breaker().layer(inner))).check::<u32>();
    futures::executor::block_on(service.oneshot(1)).expect("at once");
}

#[tokio::test(start_paused = true)]
async fn the_fallback_outside_answers_what_the_timeout_inside_refuses() {
    let provider = service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, BoxError>>());
    let config = FallbackConfig::new().name("pay-later");
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::new(config).expect("valid").http_client().with(|_: Failed<_, _>| {
            Ok(Response::builder().status(202).body(Full::<Bytes>::default()).expect("a valid response"))
        }))
        .layer(timeout().http_client())
        .service(provider)
        .check::<Request<()>>();
    let response = stack.oneshot(Request::new(())).await.expect("a substitute");
    assert_eq!(response.status(), 202);
    let degraded: &Degraded = response.extensions().get().expect("the mark");
    assert_eq!((degraded.layer(), degraded.name().as_str()), ("fallback", "pay-later"));
    assert_eq!(degraded.failure().kind(), FailureKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_between_them_spares_the_service_and_its_refusal_is_answered_too() {
    let never = service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, BoxError>>());
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_client().with(|failed: Failed<_, _>| {
            let status = if failed.failure.kind() == FailureKind::Refused { 202 } else { 203 };
            Ok(Response::builder().status(status).body(Full::<Bytes>::default()).expect("a valid response"))
        }))
        .layer(breaker().http_client())
        .layer(timeout().http_client())
        .service(never);
    let answer = async || stack.clone().oneshot(Request::new(())).await.expect("a substitute");
    assert_eq!(answer().await.status(), 203, "by the timeout");
    let degraded = answer().await.extensions().get::<Degraded>().cloned().expect("the mark");
    let refusal = degraded.failure().rejection().expect("a refusal");
    assert!(matches!(refusal, Rejection::CircuitOpen(open) if open.reason() == TripReason::ConsecutiveFailures));
    assert_eq!(answer().await.status(), 202, "by the breaker");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_made_into_an_answer_is_a_refusal_no_more() {
    let never = service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let stack = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_server().with(|failed: Failed<Response<_>, _>| {
            failed.result.map(|mut refusal| {
                *refusal.status_mut() = http::StatusCode::ACCEPTED;
                refusal
            })
        }))
        .layer(timeout().http_server())
        .service(never);
    let response = stack.oneshot(Request::new(())).await.expect("infallible");
    assert!(response.extensions().get::<Degraded>().is_some());
    let outcome = StatusClassifier.classify(Ok::<_, &Infallible>(&response));
    assert_eq!(outcome, buttress::Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_as_response_is_told_from_an_answer_of_the_service() {
    let never = service_fn(|_: Request<()>| pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let response = timeout().http_server().layer(never).oneshot(Request::new(())).await.expect("infallible");
    assert_eq!(response.status(), 504);
    let outcome = StatusClassifier.classify(Ok::<_, &Infallible>(&response));
    let failure = outcome.failure().expect("a refusal is a failure");
    assert_eq!((failure.kind(), failure.code()), (FailureKind::TimedOut, Some(504)));

    let origin = Response::builder().status(504).body(Full::<Bytes>::default()).expect("a valid response");
    let outcome = StatusClassifier.classify(Ok::<_, &Infallible>(&origin));
    assert_eq!(outcome.failure().map(|failure| failure.kind()), Some(FailureKind::Error));
}

#[tokio::test(start_paused = true)]
async fn readiness_is_kept_through_a_stack() {
    readiness::is_kept_by(|inner| {
        ServiceBuilder::new()
            .layer(timeout())
            .layer(breaker())
            .layer(FallbackLayer::default().value(0))
            .layer(retry())
            .layer(breaker())
            .layer(timeout())
            .layer(FallbackLayer::default().value(0))
            .layer(retry())
            .service(inner)
    })
    .await;
}

#[test]
fn ready_made_parts_are_plain_values() {
    fn goes_anywhere<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: T) {}
    goes_anywhere(timeout());
    goes_anywhere(timeout().http_server().export_deadline());
    goes_anywhere(FallbackLayer::default().http_client().value(1));
    goes_anywhere(breaker().http_server());
    goes_anywhere(breaker().breaker().clone());
    let by_key = CircuitBreakerLayer::by_key::<u32, _>(CircuitBreakerConfig::new(), |_: &()| None::<u32>);
    goes_anywhere(by_key.expect("valid"));
    goes_anywhere(limiter().http_server().rate_limit_headers());
    goes_anywhere(limiter().cost(|_: &()| 2).wait().http_client());
    goes_anywhere(limiter().limits().clone());
    let config = RateLimitConfig::new(Quota::per_second(1));
    goes_anywhere(
        RateLimitLayer::by_key::<u32, _>(config, |_: &()| None::<u32>).expect("valid").and(limiter().limits().clone()),
    );
    goes_anywhere(retry().http_client().may_repeat(|_: &()| true).never_sent(|_: &()| true));
    goes_anywhere(retry().budget().cloned());
    goes_anywhere((StatusClassifier, InExtensions, AnyErrorIsFailure));
}
