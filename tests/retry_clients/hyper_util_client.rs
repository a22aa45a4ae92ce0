//! hyper-util's client, with bodies that can be cloned and with some that cannot.

use buttress::http::{ReplayBodies, ReplayBody};
use buttress::retry::OnAttempt;
use buttress::{Attempt, BoxError, Check, Error};
use http::{Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, Service, ServiceExt};

use super::goaway::GoingAway;
use super::*;

type Answer = Result<http::Response<Incoming>, Error<legacy::Error>>;

fn client<B>() -> legacy::Client<legacy::connect::HttpConnector, B>
where
    B: Body + Send + 'static + Unpin,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    legacy::Client::builder(TokioExecutor::new()).build_http()
}

fn request(method: Method, url: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(url).body(Full::from("a body")).expect("valid")
}

async fn send(method: Method, url: &str) -> Answer {
    stack().layer(client()).check::<Request<Full<Bytes>>>().oneshot(request(method, url)).await
}

async fn text(answer: Answer) -> Bytes {
    answer.expect("an answer").into_body().collect().await.expect("a body").to_bytes()
}

#[tokio::test]
async fn what_was_dropped_without_an_answer_is_sent_again_where_that_is_safe() {
    let server = FlakyServer::listening([Act::Drop, Act::Drop]);
    assert_eq!(text(send(Method::PUT, &server.url()).await).await, "fine");
    assert_eq!(server.requests(), 3);

    let server = FlakyServer::listening([Act::Drop, Act::Drop]);
    let error = send(Method::POST, &server.url()).await.expect_err("it may have been acted upon");
    assert!(matches!(error, Error::Inner(error) if !error.is_connect()));
    assert_eq!(server.requests(), 1);

    let server = FlakyServer::listening([Act::Drop, Act::Drop]);
    let mut known = request(Method::POST, &server.url());
    known.headers_mut().insert("idempotency-key", "order-7".parse().expect("valid"));
    assert_eq!(text(stack().layer(client()).oneshot(known).await).await, "fine");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_server_that_drops_everything_is_asked_as_often_as_may_be() {
    let server = FlakyServer::listening([Act::Drop; 5]);
    send(Method::GET, &server.url()).await.expect_err("dropped");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn the_head_decides_and_a_body_that_breaks_off_is_not_sent_for_again() {
    let server = FlakyServer::listening([Act::ResetInBody]);
    let answer = send(Method::GET, &server.url()).await.expect("a head");
    assert_eq!(answer.status(), StatusCode::OK);
    server.reset();
    answer.into_body().collect().await.expect_err("it was reset");
    assert_eq!(server.requests(), 1);

    let server = FlakyServer::listening([Act::Drop, Act::ResetInBody]);
    let answer = send(Method::GET, &server.url()).await.expect("a head");
    server.reset();
    answer.into_body().collect().await.expect_err("it was reset");
    assert_eq!(server.requests(), 2, "what fails before the head is");
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_again() {
    let server = FlakyServer::listening([AT_ONCE, AT_ONCE]);
    assert_eq!(text(send(Method::GET, &server.url()).await).await, "fine");
    assert_eq!(server.requests(), 3);

    let server = FlakyServer::listening([IN_AN_HOUR]);
    assert_eq!(send(Method::GET, &server.url()).await.expect("an answer").status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.requests(), 1, "nobody waits that long");

    let server = FlakyServer::listening([AT_ONCE]);
    assert_eq!(send(Method::POST, &server.url()).await.expect("an answer").status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.requests(), 1, "a payment may have been made");
}

/// Lets the server listen before the second attempt.
#[derive(Clone)]
struct ListenThen(FlakyServer);

impl<Req> OnAttempt<Req> for ListenThen {
    fn on_attempt(&self, _: &mut Req, attempt: Attempt) {
        if attempt == Attempt::FIRST.next() {
            self.0.listen();
        }
    }
}

#[tokio::test]
async fn what_was_never_sent_is_sent_whatever_it_is() {
    let never_sent = |error: &Error<legacy::Error>| matches!(error, Error::Inner(error) if error.is_connect());
    let server = FlakyServer::refusing([]);
    let knows = stack().retry_with(|retry| retry.never_sent(never_sent).on_attempt(ListenThen(server.clone())));
    let answer = knows.layer(client()).oneshot(request(Method::POST, &server.url())).await;
    assert_eq!(text(answer).await, "fine");
    assert_eq!(server.requests(), 1);

    let server = FlakyServer::refusing([]);
    let knows_not = stack().retry_with(|retry| retry.on_attempt(ListenThen(server.clone())));
    let answer = knows_not.layer(client()).oneshot(request(Method::POST, &server.url())).await;
    assert!(matches!(answer.expect_err("refused"), Error::Inner(error) if error.is_connect()));
    assert_eq!(server.requests(), 0);

    let server = FlakyServer::listening([Act::Drop]);
    let knows = stack().retry_with(|retry| retry.never_sent(never_sent));
    knows.layer(client()).oneshot(request(Method::POST, &server.url())).await.expect_err("it was sent");
    assert_eq!(server.requests(), 1);
}

async fn send_http2(method: Method, url: &str) -> Answer {
    let http2 = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Full<Bytes>>();
    stack().layer(http2).oneshot(request(method, url)).await
}

#[tokio::test]
async fn what_a_server_that_goes_away_left_is_sent_again_over_another_connection() {
    // Stream 1 is the request. The server says that it never saw it, or that it did.
    for last_stream in [0, 1] {
        let server = GoingAway::having_seen(last_stream).await;
        assert_eq!(text(send_http2(Method::GET, &server.url()).await).await, "fine");
        assert_eq!(server.requests(), 2);

        let server = GoingAway::having_seen(last_stream).await;
        send_http2(Method::POST, &server.url()).await.expect_err("it may have been acted upon");
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_cloned_is_sent_again_by_replay() {
    type Boxed = BoxBody<Bytes, BoxError>;
    let server = FlakyServer::listening([AT_ONCE, Act::Drop]);
    let body: Boxed = Full::<Bytes>::from("a body").map_err(|never| match never {}).boxed();
    let put = || Request::put(server.url());
    let client = stack().replay(ReplayBodies::new()).layer(client::<ReplayBody<Boxed>>());
    assert_eq!(text(client.oneshot(put().body(body).expect("valid")).await).await, "fine");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn a_connection_that_is_reset_while_the_body_is_sent_costs_nothing_of_it() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.read_exact(&mut [0; 300]).await.expect("more than that is sent");
            stream.set_zero_linger().expect("a reset instead of an end");
        }
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n0\r\n\r\n") {
            assert!(stream.read_buf(&mut read).await.expect("it is sent") > 0, "it is sent whole");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await.expect("it is read");
        read
    });
    let chunks = (0..20_u8).map(|number| Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b'a' + number; 1000]))));
    let body = StreamBody::new(futures::stream::iter(chunks)).boxed();
    let client = stack().replay(ReplayBodies::new()).layer(client::<ReplayBody<BoxBody<Bytes, BoxError>>>());
    assert_eq!(text(client.oneshot(Request::put(url).body(body).expect("valid")).await).await, "fine");
    let read = server.await.expect("no panic");
    for number in 0..20_u8 {
        assert_eq!(read.iter().filter(|byte| **byte == b'a' + number).count() / 1000, 1, "chunk {number}");
    }
}

/// What a server passes on, as it came.
#[tokio::test]
async fn what_comes_in_can_be_passed_on() {
    fn serves<S: Service<Request<Incoming>, Response = http::Response<Incoming>>>(_: &S) {}
    serves(&stack().replay(ReplayBodies::new()).layer(client::<ReplayBody<Incoming>>()));
    serves(&stack().replay(|_: &Request<Incoming>| None).layer(client::<Incoming>()));
    serves(&stack().retry(tower::layer::util::Identity::new()).layer(client::<Incoming>()));
}

/// Compiles only if a generated client can be made of it. gRPC's own meaning of a failure comes with its own layer.
#[tokio::test]
async fn a_tonic_channel_is_still_a_channel_for_generated_clients() {
    fn serves_generated_clients<T>(_: &T)
    where
        T: tonic::client::GrpcService<tonic::body::Body> + Clone,
        T::ResponseBody: Body<Data = Bytes> + Send + 'static,
        <T::ResponseBody as Body>::Error: Into<BoxError>,
    {
    }
    let channel = || tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let no_retry = stack().retry(tower::layer::util::Identity::new());
    serves_generated_clients(&no_retry.layer(channel()).check::<Request<tonic::body::Body>>());
    let sent_again = stack().replay(ReplayBodies::new().into_body(tonic::body::Body::new));
    serves_generated_clients(&sent_again.layer(channel()).check::<Request<tonic::body::Body>>());
    let sent_once = stack().replay(|_: &Request<tonic::body::Body>| None);
    serves_generated_clients(&sent_once.layer(channel()).check::<Request<tonic::body::Body>>());
}
