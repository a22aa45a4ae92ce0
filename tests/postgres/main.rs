//! Records in Postgres: on real servers, which are killed, frozen and started again.

mod database;
#[path = "../support/mod.rs"]
mod support;

use buttress::conformance::idempotency;

use crate::database::Database;

#[tokio::test(flavor = "multi_thread")]
async fn records_in_postgres_conform() {
    let database = Database::start().await;
    idempotency::check(&database.store(8).await).await;
}
