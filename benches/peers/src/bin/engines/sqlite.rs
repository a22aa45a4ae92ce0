use buttress::engines::{SqlStore, Sqlite};
use buttress::idempotency::RecordKey;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, query, query_scalar};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::measure::Engine;

/// Two files of one folder, which both have one connection and are synced by each commit.
pub(crate) struct OfSqlite {
    bare: Mutex<SqliteConnection>,
    store: SqlStore<Sqlite>,
    /// Goes with it.
    _folder: TempDir,
}

impl OfSqlite {
    pub(crate) async fn open() -> Self {
        let folder = TempDir::new().expect("a folder");
        let options = SqliteConnectOptions::new().filename(folder.path().join("bare")).create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut bare = SqliteConnection::connect_with(&options).await.expect("a file");
        let table = query("CREATE TABLE bare (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT");
        table.execute(&mut bare).await.expect("a table");
        let store = SqlStore::<Sqlite>::open(folder.path().join("records")).await.expect("another file");
        Self { bare: Mutex::new(bare), store, _folder: folder }
    }
}

impl Engine for OfSqlite {
    type Store = SqlStore<Sqlite>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    /// Each time in a transaction of its own.
    async fn write(&self, key: &RecordKey, value: &'static [u8]) {
        let upsert = query("INSERT INTO bare VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2");
        let upsert = upsert.bind(&key.as_bytes()[..]).bind(value);
        upsert.execute(&mut *self.bare.lock().await).await.expect("it is written");
    }

    async fn read(&self, key: &RecordKey) -> Vec<u8> {
        let select = query_scalar("SELECT value FROM bare WHERE key = ?1").bind(&key.as_bytes()[..]);
        select.fetch_one(&mut *self.bare.lock().await).await.expect("it is there")
    }
}
