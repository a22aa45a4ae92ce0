//! A line to the database that is cut before it was asked something, or after it did that and before it has said so.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

const SOCKET: &str = ".s.PGSQL.5432";

/// All that a server says who is asked whether it is there.
const IS_THERE: usize = 6;

/// What is to be lost next, and the connection with it.
enum Lost {
    /// The next answer, and this is said in its place.
    Answer(Vec<u8>),
    /// The next answer that has this in it.
    AnswerWith(&'static str),
    /// The next question that has this in it.
    QuestionWith(&'static str),
}

type Next = Arc<Mutex<Option<Lost>>>;

pub(crate) struct Line {
    folder: TempDir,
    next: Next,
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
        let (server, next) = (server.join(SOCKET), Next::default());
        let shared = next.clone();
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
        Self { folder, next }
    }

    /// The next answer is lost, and the connection with it.
    pub(crate) fn cut(&self) {
        self.lose(Lost::Answer(Vec::new()));
    }

    /// The same of the next answer that has `word` in it.
    pub(crate) fn cut_when_it_says(&self, word: &'static str) {
        self.lose(Lost::AnswerWith(word));
    }

    /// The next question that has `word` in it is lost, and the connection with it.
    pub(crate) fn cut_when_asked(&self, word: &'static str) {
        self.lose(Lost::QuestionWith(word));
    }

    /// The same, and the last that is heard is an error of this severity and code.
    pub(crate) fn fail(&self, severity: &str, code: &str) {
        let fields = format!("S{severity}\0V{severity}\0C{code}\0Mthe end\0\0");
        let length = u32::try_from(fields.len() + 4).expect("a short message");
        self.lose(Lost::Answer([b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()));
    }

    fn lose(&self, next: Lost) {
        *self.next.lock().expect("no panic") = Some(next);
    }

    pub(crate) fn was_cut(&self) -> bool {
        self.next.lock().expect("no panic").is_none()
    }

    pub(crate) fn pool(&self) -> PgPool {
        let options = PgConnectOptions::new().socket(self.folder.path()).username("postgres").database("postgres");
        PgPoolOptions::new().max_connections(1).connect_lazy_with(options)
    }
}

async fn carry(client: UnixStream, server: UnixStream, next: Next) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (of_questions, of_answers) = (next.clone(), next);
    let questions = carry_until(from_client, to_server, move |question| {
        let is_lost = |lost: &mut Lost| matches!(lost, Lost::QuestionWith(word) if has(question, word));
        of_questions.lock().expect("no panic").take_if(is_lost).map(|_| Vec::new())
    });
    let answers = carry_until(from_server, to_client, move |answer| {
        let is_lost = |lost: &mut Lost| match lost {
            Lost::Answer(_) => answer.len() > IS_THERE,
            Lost::AnswerWith(word) => has(answer, word),
            Lost::QuestionWith(_) => false,
        };
        let lost = of_answers.lock().expect("no panic").take_if(is_lost)?;
        Some(if let Lost::Answer(instead) = lost { instead } else { Vec::new() })
    });
    // Either of them ends both.
    tokio::select! {
        () = questions => {}
        () = answers => {}
    }
}

fn has(said: &[u8], word: &str) -> bool {
    said.windows(word.len()).any(|part| part == word.as_bytes())
}

/// Carries what is said until that is lost: then this is the last.
async fn carry_until(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lost: impl Fn(&[u8]) -> Option<Vec<u8>> + Send) {
    let mut said = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut said).await {
        if let Some(last) = lost(&said[..length]) {
            _ = to.write_all(&last).await;
            return;
        }
        if to.write_all(&said[..length]).await.is_err() {
            return;
        }
    }
}
