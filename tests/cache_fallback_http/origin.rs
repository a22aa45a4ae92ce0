//! An origin that speaks HTTP/1.1 by hand, so that it can break it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Sends this and closes.
    Sends(&'static str),
    /// Listens, and says nothing.
    Hangs,
}

pub(super) struct Origin {
    pub(super) address: SocketAddr,
    does: Arc<Mutex<Does>>,
    calls: Arc<AtomicU32>,
    listening: JoinHandle<()>,
}

impl Origin {
    pub(super) async fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let (does, calls) = (Arc::new(Mutex::new(does)), Arc::new(AtomicU32::new(0)));
        let listening = tokio::spawn({
            let (does, calls) = (does.clone(), calls.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    calls.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(answer(client, *does.lock().expect("no panic")));
                }
            }
        });
        Self { address, does, calls, listening }
    }

    pub(super) fn now(&self, does: Does) {
        *self.does.lock().expect("no panic") = does;
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Nobody listens any more.
    pub(super) async fn stop(&mut self) {
        self.listening.abort();
        let ended = (&mut self.listening).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

async fn answer(mut client: TcpStream, does: Does) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    match does {
        Does::Sends(text) => _ = client.write_all(text.as_bytes()).await,
        // Until its client goes.
        Does::Hangs => _ = client.read_u8().await,
    }
}
