//! A Postgres of a test's own.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use buttress::engines::{Postgres, SqlStore};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Decode, PgConnection, Type, query, query_scalar};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::server::Server;

const INITDB: [&str; 9] = ["initdb", "-U", "postgres", "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8"];

/// Ends at once, and leaves no shared memory behind.
const END: &str = "QUIT";

pub(crate) struct Database {
    /// Ends before its folder goes.
    pub(crate) server: Option<Server>,
    folder: TempDir,
    fsync: bool,
}

impl Database {
    /// One that forgets what it held when the machine crashes, and not when it does itself.
    pub(crate) async fn start() -> Self {
        Self::make(false, &INITDB).await
    }

    /// As one that is relied upon.
    pub(crate) async fn start_with_fsync() -> Self {
        Self::make(true, &INITDB).await
    }

    /// One that is told what this one has done, which does not wait for it.
    pub(crate) async fn replica(&self) -> Self {
        let primary = self.folder().to_str().expect("a path of letters");
        let copy = ["pg_basebackup", "-h", primary, "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync"];
        Self::make(false, &copy).await
    }

    /// Over what a program makes.
    async fn make(fsync: bool, command: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        if is_root() {
            let chown = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(chown.expect("the command chown").success(), "there is a user postgres");
        }
        let mut program = as_postgres(command[0]).into_iter();
        let mut make = Command::new(program.next().expect("a program"));
        make.args(program).args(&command[1..]).arg("-D").arg(folder.path().join("data"));
        let made = make.current_dir(folder.path()).output().expect(command[0]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut database = Self { server: None, folder, fsync };
        database.up().await;
        database
    }

    /// Starts the server, over what was there before.
    pub(crate) async fn up(&mut self) {
        let on = if self.fsync { "on" } else { "off" };
        let mut command = as_postgres("postgres");
        command.extend(["-D".into(), self.folder.path().join("data").into()]);
        command.extend(["-k".into(), self.folder.path().into()]);
        let fsync = format!("fsync={on}");
        let settings = ["listen_addresses=", &fsync, "shared_buffers=32MB", "max_connections=80"];
        command.extend(settings.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
        let log = self.folder.path().join("log");
        for _ in 0..10 {
            self.server = None;
            self.server = Some(Server::start(&log, END, &command));
            for _ in 0..200 {
                if PgConnection::connect_with(&self.options()).await.is_ok() {
                    return;
                }
                if fs::read_to_string(&log)
                    .is_ok_and(|log| log.contains("FATAL:  pre-existing") || log.contains("FATAL:  lock file"))
                {
                    // A process of the server before has not noticed yet that it is gone.
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("the server does not start: {}", fs::read_to_string(&log).unwrap_or_default());
    }

    fn options(&self) -> PgConnectOptions {
        options(self.folder.path())
    }

    /// Where its socket is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("it is up")
    }

    /// How many rows it has changed.
    pub(crate) async fn run(&self, statement: &str) -> u64 {
        let done = query(AssertSqlSafe(statement)).execute(&self.pool(1)).await;
        done.expect("a statement that can be run").rows_affected()
    }

    /// The one value that a question is answered with.
    pub(crate) async fn ask<T>(&self, question: &str) -> T
    where
        T: Type<sqlx::Postgres> + for<'r> Decode<'r, sqlx::Postgres> + Send + Unpin,
    {
        query_scalar(AssertSqlSafe(question)).fetch_one(&self.pool(1)).await.expect("an answer")
    }

    /// Waits for this to be so.
    pub(crate) async fn until(&self, question: &str) {
        while !self.ask::<bool>(question).await {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// As an instance of a program has it.
    pub(crate) fn pool(&self, connections: u32) -> PgPool {
        pool(self.folder.path(), connections)
    }

    /// The same, of connections that are not asked whether they are there.
    pub(crate) fn pool_without_tests(&self, connections: u32) -> PgPool {
        let options = PgPoolOptions::new().max_connections(connections).test_before_acquire(false);
        options.connect_lazy_with(self.options())
    }

    /// The same, as another role.
    pub(crate) fn pool_of(&self, role: &str) -> PgPool {
        PgPoolOptions::new().max_connections(1).connect_lazy_with(self.options().username(role))
    }

    /// The store of an instance of a program, which has just started.
    pub(crate) async fn store(&self, connections: u32) -> SqlStore<Postgres> {
        let store = SqlStore::<Postgres>::new(self.pool(connections));
        store.migrate().await.expect("a table is made");
        store
    }
}

/// To the server whose socket is in this folder.
pub(crate) fn pool(socket: &Path, connections: u32) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(5));
    pool.connect_lazy_with(options(socket))
}

fn options(socket: &Path) -> PgConnectOptions {
    PgConnectOptions::new().socket(socket).username("postgres").database("postgres")
}

/// The beginning of a command; Postgres refuses to be run by root.
fn as_postgres(program: &str) -> Vec<OsString> {
    let mut command: Vec<OsString> = Vec::new();
    if is_root() {
        let other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"];
        command.extend(other.map(OsString::from));
    }
    command.push(find(program).into());
    command
}

/// Debian keeps them out of the path.
fn find(program: &str) -> PathBuf {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = debian.into_iter().rev().chain(std::env::split_paths(&path));
    let found = folders.find_map(|folder| Some(folder.join(program)).filter(|file| file.is_file()));
    found.unwrap_or_else(|| panic!("there is no {program}: install Postgres (Debian package postgresql)"))
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0)
}
