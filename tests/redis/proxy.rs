//! A line to a server that is cut when an answer is on its way, or goes dead.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

#[derive(Clone, Default)]
pub(crate) struct Cut {
    is_due: Arc<AtomicBool>,
    /// How many connections were made.
    made: Arc<AtomicU32>,
    /// How many of them, the first ones, are dead.
    dead: Arc<AtomicU32>,
}

impl Cut {
    /// Loses all answers of the connections that there are, and says nothing, as a host does that is gone.
    pub(crate) fn goes_dead(&self) {
        self.dead.store(self.made.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Loses the next answer, and the connection with it.
    pub(crate) fn next_answer(&self) {
        self.is_due.store(true, Ordering::SeqCst);
    }

    /// Whether one is still to be lost.
    pub(crate) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::SeqCst)
    }

    /// Takes connections for as long as the runtime is there.
    pub(crate) fn between(&self, listener: UnixListener, server: PathBuf) {
        let cut = self.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.expect("it runs");
                tokio::spawn(cut.clone().line(client, server));
            }
        });
    }

    async fn line(self, client: UnixStream, server: UnixStream) {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let asked = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
        let answered = async {
            let mut answer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_server.read(&mut answer).await {
                if number < self.dead.load(Ordering::SeqCst) {
                    continue;
                }
                if self.is_due.swap(false, Ordering::SeqCst) || to_client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = asked => {} () = answered => {} }
    }
}
