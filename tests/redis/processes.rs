//! Instances of an app in processes of their own, which are killed, frozen and told a wrong time.

use crate::server::{self, Redis};
use crate::support::{app, crash};
use crate::world::PATIENCE;

/// In a process that is told of a server: an instance of an app. Else nothing.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_process_of_its_own() {
    if let Some(socket) = app::records() {
        app::serve(server::store(&server::client(&socket), PATIENCE).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_killed_is_taken_over_from_when_its_lease_is_over() {
    let redis = Redis::start(&[]).await;
    crash::who_is_killed_is_taken_over_from(&redis.socket(), redis.store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_frozen_for_longer_than_its_lease_changes_nothing() {
    let redis = Redis::start(&[]).await;
    crash::who_was_frozen_changes_nothing(&redis.socket(), redis.store().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_whose_clocks_are_an_hour_off_change_nothing_about_leases() {
    let redis = Redis::start(&[]).await;
    crash::clocks_that_are_off_change_nothing(&redis.socket(), redis.store().await).await;
}
