//! Every decision can be seen, and a call about which nothing is decided says nothing.

#[path = "support/mod.rs"]
mod support;

use std::io;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::cache_fallback::{self, CacheFallbackConfig, CacheFallbackLayer};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, OpenFor};
use buttress::fallback::{FallbackConfig, FallbackLayer};
use buttress::http::{BodyDeadline, ClientIp, DeadlineHeader, ReplayBodies, ReplayPool};
use buttress::idempotency::{
    IdempotencyConfig, IdempotencyLayer, InTransaction, Keep, Kept, MemoryStore, RecordKey, RunOnce, Unreadable,
    Verdict,
};
use buttress::rate_limit::{KeyedConfig, KeyedRateLimiter, Quota, RateLimitConfig, RateLimitLayer};
use buttress::retry::{Backoff, BudgetConfig, Replay, RetryConfig, RetryLayer, Spread};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Deadline, Failure, KeyOf};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::books::{Books, Draft, Line};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The events of this thread from now on, until the guard is dropped.
fn listen() -> (Lines, tracing::subscriber::DefaultGuard) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer(lines.clone())
        .finish();
    (lines, tracing::subscriber::set_default(subscriber))
}

impl Lines {
    fn take(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no panic"));
        let text = String::from_utf8(bytes).expect("events are text");
        text.lines().map(|line| line.trim().to_owned()).filter(|line| line.contains(" buttress: ")).collect()
    }
}

fn slow() -> impl tower::Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone {
    service_fn(async |seconds: u64| {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        if seconds == 0 { Err("down".into()) } else { Ok(seconds) }
    })
}

#[tokio::test(start_paused = true)]
async fn a_timeout_tells_why_it_gave_up() {
    let (lines, _listening) = listen();
    let layer = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(2)).name("attempt")).expect("a limit");
    layer.layer(slow()).oneshot(1).await.expect("in time");
    assert_eq!(lines.take(), [""; 0], "nothing was decided");

    layer.layer(slow()).oneshot(3).await.expect_err("too late");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: timed out layer="timeout" name=attempt allowed=2s by_deadline=false called=true"#]
    );
    let passed = Deadline::within(Duration::ZERO);
    layer.deadline_of(move |_: &u64| Some(passed)).layer(slow()).oneshot(1).await.expect_err("too late");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: timed out layer="timeout" name=attempt allowed=0ns by_deadline=true called=false"#]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fallback_tells_what_it_stood_in_for() {
    let (lines, _listening) = listen();
    let layer = FallbackLayer::new(FallbackConfig::new().name("pay-later")).expect("valid");
    layer.clone().value(7).layer(slow()).oneshot(1).await.expect("an answer");
    assert_eq!(lines.take(), [""; 0], "nothing was decided");

    layer.clone().value(7).layer(slow()).oneshot(0).await.expect("a substitute");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: answered with a substitute layer="fallback" name=pay-later failure=error"#]
    );
    layer.clone().when(|_: &Failure| false).value(7).layer(slow()).oneshot(0).await.expect_err("left alone");
    assert_eq!(lines.take(), [r#"DEBUG buttress: failure left alone layer="fallback" name=pay-later failure=error"#]);
    layer.with_service(slow(), |_: &u64| 0).layer(slow()).oneshot(0).await.expect_err("both are down");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: the substitute failed too layer="fallback" name=pay-later failure=error"#]
    );
}

#[tokio::test(start_paused = true)]
async fn a_cache_fallback_tells_what_it_stood_in_for_and_what_it_could_not() {
    let (lines, _listening) = listen();
    let max_bytes = NonZeroU64::new(10_000).expect("not zero");
    let store = cache_fallback::MemoryStore::with_max_entry(max_bytes, NonZeroU64::new(300).expect("not zero"));
    let config = CacheFallbackConfig::new(Duration::from_secs(30)).name("prices");
    let layer = CacheFallbackLayer::new(config, store.expect("small enough")).expect("valid");
    let memory = layer.memory();
    let layer = layer.key(|number: &u64| Some(number % 2)).size_of(|number: &u64| if *number < 100 { 8 } else { 100 });
    let says = service_fn(|number: u64| async move { if number < 2 { Err("down") } else { Ok(number) } });
    let mut service = layer.layer(says);
    service.call(0).await.expect_err("nothing is remembered");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: nothing to answer from memory layer="cache_fallback" name=prices failure=error"#]
    );
    service.call(2).await.expect("an answer");
    assert_eq!(lines.take(), [""; 0], "nothing was decided");
    tokio::time::advance(Duration::from_secs(2)).await;
    service.call(0).await.expect("from memory");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: answered from memory layer="cache_fallback" name=prices failure=error age=2s"#]
    );
    service.call(100).await.expect("an answer");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: not remembered layer="cache_fallback" name=prices reason="it is too large""#]
    );
    memory.forget(&7);
    assert_eq!(lines.take(), [""; 0], "nothing was known");
    memory.forget_all();
    assert_eq!(lines.take(), [r#"DEBUG buttress: forgotten layer="cache_fallback" name=prices entries=1"#]);
}

/// A second level that is out, and a codec for numbers.
struct Out;

#[derive(Debug, thiserror::Error)]
#[error("out")]
struct IsOut;

impl cache_fallback::Store for Out {
    type Error = IsOut;

    async fn get(&self, _: &[u8]) -> Result<Vec<cache_fallback::Found>, IsOut> {
        Err(IsOut)
    }

    async fn put(&self, _: &[u8], _: cache_fallback::Entry) -> Result<(), IsOut> {
        Err(IsOut)
    }

    async fn forget(&self, _: &[u8], _: Duration) -> Result<(), IsOut> {
        Err(IsOut)
    }

    async fn forget_all(&self) -> Result<(), IsOut> {
        Err(IsOut)
    }
}

impl cache_fallback::Codec<u64, u64> for Out {
    fn key<'k>(&self, key: &'k u64) -> std::borrow::Cow<'k, [u8]> {
        key.to_be_bytes().to_vec().into()
    }

    fn encode(&self, value: &u64) -> Option<Bytes> {
        Some(value.to_be_bytes().to_vec().into())
    }

    fn decode(&self, bytes: Bytes) -> Option<u64> {
        bytes[..].try_into().ok().map(u64::from_be_bytes)
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_level_that_fails_or_is_not_told_says_so() {
    let (lines, _listening) = listen();
    let store = cache_fallback::MemoryStore::new(NonZeroU64::new(10_000).expect("not zero")).over(Out, Out);
    let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(Duration::from_secs(30)), store).expect("valid");
    let memory = layer.memory();
    let says = service_fn(|number: u64| async move { if number == 0 { Err("down") } else { Ok(number) } });
    let mut service = layer.key(|number: &u64| Some(*number)).layer(says);
    let failed = |operation| {
        format!(r#"DEBUG buttress: the second level failed layer="cache_fallback" operation="{operation}" error=out"#)
    };
    service.call(0).await.expect_err("nothing is remembered");
    let missed =
        r#"DEBUG buttress: nothing to answer from memory layer="cache_fallback" name=cache_fallback failure=error"#;
    assert_eq!(lines.take(), [failed("get"), missed.to_owned()]);
    service.call(1).await.expect("an answer");
    tokio::task::yield_now().await;
    assert_eq!(lines.take(), [failed("put")]);
    memory.forget(&7);
    tokio::task::yield_now().await;
    assert_eq!(lines.take(), [failed("forget")]);
    for number in 100..165 {
        service.call(number).await.expect("an answer");
    }
    let not_told = r#"DEBUG buttress: the second level is not told layer="cache_fallback" operation="put" reason="too much is under way""#;
    assert_eq!(lines.take(), [not_told], "of 65, one");
}

#[tokio::test(start_paused = true)]
async fn a_circuit_breaker_tells_each_change_each_refusal_and_what_came_too_late() {
    let (lines, _listening) = listen();
    let second = OpenFor::fixed(Duration::from_secs(1));
    let config = CircuitBreakerConfig::new().name("payments").consecutive_failures(1).open_for(second);
    let layer = CircuitBreakerLayer::new(config).expect("valid");
    let call = async |seconds| layer.layer(slow()).oneshot(seconds).await;
    call(1).await.expect("an answer");
    assert_eq!(lines.take(), [""; 0], "nothing was decided");
    // The number of the generation, which is none of a test's business.
    let take = || -> Vec<String> {
        let cut = |line: String| line.split(" generation=").next().expect("a part").to_owned();
        lines.take().into_iter().map(cut).collect()
    };
    let late = layer.breaker().try_acquire().expect("closed");
    call(0).await.expect_err("it fails");
    late.success();
    call(1).await.expect_err("refused");
    assert_eq!(
        take(),
        [
            r#"INFO buttress: circuit changed layer="circuit_breaker" name=payments from="closed" to="open" reason="consecutive_failures""#,
            r#"DEBUG buttress: stale answer ignored layer="circuit_breaker" name=payments"#,
            r#"DEBUG buttress: refused layer="circuit_breaker" name=payments reason="consecutive_failures" retry_after=Some(1s)"#,
        ]
    );
    layer.breaker().observe_only(true);
    call(1).await.expect("it passes");
    assert_eq!(
        take(),
        [
            r#"INFO buttress: circuit changed layer="circuit_breaker" name=payments from="open" to="open" reason="consecutive_failures""#,
            r#"DEBUG buttress: would have refused layer="circuit_breaker" name=payments reason="consecutive_failures""#,
        ]
    );
    call(1).await.expect("a probe");
    assert_eq!(
        take(),
        [
            r#"INFO buttress: circuit changed layer="circuit_breaker" name=payments from="open" to="half_open""#,
            r#"INFO buttress: circuit changed layer="circuit_breaker" name=payments from="half_open" to="closed""#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_rate_limiter_tells_each_refusal_each_wait_and_each_hand_taken_in_it() {
    let (lines, _listening) = listen();
    let config = |quota| RateLimitConfig::new(quota).name("orders");
    let layer = RateLimitLayer::new(config(Quota::per_second(2).burst(1))).expect("valid");
    layer.layer(slow()).oneshot(1).await.expect("an answer");
    assert_eq!(lines.take(), [""; 0], "nothing was decided");
    layer.limits().drain();
    layer.layer(slow()).oneshot(1).await.expect_err("refused");
    layer.clone().wait().layer(slow()).oneshot(1).await.expect("after a wait");
    layer.limits().reconfigure(&config(Quota::per_second(1))).expect("valid");
    assert_eq!(
        lines.take(),
        [
            r#"INFO buttress: drained layer="rate_limit" name=orders"#,
            r#"DEBUG buttress: refused layer="rate_limit" name=orders reason="quota_used_up" retry_after=Some(500ms)"#,
            r#"DEBUG buttress: waited layer="rate_limit" name=orders waited=500ms"#,
            r#"INFO buttress: reconfigured layer="rate_limit" name=orders interval=1s burst=1"#,
        ]
    );
    let one = KeyedConfig::new(config(Quota::per_second(1))).max_keys(1);
    let keys = KeyedRateLimiter::<u32>::new(one).expect("valid");
    keys.try_take(&1, 1).expect("a place");
    keys.try_take(&2, 1).expect("the shared one");
    assert_eq!(lines.take(), [r#"DEBUG buttress: no place for another key layer="rate_limit" name=orders"#]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_from_the_wire_that_is_not_taken_is_told() {
    let (lines, _listening) = listen();
    let layer = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1))).expect("a limit");
    let is_trusted = |request: &Request<()>| request.headers().contains_key("token");
    let header = DeadlineHeader::grpc_timeout().trusting(is_trusted, Duration::from_secs(9)).expect("nine seconds");
    let service = layer
        .http_client()
        .deadline_of(header)
        .layer(service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(()))));
    let stranger = Request::builder().header("grpc-timeout", "1S").body(()).expect("valid");
    service.clone().oneshot(stranger).await.expect("an answer");
    let garbled = Request::builder().header("token", "").header("grpc-timeout", "soon").body(()).expect("valid");
    service.clone().oneshot(garbled).await.expect("an answer");
    assert_eq!(
        lines.take(),
        [
            r#"DEBUG buttress: deadline ignored layer="timeout" header="grpc-timeout" reason="its sender is not trusted""#,
            r#"DEBUG buttress: deadline ignored layer="timeout" header="grpc-timeout" reason="it cannot be read""#,
        ]
    );
    let sound = Request::builder().header("token", "").header("grpc-timeout", "1S").body(()).expect("valid");
    service.oneshot(sound).await.expect("an answer");
    assert_eq!(lines.take(), [""; 0]);
}

#[test]
fn a_client_that_is_unknown_is_told() {
    let (lines, _listening) = listen();
    let client_ip = ClientIp::behind(["10.0.0.1"]).expect("an address");
    let from = |address: [u8; 4]| Request::builder().extension(IpAddr::from(address));
    let known = from([10, 0, 0, 1]).header("x-forwarded-for", "198.51.100.4").body(()).expect("valid");
    client_ip.key_of(&known);
    client_ip.key_of(&from([198, 51, 100, 4]).header("x-forwarded-for", "x").body(()).expect("valid"));
    assert_eq!(lines.take(), [""; 0]);

    client_ip.key_of(&from([10, 0, 0, 1]).header("x-forwarded-for", "x").body(()).expect("valid"));
    client_ip.key_of(&Request::new(()));
    client_ip.clone().key_of(&Request::new(()));
    assert_eq!(
        lines.take(),
        [
            r#"DEBUG buttress: client unknown layer="client_ip" reason="what its proxies say cannot be read""#,
            r#"WARN buttress: client unknown; does the server tell who calls? layer="client_ip" reason="its peer is not known""#,
            r#"DEBUG buttress: client unknown layer="client_ip" reason="its peer is not known""#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_is_told() {
    let (lines, _listening) = listen();
    let never = http_body_util::StreamBody::new(futures::stream::pending::<Result<_, BoxError>>());
    let body = BodyDeadline::new(
        never.map_frame(|frame: hyper::body::Frame<Bytes>| frame),
        Deadline::within(Duration::from_secs(1)),
    );
    body.collect().await.expect_err("cut");
    assert_eq!(
        lines.take(),
        [r#"DEBUG buttress: timed out layer="timeout" name=body allowed=1s by_deadline=true called=true"#]
    );
    BodyDeadline::new(Empty::<Bytes>::new(), Deadline::within(Duration::from_secs(1))).collect().await.expect("empty");
    assert_eq!(lines.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_tells_of_each_failure_what_it_does_about_it() {
    let (lines, _listening) = listen();
    let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_secs(1)).spread(Spread::None);
    let budget = BudgetConfig::new().ratio(0.0).per_second(0.0).capacity(3);
    let config = RetryConfig::new().name("reads").backoff(backoff).budget(budget);
    let retry = RetryLayer::new(config).expect("valid");
    retry.layer(slow()).oneshot(1).await.expect("at the first attempt");
    assert_eq!(lines.take(), [""; 0]);

    retry.layer(slow()).oneshot(0).await.expect_err("always");
    assert_eq!(
        lines.take(),
        [
            r#"DEBUG buttress: retrying layer="retry" name=reads attempt=1 failure=error wait=100ms"#,
            r#"DEBUG buttress: retrying layer="retry" name=reads attempt=2 failure=error wait=200ms"#,
            r#"DEBUG buttress: not retried layer="retry" name=reads attempt=3 failure=error reason="attempts_used_up""#,
        ]
    );
    let flaky = std::sync::atomic::AtomicBool::new(true);
    let flaky = Arc::new(flaky);
    let once = service_fn(move |_: u64| {
        let fails = flaky.swap(false, std::sync::atomic::Ordering::SeqCst);
        async move { if fails { Err(BoxError::from("down")) } else { Ok(7) } }
    });
    retry.layer(once).oneshot(0).await.expect("the second time");
    retry.layer(slow()).oneshot(0).await.expect_err("always");
    retry.clone().may_repeat(|_: &u64| false).layer(slow()).oneshot(0).await.expect_err("once");
    retry.clone().replay(|_: &u64| None).layer(slow()).oneshot(0).await.expect_err("once");
    retry.clone().when(|_: &u64, _: &Failure| false).layer(slow()).oneshot(0).await.expect_err("once");
    assert_eq!(
        lines.take(),
        [
            r#"DEBUG buttress: retrying layer="retry" name=reads attempt=1 failure=error wait=100ms"#,
            r#"DEBUG buttress: succeeded in the end layer="retry" name=reads attempt=2"#,
            r#"DEBUG buttress: not retried layer="retry" name=reads attempt=1 failure=error reason="budget_used_up""#,
            r#"DEBUG buttress: not retried layer="retry" name=reads attempt=1 failure=error reason="not_repeatable""#,
            r#"DEBUG buttress: not retried layer="retry" name=reads attempt=1 failure=error reason="not_copied""#,
            r#"DEBUG buttress: not retried layer="retry" name=reads attempt=1 failure=error reason="kind_not_retried""#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_tells_that_the_service_will_not_be_ready_for_another_attempt() {
    let (lines, _listening) = listen();
    let (inner, mut handle) = tower_test::mock::pair::<u64, u64>();
    let retry = RetryLayer::new(RetryConfig::new().name("reads").seed(1)).expect("valid");
    let call = tokio::spawn(retry.layer(inner).oneshot(1));
    let (_, first) = handle.next_request().await.expect("the first attempt");
    first.send_error("down");
    drop(handle);
    call.await.expect("no panic").expect_err("closed");
    let lines = lines.take();
    assert!(lines.iter().any(|line| line.contains("not ready for another attempt")), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn the_current_span_is_told_how_often_a_request_was_sent_again() {
    let (lines, _listening) = listen();
    let busy =
        service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::builder().status(503).body(()).expect("valid")));
    let retry = RetryLayer::new(RetryConfig::new().seed(1)).expect("valid").http_client();
    let span = tracing::info_span!("charge", http.request.resend_count = tracing::field::Empty);
    tracing::Instrument::instrument(retry.layer(busy).oneshot(Request::new(())), span).await.expect("a response");
    let last = lines.take().pop().expect("it was given up");
    assert!(last.contains("charge{http.request.resend_count=1 http.request.resend_count=2}"), "{last}");
}

#[tokio::test]
async fn a_body_tells_why_it_is_not_kept() {
    let (lines, _listening) = listen();
    let of_5 = |pool| ReplayBodies::new().cap(5).pool(ReplayPool::new(pool));
    let chunks = |chunks: [&'static str; 2]| {
        let frames = chunks.map(|chunk| Ok::<_, BoxError>(Frame::data(Bytes::from(chunk))));
        Request::new(StreamBody::new(futures::stream::iter(frames)))
    };
    let (request, _kept) = of_5(5).split(chunks(["12", "345"]));
    request.into_body().collect().await.expect("a body");
    assert_eq!(lines.take(), [""; 0], "it was kept");

    let above = |reason| [format!(r#"DEBUG buttress: body not kept layer="retry" reason="{reason}""#)];
    let (request, _kept) = of_5(5).split(chunks(["123", "456"]));
    assert_eq!(lines.take(), [""; 0], "nobody knows yet");
    request.into_body().collect().await.expect("a body");
    assert_eq!(lines.take(), above("cap"));
    let (request, _kept) = of_5(4).split(chunks(["12", "345"]));
    request.into_body().collect().await.expect("a body");
    assert_eq!(lines.take(), above("pool"));
    let (_request, kept) = of_5(5).split(Request::new(Full::<Bytes>::from("123456")));
    assert!(kept.is_none());
    assert_eq!(lines.take(), above("cap"));
}

/// Keeps numbers.
struct Numbers;

impl Keep<u64, BoxError> for Numbers {
    type Future = std::future::Ready<Kept<u64, BoxError>>;

    fn keep(&self, result: Result<u64, BoxError>) -> Self::Future {
        let verdict = match &result {
            Ok(number) => Verdict::Final(Bytes::copy_from_slice(&number.to_le_bytes())),
            Err(_) => Verdict::Unknown("it failed".into()),
        };
        std::future::ready(Kept { result, verdict })
    }

    fn replay(&self, kept: Bytes) -> Result<u64, Unreadable> {
        kept.as_ref().try_into().map(u64::from_le_bytes).map_err(|_| Unreadable::new("not eight bytes"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_run_once_tells_who_ran_it_and_what_came_of_it() {
    let (lines, _listening) = listen();
    let store = MemoryStore::new(NonZeroUsize::MIN);
    let once = RunOnce::new()
        .scope(|_: &u64| Some("orders"))
        .key(|order: &u64| (*order != 9).then_some(*order))
        .fingerprint(|order: &u64| *order);
    let config = IdempotencyConfig::new().name("orders").max_attempts(NonZeroU32::MIN);
    let layer = IdempotencyLayer::new(config, store.clone()).expect("valid").identify(once).keep(Numbers);
    let orders = layer.layer(service_fn(|order: u64| async move {
        tracing::info!(target: "buttress", "in the handler");
        if order == 0 { Err("down".into()) } else { Ok::<_, BoxError>(order) }
    }));
    let send = async |order| {
        let span = tracing::info_span!("request", order);
        drop(tracing::Instrument::instrument(orders.clone().oneshot(order), span).await);
    };
    let key = RecordKey::of(&"orders", &7_u64);
    send(7).await;
    let said = lines.take();
    let Ok([began, handler, ended]) = <[String; 3]>::try_from(said) else { panic!("three events") };
    let (before, after) = began.split_once("fence=").expect("a fence");
    assert_eq!(
        before,
        format!(r#"DEBUG request{{order=7}}: buttress: running layer="idempotency" name=orders key={key} "#)
    );
    assert!(after.ends_with(" attempt=1"), "{after}");
    assert_eq!(
        handler, "INFO request{order=7}: buttress: in the handler",
        "it belongs to the request, in a task of its own"
    );
    let event = |order: u64, rest: &str| format!(r#"request{{order={order}}}: buttress: {rest}"#);
    assert_eq!(
        ended,
        event(7, &format!(r#"recorded layer="idempotency" name=orders key={key} outcome="final""#))
            .replace("request", "DEBUG request")
    );
    send(7).await;
    let replayed = event(7, &format!(r#"replayed layer="idempotency" name=orders key={key}"#));
    assert_eq!(lines.take(), [format!("DEBUG {replayed}")]);
    let no_room = format!("key={} reason=\"store_full\" retry_after=Some(1s)", RecordKey::of(&"orders", &8_u64));
    for (order, why) in [(9, r#"reason="without_key" retry_after=None"#), (8, &no_room)] {
        send(order).await;
        let refused = event(order, &format!(r#"refused layer="idempotency" name=orders {why}"#));
        assert_eq!(lines.take(), [format!("DEBUG {refused}")]);
    }
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    send(0).await;
    let key = RecordKey::of(&"orders", &0_u64);
    let doubt = event(0, &format!(r#"in doubt layer="idempotency" name=orders key={key} why="it failed""#));
    assert_eq!(lines.take().last(), Some(&format!("INFO {doubt}")));
}

#[tokio::test(start_paused = true)]
async fn what_is_rolled_back_says_why() {
    #[derive(Clone)]
    struct Sale(Option<InTransaction<Draft>>);
    let (lines, _listening) = listen();
    let books = Books::new(MemoryStore::new(NonZeroUsize::MIN));
    let once = RunOnce::new().global_scope().key(|_: &Sale| Some(7)).fingerprint(|_: &Sale| 7);
    let layer = IdempotencyLayer::new(IdempotencyConfig::new().name("sales"), books.clone()).expect("valid");
    let layer = layer.identify(once).keep(Numbers);
    let layer = layer.in_transactions(|sale: &mut Sale, transaction| sale.0 = Some(transaction));
    let sales = layer.layer(service_fn(async |Sale(transaction)| {
        transaction.expect("it is run in one").lock().await.expect("it begins").numbers.push(7);
        Ok::<_, BoxError>(7)
    }));
    books.line(Line::Refuses);
    sales.oneshot(Sale(None)).await.expect_err("it is rolled back");
    let key = RecordKey::of(&(), &7);
    let said = lines.take();
    let why = format!(r#"rolled back layer="idempotency" name=sales key={key} why=it cannot be committed"#);
    assert!(said.contains(&format!("INFO buttress: {why}")), "{said:#?}");
}
