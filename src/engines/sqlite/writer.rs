use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, query};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::connection::failed;
use super::row::{corrupt, delete, delete_what_is_over, moment, read, select, select_largest, update_largest, upsert};
use crate::clock::Moment;
use crate::idempotency::state::Record;
use crate::idempotency::{RecordKey, StoreError};

/// So many go together, and nobody waits for more: a transaction that never ended would answer nobody.
const MOST_TOGETHER: usize = 256;

/// Writes for all, alone with the file while it does: what was asked for while it wrote is written next, together.
pub(super) struct Writer {
    connection: SqliteConnection,
    clock: Clock,
    commits: Arc<AtomicU64>,
}

/// What is to be done.
pub(super) enum Job {
    Record(RecordKey, Box<dyn Ask>),
    Purge { most: u32, said: Result<u32, StoreError>, answer: oneshot::Sender<Result<u32, StoreError>> },
}

/// What becomes of a record at a time, and the next fence. It may be decided anew: what was not written has not happened.
pub(super) trait Decide<T>:
    Fn(&mut Option<Record>, Moment, &mut dyn FnMut() -> u64) -> T + Send + 'static
{
}

impl<T, F: Fn(&mut Option<Record>, Moment, &mut dyn FnMut() -> u64) -> T + Send + 'static> Decide<T> for F {}

/// A decision, and who waits for it.
pub(super) struct Question<T, F> {
    decide: F,
    said: Result<T, StoreError>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F: Decide<T>> Question<T, F> {
    pub(super) fn new(decide: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (answer, receiver) = oneshot::channel();
        let said = Err(StoreError::Unavailable(Arc::new("nothing was decided".into())));
        (Self { decide, said, answer }, receiver)
    }
}

/// A [`Question`], whatever its answer is.
pub(super) trait Ask: Send {
    fn decide(&mut self, known: &mut Option<Record>, now: Moment, fence: &mut dyn FnMut() -> u64);
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>);
}

impl<T: Send, F: Decide<T>> Ask for Question<T, F> {
    fn decide(&mut self, known: &mut Option<Record>, now: Moment, fence: &mut dyn FnMut() -> u64) {
        self.said = Ok((self.decide)(known, now, fence));
    }

    fn fail(&mut self, error: StoreError) {
        self.said = Err(error);
    }

    fn answer(self: Box<Self>) {
        // Whoever asked may have gone.
        _ = self.answer.send(self.said);
    }
}

impl Job {
    fn fail(&mut self, error: StoreError) {
        match self {
            Self::Record(_, ask) => ask.fail(error),
            Self::Purge { said, .. } => *said = Err(error),
        }
    }

    fn answer(self) {
        match self {
            Self::Record(_, ask) => ask.answer(),
            Self::Purge { said, answer, .. } => _ = answer.send(said),
        }
    }
}

/// What keeps a transaction from being written.
enum Failure {
    /// One of those that are to be written together, which may be wrong with it alone.
    One(StoreError),
    All(StoreError),
}

/// What a transaction has seen and changed.
struct Progress {
    now: Moment,
    fence: u64,
    has_changed: bool,
}

impl Writer {
    pub(super) const fn new(connection: SqliteConnection, clock: Clock, commits: Arc<AtomicU64>) -> Self {
        Self { connection, clock, commits }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while waiting.recv_many(&mut jobs, MOST_TOGETHER).await > 0 {
            self.write(&mut jobs).await;
            for job in jobs.drain(..) {
                job.answer();
            }
        }
        // What is left of the log is written into the file; if not, by whoever opens it next.
        _ = self.connection.close().await;
    }

    /// Does these together, or if something is wrong with one of them each by itself.
    async fn write(&mut self, jobs: &mut [Job]) {
        let fail = |jobs: &mut [Job], error: StoreError| jobs.iter_mut().for_each(|job| job.fail(error.clone()));
        match self.transact(jobs).await {
            Ok(()) => {}
            Err(Failure::One(error)) if jobs.len() == 1 => fail(jobs, error),
            Err(Failure::One(_)) => {
                for job in jobs {
                    if let Err(Failure::One(error) | Failure::All(error)) =
                        self.transact(std::slice::from_mut(job)).await
                    {
                        job.fail(error);
                    }
                }
            }
            Err(Failure::All(error)) => fail(jobs, error),
        }
    }

    async fn transact(&mut self, jobs: &mut [Job]) -> Result<(), Failure> {
        let begun = query("BEGIN IMMEDIATE").execute(&mut self.connection).await;
        begun.map_err(|error| Failure::All(failed(error)))?;
        let written = self.write_all(jobs).await;
        let committed = match written {
            Ok(has_changed) => self.commit(has_changed).await,
            Err(failure) => Err(failure),
        };
        if committed.is_err() {
            // There may be nothing to undo any more.
            _ = query("ROLLBACK").execute(&mut self.connection).await;
        }
        committed
    }

    async fn commit(&mut self, has_changed: bool) -> Result<(), Failure> {
        let committed = query("COMMIT").execute(&mut self.connection).await;
        committed.map_err(|error| match failed(error) {
            // It may be in the log, and the disk has not said so.
            StoreError::Unavailable(cause) => Failure::All(StoreError::Ambiguous(cause)),
            other => Failure::All(other),
        })?;
        self.commits.fetch_add(u64::from(has_changed), Ordering::Relaxed);
        Ok(())
    }

    async fn write_all(&mut self, jobs: &mut [Job]) -> Result<bool, Failure> {
        let all = |error| Failure::All(failed(error));
        let (time, fence) = select_largest().fetch_one(&mut self.connection).await.map_err(all)?;
        let (Some(largest), Ok(fence)) = (moment(time), u64::try_from(fence)) else {
            return Err(Failure::All(corrupt("the largest time or fence is negative")));
        };
        let now = self.clock.time(largest).map_err(Failure::All)?;
        let mut progress = Progress { now, fence, has_changed: false };
        for job in jobs {
            let done = match job {
                Job::Record(key, ask) => self.decide(key, ask.as_mut(), &mut progress).await,
                Job::Purge { most, said, .. } => self.purge(*most, said, &mut progress).await,
            };
            done.map_err(|error| Failure::One(failed(error)))?;
        }
        if progress.has_changed {
            let largest = update_largest(progress.now, progress.fence);
            largest.execute(&mut self.connection).await.map_err(all)?;
        }
        Ok(progress.has_changed)
    }

    async fn decide(&mut self, key: &RecordKey, ask: &mut dyn Ask, progress: &mut Progress) -> Result<(), sqlx::Error> {
        let row = select(key).fetch_optional(&mut self.connection).await?;
        let known = row.map(read);
        if let Some(None) = known {
            ask.fail(corrupt("a row makes no sense"));
            return Ok(());
        }
        let before = known.flatten();
        let mut after = before.clone();
        // Larger than those of a file that was here before and is lost, unless the clock was set back since.
        let mut fence = || {
            progress.fence = (progress.fence + 1).max(progress.now.to_nanos() / 1000);
            progress.fence
        };
        ask.decide(&mut after, progress.now, &mut fence);
        if after != before {
            match &after {
                Some(record) => upsert(key, record).execute(&mut self.connection).await?,
                None => delete(key).execute(&mut self.connection).await?,
            };
            progress.has_changed = true;
        }
        Ok(())
    }

    async fn purge(
        &mut self,
        most: u32,
        said: &mut Result<u32, StoreError>,
        progress: &mut Progress,
    ) -> Result<(), sqlx::Error> {
        let gone = delete_what_is_over(progress.now, most).execute(&mut self.connection).await?.rows_affected();
        progress.has_changed |= gone > 0;
        *said = Ok(u32::try_from(gone).unwrap_or(most));
        Ok(())
    }
}
