//! Attempts over loopback, through hyper's client and server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buttress::BoxError;
use buttress::http::{ReplayBodies, ReplayBody};
use buttress::retry::{AnyRequest, Backoff, Replay, RetryConfig, RetryLayer};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tower::{ServiceBuilder, ServiceExt};

use crate::script::trailers;

/// What a server saw of a request's body: all of it, or an error.
type Seen = Result<(Bytes, Option<HeaderMap>), String>;

#[derive(Clone, Copy, Debug)]
enum Http {
    One,
    Two,
}

/// A server that reads `frames` frames of its first `refused` requests and answers 503, and reads the others whole.
struct Server {
    address: SocketAddr,
    seen: UnboundedReceiver<Seen>,
}

async fn whole(body: Incoming, before: Vec<u8>) -> Seen {
    let rest = body.collect().await.map_err(|error| error.to_string())?;
    let trailers = rest.trailers().cloned();
    Ok(([Bytes::from(before), rest.to_bytes()].concat().into(), trailers))
}

async fn answer(
    request: Request<Incoming>,
    is_refused: bool,
    frames: usize,
    seen: UnboundedSender<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    if !is_refused {
        seen.send(whole(body, Vec::new()).await).expect("somebody looks");
        return Ok(Response::default());
    }
    let mut before = Vec::new();
    for _ in 0..frames {
        let frame = body.frame().await.expect("a frame").expect("it is sent");
        before.extend_from_slice(&frame.into_data().expect("data"));
    }
    tokio::spawn(async move { seen.send(whole(body, before).await) });
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(response)
}

impl Server {
    async fn start(http: Http, refused: usize, frames: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (tell, seen) = unbounded_channel();
        let calls = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tell, calls) = (tell.clone(), calls.clone());
                let service = service_fn(move |request| {
                    let is_refused = calls.fetch_add(1, Ordering::Relaxed) < refused;
                    answer(request, is_refused, frames, tell.clone())
                });
                tokio::spawn(async move {
                    let io = TokioIo::new(stream);
                    match http {
                        Http::One => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
                        Http::Two => {
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(io, service)
                                .await
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    fn request<B>(&self, body: B) -> Request<B> {
        Request::post(format!("http://{}/", self.address)).body(body).expect("a request")
    }

    async fn saw(&mut self) -> Seen {
        self.seen.recv().await.expect("it saw something")
    }
}

/// What a retry does; `between` happens when it has decided for one.
async fn retried<B>(http: Http, request: Request<B>, mut between: impl AsyncFnMut(usize)) -> StatusCode
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let client: Client<_, ReplayBody<B>> =
        Client::builder(TokioExecutor::new()).http2_only(matches!(http, Http::Two)).build_http();
    let replay = ReplayBodies::new();
    let (mut attempt, kept) = replay.split(request);
    let mut kept = kept.expect("it is kept");
    for number in 1.. {
        let status = client.request(attempt).await.expect("an answer").status();
        if status == StatusCode::OK {
            return status;
        }
        assert!(replay.seal(&mut kept));
        between(number).await;
        attempt = replay.again(&mut kept);
    }
    unreachable!("it ends with an answer")
}

/// The layer itself, with no time between attempts.
async fn through_the_layer<B>(http: Http, request: Request<B>) -> StatusCode
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let config = RetryConfig::new().max_attempts(9).backoff(Backoff::constant(Duration::ZERO));
    let client = ServiceBuilder::new()
        .layer(RetryLayer::new(config).expect("valid").http_client().replay(ReplayBodies::new()).may_repeat(AnyRequest))
        .map_err(buttress::Error::inner)
        .service(
            Client::builder(TokioExecutor::new()).http2_only(matches!(http, Http::Two)).build_http::<ReplayBody<B>>(),
        );
    client.oneshot(request).await.expect("an answer").status()
}

const WHOLE: &str = "first second third";

/// A server that refuses while it reads sees no body end but the whole one.
async fn whole_or_not_at_all(http: Http, frames: usize) {
    let mut server = Server::start(http, 2, frames).await;
    let (mut sender, body) = Channel::<Bytes, BoxError>::new(8);
    sender.send_data(Bytes::from_static(b"first ")).await.expect("there is room");
    let mut sender = Some(sender);
    let request = server.request(body);
    let (look, mut looked) = unbounded_channel();
    let status = retried(http, request, async |number| {
        look.send(server.saw().await).expect("it is looked at");
        if number == 1 {
            let sender = sender.as_mut().expect("it is there");
            sender.send_data(Bytes::from_static(b"second ")).await.expect("there is room");
        } else {
            let mut sender = sender.take().expect("it is there");
            sender.send_data(Bytes::from_static(b"third")).await.expect("there is room");
            sender.send_trailers(trailers()).await.expect("there is room");
        }
    })
    .await;
    assert_eq!(status, StatusCode::OK);
    for _ in 0..2 {
        let seen = looked.recv().await.expect("it was refused twice");
        assert!(seen.is_err(), "{http:?}: half a body was taken for a whole one: {seen:?}");
    }
    let (bytes, seen_trailers) = server.saw().await.expect("the whole body");
    assert_eq!(bytes, WHOLE);
    if matches!(http, Http::Two) {
        assert_eq!(seen_trailers, Some(trailers()));
    }
}

#[tokio::test]
async fn a_server_that_answers_before_it_reads_gets_all_of_it_later() {
    whole_or_not_at_all(Http::One, 0).await;
    whole_or_not_at_all(Http::Two, 0).await;
}

#[tokio::test]
async fn a_server_that_answers_while_it_reads_gets_all_of_it_later() {
    whole_or_not_at_all(Http::One, 1).await;
    whole_or_not_at_all(Http::Two, 1).await;
}

/// A server that refuses twice sees nothing but the whole body, as often as it is sent to the end, and the last time.
async fn is_seen_whole<B>(http: Http, body: impl Fn() -> B)
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    for frames in [0, 1] {
        let mut server = Server::start(http, 2, frames).await;
        assert_eq!(through_the_layer(http, server.request(body())).await, StatusCode::OK);
        let mut wholes = Vec::new();
        for _ in 0..3 {
            // One that was still sending when it was refused was cut.
            wholes.extend(server.saw().await.ok());
        }
        let is_whole = |(bytes, _): &(Bytes, _)| bytes == WHOLE;
        assert!(!wholes.is_empty() && wholes.iter().all(is_whole), "{http:?}: {wholes:?}");
    }
}

#[tokio::test]
async fn the_server_sees_the_same_bytes_at_every_attempt() {
    let frames = || ["first ", "second ", "third"].map(|chunk| Ok::<_, BoxError>(Frame::data(Bytes::from(chunk))));
    for http in [Http::One, Http::Two] {
        is_seen_whole(http, || Full::new(Bytes::from_static(WHOLE.as_bytes()))).await;
        is_seen_whole(http, || StreamBody::new(futures::stream::iter(frames()))).await;
        is_seen_whole(http, || StreamBody::new(futures::stream::iter(frames())).boxed()).await;
    }
}

#[tokio::test]
async fn a_gateway_sends_again_what_comes_in() {
    for http in [Http::One, Http::Two] {
        let mut server = Server::start(http, 2, 1).await;
        let upstream = server.address;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let gateway = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let forward = service_fn(move |request: Request<Incoming>| async move {
                let request =
                    Request::post(format!("http://{upstream}/")).body(request.into_body()).expect("a request");
                let status = through_the_layer(http, request).await;
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = status;
                Ok::<_, Infallible>(response)
            });
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), forward)
                .await
        });
        let frames = ["first ", "second ", "third"].map(|chunk| Ok::<_, BoxError>(Frame::data(Bytes::from(chunk))));
        let body = StreamBody::new(futures::stream::iter(frames.into_iter().chain([Ok(Frame::trailers(trailers()))])));
        let client: Client<_, _> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let request = Request::post(format!("http://{gateway}/")).body(body).expect("a request");
        assert_eq!(client.request(request).await.expect("an answer").status(), StatusCode::OK);
        let mut wholes = Vec::new();
        for _ in 0..3 {
            wholes.extend(server.saw().await.ok());
        }
        let expected = (Bytes::from(WHOLE), matches!(http, Http::Two).then(trailers));
        assert!(!wholes.is_empty() && wholes.iter().all(|whole| *whole == expected), "{wholes:?}");
    }
}
