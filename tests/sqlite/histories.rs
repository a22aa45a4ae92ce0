//! Whatever happens to the instances of an app that have a file open, each order is carried out once.

use std::path::PathBuf;
use std::time::Duration;

use buttress::engines::{SqlStore, Sqlite};
use tokio::time::sleep;

use crate::support::chaos;
use crate::support::history::History;
use crate::{Folder, run};

async fn open(file: PathBuf) -> SqlStore<Sqlite> {
    loop {
        match SqlStore::<Sqlite>::open(&file).await {
            Ok(store) => return store,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// There is no server: but somebody else has the file for a while.
async fn disturb(folder: &Folder, history: &History) {
    let mut beside = folder.connection().await;
    run(&mut beside, "BEGIN IMMEDIATE").await;
    history.pause(1..4000).await;
    run(&mut beside, "COMMIT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_is_carried_out_once_while_instances_crash() {
    let folder = Folder::new();
    drop(folder.store().await);
    chaos::are_sound(|| open(folder.file()), async |history| disturb(&folder, history).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_are_wrong_are_found_out_meanwhile() {
    let folder = Folder::new();
    drop(folder.store().await);
    chaos::are_found_out(|| open(folder.file()), async |history| disturb(&folder, history).await).await;
}
