//! A plain call that succeeds, or is refused with an error, asks for no memory. Each zero stands beside a service that is
//! known to allocate.

mod support;

use std::future::{Ready, ready};
use std::num::{NonZeroU64, NonZeroUsize};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::cache_fallback::{self, CacheFallbackConfig, CacheFallbackLayer};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, LastCalls, OpenFor, TimeWindow};
use buttress::fallback::{self, Failed, FallbackLayer};
use buttress::idempotency::{
    Begin, Claim, Fingerprint, IdempotencyConfig, IdempotencyLayer, Keep, Kept, MemoryStore, Owner, RecordKey, RunOnce,
    Store, StoreError, Unreadable, Verdict,
};
use buttress::rate_limit::{KeyedRateLimiter, Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::{Backoff, BudgetConfig, RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{Deadline, Error, Rejection};
use bytes::Bytes;
use futures::FutureExt;
use support::allocations::{CALLS, of};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceBuilder};

/// Answers at once what it is sent.
#[derive(Clone)]
struct AtOnce;

impl Service<Result<u32, ()>> for AtOnce {
    type Response = u32;
    type Error = Error<()>;
    type Future = Ready<Result<u32, Error<()>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Result<u32, ()>) -> Self::Future {
        ready(request.map_err(Error::Inner))
    }
}

/// Answers at its second poll.
#[derive(Clone)]
struct AfterAWait;

impl Service<Result<u32, ()>> for AfterAWait {
    type Response = u32;
    type Error = Error<()>;
    type Future = OneWait;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Result<u32, ()>) -> OneWait {
        OneWait { answer: request.map_err(Error::Inner), waited: false }
    }
}

struct OneWait {
    answer: Result<u32, Error<()>>,
    waited: bool,
}

impl Future for OneWait {
    type Output = Result<u32, Error<()>>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::replace(&mut self.waited, true) {
            return Poll::Ready(self.answer.clone());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(60))).expect("a limit above zero")
}

type Substitute = fallback::Function<fn(Failed<u32, Error<()>>) -> Answer>;

fn fallback() -> FallbackLayer<Substitute> {
    FallbackLayer::default().with(|failed| match failed.result {
        Err(Error::Inner(())) => Ok(7),
        other => other,
    })
}

type Answer = Result<u32, Error<()>>;

fn good(answer: &Answer) -> bool {
    *answer == Ok(1)
}

/// The control: the same service in a box allocates at least once a call.
fn control<S>(service: S)
where
    S: Service<Result<u32, ()>, Response = u32, Error = Error<()>, Future: Send> + Clone + Send + Sync + 'static,
{
    let counted = of(BoxCloneSyncService::new(service), || Ok(1), good);
    assert!(counted >= CALLS, "{counted} allocations in {CALLS} calls of a boxed service");
}

#[test]
fn a_timeout_allocates_nothing_whether_or_not_the_call_waits() {
    let at_once = timeout().layer(AtOnce);
    let waits = timeout().layer(AfterAWait);
    assert_eq!(of(at_once.clone(), || Ok(1), good), 0);
    assert_eq!(of(waits.clone(), || Ok(1), good), 0);
    control(at_once);
    control(waits);
}

#[test]
fn a_timeout_with_a_deadline_allocates_nothing() {
    let deadline = Deadline::within(Duration::from_secs(60));
    let service = timeout().deadline_of(move |_: &Result<u32, ()>| Some(deadline)).layer(AtOnce);
    assert_eq!(of(service.clone(), || Ok(1), good), 0);
    control(service);
}

#[test]
fn a_timeout_that_refuses_with_an_error_allocates_nothing() {
    let zero = timeout().limit_of(|_: &Result<u32, ()>| Duration::ZERO).layer(AfterAWait);
    let refused =
        |answer: &Answer| matches!(answer, Err(Error::Rejected(Rejection::Elapsed(elapsed))) if elapsed.was_called());
    assert_eq!(of(zero.clone(), || Ok(1), refused), 0);

    let passed = Deadline::within(Duration::ZERO);
    let late = timeout().deadline_of(move |_: &Result<u32, ()>| Some(passed)).layer(AtOnce);
    let refused =
        |answer: &Answer| matches!(answer, Err(Error::Rejected(Rejection::Elapsed(elapsed))) if !elapsed.was_called());
    assert_eq!(of(late.clone(), || Ok(1), refused), 0);
    assert!(of(BoxCloneSyncService::new(late), || Ok(1), refused) >= CALLS, "the control");
    assert!(of(BoxCloneSyncService::new(zero), || Ok(1), |_| true) >= CALLS, "the control");
}

#[test]
fn a_fallback_allocates_nothing_whether_or_not_the_call_fails() {
    let service = fallback().layer(AtOnce);
    assert_eq!(of(service.clone(), || Ok(1), good), 0);
    assert_eq!(of(service.clone(), || Err(()), |answer| *answer == Ok(7)), 0);
    control(service);
}

#[test]
fn a_cache_fallback_allocates_nothing_but_for_what_it_remembers() {
    let layer = || {
        let store = cache_fallback::MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
        CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(3600)), store).expect("valid")
    };
    let service = layer().key(|_: &Result<u32, ()>| None::<u32>).layer(AtOnce);
    assert_eq!(of(service.clone(), || Ok(1), good), 0, "nothing to remember");
    control(service);

    let mut service = layer().key(|_: &Result<u32, ()>| Some(7)).layer(AtOnce);
    assert!(of(service.clone(), || Ok(1), good) >= CALLS, "each is remembered");
    assert_eq!(service.call(Ok(1)).now_or_never(), Some(Ok(1)));
    assert_eq!(of(service, || Err(()), good), 0, "from memory");
}

/// One that asks for everything a breaker can count.
fn breaker() -> CircuitBreakerLayer {
    let config = CircuitBreakerConfig::new()
        .consecutive_failures(u32::MAX)
        .last_calls(LastCalls::new(100).failure_rate(1.0).slow_rate(1.0))
        .time_window(TimeWindow::new(Duration::from_secs(60)).failure_rate(1.0).slow_rate(1.0))
        .slow_call_threshold(Duration::from_secs(60));
    CircuitBreakerLayer::new(config).expect("valid")
}

fn failed(answer: &Answer) -> bool {
    *answer == Err(Error::Inner(()))
}

fn refused(answer: &Answer) -> bool {
    matches!(answer, Err(Error::Rejected(Rejection::CircuitOpen(_))))
}

#[test]
fn a_circuit_breaker_allocates_nothing_whether_calls_succeed_fail_or_are_refused() {
    let layer = breaker();
    let (at_once, waits) = (layer.layer(AtOnce), layer.layer(AfterAWait));
    assert_eq!(of(at_once.clone(), || Ok(1), good), 0);
    assert_eq!(of(waits, || Ok(1), good), 0);
    layer.breaker().force_closed();
    assert_eq!(of(at_once.clone(), || Err(()), failed), 0);
    assert!(layer.breaker().snapshot().consecutive_failures > 1000, "they are counted");
    let quiet = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid");
    assert_eq!(of(quiet.layer(AtOnce), || Ok(1), good), 0);

    let hour = OpenFor::fixed(Duration::from_secs(3600));
    let opens = CircuitBreakerConfig::new().consecutive_failures(1).open_for(hour);
    let opens = CircuitBreakerLayer::new(opens).expect("valid");
    opens.breaker().try_acquire().expect("closed").failure();
    assert_eq!(of(opens.layer(AtOnce), || Ok(1), refused), 0);
    opens.breaker().force_open();
    assert_eq!(of(opens.layer(AtOnce), || Ok(1), refused), 0);
    control(at_once);
}

#[test]
fn circuit_breakers_by_key_allocate_nothing_for_a_key_that_has_one() {
    let config = CircuitBreakerConfig::new().consecutive_failures(CALLS_AND_MORE);
    let layer = CircuitBreakerLayer::by_key(config, |_: &Result<u32, ()>| Some(7)).expect("valid");
    let service = layer.layer(AtOnce);
    assert_eq!(of(service.clone(), || Ok(1), good), 0);
    assert_eq!(of(service.clone(), || Err(()), failed), 0);
    layer.breakers().get(&7).expect("it has one").force_open();
    assert_eq!(of(service.clone(), || Ok(1), refused), 0);
    let counted = of(BoxCloneSyncService::new(service), || Ok(1), refused);
    assert!(counted >= CALLS, "the control");
}

const CALLS_AND_MORE: u32 = 100_000;

fn limited(answer: &Answer) -> bool {
    matches!(answer, Err(Error::Rejected(Rejection::RateLimited(_))))
}

#[test]
fn a_rate_limiter_allocates_nothing_whether_calls_pass_or_are_refused() {
    let plenty = || RateLimitConfig::new(Quota::per_second(1).burst(u32::MAX / 2));
    let layer = RateLimitLayer::new(plenty()).expect("valid");
    assert_eq!(of(layer.layer(AtOnce), || Ok(1), good), 0);
    assert_eq!(of(layer.layer(AfterAWait), || Ok(1), good), 0);
    assert_eq!(of(layer.clone().wait().layer(AtOnce), || Ok(1), good), 0, "nor where calls may wait and need not");
    let each = KeyedRateLimiter::new(plenty()).expect("valid");
    let key_of = |request: &Result<u32, ()>| request.ok();
    let by_key = RateLimitLayer::of_keys(each.clone(), key_of);
    assert_eq!(of(by_key.layer(AtOnce), || Ok(1), good), 0);
    let both = layer.clone().and_by_key(each.clone(), key_of);
    assert_eq!(of(both.layer(AtOnce), || Ok(1), good), 0);

    each.drain(&1);
    assert_eq!(of(by_key.layer(AtOnce), || Ok(1), limited), 0);
    assert_eq!(of(both.layer(AtOnce), || Ok(1), limited), 0);
    layer.limits().drain();
    assert_eq!(of(layer.layer(AtOnce), || Ok(1), limited), 0);
    let refused = of(BoxCloneSyncService::new(layer.layer(AtOnce)), || Ok(1), limited);
    assert!(refused >= CALLS, "the control");
    control(RateLimitLayer::new(plenty()).expect("valid").layer(AtOnce));
}

#[test]
fn a_retry_allocates_nothing_whether_or_not_the_first_attempt_succeeds() {
    let budget = BudgetConfig::new().ratio(1.0).capacity(1_000_000);
    let retry = |config: RetryConfig| RetryLayer::new(config.budget(budget).max_attempts(2)).expect("valid");
    let layer = retry(RetryConfig::new());
    let (at_once, waits) = (layer.layer(AtOnce), layer.layer(AfterAWait));
    assert_eq!(of(at_once.clone(), || Ok(1), good), 0);
    assert_eq!(of(waits, || Ok(1), good), 0);
    let soon = retry(RetryConfig::new().backoff(Backoff::constant(Duration::ZERO)));
    assert_eq!(of(soon.layer(AtOnce), || Err(()), failed), 0);
    let paid = 1e6 - soon.budget().expect("it has one").available();
    assert!(paid > 10_000.0 - 100.0, "each of them was retried: {paid}");
    control(at_once);
}

#[cfg(feature = "http")]
#[test]
fn a_retry_of_an_http_request_allocates_what_one_clone_does() {
    let origin = tower::service_fn(|_: http::Request<()>| ready(Ok::<_, Error<()>>(http::Response::new(1))));
    let request =
        || http::Request::get("https://example.com/orders/7").header("accept", "text/plain").body(()).expect("valid");
    let good =
        |answer: &Result<http::Response<u32>, Error<()>>| answer.as_ref().is_ok_and(|answer| *answer.body() == 1);
    let retry = RetryLayer::new(RetryConfig::new()).expect("valid").http_client();
    let made = of(origin, request, good);
    let cloned =
        of(tower::ServiceExt::map_request(origin, |request: http::Request<()>| request.clone()), request, good);
    assert!(cloned > made, "the control: a clone allocates");
    assert_eq!(of(retry.layer(origin), request, good), cloned);
    let once = retry.may_repeat(|_: &_| false);
    assert_eq!(of(once.layer(origin), request, good), made, "what is sent once is not copied");
}

#[test]
fn a_stack_of_all_allocates_nothing() {
    let breaker = breaker();
    breaker.breaker().force_closed();
    let retry = RetryLayer::new(RetryConfig::new().max_attempts(1)).expect("valid");
    let service = ServiceBuilder::new()
        .layer(timeout())
        .layer(fallback())
        .layer(retry)
        .layer(breaker)
        .layer(timeout())
        .service(AfterAWait);
    assert_eq!(of(service.clone(), || Ok(1), good), 0);
    assert_eq!(of(service.clone(), || Err(()), |answer| *answer == Ok(7)), 0);
    control(service);
}

#[cfg(feature = "http")]
#[test]
fn a_stack_over_http_allocates_nothing_beyond_the_request() {
    let origin = tower::service_fn(|_: http::Request<()>| ready(Ok::<_, Error<()>>(http::Response::new(1))));
    let substitute = |failed: Failed<http::Response<u32>, Error<()>>| failed.result;
    let service = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_client().with(substitute))
        .layer(timeout().http_client())
        .service(origin);
    let good =
        |answer: &Result<http::Response<u32>, Error<()>>| answer.as_ref().is_ok_and(|answer| *answer.body() == 1);
    assert_eq!(of(service.clone(), || http::Request::new(()), good), 0);
    assert!(of(BoxCloneSyncService::new(service), || http::Request::new(()), good) >= CALLS, "the control");
}

#[cfg(feature = "http")]
#[test]
fn a_client_is_told_by_its_address_without_an_allocation() {
    use buttress::KeyOf;
    use buttress::http::{ClientIp, ProxyHeader, UnknownClient};

    let behind = || ClientIp::behind(["10.0.0.0/8", "2001:db8:cafe::/48"]).expect("networks");
    let request = |peer: [u8; 4], header: &str, lines: &[&str]| {
        let request = lines.iter().fold(http::Request::builder(), |request, line| request.header(header, *line));
        request.extension(std::net::SocketAddr::from((peer, 80))).body(()).expect("valid")
    };
    let proxies = ", 10.0.0.2".repeat(31);
    let quoted = r#"for="[2001:db8:\\cafe::1]:80";by="\",""#;
    let (proxy, stranger) = ([10, 0, 0, 1], [198, 51, 100, 4]);
    let forwarded = behind().header(ProxyHeader::Forwarded);
    for (client_ip, request) in [
        (ClientIp::direct(), request(stranger, "x-forwarded-for", &["203.0.113.9"])),
        (behind(), request(stranger, "x-forwarded-for", &["203.0.113.9"])),
        (behind(), request(proxy, "x-forwarded-for", &[])),
        (behind(), request(proxy, "x-forwarded-for", &["203.0.113.9", "198.51.100.4", "[2001:db8:cafe::1]:80"])),
        (behind(), request(proxy, "x-forwarded-for", &[&format!("198.51.100.4{proxies}")])),
        (behind().unknown_client(UnknownClient::NoKey), request(proxy, "x-forwarded-for", &["203.0.113.9, x"])),
        (forwarded.clone(), request(proxy, "forwarded", &["for=\"", "for=198.51.100.4;proto=https", quoted])),
        (forwarded, request(proxy, "forwarded", &["for=203.0.113.9, for=unknown"])),
    ] {
        let told = || _ = std::hint::black_box(client_ip.key_of(&request));
        assert_eq!(allocation_counter::measure(told).count_total, 0, "{client_ip:?}");
        let written = || _ = std::hint::black_box(format!("{:?}", client_ip.key_of(&request)));
        assert!(allocation_counter::measure(written).count_total > 0, "the control");
    }
}

/// Names are kept for as long as the process runs, and keys are named by whoever sends requests.
#[test]
fn keys_that_are_forgotten_leave_no_more_behind_than_their_names_may() {
    use buttress::circuit_breaker::{KeyedCircuitBreaker, KeyedConfig};

    let config = KeyedConfig::new(CircuitBreakerConfig::new().name("payments")).max_keys(10);
    let breakers = KeyedCircuitBreaker::<u64>::new(config).expect("valid");
    let left_behind = |keys: std::ops::Range<u64>| {
        let come_and_go = || keys.for_each(|key| breakers.try_acquire(&key).expect("closed").success());
        allocation_counter::measure(come_and_go).bytes_current
    };
    // Until a mebibyte of names is there, each stays: that is the control.
    assert!(left_behind(0..10_000) > 300_000);
    left_behind(10_000..70_000);
    let bytes = left_behind(70_000..120_000);
    assert!(bytes < 200_000, "{bytes} bytes are held for 50 000 keys that were forgotten");
}

/// Keeps numbers, and makes them again.
struct Numbers;

impl Keep<u32, Error<()>> for Numbers {
    type Future = Ready<Kept<u32, Error<()>>>;

    fn keep(&self, result: Result<u32, Error<()>>) -> Self::Future {
        let kept = result.as_ref().map_or(0, |number| *number).to_le_bytes();
        ready(Kept { result, verdict: Verdict::Final(Bytes::copy_from_slice(&kept)) })
    }

    fn replay(&self, kept: Bytes) -> Result<u32, Unreadable> {
        kept.as_ref().try_into().map(u32::from_le_bytes).map_err(|_| Unreadable::new("not four bytes"))
    }
}

/// Asks a store about a request, and is told what came of it.
#[derive(Clone)]
struct Asks(MemoryStore);

impl Service<u32> for Asks {
    type Response = Begin;
    type Error = StoreError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Begin, StoreError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StoreError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, order: u32) -> Self::Future {
        let store = self.0.clone();
        Box::pin(async move { store.begin(&RecordKey::of(&"orders", &order), claim()).await })
    }
}

fn claim() -> Claim {
    let (lease, retention) = (Duration::from_secs(30), Duration::from_secs(3600));
    Claim { fingerprint: Fingerprint::of(&()), owner: Owner::from_bytes([7; 16]), lease, retention }
}

#[test]
fn a_store_in_memory_asks_for_none_to_tell_what_came_of_a_request() {
    let store = MemoryStore::new(NonZeroUsize::MIN);
    let key = RecordKey::of(&"orders", &7_u32);
    futures::executor::block_on(store.complete(&key, claim(), Bytes::from(vec![1; 100]))).expect("memory");
    let is_told = |answer: &Result<Begin, StoreError>| matches!(answer, Ok(Begin::Done(kept)) if kept.len() == 100);
    // Its control is the box that the question is in.
    assert_eq!(of(Asks(store), || 7, is_told), CALLS);
}

#[test]
fn a_repeated_request_has_no_task_of_its_own_and_few_boxes() {
    let once = RunOnce::new().global_scope().key(|_: &Result<u32, ()>| Some(7)).fingerprint(|_: &Result<u32, ()>| ());
    let store = MemoryStore::new(NonZeroUsize::MIN);
    let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid").identify(once).keep(Numbers);
    // The response future, what asks the store, and the line between them.
    assert_eq!(of(layer.layer(AtOnce), || Ok(1), |answer| matches!(answer, Ok(1))), 3 * CALLS);
}
