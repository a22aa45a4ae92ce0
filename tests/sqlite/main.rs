//! Records in a file of SQLite.

use buttress::conformance::idempotency;
use buttress::engines::{SqlStore, Sqlite};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn records_in_a_file_conform() {
    let folder = TempDir::new().expect("a folder");
    let store = SqlStore::<Sqlite>::open(folder.path().join("records")).await.expect("a file");
    idempotency::check(&store).await;
}
