//! Instances of an app in processes of their own, which are killed, frozen and told a wrong time.

use buttress::engines::{SqlStore, Sqlite};

use crate::Folder;
use crate::support::{app, crash};

/// In a process that is told of a file: an instance of an app. Else nothing.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_process_of_its_own() {
    if let Some(file) = app::records() {
        app::serve(SqlStore::<Sqlite>::open(file).await.expect("a file")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_killed_is_taken_over_from_when_its_lease_is_over() {
    let folder = Folder::new();
    crash::who_is_killed_is_taken_over_from(&folder.file(), folder.store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_frozen_for_longer_than_its_lease_changes_nothing() {
    let folder = Folder::new();
    crash::who_was_frozen_changes_nothing(&folder.file(), folder.store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_whose_clocks_are_an_hour_off_change_nothing_about_leases() {
    let folder = Folder::new();
    crash::clocks_that_are_off_change_nothing(&folder.file(), folder.store().await).await;
}

/// The one that makes the file says what time it is, for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_file_whose_first_instance_was_an_hour_off() {
    let made_by = async |off| {
        let folder = Folder::new();
        app::App::start_off_by(off, &folder.file()).await.kill().await;
        crash::clocks_that_are_off_change_nothing(&folder.file(), folder.store().await).await;
    };
    tokio::join!(made_by("+1h"), made_by("-1h"));
}
