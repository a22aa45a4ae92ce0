//! A server on a socket, which tells when a connection is over and when nobody waits for an answer any more.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tower::ServiceExt;

pub(crate) struct Server {
    address: SocketAddr,
    connections: mpsc::UnboundedReceiver<JoinHandle<()>>,
    /// Notified when the future of an answer has come to its end or was dropped.
    answered_or_given_up: Arc<Notify>,
}

#[derive(Clone, Copy)]
enum Version {
    Http1,
    Http2,
}

impl Server {
    pub(crate) async fn http1(app: Router) -> Self {
        Self::listening(app, Version::Http1).await
    }

    pub(crate) async fn http2(app: Router) -> Self {
        Self::listening(app, Version::Http2).await
    }

    async fn listening(app: Router, version: Version) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let answered_or_given_up = Arc::new(Notify::new());
        let tells = answered_or_given_up.clone();
        let app = app.layer(from_fn(move |request: Request, next: Next| {
            let tells = NotifyOnDrop(tells.clone());
            async move {
                let _tells = tells;
                next.run(request).await
            }
        }));
        let (connection, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let task = tokio::spawn(serve(stream, app.clone(), version));
                if connection.send(task).is_err() {
                    return;
                }
            }
        });
        Self { address, connections, answered_or_given_up }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// A client of HTTP/2, whose requests are reset when their future or their body is dropped.
    pub(crate) async fn connect_http2(&self) -> SendRequest<Body> {
        let stream = TokioIo::new(self.connect().await);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (client, connection) = handshake.await.expect("a handshake");
        tokio::spawn(connection);
        client
    }

    /// Sends `request` and reads whatever comes until the server closes.
    pub(crate) async fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request).await.expect("sent");
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.expect("a response");
        String::from_utf8(response).expect("text")
    }

    /// When the next connection that was made is over on this side.
    pub(crate) async fn connection_over(&mut self) {
        let connection = self.connections.recv().await.expect("it accepts");
        connection.await.expect("no panic");
    }

    /// When an answer was given, or nobody waits for it any more.
    pub(crate) async fn answered_or_given_up(&self) {
        self.answered_or_given_up.notified().await;
    }
}

pub(crate) struct NotifyOnDrop(pub(crate) Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn serve(stream: TcpStream, app: Router, version: Version) {
    let service = TowerToHyperService::new(app.map_request(|request: Request<Incoming>| request.map(Body::new)));
    let stream = TokioIo::new(stream);
    // A client that goes away is an error.
    let _ = match version {
        Version::Http1 => hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await,
        Version::Http2 => {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
        }
    };
}

/// Reads what has come of a body.
pub(crate) async fn some_of(body: &mut Incoming) -> bytes::Bytes {
    body.frame().await.expect("a frame").expect("no error").into_data().expect("data")
}
