//! Over real sockets: an outbound client whose origin fails in every way, and a server whose clients go.

use axum::body::Body;
use axum::{Router, routing};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::http::CachedResponses;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Service, ServiceBuilder};

use super::origin::{Does, Origin};
use super::*;

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n1.20";
const DOWN: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n1.";

#[tokio::test]
async fn an_origin_that_fails_in_any_way_is_stood_in_for() {
    let mut origin = Origin::start(Does::Sends(GOOD)).await;
    let layer = cache().http_client(CachedResponses::new(), Body::new);
    let memory = layer.memory();
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid").http_client();
    let circuit = breaker.breaker().clone();
    // Long enough for an answer that comes.
    let timeout = TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("valid").http_client();
    let client = ServiceBuilder::new()
        .layer(layer)
        .layer(breaker)
        .layer(timeout)
        .map_response(|response: Response<hyper::body::Incoming>| response.map(Body::new))
        .map_err(BoxError::from)
        .service(Client::builder(TokioExecutor::new()).build_http::<Body>())
        .check::<Request<Body>>();
    let uri = format!("http://{}/tea", origin.address);
    let ask = async || match client.clone().oneshot(get(&uri)).await {
        Ok(response) => Ok(response.into_parts()),
        Err(error) => Err(error.to_string()),
    };
    let told = async || {
        let (head, body) = ask().await.expect("a response");
        Told::of(Response::from_parts(head, body)).await
    };

    assert!(!told().await.is_from_memory());
    assert_eq!(memory.len(), 1);
    for (does, status) in [
        (Does::Sends(DOWN), "shop;fwd=stale;fwd-status=503;detail=stale-if-error"),
        (Does::Sends("no HTTP"), "shop;fwd=stale;detail=stale-if-error"),
        (Does::Hangs, "shop;fwd=stale;detail=stale-if-error"),
    ] {
        origin.now(does);
        let told = told().await;
        assert_eq!((told.status, &*told.body, told.header("cache-status")), (200, "1.20", vec![status]), "{does:?}");
    }

    // What breaks off reaches its client as far as it came, and does not replace what was whole.
    origin.now(Does::Sends(CUT));
    let (_, body) = ask().await.expect("its head came");
    body.collect().await.expect_err("it breaks off");
    origin.now(Does::Sends(DOWN));
    assert_eq!(told().await.body, "1.20");

    // Nobody can tell whether this is all.
    origin.now(Does::Sends("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n1."));
    assert_eq!(told().await.body, "1.");
    origin.now(Does::Sends(DOWN));
    assert_eq!(told().await.body, "1.20");

    let calls = origin.calls();
    circuit.force_open();
    assert_eq!(told().await.header("cache-status"), ["shop;hit;detail=stale-if-error"]);
    assert_eq!(origin.calls(), calls, "it is left alone");
    circuit.force_closed();

    origin.stop().await;
    assert_eq!(told().await.header("cache-status"), ["shop;fwd=stale;detail=stale-if-error"], "nobody listens");
    memory.forget_all();
    ask().await.expect_err("nothing is remembered: the error comes out as it was");
}

/// Serves an app, and tells where.
async fn serve(app: Router) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

#[tokio::test]
async fn a_client_of_a_server_that_leaves_in_the_midst_of_a_body_leaves_nothing_behind() {
    let layer = cache().http_server(CachedResponses::new(), Body::new);
    let memory = layer.memory();
    let (more, frames) = tokio::sync::mpsc::channel::<Result<&'static str, Infallible>>(1);
    let frames = Arc::new(Mutex::new(Some(frames)));
    let handler = routing::get(async move || {
        let frames = frames.lock().expect("no panic").take().expect("asked once");
        Body::from_stream(futures::stream::unfold(frames, async |mut frames| Some((frames.recv().await?, frames))))
    });
    let address = serve(Router::new().route("/tea", handler).layer(layer)).await;
    let mut client = TcpStream::connect(address).await.expect("it listens");
    client.write_all(b"GET /tea HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    more.send(Ok("1.")).await.expect("it is read");
    let mut seen = Vec::new();
    while !seen.ends_with(b"1.\r\n") {
        seen.push(client.read_u8().await.expect("it streams through"));
    }
    assert!(memory.is_empty(), "not yet");
    drop(client);
    // The server gives the body up once it sees that its client has gone.
    while more.send(Ok("20")).await.is_ok() {}
    assert!(memory.is_empty());
}

#[tokio::test]
async fn what_a_client_has_read_to_its_end_is_kept_whatever_says_its_length() {
    let layer = cache().http_server(CachedResponses::new(), Body::new);
    let memory = layer.memory();
    let chunked = || Body::from_stream(futures::stream::iter(["1.", "20"].map(Ok::<_, Infallible>)));
    let app = Router::new()
        .route("/whole", routing::get(async || "1.20"))
        .route("/chunked", routing::get(async move || chunked()))
        .route("/empty", routing::get(async || ""))
        .route("/length", routing::get(async move || ([("content-length", "4")], chunked())));
    let address = serve(app.layer(layer)).await;
    let mut client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    for (number, path) in ["whole", "chunked", "empty", "length"].into_iter().enumerate() {
        let response = client.call(get(&format!("http://{address}/{path}"))).await.expect("a response");
        response.into_body().collect().await.expect("all of it");
        // The server may still be about to see the end when its client has it.
        while memory.len() == number {
            tokio::task::yield_now().await;
        }
    }
}
