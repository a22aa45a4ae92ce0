use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteConnection, SqliteLockingMode, SqliteSynchronous};
use sqlx::{Connection as _, Error, query_as, query_scalar, raw_sql};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::file::File;
use super::row::{corrupt, moment, select_clock, update_clock};
use super::steady::Steady;
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
    /// Several processes of one machine may open a file: each waits for the others' transactions (and if one of them stands still
    /// in the midst of one, what the others ask for fails until it goes on or is gone), and they have one clock, which counts
    /// how long the machine is up. Linux says that (in `/proc`, which is to be the same for all of them: not that of a
    /// time namespace, or of a container that counts from its own start). Where the machine does not say, one process may have the
    /// file open, and another one that opens it is refused. Not over a network, where locks of files do not hold, and not one
    /// after the other on machines whose clocks differ. Next to the file are two more, `-wal` and `-shm`, which belong to it.
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
    /// It counts if nobody has opened the file since the machine was started: from then on time goes on by itself, for all who
    /// open it, until the machine is started again. A wall clock that is set meanwhile changes nothing. Nor does one that is set
    /// back while the machine is down, since time never is before what it was when the file was last written; one that is set on
    /// ends leases: then as much time has gone by, for all that anybody can know. Where the machine does not say how long it is
    /// up, all of this is so from one opening of the file to the next.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub async fn open_at(path: impl AsRef<Path>, now: SystemTime) -> Result<Self, StoreError> {
        Self::open_by(Steady::find(), path.as_ref(), now).await
    }

    async fn open_by(steady: Steady, path: &Path, now: SystemTime) -> Result<Self, StoreError> {
        let is_alone = steady.boot().is_none();
        let locking = if is_alone { SqliteLockingMode::Exclusive } else { SqliteLockingMode::Normal };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(BUSY)
            .locking_mode(locking)
            .synchronous(SqliteSynchronous::Full)
            // Without, macOS leaves what is synced in the cache of the disk; elsewhere it changes nothing.
            .pragma("fullfsync", "on")
            // What undoes a statement of many rows that fails half-way, which otherwise is a file each time.
            .pragma("temp_store", "memory");
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(in_use)?;
        if is_alone {
            raw_sql("BEGIN EXCLUSIVE; COMMIT").execute(&mut connection).await.map_err(in_use)?;
        }
        let clock = migrate(&mut connection, steady, now).await?;
        let (jobs, waiting) = mpsc::channel(MOST_WAITING);
        let commits = Arc::default();
        tokio::spawn(
            Writer::new(File::new(options.create_if_missing(false), connection), clock, Arc::clone(&commits))
                .run(waiting),
        );
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
        self.ask(key, Question::new(decide)).await
    }

    /// The same, unless whoever asks is gone by then.
    pub(super) async fn decide_if_awaited<T: Send + 'static>(
        &self,
        key: &RecordKey,
        decide: impl Decide<T>,
    ) -> Result<T, StoreError> {
        let (question, answer) = Question::new(decide);
        self.ask(key, (question.if_awaited(), answer)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        key: &RecordKey,
        (question, answer): (Question<T, impl Decide<T>>, oneshot::Receiver<Result<T, StoreError>>),
    ) -> Result<T, StoreError> {
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

/// Makes the tables, unless they are there, and sets the clock. Two processes do so one after the other.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    steady: Steady,
    now: SystemTime,
) -> Result<Clock, StoreError> {
    // Before anything is changed, and a file that is not ours is not.
    is_made(connection).await?;
    let mode: String = query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await.map_err(failed)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(Arc::new("the file cannot have a log that is written ahead".into())));
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    if !is_made(&mut transaction).await? {
        raw_sql(include_str!("schema.sql")).execute(&mut *transaction).await.map_err(failed)?;
    }
    let clock = set_clock(&mut transaction, steady, now).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(clock)
}

/// Whoever is the first since the machine was started says what time it is.
async fn set_clock(connection: &mut SqliteConnection, steady: Steady, now: SystemTime) -> Result<Clock, StoreError> {
    let (largest, boot, began) = select_clock().fetch_one(&mut *connection).await.map_err(failed)?;
    let (Some(largest), Some(began)) = (moment(largest), moment(began)) else {
        return Err(corrupt("the largest time is negative, or that of the machine"));
    };
    if boot.is_some() && boot.as_deref() == steady.boot() {
        return Ok(Clock::new(steady, began));
    }
    let wall = Moment::EPOCH + now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let clock = Clock::set(steady, wall.max(largest))?;
    update_clock(clock.boot(), clock.began()).execute(connection).await.map_err(failed)?;
    Ok(clock)
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

/// Of whoever is to be alone with the file, or cannot be because somebody is.
fn in_use(error: Error) -> StoreError {
    match kind(&error) {
        // SQLITE_BUSY.
        Some(5) => StoreError::Unavailable(Arc::new(
            "another process has the file open, and the machine does not say how long it is up, so that they had no clock in \
             common"
                .into(),
        )),
        _ => failed(error),
    }
}

/// What cannot be done is undone, as long as it is not being committed.
pub(super) fn failed(error: Error) -> StoreError {
    let is_unreadable = matches!(error, Error::ColumnDecode { .. } | Error::Decode(_));
    match kind(&error) {
        // SQLITE_FULL.
        Some(13) => StoreError::Full,
        // SQLITE_CORRUPT and SQLITE_NOTADB.
        Some(11 | 26) => StoreError::Corrupt(Arc::new(error.into())),
        _ if is_unreadable => StoreError::Corrupt(Arc::new(error.into())),
        _ => StoreError::Unavailable(Arc::new(error.into())),
    }
}

/// The lowest byte of a code; the others are what exactly it is.
fn kind(error: &Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::idempotency::{Fingerprint, Store as _};

    #[tokio::test]
    async fn where_the_machine_says_nothing_a_second_opener_is_refused() {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("records");
        let open = async |steady| SqlStore::<Sqlite>::open_by(steady, &file, wall_time()).await;
        let first = open(Steady::Process).await.expect("nobody has it open");
        for steady in [Steady::Process, Steady::find()] {
            let refused = open(steady).await;
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        }
        let said = first.look(&RecordKey::of(&"test", &1), Fingerprint::of(&1)).await;
        assert!(matches!(said, Ok(None)), "the first one keeps it: {said:?}");
        drop(first);
        open(Steady::Process).await.expect("nobody has it open any more");
    }
}
