//! Deadlines and bodies over HTTP, on real sockets where a connection matters.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::routing::get;
use buttress::clock::Moment;
use buttress::http::{AsResponse, BodyDeadline, DeadlineHeader};
use buttress::timeout::{Elapsed, TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Deadline, Error, Rejection};
use futures::stream;
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

fn timeout(limit: Duration) -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(limit)).expect("a limit above zero")
}

#[tokio::test(start_paused = true)]
async fn a_server_answers_a_slow_call_with_504_or_the_status_chosen() {
    let slow = || {
        service_fn(async |_: Request<()>| {
            tokio::time::sleep(60 * SEC).await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        })
    };
    let layer = timeout(SEC).http_server();
    let response = layer.layer(slow()).oneshot(Request::new(())).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(response.headers()["content-type"], "application/problem+json");

    let chosen = layer.reject_with(AsResponse::new().when_elapsed(StatusCode::SERVICE_UNAVAILABLE));
    let response = chosen.layer(slow()).oneshot(Request::new(())).await.expect("infallible");
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// What the attempt timeout of a client that a handler calls has left, when the door's limit is `door`, its own is 1 s and
/// the handler takes 300 ms before it calls.
async fn allowed_inside(door: Duration) -> Elapsed {
    let seen = Arc::new(Mutex::new(None));
    let told = seen.clone();
    let client = timeout(SEC).http_client().layer(service_fn(async |_: Request<()>| {
        std::future::pending::<()>().await;
        Ok::<_, BoxError>(Response::new(()))
    }));
    let handler = async move || {
        tokio::time::sleep(300 * MS).await;
        let error = client.oneshot(Request::new(())).await.expect_err("nobody answers");
        *told.lock().expect("no panic") = Rejection::find(&*error);
    };
    let app = Router::new().route("/", get(handler)).layer(timeout(door).http_server().export_deadline());
    // What a client's timeout and the door's end at the same instant is decided in the handler first.
    app.oneshot(Request::new(Body::empty())).await.expect("infallible");
    let seen = seen.lock().expect("no panic").take();
    match seen.expect("the client gave up before the door") {
        Rejection::Elapsed(elapsed) => elapsed,
        other => panic!("not a timeout: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handlers_client_keeps_to_what_is_left_at_the_door_without_being_told() {
    let elapsed = allowed_inside(800 * MS).await;
    assert_eq!((elapsed.allowed(), elapsed.by_deadline()), (500 * MS, true));
    let elapsed = allowed_inside(60 * SEC).await;
    assert_eq!((elapsed.allowed(), elapsed.by_deadline()), (SEC, false));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_carry_its_own_deadline() {
    let layer = timeout(SEC).http_client();
    let service = layer.layer(service_fn(async |_: Request<()>| {
        std::future::pending::<()>().await;
        Ok::<_, BoxError>(Response::new(()))
    }));
    let mut request = Request::new(());
    request.extensions_mut().insert(Deadline::within(200 * MS));
    // The earlier of its own and the one it is sent in holds.
    for (scope, allowed) in [(100 * MS, 100 * MS), (300 * MS, 200 * MS)] {
        let mut request = Request::new(());
        request.extensions_mut().insert(Deadline::within(200 * MS));
        let error = Deadline::within(scope).scope(service.clone().oneshot(request)).await.expect_err("nobody answers");
        assert_eq!(elapsed(&error).allowed(), allowed);
    }
    assert!(elapsed(&service.oneshot(request).await.expect_err("nobody answers")).by_deadline());
}

#[tokio::test(start_paused = true)]
async fn an_exported_deadline_stands_in_the_extensions() {
    let door = timeout(SEC).http_server().export_deadline();
    let told = door.layer(service_fn(async |request: Request<()>| {
        let deadline = request.extensions().get::<Deadline>().copied();
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{:?}", deadline.map(Deadline::left)))))
    }));
    let response = told.oneshot(Request::new(())).await.expect("infallible");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "Some(1s)");
}

/// A gateway and a server behind it, on real sockets: the gateway's client writes what is left into a header, the server
/// believes peers in `trusted` and says how much time it thinks there is.
async fn left_behind_the_gateway(trusted: IpAddr) -> Option<Duration> {
    let header = DeadlineHeader::millis(HeaderName::from_static("x-time-left-ms"));
    let from_trusted = move |request: &Request<Body>| {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.is_some_and(|ConnectInfo(peer)| peer.ip() == trusted)
    };
    let door = timeout(60 * SEC)
        .http_server()
        .deadline_of(header.clone().trusting(from_trusted, 10 * SEC).expect("ten seconds"))
        .export_deadline();
    let says = async || Deadline::current().map_or(0, |deadline| deadline.left().as_millis()).to_string();
    let app = Router::new().route("/", get(says)).layer(door);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = legacy::Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = ServiceBuilder::new()
        .layer(timeout(5 * SEC).http_client().export_with(header))
        .map_err(Error::inner)
        .service(client);
    let request = Request::get(format!("http://{address}/")).body(Full::default()).expect("a valid request");
    let response: Response<Incoming> = client.oneshot(request).await.expect("an answer");
    let text = response.into_body().collect().await.expect("a body").to_bytes();
    let millis = std::str::from_utf8(&text).expect("text").parse().expect("a number");
    Some(Duration::from_millis(millis))
}

#[tokio::test]
async fn a_deadline_crosses_the_wire_between_those_who_trust_each_other() {
    let left = left_behind_the_gateway(Ipv4Addr::LOCALHOST.into()).await.expect("told");
    assert!(left <= 5 * SEC, "{left:?} is more than the gateway had");
    assert!(left > SEC, "{left:?} is hardly what it had");
    // The control: to a stranger's word the server prefers its own limit.
    let left = left_behind_the_gateway(Ipv4Addr::new(192, 0, 2, 1).into()).await.expect("its own limit");
    assert!(left > 50 * SEC, "{left:?}");
}

type BoxedBody = http_body_util::combinators::BoxBody<Bytes, BoxError>;

/// A body of `frames` frames, one every `pause`.
fn trickle(frames: usize, pause: Duration) -> BoxedBody {
    let frames = stream::unfold(0, move |sent| async move {
        tokio::time::sleep(pause).await;
        (sent < frames).then(|| (Ok(Frame::data(Bytes::from_static(b"drip"))), sent + 1))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn elapsed(error: &BoxError) -> Elapsed {
    match Rejection::find(&**error) {
        Some(Rejection::Elapsed(elapsed)) => elapsed,
        other => panic!("not a timeout: {other:?} in {error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_cut_at_its_deadline() {
    let start = Moment::now();
    let mut body = pin!(BodyDeadline::new(trickle(usize::MAX, 300 * MS), Deadline::within(SEC)));
    for _ in 0..3 {
        let frame = body.frame().await.expect("a frame").expect("in time");
        assert_eq!(frame.into_data().expect("data"), "drip");
    }
    let error = body.frame().await.expect("an error").expect_err("cut");
    assert_eq!(Moment::now().since(start), SEC);
    assert_eq!((elapsed(&error).allowed(), elapsed(&error).by_deadline()), (SEC, true));
    assert!(body.frame().await.is_none(), "nothing comes after");
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_body_in_time_comes_through_whole_with_its_trailers() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("checksum", http::HeaderValue::from_static("1"));
    let body = trickle(3, 300 * MS).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
    let whole = BodyDeadline::new(body, Deadline::within(2 * SEC)).collect().await.expect("in time");
    assert_eq!(whole.trailers(), Some(&trailers));
    assert_eq!(whole.to_bytes(), "dripdripdrip");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_ready_with_the_deadline_counts() {
    let mut body = pin!(BodyDeadline::new(trickle(2, SEC), Deadline::within(SEC)));
    body.frame().await.expect("a frame").expect("in the same instant");
    assert!(body.frame().await.expect("an error").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_polled_past_its_deadline_is_cut_although_its_timer_has_not_fired() {
    let mut body = pin!(BodyDeadline::new(trickle(1, 60 * SEC), Deadline::within(SEC)));
    assert!(futures::poll!(body.frame()).is_pending());
    assert!(futures::poll!(pin!(tokio::time::advance(SEC))).is_pending());
    assert!(matches!(futures::poll!(body.frame()), Poll::Ready(Some(Err(error))) if elapsed(&error).by_deadline()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_waits_is_cut_all_the_same() {
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"flood"))));
    let mut body = pin!(BodyDeadline::new(StreamBody::new(endless), Deadline::within(SEC)).name("flood"));
    body.frame().await.expect("a frame").expect("in time");
    tokio::time::advance(SEC).await;
    body.frame().await.expect("a frame").expect("in the same instant");
    tokio::time::advance(MS).await;
    let error = body.frame().await.expect("an error").expect_err("cut");
    assert!(elapsed(&error).by_deadline());
    assert_eq!(elapsed(&error).name().as_str(), "flood");
}

/// Says when it is dropped.
struct Held(#[expect(dead_code, reason = "it is dropped with the body")] Arc<()>);

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(7)
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_cut_is_let_go() {
    let held = Arc::new(());
    let mut body = pin!(BodyDeadline::new(Held(held.clone()), Deadline::within(SEC)));
    assert_eq!(body.size_hint().exact(), Some(7));
    assert!(!body.is_end_stream());
    assert!(body.frame().await.expect("an error").is_err());
    assert_eq!(Arc::strong_count(&held), 1, "it holds its connection no longer");
    assert_eq!(body.size_hint().exact(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_body_keeps_to_its_limit_or_the_deadline_at_the_door() {
    let service = || {
        ServiceBuilder::new().map_response(BodyDeadline::within(2 * SEC)).service(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(trickle(usize::MAX, 900 * MS)))
        }))
    };
    let limit = service().oneshot(Request::new(())).await.expect("infallible").into_body().collect().await;
    let error = limit.expect_err("cut");
    assert_eq!((elapsed(&error).allowed(), elapsed(&error).by_deadline()), (2 * SEC, false));

    let door = timeout(SEC).http_client().export_deadline();
    let client = ServiceBuilder::new().layer(door).map_err(|never: Infallible| -> BoxError { match never {} });
    let response = client.service(service()).oneshot(Request::new(())).await.expect("a head");
    let error = response.into_body().collect().await.expect_err("cut");
    assert_eq!((elapsed(&error).allowed(), elapsed(&error).by_deadline()), (SEC, true));

    for (deadline, by_deadline) in [(60 * SEC, false), (2 * SEC, false), (2 * SEC - MS, true)] {
        let response = Deadline::within(deadline).scope(service().oneshot(Request::new(()))).await;
        let error = response.expect("infallible").into_body().collect().await.expect_err("cut");
        assert_eq!(elapsed(&error).by_deadline(), by_deadline, "a deadline in {deadline:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_others_left_no_budget_to_see_still_counts() {
    let (mut sender, body) = http_body_util::channel::Channel::<Bytes, Infallible>::new(1);
    let mut body = pin!(BodyDeadline::new(body, Deadline::within(SEC)));
    assert!(futures::poll!(body.frame()).is_pending());
    sender.send_data(Bytes::from_static(b"drip")).await.expect("the body takes it");
    tokio::time::advance(SEC).await;
    let mut polls = 0;
    let frame = std::future::poll_fn(|cx| {
        while polls == 0 && pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        polls += 1;
        body.as_mut().poll_frame(cx)
    })
    .await;
    assert!(frame.expect("a frame").is_ok());
    assert_eq!(polls, 2);
}

#[tokio::test(start_paused = true)]
async fn a_busy_body_cannot_starve_its_deadline() {
    let busy = stream::poll_fn(|cx| -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        Poll::Pending
    });
    let mut body = pin!(BodyDeadline::new(StreamBody::new(busy), Deadline::within(SEC)));
    for _ in 0..3 {
        tokio::task::yield_now().await;
        assert!(futures::poll!(body.frame()).is_pending());
    }
    tokio::time::advance(SEC + MS).await;
    let error = body.frame().await.expect("an error").expect_err("cut");
    assert!(elapsed(&error).by_deadline());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_body_comes_out_as_it_is() {
    let broken = stream::iter([Err::<Frame<Bytes>, BoxError>("reset".into())]);
    let mut body = pin!(BodyDeadline::new(StreamBody::new(broken), Deadline::within(SEC)));
    let error = body.frame().await.expect("an error").expect_err("broken");
    assert_eq!(error.to_string(), "reset");
}
