//! Servers of a test's own, on a socket in a temporary folder.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use buttress::engines::redis::{Connection, InvalidRedis, RedisStore, connection_config};
use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind};
use tempfile::TempDir;

use crate::support::server::Server;

/// For a server that keeps what it has said.
pub(crate) const ON_DISK: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// A server, what it is told at its start, and its folder, in which it is found again when it is started again.
pub(crate) struct Redis {
    command: Vec<String>,
    server: Option<Server>,
    folder: TempDir,
}

impl Redis {
    /// A server with these settings beside what each test needs.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let binary = env::var("BUTTRESS_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let version = Command::new(&binary).arg("--version").output();
        version.unwrap_or_else(|error| panic!("{binary}: {error}; `apt-get install redis-server` brings one"));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = vec![binary];
        command.extend(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no"].map(String::from));
        command.extend(["--dir", text(folder.path()), "--unixsocket", text(&socket(&folder))].map(String::from));
        command.extend(settings.iter().copied().map(String::from));
        let mut redis = Self { command, server: None, folder };
        redis.start_again().await;
        redis
    }

    /// Starts it, if it is not there, and waits until it answers.
    pub(crate) async fn start_again(&mut self) {
        let log = self.folder.path().join("log");
        self.server = Some(Server::start(&log, "KILL", &self.command));
        for _ in 0..1000 {
            match self.client().get_multiplexed_async_connection().await {
                Ok(_) => return,
                Err(error) if error.is_io_error() || matches!(error.kind(), ErrorKind::Server(_)) => {}
                Err(error) => panic!("{}: {error}", self.command[0]),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("{} does not answer, and says:\n{log}", self.command[0]);
    }

    /// Ends it as a crash does.
    pub(crate) fn kill(&mut self) {
        let server = self.server.take().expect("it runs");
        server.signal("KILL");
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.server.as_ref().expect("it runs").signal(signal);
    }

    pub(crate) fn socket(&self) -> PathBuf {
        socket(&self.folder)
    }

    pub(crate) fn client(&self) -> Client {
        client(&self.socket())
    }

    /// A store that has all the time that a busy machine needs.
    pub(crate) async fn store(&self) -> RedisStore<Connection> {
        store(&self.client(), Duration::from_secs(60)).await
    }

    /// For what a test itself asks the server.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        self.client().get_multiplexed_async_connection().await.expect("it answers")
    }

    pub(crate) async fn say<T: redis::FromRedisValue>(&self, words: &str) -> T {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        command.arg(words.collect::<Vec<_>>());
        command.query_async(&mut self.connection().await).await.expect("it does so")
    }
}

pub(crate) fn client(socket: &Path) -> Client {
    Client::open(format!("redis+unix://{}", text(socket))).expect("an address")
}

/// A store that is connected as we recommend, but for the time that it has.
pub(crate) async fn store(client: &Client, patience: Duration) -> RedisStore<Connection> {
    try_store(client, patience).await.expect("it keeps records")
}

/// The same, of a server that may not be there.
pub(crate) async fn try_store(client: &Client, patience: Duration) -> Result<RedisStore<Connection>, InvalidRedis> {
    let config = connection_config().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
    RedisStore::new(Connection::new(client.clone(), config).expect("valid")).await
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("socket")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}
