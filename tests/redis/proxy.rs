//! A line to a server that is cut when an answer is on its way.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

#[derive(Clone, Default)]
pub(crate) struct Cut(Arc<AtomicBool>);

impl Cut {
    /// Loses the next answer, and the connection with it.
    pub(crate) fn next_answer(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether one is still to be lost.
    pub(crate) fn is_due(&self) -> bool {
        self.0.load(Ordering::SeqCst)
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
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let asked = async { drop(tokio::io::copy(&mut from_client, &mut to_server).await) };
        let answered = async {
            let mut answer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_server.read(&mut answer).await {
                if self.0.swap(false, Ordering::SeqCst) || to_client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = asked => {} () = answered => {} }
    }
}
