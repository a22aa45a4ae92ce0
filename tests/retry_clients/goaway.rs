//! A server of HTTP/2 that goes away in the middle of a request, frame by frame, and the next time stays.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;

/// No settings, none of the client's answered for: it need not wait for that.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

pub(crate) struct GoingAway {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
}

impl GoingAway {
    /// The first connection goes away when it has a request, and says that it saw those up to `last_stream`; the others
    /// answer.
    pub(crate) async fn having_seen(last_stream: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(AtomicU32::new(0));
        tokio::spawn(accept(listener, last_stream, requests.clone()));
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, last_stream: u32, requests: Arc<AtomicU32>) {
    let (first, _) = listener.accept().await.expect("a connection");
    go_away(first, last_stream, &requests).await;
    while let Ok((stream, _)) = listener.accept().await {
        let requests = requests.clone();
        let answer = service_fn(move |_: Request<Incoming>| {
            requests.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("fine"))) }
        });
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        tokio::spawn(http2.serve_connection(TokioIo::new(stream), answer));
    }
}

/// RFC 9113, section 6.8: the last stream, and no error.
async fn go_away(mut stream: TcpStream, last_stream: u32, requests: &AtomicU32) {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.expect("a preface");
    assert_eq!(preface, PREFACE);
    stream.write_all(&SETTINGS).await.expect("a client that reads");
    while read_frame(&mut stream).await != HEADERS {}
    requests.fetch_add(1, Ordering::SeqCst);
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend(last_stream.to_be_bytes());
    frame.extend(0_u32.to_be_bytes());
    stream.write_all(&frame).await.expect("a client that reads");
    // Closed once the client has, so that it has read what it was told.
    stream.shutdown().await.expect("a client that reads");
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// The type of the next frame.
async fn read_frame(stream: &mut TcpStream) -> u8 {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("a frame");
    let [high, middle, low, kind, ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
    stream.read_exact(&mut payload).await.expect("the rest of the frame");
    kind
}
