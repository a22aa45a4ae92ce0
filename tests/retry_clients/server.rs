//! A server that does to each request what the script says, byte by byte, so that it can also be rude.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The connection is closed without a word.
    Drop,
    /// The head comes, and a part of the body; once the test has [let it](FlakyServer::reset), the connection is reset.
    ResetInBody,
    /// 503, and when to come again.
    Busy { retry_after: &'static str },
    /// 200 and "fine".
    Fine,
}

/// Counts the requests that reach it.
#[derive(Clone)]
pub(crate) struct FlakyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<VecDeque<Act>>,
    requests: AtomicU32,
    reset: Notify,
    /// Holds the address until somebody listens.
    socket: Mutex<Option<TcpSocket>>,
}

impl FlakyServer {
    /// Does to the first requests what the script says, and answers the others.
    pub(crate) fn listening(script: impl IntoIterator<Item = Act>) -> Self {
        let server = Self::refusing(script);
        server.listen();
        server
    }

    /// Has an address, at which connections are refused until it [listens](Self::listen).
    pub(crate) fn refusing(script: impl IntoIterator<Item = Act>) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("loopback");
        let address = socket.local_addr().expect("bound");
        let shared = Shared {
            script: Mutex::new(script.into_iter().collect()),
            requests: AtomicU32::new(0),
            reset: Notify::new(),
            socket: Mutex::new(Some(socket)),
        };
        Self { address, shared: Arc::new(shared) }
    }

    pub(crate) fn listen(&self) {
        let socket = self.shared.socket.lock().expect("not poisoned").take();
        let listener = socket.expect("it listens once").listen(16).expect("loopback");
        tokio::spawn(accept(listener, self.shared.clone()));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> u32 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Resets the connection of the answer that is under way.
    pub(crate) fn reset(&self) {
        self.shared.reset.notify_one();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, shared.clone()));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while read_request(&mut stream).await.is_some() {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let act = shared.script.lock().expect("not poisoned").pop_front().unwrap_or(Act::Fine);
        let answer = match act {
            Act::Drop => return,
            Act::ResetInBody => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nthe beginning".to_owned(),
            Act::Busy { retry_after } => {
                format!("HTTP/1.1 503 Service Unavailable\r\nretry-after: {retry_after}\r\ncontent-length: 0\r\n\r\n")
            }
            Act::Fine => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        if let Act::ResetInBody = act {
            shared.reset.notified().await;
            stream.set_zero_linger().expect("a socket");
            return;
        }
    }
}

/// Reads a head and as much of a body as it says; `None` once the client has gone.
async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().expect("a length"))];
    stream.read_exact(&mut body).await.ok()?;
    Some(())
}
