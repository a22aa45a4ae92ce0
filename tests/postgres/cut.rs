//! A line to the database that is cut after the database did what it was asked, and before it has said so.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{UnixListener, UnixStream};

const SOCKET: &str = ".s.PGSQL.5432";

/// All that a server says who is asked whether it is there.
const IS_THERE: usize = 6;

pub(crate) struct Line {
    folder: TempDir,
    is_to_be_cut: Arc<AtomicBool>,
}

impl Line {
    /// To the server whose socket is in this folder.
    pub(crate) fn to(server: &Path) -> Self {
        let folder = TempDir::new().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a socket");
        let (server, is_to_be_cut) = (server.join(SOCKET), Arc::<AtomicBool>::default());
        let flag = is_to_be_cut.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                let server = UnixStream::connect(&server).await.expect("a server");
                tokio::spawn(carry(client, server, flag.clone()));
            }
        });
        Self { folder, is_to_be_cut }
    }

    /// The next answer is lost, and the connection with it.
    pub(crate) fn cut(&self) {
        self.is_to_be_cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn was_cut(&self) -> bool {
        !self.is_to_be_cut.load(Ordering::SeqCst)
    }

    pub(crate) fn pool(&self) -> PgPool {
        let options = PgConnectOptions::new().socket(self.folder.path()).username("postgres").database("postgres");
        PgPoolOptions::new().max_connections(1).connect_lazy_with(options)
    }
}

async fn carry(client: UnixStream, server: UnixStream, is_to_be_cut: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut answer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from_server.read(&mut answer).await {
        if length > IS_THERE && is_to_be_cut.swap(false, Ordering::SeqCst) {
            break;
        }
        if to_client.write_all(&answer[..length]).await.is_err() {
            break;
        }
    }
    questions.abort();
}
