use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{Connection as _, Error, query_as, raw_sql};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::row::corrupt;
use super::writer::{Ask, Decide, Job, Question, Writer};
use crate::clock::{Moment, wall_time};
use crate::engines::sql::{SqlStore, sealed};
use crate::idempotency::{RecordKey, StoreError};

/// How long another process may take for a transaction of its own.
const BUSY: Duration = Duration::from_secs(5);

/// Whoever finds so many before it waits to be let in.
const MOST_WAITING: usize = 1024;

/// What this is, in a file that holds its records: `bts3`.
const APPLICATION: i64 = 1_651_864_691;
const VERSION: i64 = 1;

/// The way to the one that writes.
#[derive(Clone)]
pub struct Connection {
    jobs: mpsc::Sender<Job>,
    commits: Arc<AtomicU64>,
}

impl sealed::Engine for Sqlite {
    type Connection = Connection;

    const NAME: &'static str = "sqlite";
}

impl SqlStore<Sqlite> {
    /// Records in a file, which is made if there is none.
    ///
    /// ```
    /// use buttress::engines::{SqlStore, Sqlite};
    /// use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("orders.records");
    /// let store = SqlStore::<Sqlite>::open(file).await?;
    /// let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?;
    /// # let _ = once;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// One task writes for all who ask, on the runtime that this is called on: what they ask for while it writes is written
    /// next, in one transaction, and each of them is answered when that is on the disk. It ends with the last clone of the
    /// store.
    ///
    /// Several processes may open a file, on one machine: each waits for the others' transactions. Not over a network, where
    /// locks of files do not hold. Next to the file are two more, `-wal` and `-shm`, which belong to it.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or written. If it is no database, that of something else, or of a later version of this crate,
    /// it is [`Corrupt`](StoreError::Corrupt), and left as it is.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_at(path, wall_time()).await
    }

    /// The same at a time that you say it is.
    ///
    /// The wall clock, which may be set, is asked for no more than this; from then on time goes on by itself. It never is before
    /// what it was when the file was last written, so a clock that is set back changes nothing about leases. One that is set
    /// on while no process has the file open ends them: then as much time has gone by, for all that anybody can know.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_at(path: impl AsRef<Path>, now: SystemTime) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
        migrate(&mut connection).await?;
        let (jobs, waiting) = mpsc::channel(MOST_WAITING);
        let commits = Arc::default();
        let clock = Clock::set(now, Moment::now());
        tokio::spawn(Writer::new(connection, clock, Arc::clone(&commits)).run(waiting));
        Ok(Self { connection: Connection { jobs, commits } })
    }

    /// How many transactions have been written. They are fewer than what was asked for, if many ask at once.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.connection.commits.load(Ordering::Relaxed)
    }

    /// Decides about a record, alone with it.
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        key: &RecordKey,
        decide: impl Decide<T>,
    ) -> Result<T, StoreError> {
        let (question, answer) = Question::new(decide);
        let ask: Box<dyn Ask> = Box::new(question);
        self.send(Job::Record(*key, ask), answer).await
    }

    /// Forgets up to `most` records whose time is over.
    pub(super) async fn forget(&self, most: u32) -> Result<u32, StoreError> {
        let (answer, said) = oneshot::channel();
        self.send(Job::Purge { most, said: Ok(0), answer }, said).await
    }

    async fn send<T>(&self, job: Job, answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        let gone = || Arc::new("the runtime that the store was opened on has ended".into());
        self.connection.jobs.send(job).await.map_err(|_| StoreError::Unavailable(gone()))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Ambiguous(gone())))
    }
}

/// Makes the tables, unless they are there. Two processes do so one after the other.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    // Before anything is changed, and a file that is not ours is not.
    is_made(connection).await?;
    raw_sql("PRAGMA journal_mode = WAL").execute(&mut *connection).await.map_err(failed)?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    if is_made(&mut transaction).await? {
        return Ok(());
    }
    raw_sql(include_str!("schema.sql")).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// Whether it holds our tables; if not, it is empty.
async fn is_made(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    let found = "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) \
                 FROM pragma_application_id, pragma_user_version";
    match query_as(found).fetch_one(connection).await.map_err(failed)? {
        (APPLICATION, VERSION, _) => Ok(true),
        (0, 0, 0) => Ok(false),
        (APPLICATION, _, _) => Err(corrupt("the file is of another version")),
        (_, _, _) => Err(corrupt("the file is the database of something else")),
    }
}

/// What cannot be done is undone, as long as it is not being committed.
pub(super) fn failed(error: Error) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    let is_unreadable = matches!(error, Error::ColumnDecode { .. } | Error::Decode(_));
    // The lowest byte is the kind of error, and the others are what exactly it is.
    match code.map(|code| code & 0xff) {
        // SQLITE_FULL.
        Some(13) => StoreError::Full,
        // SQLITE_CORRUPT and SQLITE_NOTADB.
        Some(11 | 26) => StoreError::Corrupt(Arc::new(error.into())),
        _ if is_unreadable => StoreError::Corrupt(Arc::new(error.into())),
        _ => StoreError::Unavailable(Arc::new(error.into())),
    }
}
