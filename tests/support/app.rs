//! An instance of an app in a process of its own, which can be killed, frozen and told a wrong time.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use buttress::idempotency::{Acquired, Execution, IdempotencyConfig, Store};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, service_fn};

use super::far::Far;
use super::orders::{Failure, Order, layer, outcome};

/// The test of each engine that is such an instance, and else nothing.
const TEST: &str = "processes::as_a_process_of_its_own";
const RECORDS: &str = "BUTTRESS_TEST_RECORDS";

/// A heartbeat may be late by two thirds of it on a machine that is busy.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// Longer than all of it takes that comes to an end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn config() -> IdempotencyConfig {
    IdempotencyConfig::new().lease(LEASE).store_timeout(LEASE / 3)
}

/// In a process that is such an instance: where its records are.
pub(crate) fn records() -> Option<PathBuf> {
    std::env::var_os(RECORDS).map(PathBuf::from)
}

fn say(what: &str) {
    // The harness leaves a line of its own unfinished.
    print!("\n{what}\n");
    std::io::stdout().flush().expect("somebody listens");
}

/// Carries out what it is told to, and says what comes of it, until whoever started it is gone.
pub(crate) async fn serve(store: impl Store + Clone) {
    let wall = UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs();
    say(&format!("here {} {wall}", std::process::id()));
    let (far, may_end) = (Far::to(store), Arc::new(Notify::new()));
    let (told, store) = (may_end.clone(), far.clone());
    let handler = service_fn(move |order: Order| {
        let (may_end, store) = (told.clone(), store.clone());
        async move {
            let run = Execution::current().expect("it is run once");
            say(&format!("begun {} {} {}", order.0, run.fence(), run.attempt()));
            tokio::select! {
                () = may_end.notified() => {}
                () = run.lost() => say(&format!("lost {}", insist(&store, &run).await)),
            }
            Ok::<_, Failure>(order.0 * 1000 + run.attempt())
        }
    });
    let mut service = layer(far, config()).layer(handler);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.strip_prefix("order ") {
            Some(order) => {
                let order = order.parse().expect("a number");
                let call = service.call(Order(order));
                tokio::spawn(async move { say(&format!("told {order} {}", outcome(call.await))) });
            }
            None => may_end.notify_one(),
        }
    }
}

/// What the store says to an owner that does not believe that it is none any more.
async fn insist(far: &Far<impl Store>, run: &Execution) -> String {
    let (store, key, claim) = (&far.store, run.key(), far.link().claim.expect("it has begun"));
    let renewed = store.renew(key, claim.owner, claim.lease).await.expect("said");
    let released = store.release(key, claim.owner).await.expect("said");
    let parked = store.park(key, claim, "why").await.expect("said");
    let commit = store.complete(key, claim, Bytes::from_static(b"late")).await.expect("said");
    format!("{renewed} {released} {parked} {commit:?}")
}

/// The hold on such a process, which ends with it.
pub(crate) struct App {
    /// What was started, and its own number where that is not the process itself.
    child: Child,
    pid: String,
    /// What time it is there, in seconds since 1970.
    pub(crate) clock: u64,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl App {
    pub(crate) async fn start(records: &Path) -> Self {
        Self::start_with(Command::new(this_program()), records).await
    }

    /// One whose wall clock is off by this, as `faketime` reads it.
    pub(crate) async fn start_off_by(off: &str, records: &Path) -> Self {
        let mut command = Command::new("faketime");
        command.args(["-f", off]).arg(this_program()).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Self::start_with(command, records).await
    }

    async fn start_with(mut command: Command, records: &Path) -> Self {
        command.args(["--exact", TEST, "--nocapture"]).env(RECORDS, records);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; `apt-get install faketime` brings what sets the clock of a process")
        });
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut app = Self { child, pid: String::new(), clock: 0, input, output };
        let here = app.hear("here ").await;
        let (pid, clock) = here.split_once(' ').expect("two words");
        (app.pid, app.clock) = (pid.to_owned(), clock.parse().expect("a number"));
        app
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("it has something to say");
        line.expect("lines").expect("it has not ended")
    }

    /// What comes after this, in the next line that begins with it.
    pub(crate) async fn hear(&mut self, what: &str) -> String {
        loop {
            if let Some(rest) = self.line().await.strip_prefix(what) {
                return rest.to_owned();
            }
        }
    }

    async fn tell(&mut self, what: &str) {
        self.input.write_all(format!("{what}\n").as_bytes()).await.expect("it listens");
    }

    /// Sends it an order, and says what its client is told.
    pub(crate) async fn order(&mut self, order: u32) -> String {
        self.tell(&format!("order {order}")).await;
        self.told(order).await
    }

    pub(crate) async fn told(&mut self, order: u32) -> String {
        self.hear(&format!("told {order} ")).await
    }

    /// Sends it an order until it begins it, which nobody else may do for ever.
    pub(crate) async fn begins(&mut self, order: u32) -> Acquired {
        timeout(PATIENCE, self.asks_until_it_begins(order)).await.expect("the lease of another ends")
    }

    async fn asks_until_it_begins(&mut self, order: u32) -> Acquired {
        self.tell(&format!("order {order}")).await;
        loop {
            let line = self.line().await;
            if let Some(begun) = line.strip_prefix(&format!("begun {order} ")) {
                let (fence, attempt) = begun.split_once(' ').expect("two words");
                return Acquired {
                    fence: fence.parse().expect("a number"),
                    attempt: attempt.parse().expect("a number"),
                };
            }
            if let Some(told) = line.strip_prefix(&format!("told {order} ")) {
                assert_eq!(told, "Running");
                sleep(LEASE / 60).await;
                self.tell(&format!("order {order}")).await;
            }
        }
    }

    /// Lets it end an order that it has begun.
    pub(crate) async fn end(&mut self) {
        self.tell("end").await;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &self.pid]).status();
        assert!(sent.expect("the command kill").success(), "the process {} is there", self.pid);
    }

    pub(crate) async fn kill(mut self) {
        self.signal("KILL");
        self.child.wait().await.expect("it ends");
    }
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("this program")
}
