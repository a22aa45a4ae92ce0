use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::query;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use super::clock::Clock;
use super::connection::failed;
use super::file::File;
use super::records::{Records, Running};
use super::row::{Begun, begin, corrupt, delete_what_is_over, moment, update_largest};
use crate::clock::Moment;
use crate::idempotency::state::Record;
use crate::idempotency::{RecordKey, StoreError};

/// So many go together, and nobody waits for more: a transaction that never ended would answer nobody.
const MOST_TOGETHER: usize = 256;

/// Writes for all, alone with the file while it does: what was asked for while it wrote is written next, together.
pub(super) struct Writer {
    file: File,
    clock: Clock,
    running: Running,
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
    is_only_if_awaited: bool,
}

impl<T, F: Decide<T>> Question<T, F> {
    pub(super) fn new(decide: F) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (answer, receiver) = oneshot::channel();
        let said = Err(StoreError::Unavailable(Arc::new("nothing was decided".into())));
        (Self { decide, said, answer, is_only_if_awaited: false }, receiver)
    }

    /// Nothing is decided for whoever is gone.
    pub(super) fn if_awaited(self) -> Self {
        Self { is_only_if_awaited: true, ..self }
    }
}

/// A [`Question`], whatever its answer is.
pub(super) trait Ask: Send {
    fn is_given_up(&self) -> bool;
    fn decide(&mut self, known: &mut Option<Record>, now: Moment, fence: &mut dyn FnMut() -> u64);
    fn fail(&mut self, error: StoreError);
    fn answer(self: Box<Self>);
}

impl<T: Send, F: Decide<T>> Ask for Question<T, F> {
    fn is_given_up(&self) -> bool {
        self.is_only_if_awaited && self.answer.is_closed()
    }

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

impl Writer {
    pub(super) fn new(file: File, clock: Clock, commits: Arc<AtomicU64>) -> Self {
        Self { file, clock, running: Running::default(), commits }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut jobs = Vec::new();
        while waiting.recv_many(&mut jobs, MOST_TOGETHER).await > 0 {
            self.write(&mut jobs).await;
            for job in jobs.drain(..) {
                job.answer();
            }
            // Those who were answered ask for more at once: else the first of them would be written alone.
            yield_now().await;
        }
        self.file.close().await;
    }

    /// Does these together, or if something is wrong with one of them each by itself.
    async fn write(&mut self, jobs: &mut [Job]) {
        let fail = |jobs: &mut [Job], error: StoreError| jobs.iter_mut().for_each(|job| job.fail(error.clone()));
        match self.transact(jobs).await {
            Ok(()) => {}
            Err(Failure::One(_)) if jobs.len() > 1 => {
                for next in 0..jobs.len() {
                    match self.transact(&mut jobs[next..=next]).await {
                        Ok(()) => {}
                        Err(Failure::One(error)) => jobs[next].fail(error),
                        Err(Failure::All(error)) => {
                            jobs[next].fail(error.clone());
                            return fail(&mut jobs[next + 1..], not_begun(error));
                        }
                    }
                }
            }
            Err(Failure::One(error) | Failure::All(error)) => fail(jobs, error),
        }
    }

    async fn transact(&mut self, jobs: &mut [Job]) -> Result<(), Failure> {
        let done = self.begin_and_commit(jobs).await;
        if done.is_err() {
            self.running.forget();
            self.file.undo().await;
        }
        done
    }

    async fn begin_and_commit(&mut self, jobs: &mut [Job]) -> Result<(), Failure> {
        let connection = self.file.reach().await.map_err(all)?;
        let begun = begin().fetch_one(&mut *connection).await.map_err(all)?;
        let (written, has_changed) = write_all(connection, begun, &self.clock, &mut self.running, jobs).await?;
        let committed = query("COMMIT").execute(connection).await;
        committed.map_err(|error| match failed(error) {
            // It may be in the log, and the disk has not said so.
            StoreError::Unavailable(cause) => Failure::All(StoreError::Ambiguous(cause)),
            other => Failure::All(other),
        })?;
        self.running.learn(written);
        self.commits.fetch_add(u64::from(has_changed), Ordering::Relaxed);
        Ok(())
    }
}

/// What is told to those whose turn did not come, when the one before them was told this.
fn not_begun(error: StoreError) -> StoreError {
    match error {
        StoreError::Ambiguous(cause) => StoreError::Unavailable(cause),
        other => other,
    }
}

fn all(error: sqlx::Error) -> Failure {
    Failure::All(failed(error))
}

/// What is known now, and whether anything has changed.
async fn write_all(
    connection: &mut SqliteConnection,
    (time, fence, version): Begun,
    clock: &Clock,
    running: &mut Running,
    jobs: &mut [Job],
) -> Result<(Records, bool), Failure> {
    let (Some(largest), Ok(fence)) = (moment(time), u64::try_from(fence)) else {
        return Err(Failure::All(corrupt("the largest time or fence is negative")));
    };
    let now = clock.time(largest).map_err(Failure::All)?;
    let one = |error| Failure::One(failed(error));
    let mut records = Records::of(jobs.iter().filter_map(|job| match job {
        Job::Record(key, _) => Some(*key),
        Job::Purge { .. } => None,
    }));
    running.as_of(version);
    records.read(connection, running).await.map_err(one)?;
    // Larger than those of a file that was here before and is lost, unless the clock was set back since, or the file was lost within
    // the last hundredths of a second, which is as exactly as the machine says how long it is up.
    let mut largest_fence = fence;
    let mut next_fence = || {
        largest_fence = (largest_fence + 1).max(now.to_nanos() / 1000);
        largest_fence
    };
    let mut has_purged = false;
    for job in jobs {
        match job {
            Job::Record(_, ask) if ask.is_given_up() => {}
            Job::Record(key, ask) => {
                let decided = records.decide(key, |record| ask.decide(record, now, &mut next_fence));
                decided.unwrap_or_else(|error| ask.fail(error));
            }
            Job::Purge { most, said, .. } => {
                let gone =
                    delete_what_is_over(now, *most).execute(&mut *connection).await.map_err(one)?.rows_affected();
                has_purged |= gone > 0;
                *said = Ok(u32::try_from(gone).unwrap_or(*most));
            }
        }
    }
    let has_changed = records.write(connection).await.map_err(one)? || has_purged;
    if has_changed {
        update_largest(now, largest_fence).execute(connection).await.map_err(all)?;
    }
    Ok((records, has_changed))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{AssertSqlSafe, Connection as _, raw_sql};
    use tempfile::TempDir;

    use super::super::connection::migrate;
    use super::super::steady::Steady;
    use super::*;
    use crate::idempotency::{Claim, Fingerprint, Owner};

    async fn writer(folder: &TempDir) -> Writer {
        let options = SqliteConnectOptions::new().filename(folder.path().join("records")).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a file");
        let clock = migrate(&mut connection, Steady::find(), SystemTime::UNIX_EPOCH).await.expect("tables");
        Writer::new(File::new(options, connection), clock, Arc::default())
    }

    async fn run(writer: &mut Writer, statements: &'static str) {
        let connection = writer.file.reach().await.expect("a connection");
        raw_sql(AssertSqlSafe(statements)).execute(connection).await.expect("statements that can be run");
    }

    /// Begins a request, and counts how often that was decided.
    fn job(of: u32, decided: &Arc<AtomicU64>) -> (Job, oneshot::Receiver<Result<bool, StoreError>>) {
        let (decided, forever) = (Arc::clone(decided), Duration::from_secs(3600));
        let claim =
            Claim { fingerprint: Fingerprint::of(&of), owner: Owner::random(), lease: forever, retention: forever };
        let (question, answer) =
            Question::new(move |known: &mut Option<Record>, now: Moment, fence: &mut dyn FnMut() -> u64| {
                decided.fetch_add(1, Ordering::Relaxed);
                Record::begin(known, &claim, now, fence);
                known.is_some()
            });
        (Job::Record(RecordKey::of(&"test", &of), Box::new(question)), answer)
    }

    #[tokio::test]
    async fn after_what_fails_for_all_nothing_more_is_tried() {
        let folder = TempDir::new().expect("a folder");
        let mut writer = writer(&folder).await;
        let decided = Arc::default();
        let (mut jobs, answers): (Vec<_>, Vec<_>) = (0..8).map(|of| job(of, &decided)).unzip();
        run(
            &mut writer,
            "CREATE TRIGGER one BEFORE INSERT ON record WHEN (SELECT count(*) FROM record) = 7 \
             BEGIN SELECT RAISE(ABORT, 'one of them'); END; \
             CREATE TRIGGER each BEFORE UPDATE ON largest BEGIN SELECT RAISE(ABORT, 'all of them'); END",
        )
        .await;
        writer.write(&mut jobs).await;
        assert_eq!(decided.load(Ordering::Relaxed), 8 + 1, "together, and the first by itself");
        jobs.into_iter().for_each(Job::answer);
        for answer in answers {
            let said = answer.await.expect("it is answered");
            assert!(matches!(said, Err(StoreError::Unavailable(_))), "{said:?}");
        }
    }

    /// Decides about one in its turn, and says whether it was known by then.
    fn turn(of: u32, decide: fn(&mut Option<Record>, Record)) -> (Job, oneshot::Receiver<Result<bool, StoreError>>) {
        let claim = Claim {
            fingerprint: Fingerprint::of(&of),
            owner: Owner::random(),
            lease: Duration::from_secs(3600),
            retention: Duration::from_secs(3600),
        };
        let (question, answer) =
            Question::new(move |known: &mut Option<Record>, now: Moment, fence: &mut dyn FnMut() -> u64| {
                let (was_known, mut new) = (known.is_some(), None);
                Record::begin(&mut new, &claim, now, fence);
                decide(known, new.expect("it is begun"));
                was_known
            });
        (Job::Record(RecordKey::of(&"test", &of), Box::new(question)), answer)
    }

    #[tokio::test]
    async fn those_who_are_written_together_see_what_those_before_them_did() {
        let folder = TempDir::new().expect("a folder");
        let mut writer = writer(&folder).await;
        let keep = |known: &mut Option<Record>, new: Record| *known = Some(new);
        let forget = |known: &mut Option<Record>, _: Record| *known = None;
        // More than one statement takes.
        let kept: Vec<u32> = (0..70).collect();
        let turns = kept.iter().map(|of| turn(*of, keep)).chain([turn(0, forget), turn(0, keep), turn(1, forget)]);
        let (mut jobs, answers): (Vec<_>, Vec<_>) = turns.unzip();
        writer.write(&mut jobs).await;
        jobs.into_iter().for_each(Job::answer);
        let mut were_known = Vec::new();
        for answer in answers {
            were_known.push(answer.await.expect("it is answered").expect("it is written"));
        }
        assert_eq!(were_known[..70], [false; 70]);
        assert_eq!(were_known[70..], [true, false, true]);

        let options = SqliteConnectOptions::new().filename(folder.path().join("records"));
        let mut other = SqliteConnection::connect_with(&options).await.expect("another connection");
        let spoil = "UPDATE record SET phase = 9 WHERE fence = (SELECT max(fence) FROM record)";
        raw_sql(spoil).execute(&mut other).await.expect("it is written");
        let look = |_: &mut Option<Record>, _: Record| ();
        let (mut jobs, answers): (Vec<_>, Vec<_>) = kept.iter().map(|of| turn(*of, look)).unzip();
        writer.write(&mut jobs).await;
        jobs.into_iter().for_each(Job::answer);
        for (of, answer) in kept.iter().zip(answers) {
            let said = answer.await.expect("it is answered");
            match of {
                0 => assert!(matches!(said, Err(StoreError::Corrupt(_))), "it was written last: {said:?}"),
                1 => assert!(matches!(said, Ok(false)), "it was forgotten: {said:?}"),
                _ => assert!(matches!(said, Ok(true)), "{of}: {said:?}"),
            }
        }
    }

    /// Writes one, which fails, and another one, which does not.
    async fn fails_once(mut writer: Writer) {
        let decided = Arc::default();
        for is_done in [false, true] {
            let (job, answer) = job(1, &decided);
            let mut jobs = [job];
            writer.write(&mut jobs).await;
            jobs.into_iter().for_each(Job::answer);
            let said = answer.await.expect("it is answered");
            assert_eq!(matches!(said, Ok(true)), is_done, "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_transaction_that_was_left_open_is_undone() {
        let folder = TempDir::new().expect("a folder");
        let mut writer = writer(&folder).await;
        run(&mut writer, "BEGIN").await;
        fails_once(writer).await;
    }

    #[tokio::test]
    async fn a_connection_that_undoes_nothing_is_opened_anew() {
        let folder = TempDir::new().expect("a folder");
        let mut writer = writer(&folder).await;
        let connection = writer.file.reach().await.expect("a connection");
        connection.lock_handle().await.expect("its worker").set_progress_handler(1, || false);
        fails_once(writer).await;
    }
}
