use buttress::engines::{Postgres, SqlStore};
use buttress::idempotency::RecordKey;
use sqlx::postgres::PgPool;
use sqlx::{query, query_scalar};

use crate::measure::Engine;
use crate::support::database::Database;

const CONNECTIONS: u32 = 32;

/// A server that syncs, and one pool.
pub(crate) struct OfPostgres {
    pool: PgPool,
    store: SqlStore<Postgres>,
    /// Ends with it.
    _database: Database,
}

impl OfPostgres {
    pub(crate) async fn start() -> Self {
        let database = Database::start_with_fsync().await;
        let pool = database.pool_without_tests(CONNECTIONS);
        let store = SqlStore::<Postgres>::new(pool.clone());
        store.migrate().await.expect("a table is made");
        let table = query("CREATE TABLE bare (key bytea PRIMARY KEY, value bytea NOT NULL)");
        table.execute(&pool).await.expect("another one");
        Self { pool, store, _database: database }
    }
}

impl Engine for OfPostgres {
    type Store = SqlStore<Postgres>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn write(&self, key: &RecordKey, value: &'static [u8]) {
        let upsert = query("INSERT INTO bare VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2");
        upsert.bind(key.as_bytes()).bind(value).execute(&self.pool).await.expect("it is written");
    }

    async fn read(&self, key: &RecordKey) -> Vec<u8> {
        let select = query_scalar("SELECT value FROM bare WHERE key = $1");
        select.bind(key.as_bytes()).fetch_one(&self.pool).await.expect("it is there")
    }
}
