//! Requests whose bodies stream, sent again.

mod any_order;
mod script;
mod threads;
mod wire;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use buttress::BoxError;
use buttress::http::{KeptRequest, ReplayBodies, ReplayBody, ReplayPool, SupersededAttempt};
use buttress::retry::{BudgetConfig, Replay, RetryConfig, RetryLayer};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Collected, Empty, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};

use script::{Hint, Script, Step, trailers};

fn split<B>(replay: &ReplayBodies, body: B) -> (ReplayBody<B>, KeptRequest<B>)
where
    B: Body<Error: Into<BoxError>>,
{
    let (request, kept) = replay.split(Request::new(body));
    (request.into_body(), kept.expect("it is kept"))
}

fn again<B>(kept: &mut KeptRequest<B>) -> ReplayBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    assert!(ReplayBodies::new().seal(kept), "it can be sent again");
    ReplayBodies::new().again(kept).into_body()
}

async fn whole<B>(body: ReplayBody<B>) -> Collected<Bytes>
where
    B: Body<Error: Into<BoxError>>,
{
    body.collect().await.expect("it comes to its end")
}

async fn next<B>(body: &mut ReplayBody<B>) -> Bytes
where
    B: Body<Error: Into<BoxError>> + Unpin,
{
    body.frame().await.expect("a frame").expect("it does not fail").into_data().expect("data")
}

async fn text<B>(body: ReplayBody<B>) -> String
where
    B: Body<Error: Into<BoxError>>,
{
    String::from_utf8(whole(body).await.to_bytes().to_vec()).expect("text")
}

fn is_superseded(error: &BoxError) -> bool {
    error.is::<SupersededAttempt>()
}

#[tokio::test]
async fn three_attempts_send_the_same_bytes_and_trailers() {
    let (first, mut kept) = split(&ReplayBodies::new(), Script::of(&["one", "two", "three"]).trailers());
    let mut attempts = vec![whole(first).await];
    for _ in 0..2 {
        attempts.push(whole(again(&mut kept)).await);
    }
    for attempt in attempts {
        assert_eq!(attempt.trailers(), Some(&trailers()));
        assert_eq!(attempt.to_bytes(), "onetwothree");
    }
}

#[tokio::test]
async fn what_nobody_has_read_is_read_once() {
    let (first, mut kept) = split(&ReplayBodies::new(), Script::of(&["one", "two"]).hint(Hint::Exact));
    drop(first);
    let second = again(&mut kept);
    assert_eq!(second.size_hint().exact(), Some(6));
    assert_eq!(text(second).await, "onetwo");
}

#[tokio::test]
async fn the_head_is_sent_again_as_it_was() {
    #[derive(Clone, Debug, PartialEq)]
    struct Mark(u8);
    let request = Request::builder()
        .method(Method::PUT)
        .uri("/orders/7?dry=1")
        .version(Version::HTTP_2)
        .header("idempotency-key", "k")
        .extension(Mark(1))
        .body(Script::of(&["one"]))
        .expect("a request");
    let replay = ReplayBodies::new();
    let (mut first, kept) = replay.split(request);
    let mut kept = kept.expect("it is kept");
    first.extensions_mut().insert(Mark(2));
    first.headers_mut().clear();
    assert_eq!(replay.head(&kept).uri(), "/orders/7?dry=1");
    assert!(replay.seal(&mut kept));
    let second = replay.again(&mut kept);
    assert_eq!((second.method(), second.version()), (&Method::PUT, Version::HTTP_2));
    assert_eq!(second.uri(), "/orders/7?dry=1");
    assert_eq!(second.headers()["idempotency-key"], "k");
    assert_eq!(second.extensions().get::<Mark>(), Some(&Mark(1)));
}

#[tokio::test]
async fn a_body_that_stays_where_it_is_may_be_sent_again() {
    let frames = stream::unfold(0_u8, |sent| async move {
        tokio::task::yield_now().await;
        (sent < 3).then(|| (Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'0' + sent]))), sent + 1))
    });
    let (first, mut kept) = split(&ReplayBodies::new(), StreamBody::new(frames));
    {
        let mut first = pin!(first);
        first.frame().await.expect("a frame").expect("it does not fail");
    }
    assert_eq!(text(again(&mut kept)).await, "012");
}

/// A prototype that let the older attempt read on sent 20 of 40 bytes the second time, and no error.
#[tokio::test]
async fn an_attempt_that_is_still_sending_takes_nothing_from_the_next() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().pool(pool.clone());
    let (mut first, mut kept) = split(&replay, Script::of(&["0123456789"; 4]).hint(Hint::Exact));
    for _ in 0..2 {
        next(&mut first).await;
    }
    assert!(replay.seal(&mut kept));
    for _ in 0..2 {
        let error = first.frame().await.expect("it does not end").expect_err("it fails");
        assert!(is_superseded(&error));
        assert_eq!((first.is_end_stream(), first.size_hint().exact()), (false, None));
    }
    assert_eq!(pool.used(), 20, "it keeps nothing more");
    let second = replay.again(&mut kept).into_body();
    assert_eq!(second.size_hint().exact(), Some(40));
    assert_eq!(text(second).await, "0123456789".repeat(4));
}

#[tokio::test]
async fn an_attempt_that_waits_is_woken_to_hear_that_it_is_over() {
    let (_sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
    let (mut first, mut kept) = split(&ReplayBodies::new(), body);
    let mut waiting = task::spawn(first.frame());
    assert_pending!(waiting.poll());
    assert!(!waiting.is_woken());
    assert!(ReplayBodies::new().seal(&mut kept));
    assert!(waiting.is_woken());
    let error = assert_ready!(waiting.poll()).expect("it does not end").expect_err("it fails");
    assert!(is_superseded(&error));
}

#[test]
fn an_attempt_that_moved_to_another_task_is_woken_there() {
    let (_sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
    let (mut first, mut kept) = split(&ReplayBodies::new(), body);
    {
        let mut before = task::spawn(first.frame());
        assert_pending!(before.poll());
    }
    let mut now = task::spawn(first.frame());
    assert_pending!(now.poll());
    assert!(ReplayBodies::new().seal(&mut kept));
    assert!(now.is_woken());
}

/// What is framed by its length at one attempt and in chunks at the next has no place for trailers there.
#[tokio::test]
async fn a_body_that_does_not_tell_its_length_never_does() {
    let frames = |with_trailers: bool| {
        let trailers = with_trailers.then(|| Frame::trailers(trailers()));
        let frames = [Frame::data(Bytes::from("a body"))].into_iter().chain(trailers);
        StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>)))
    };
    for with_trailers in [false, true] {
        let (first, mut kept) = split(&ReplayBodies::new(), frames(with_trailers));
        assert_eq!(first.size_hint().exact(), None);
        whole(first).await;
        for _ in 0..2 {
            let next = again(&mut kept);
            assert_eq!(next.size_hint().exact(), None);
            assert_eq!(whole(next).await.trailers().is_some(), with_trailers);
        }
    }
    let (first, mut kept) = split(&ReplayBodies::new(), Full::<Bytes>::from("a body"));
    assert_eq!(first.size_hint().exact(), Some(6));
    whole(first).await;
    assert_eq!(again(&mut kept).size_hint().exact(), Some(6), "the control");
}

#[tokio::test]
async fn by_default_64_kib_are_kept_of_a_body_and_of_many_bodies() {
    let kib_64 = 64 * 1024;
    let body =
        |bytes: usize| StreamBody::new(stream::iter([Ok::<_, BoxError>(Frame::data(Bytes::from(vec![7; bytes])))]));
    let mut held = Vec::new();
    for _ in 0..100 {
        let (mut first, mut kept) = split(&ReplayBodies::new(), body(kib_64));
        next(&mut first).await;
        assert!(ReplayBodies::new().seal(&mut kept));
        held.push(kept);
    }
    let pool = ReplayPool::of_the_process();
    assert!(pool.used() >= 100 * kib_64 && pool.size() == 64 * 1024 * 1024);
    let (mut first, mut kept) = split(&ReplayBodies::new(), body(kib_64 + 1));
    next(&mut first).await;
    assert!(!ReplayBodies::new().seal(&mut kept), "a byte too much");
}

#[tokio::test(start_paused = true)]
async fn out_of_budget_the_attempt_that_is_still_sending_goes_on() {
    let sending = Arc::new(Mutex::new(None));
    let service = {
        let sending = sending.clone();
        service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
            *sending.lock().expect("no panic") = Some(request.into_body());
            std::future::ready(Ok::<_, BoxError>(Response::builder().status(503).body(()).expect("valid")))
        })
    };
    let budget = BudgetConfig::new().ratio(0.0).per_second(0.0).capacity(2);
    let retry = RetryLayer::new(RetryConfig::new().max_attempts(2).budget(budget)).expect("valid");
    let service = retry.http_client().replay(ReplayBodies::new()).layer(service);
    for _ in 0..3 {
        let put = Request::put("/").body(Full::from("a body")).expect("valid");
        service.clone().oneshot(put).await.expect("an answer");
        let last = sending.lock().expect("no panic").take().expect("it was sent");
        assert_eq!(text(last).await, "a body");
    }
}

#[tokio::test]
async fn the_next_attempt_hears_what_the_body_tells_later() {
    let (mut sender, body) = http_body_util::channel::Channel::<Bytes, BoxError>::new(1);
    let (mut first, mut kept) = split(&ReplayBodies::new(), body);
    assert_pending!(task::spawn(first.frame()).poll());
    let mut second = again(&mut kept);
    let mut waiting = task::spawn(second.frame());
    assert_pending!(waiting.poll());
    sender.send_data(Bytes::from_static(b"late")).await.expect("it is read");
    assert!(waiting.is_woken());
    assert_eq!(assert_ready!(waiting.poll()).expect("a frame").expect("data").into_data().expect("data"), "late");
}

#[tokio::test]
async fn a_body_above_the_cap_is_sent_once_and_costs_nothing_from_then_on() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().cap(8).pool(pool.clone());
    let (mut first, mut kept) = split(&replay, Script::of(&["0123", "4567", "8", "9"]).trailers());
    next(&mut first).await;
    next(&mut first).await;
    assert_eq!(pool.used(), 8, "it is not above it yet");
    assert_eq!(next(&mut first).await, "8");
    assert_eq!(pool.used(), 0);
    assert!(!replay.seal(&mut kept), "it cannot be sent again");
    let rest = whole(first).await;
    assert_eq!(rest.trailers(), Some(&trailers()));
    assert_eq!(rest.to_bytes(), "9");
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn trailers_count_too() {
    let replay = ReplayBodies::new().cap(12);
    let (first, mut kept) = split(&replay, Script::of(&["ab"]).trailers());
    whole(first).await;
    assert!(replay.seal(&mut kept));
    let (first, mut kept) = split(&replay, Script::of(&["abc"]).trailers());
    assert_eq!(whole(first).await.trailers(), Some(&trailers()));
    assert!(!replay.seal(&mut kept));
}

#[tokio::test]
async fn a_body_that_finds_the_pool_empty_is_sent_once() {
    let pool = ReplayPool::new(10);
    let replay = ReplayBodies::new().pool(pool.clone());
    let (one, mut kept_one) = split(&replay, Script::of(&["0123456"]));
    assert_eq!(text(one).await, "0123456");
    let (other, mut kept_other) = split(&replay, Script::of(&["0123456"]));
    assert_eq!(text(other).await, "0123456");
    assert!(!replay.seal(&mut kept_other));
    assert_eq!(pool.used(), 7);
    assert!(replay.seal(&mut kept_one), "the other one has its share");
    drop(kept_one);
    let (other, mut kept_other) = split(&replay, Script::of(&["0123456"]));
    assert_eq!(text(other).await, "0123456");
    assert!(replay.seal(&mut kept_other), "it was given back");
}

#[tokio::test]
async fn a_body_that_says_it_is_above_the_cap_is_not_touched() {
    let replay = ReplayBodies::new().cap(4);
    let (first, kept) = replay.split(Request::new(Full::new(Bytes::from_static(b"12345"))));
    assert!(kept.is_none());
    assert_eq!(first.body().size_hint().exact(), Some(5));
    assert_eq!(text(first.into_body()).await, "12345");
    let (_, kept) = replay.split(Request::new(Full::new(Bytes::from_static(b"1234"))));
    assert!(kept.is_some(), "the cap is within");
}

#[tokio::test]
async fn what_a_body_says_of_its_size_is_not_relied_on() {
    struct Liar(Script);
    impl Body for Liar {
        type Data = std::collections::VecDeque<u8>;
        type Error = BoxError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
            std::pin::Pin::new(&mut self.0).poll_frame(cx)
        }
        fn size_hint(&self) -> hyper::body::SizeHint {
            hyper::body::SizeHint::with_exact(1)
        }
    }
    let replay = ReplayBodies::new().cap(4);
    let (first, mut kept) = split(&replay, Liar(Script::of(&["123", "456"])));
    assert_eq!(text(first).await, "123456");
    assert!(!replay.seal(&mut kept));
}

#[tokio::test]
async fn an_error_of_the_body_is_that_of_the_attempt_and_ends_the_replays() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().pool(pool.clone());
    let (mut first, mut kept) = split(&replay, Script::new([Step::Data(b"one".to_vec()), Step::Fail]));
    assert_eq!(next(&mut first).await, "one");
    let error = first.frame().await.expect("an error").expect_err("broken");
    assert_eq!(error.to_string(), "broken");
    assert!(!replay.seal(&mut kept), "nobody can read on");
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn frames_after_trailers_are_sent_once() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().pool(pool.clone());
    let (mut first, mut kept) =
        split(&replay, Script::new([Step::Data(b"one".to_vec()), Step::Trailers, Step::Data(b"two".to_vec())]));
    assert_eq!(next(&mut first).await, "one");
    assert!(first.frame().await.expect("a frame").expect("it does not fail").is_trailers());
    assert_eq!(next(&mut first).await, "two");
    assert!(!replay.seal(&mut kept));
    assert_eq!(pool.used(), 0);
}

#[tokio::test]
async fn what_was_kept_is_freed_when_the_call_needs_it_no_longer() {
    let pool = ReplayPool::new(5_000);
    let replay = ReplayBodies::new().pool(pool.clone());
    let chunk = "x".repeat(1_000);
    let (mut first, kept) = split(&replay, Script::of(&[&*chunk; 3]).trailers());
    next(&mut first).await;
    assert_eq!(pool.used(), 1_000);
    drop(kept);
    assert_eq!(pool.used(), 0, "the attempt has it already");
    let rest = whole(first).await;
    assert_eq!(rest.trailers(), Some(&trailers()));
    assert_eq!(rest.to_bytes().len(), 2_000);
    assert_eq!(pool.used(), 0, "nothing more was kept");

    let (mut first, mut kept) = split(&replay, Script::of(&[&*chunk; 3]).trailers());
    next(&mut first).await;
    next(&mut first).await;
    let mut second = again(&mut kept);
    next(&mut second).await;
    drop(kept);
    assert_eq!(pool.used(), 1_000, "that is yet to be sent");
    next(&mut second).await;
    assert_eq!(pool.used(), 0);
    assert_eq!(whole(second).await.to_bytes().len(), 1_000);
}

/// A body of two chunks that then waits, and a count that says whether it is still there.
fn counted() -> (Arc<()>, impl Body<Data = Bytes, Error = BoxError> + Unpin) {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let frames = ["one", "two"].map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
    let frames = stream::iter(frames).chain(stream::pending()).inspect(move |_| drop(held.clone()));
    (alive, StreamBody::new(frames))
}

#[tokio::test]
async fn the_body_goes_with_the_last_who_needs_it_and_not_with_an_older_attempt() {
    let (alive, body) = counted();
    let (mut first, mut kept) = split(&ReplayBodies::new(), body);
    next(&mut first).await;
    let second = again(&mut kept);
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(kept);
    assert_eq!(Arc::strong_count(&alive), 2, "the second attempt needs it");
    drop(second);
    assert_eq!(Arc::strong_count(&alive), 1, "the first does not");
    assert!(is_superseded(&first.frame().await.expect("it does not end").expect_err("it fails")));

    let (alive, body) = counted();
    let (first, kept) = split(&ReplayBodies::new(), body);
    drop(first);
    assert_eq!(Arc::strong_count(&alive), 2, "there may be another attempt");
    drop(kept);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test]
async fn a_body_at_its_end_is_sent_again_as_such() {
    let pool = ReplayPool::new(0);
    let replay = ReplayBodies::new().cap(0).pool(pool);
    let (first, mut kept) = split(&replay, Empty::<Bytes>::new());
    for body in [first, again(&mut kept), again(&mut kept)] {
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(text(body).await, "");
    }
}

#[tokio::test]
async fn the_service_is_given_the_body_that_it_takes() {
    let replay = ReplayBodies::new().into_body(axum::body::Body::new);
    let (first, kept) = replay.split(Request::new(axum::body::Body::from("hello")));
    let mut kept = kept.expect("it is kept");
    let mut bodies: Vec<axum::body::Body> = vec![first.into_body()];
    assert!(replay.seal(&mut kept));
    bodies.push(replay.again(&mut kept).into_body());
    bodies.push(replay.once(Request::new(axum::body::Body::from("hello"))).into_body());
    let mut got = Vec::new();
    for body in bodies {
        got.push(body.collect().await.map(Collected::to_bytes).map_err(|error| error.to_string()));
    }
    assert!(got[0].as_ref().is_err_and(|error| error.contains("a later attempt")), "{got:?}");
    assert_eq!(got[1..], [Ok(Bytes::from("hello")), Ok(Bytes::from("hello"))]);

    let wrap = |body: ReplayBody<Full<Bytes>>| reqwest::Body::wrap(body);
    let (first, _) = ReplayBodies::new().into_body(wrap).split(Request::new(Full::from("hello")));
    assert_eq!(first.into_body().collect().await.expect("a body").to_bytes(), "hello");
}

#[tokio::test]
async fn a_request_that_is_sent_once_is_as_it_was() {
    let once = ReplayBodies::new().once(Request::new(Script::of(&["one"]).trailers().hint(Hint::Exact))).into_body();
    assert_eq!((once.size_hint().exact(), once.is_end_stream()), (Some(3), false));
    let once = whole(once).await;
    assert_eq!(once.trailers(), Some(&trailers()));
    assert_eq!(once.to_bytes(), "one");
}

#[tokio::test]
#[should_panic(expected = "sent again only after it was sealed")]
async fn nothing_is_sent_again_that_was_not_sealed() {
    let (_first, mut kept) = split(&ReplayBodies::new(), Script::of(&["one"]));
    let _second = ReplayBodies::new().again(&mut kept);
}

#[test]
fn everything_may_go_to_other_threads() {
    fn is_a_part<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    fn is_unpin<T: Unpin>() {}
    is_a_part(&ReplayBodies::new());
    is_a_part(&ReplayBodies::new().into_body(|body: ReplayBody<axum::body::Body>| body));
    is_a_part(&ReplayPool::new(1));
    // That body is no `Sync`.
    is_send::<ReplayBody<axum::body::Body>>();
    is_send::<KeptRequest<axum::body::Body>>();
    is_sync::<KeptRequest<axum::body::Body>>();
    is_sync::<ReplayBody<Full<Bytes>>>();
    is_unpin::<ReplayBody<Full<Bytes>>>();
}

fn counts(make: impl FnOnce()) -> u64 {
    allocation_counter::measure(make).count_total
}

#[test]
fn a_body_costs_two_allocations_and_the_head_one_clone() {
    let mut headers = HeaderMap::new();
    headers.insert("accept", http::HeaderValue::from_static("text/plain"));
    let request = |chunk: &'static str| {
        let mut request = Request::new(Full::new(Bytes::from_static(chunk.as_bytes())));
        *request.headers_mut() = headers.clone();
        request
    };
    let request_of = || request("hello");
    let head = request_of().map(drop);
    let of_a_clone = counts(|| drop(head.clone()));
    assert!(of_a_clone > 0, "the control: a head costs something");

    let replay = ReplayBodies::new();
    let replay_it = |request: Request<Full<Bytes>>, attempts: u64| {
        counts(|| {
            let (mut attempt, kept) = replay.split(request);
            let mut kept = kept.expect("it is kept");
            for _ in 1..attempts {
                let read =
                    pin!(attempt.body_mut().frame()).as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
                assert!(read.is_ready());
                assert!(replay.seal(&mut kept));
                attempt = replay.again(&mut kept);
            }
        })
    };
    assert_eq!(replay_it(request(""), 1), of_a_clone, "a body at its end costs the head alone");
    assert_eq!(replay_it(request_of(), 1), of_a_clone + 2);
    assert_eq!(replay_it(request_of(), 3), 3 * of_a_clone + 2, "what is shared is not copied");
    let large = Request::new(Full::new(Bytes::from_static(&[0; 64 * 1024 + 1])));
    assert_eq!(counts(|| drop(replay.split(large))), 0, "what is not kept costs nothing");
}
