//! Instances of an app in processes of their own, which are killed, frozen and told a wrong time.

use buttress::engines::{Postgres, SqlStore};

use crate::database::{Database, pool};
use crate::support::{app, crash};

/// In a process that is told of a server: an instance of an app. Else nothing.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_process_of_its_own() {
    if let Some(socket) = app::records() {
        app::serve(SqlStore::<Postgres>::new(pool(&socket, 4))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_killed_is_taken_over_from_when_its_lease_is_over() {
    let database = Database::start().await;
    crash::who_is_killed_is_taken_over_from(database.folder(), database.store(4).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_frozen_for_longer_than_its_lease_changes_nothing() {
    let database = Database::start().await;
    crash::who_was_frozen_changes_nothing(database.folder(), database.store(4).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_whose_clocks_are_an_hour_off_change_nothing_about_leases() {
    let database = Database::start().await;
    crash::clocks_that_are_off_change_nothing(database.folder(), database.store(4).await).await;
}
