//! The order service as a process of its own, which is killed in the middle of its work and started again.
//!
//! Customers, provider, catalogue and order book stay in this process.

use std::env;
use std::net::SocketAddr;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use buttress::BoxError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, copy, sink, stdin};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use crate::orders::OrderBook;
use crate::record::{Crash, Log};
use crate::script::Phase;

/// What such a process says when customers can come.
const OPEN: &str = "open";

/// So soon an order is entered while there are orders that need not wait for the provider.
const SOON: Duration = Duration::from_millis(50);

/// How often it is tried to start such a process again,
const TRIES: u32 = 10;

/// how long one waits before the next time,
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// and how long such a process may take to open.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

/// Where the servers are that the order service depends on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) provider: SocketAddr,
    pub(crate) catalogue: SocketAddr,
}

/// What such a process is told of the one that starts it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    /// Where customers expect the order service,
    pub(crate) shop: SocketAddr,
    /// and where that finds the servers of others,
    pub(crate) upstreams: Addresses,
    /// and the order book.
    pub(crate) book: SocketAddr,
    /// Whose records these are.
    pub(crate) tenant: String,
}

impl FromStr for Surroundings {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

/// An order service at work in a process of its own.
pub(crate) struct Process {
    arguments: Vec<String>,
    child: Child,
    /// It ends when this does, also if that is because this process was killed.
    _lifeline: ChildStdin,
}

impl Process {
    /// Starts this program once more, with these arguments, and waits until it is open.
    pub(crate) async fn start(surroundings: &Surroundings, mut arguments: Vec<String>) -> Result<Self, BoxError> {
        arguments.extend(["--order-service".to_owned(), json!(surroundings).to_string()]);
        let (child, lifeline) = open(&arguments).await?;
        Ok(Self { arguments, child, _lifeline: lifeline })
    }

    /// Is killed in each phase that has a time for it, as they begin, and started again.
    pub(crate) async fn crash(
        mut self,
        mut begun: UnboundedReceiver<Phase>,
        book: &OrderBook,
        log: &Log,
    ) -> Result<Vec<Crash>, BoxError> {
        let mut crashes = vec![];
        while let Some(phase) = begun.recv().await {
            let Some(after) = phase.crash_after() else { continue };
            sleep(after).await;
            // Best in the moment in which an order is entered, and whoever entered it has not recorded that yet.
            let _ = timeout(SOON, book.next_entry()).await;
            let at = log.now();
            self.child.kill().await?;
            (self.child, self._lifeline) = open_again(&self.arguments).await?;
            crashes.push(Crash { phase, at, open_again: log.now() });
        }
        Ok(crashes)
    }
}

/// As whoever watches over processes does: one that finds its store too busy is started again, up to [`TRIES`] times.
async fn open_again(arguments: &[String]) -> Result<(Child, ChildStdin), BoxError> {
    for _ in 1..TRIES {
        if let Ok(opened) = open(arguments).await {
            return Ok(opened);
        }
        sleep(BETWEEN_TRIES).await;
    }
    open(arguments).await
}

async fn open(arguments: &[String]) -> Result<(Child, ChildStdin), BoxError> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let (lifeline, said) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    match timeout(OPENS_WITHIN, BufReader::new(said).lines().next_line()).await {
        Err(_) => Err(format!("the order service has not opened within {} s", OPENS_WITHIN.as_secs()).into()),
        Ok(Ok(Some(line))) if line == OPEN => Ok((child, lifeline)),
        Ok(_) => Err("the order service was not opened".into()),
    }
}

/// In such a process: serves until the one that started it is gone.
pub(crate) async fn serve(router: Router, shop: SocketAddr) -> Result<(), BoxError> {
    let listener = TcpListener::bind(shop).await?;
    println!("{OPEN}");
    let (mut lifeline, mut nobody) = (stdin(), sink());
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        _ = copy(&mut lifeline, &mut nobody) => {}
    }
    Ok(())
}
