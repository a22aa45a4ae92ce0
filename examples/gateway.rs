//! A gateway sends again what streams through it, and so does its client.
//!
//! Neither body can be cloned: an `Incoming` comes from a connection, a `BoxBody` from a stream. What an attempt was given
//! is kept, up to 64 KiB; the next one gets it again and reads on. The origin refuses a request before it has read the body,
//! and the gateway sends it again. It refuses that too, after it has read all of it, and the gateway gives up; then the
//! client sends its stream again, and the origin echoes it. All that is a PUT; a POST would be sent once.
//!
//! hyper-util's client takes any body, here a `ReplayBody`. A service that takes only one type needs `.into_body` too:
//! `ReplayBodies::new().into_body(axum::body::Body::new)`, or `reqwest::Body::wrap`.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use axum::http::{Request, StatusCode, header};
use axum::routing::put;
use buttress::http::{ClientStackConfig, ReplayBodies, ReplayBody, client_stack};
use buttress::retry::{Backoff, RetryConfig};
use buttress::{BoxError, Check};
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody, combinators};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

type BoxBody = combinators::BoxBody<Bytes, BoxError>;
static ASKED: AtomicU32 = AtomicU32::new(0);
const CHUNKS: [&str; 4] = ["what ", "streams ", "is ", "sent again"];

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let gateway = gateway(flaky_origin().await?).await?;
    let client = ServiceBuilder::new()
        .layer(client_stack(twice())?.replay(ReplayBodies::new()))
        .service(Client::builder(TokioExecutor::new()).build_http::<ReplayBody<BoxBody>>())
        .check::<Request<BoxBody>>();
    let request = Request::put(format!("http://{gateway}/")).body(slowly())?;
    let echo = client.oneshot(request).await?.into_body().collect().await?.to_bytes();
    println!("client: {} bytes echoed", echo.len());
    assert_eq!((echo, ASKED.load(Ordering::Relaxed)), (CHUNKS.concat().into(), 3));
    Ok(())
}

/// Few attempts, so that both the gateway and its client have something to do.
fn twice() -> ClientStackConfig {
    let retry = RetryConfig::new().max_attempts(2).backoff(Backoff::constant(Duration::from_millis(5)));
    ClientStackConfig::new().retry(retry)
}

/// A body whose chunks come one after the other, so that the first refusal finds it half sent.
fn slowly() -> BoxBody {
    let frames = stream::iter(CHUNKS).then(async |chunk| {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok(Frame::data(chunk.into()))
    });
    BodyExt::boxed(StreamBody::new(frames))
}

async fn gateway(origin: Authority) -> Result<Authority, BoxError> {
    let service = ServiceBuilder::new()
        .map_request(move |request| towards(&origin, request))
        .layer(client_stack(twice())?.replay(ReplayBodies::new()))
        .service(Client::builder(TokioExecutor::new()).build_http::<ReplayBody<Incoming>>())
        .check::<Request<Incoming>>();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address.parse()?)
}

/// The request as it came, but for whom it is addressed to.
fn towards(origin: &Authority, mut request: Request<Incoming>) -> Request<Incoming> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(origin.clone()));
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).expect("it has all three parts");
    request.headers_mut().remove(header::HOST);
    request
}

/// Refuses two requests, the first one unread, and echoes the third.
async fn flaky_origin() -> Result<Authority, BoxError> {
    let answer = async |body: Body| {
        let number = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
        if number == 1 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            println!("origin: request 1, refused unread");
            return Err(StatusCode::SERVICE_UNAVAILABLE);
        }
        let body = body.collect().await.expect("it is sent").to_bytes();
        println!("origin: request {number}, {} bytes read", body.len());
        if number == 3 { Ok(body) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", put(answer))).await });
    Ok(address.parse()?)
}
