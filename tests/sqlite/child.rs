//! A process that is killed while a request of its runs.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use buttress::engines::{SqlStore, Sqlite};
use buttress::idempotency::{Begin, Owner, Store};
use tokio::time::sleep;

use crate::{Folder, LEASE, acquire, claim, key, tea};

const FILE: &str = "BUTTRESS_TEST_FILE";
const BEGUN: &str = "begun with fence ";

/// In a process that is told of a file: completes one request, begins another and stays until it is killed.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_process_of_its_own() {
    let Some(file) = std::env::var_os(FILE) else {
        return;
    };
    let store = SqlStore::<Sqlite>::open(PathBuf::from(file)).await.expect("a file");
    let owner = Owner::random();
    acquire(&store, 1, claim(owner)).await;
    store.complete(&key(1), claim(owner), tea()).await.expect("stored");
    let acquired = acquire(&store, 2, claim(owner)).await;
    println!("\n{BEGUN}{}", acquired.fence);
    loop {
        store.renew(&key(2), owner, LEASE).await.expect("renewed");
        sleep(LEASE / 4).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_what_it_was_told_and_is_taken_over_from() {
    let folder = Folder::new();
    let store = folder.store().await;
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "child::as_a_process_of_its_own", "--nocapture"])
        .env(FILE, folder.file())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let fence = lines.map_while(Result::ok).find_map(|line| line.strip_prefix(BEGUN)?.parse::<u64>().ok());
    let fence = fence.expect("it begins");
    sleep(2 * LEASE).await;
    let said = store.begin(&key(2), claim(Owner::random())).await.expect("said");
    assert!(matches!(said, Begin::Running { .. }), "two processes use the file: {said:?}");

    child.kill().expect("it is there");
    child.wait().expect("it ends");
    assert_eq!(store.begin(&key(1), claim(Owner::random())).await.expect("said"), Begin::Done(tea()));
    sleep(LEASE + LEASE / 4).await;
    let taken_over = acquire(&store, 2, claim(Owner::random())).await;
    assert!(taken_over.attempt == 2 && taken_over.fence > fence, "{taken_over:?} after {fence}");
}
