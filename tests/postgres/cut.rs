//! A line to the database that is cut after the database did what it was asked, and before it has said so.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

const SOCKET: &str = ".s.PGSQL.5432";

/// All that a server says who is asked whether it is there.
const IS_THERE: usize = 6;

/// What is said in place of the next answer, if it is to be lost.
type Instead = Arc<Mutex<Option<Vec<u8>>>>;

pub(crate) struct Line {
    folder: TempDir,
    instead: Instead,
}

impl Line {
    /// To the server whose socket is in this folder.
    pub(crate) fn to(server: &Path) -> Self {
        Self::to_far(server, Duration::ZERO)
    }

    /// The same, where it takes so long until there is a connection.
    pub(crate) fn to_far(server: &Path, takes: Duration) -> Self {
        let folder = TempDir::new().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a socket");
        let (server, instead) = (server.join(SOCKET), Instead::default());
        let shared = instead.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a client");
                let (server, instead) = (server.clone(), shared.clone());
                tokio::spawn(async move {
                    sleep(takes).await;
                    // By then the test may be over.
                    if let Ok(server) = UnixStream::connect(&server).await {
                        carry(client, server, instead).await;
                    }
                });
            }
        });
        Self { folder, instead }
    }

    /// The next answer is lost, and the connection with it.
    pub(crate) fn cut(&self) {
        self.cut_after(Vec::new());
    }

    /// The same, and the last that is heard is an error of this severity and code.
    pub(crate) fn fail(&self, severity: &str, code: &str) {
        let fields = format!("S{severity}\0V{severity}\0C{code}\0Mthe end\0\0");
        let length = u32::try_from(fields.len() + 4).expect("a short message");
        self.cut_after([b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat());
    }

    fn cut_after(&self, last: Vec<u8>) {
        *self.instead.lock().expect("no panic") = Some(last);
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.instead.lock().expect("no panic").is_none()
    }

    pub(crate) fn pool(&self) -> PgPool {
        let options = PgConnectOptions::new().socket(self.folder.path()).username("postgres").database("postgres");
        PgPoolOptions::new().max_connections(1).connect_lazy_with(options)
    }
}

async fn carry(client: UnixStream, server: UnixStream, instead: Instead) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
    let mut answer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from_server.read(&mut answer).await {
        let last = if length > IS_THERE { instead.lock().expect("no panic").take() } else { None };
        if let Some(last) = last {
            _ = to_client.write_all(&last).await;
            break;
        }
        if to_client.write_all(&answer[..length]).await.is_err() {
            break;
        }
    }
    questions.abort();
}
