//! Records in Postgres.

use std::time::Duration;

use buttress::BoxError;
use buttress::engines::{Postgres, SqlStore};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// Several times as many as the statements of a thousand orders a second take.
const CONNECTIONS: u32 = 8;

pub(crate) async fn open(url: &str) -> Result<SqlStore<Postgres>, BoxError> {
    // Nobody waits for what takes longer than the layer does, and the server gives it up.
    let server = url.parse::<PgConnectOptions>()?;
    let server = server.options([("statement_timeout", "2s"), ("client_connection_check_interval", "1s")]);
    // They are made before anybody waits for them, and each that is lost is made anew.
    let pool = PgPoolOptions::new().min_connections(CONNECTIONS).max_connections(CONNECTIONS);
    let pool = pool.acquire_timeout(Duration::from_secs(5)).connect_with(server).await?;
    let store = SqlStore::<Postgres>::new(pool);
    store.migrate().await?;
    Ok(store)
}
