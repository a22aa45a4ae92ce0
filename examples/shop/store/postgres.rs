//! Records in Postgres.

use buttress::BoxError;
use buttress::engines::{Postgres, SqlStore};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// As many as the statements of a thousand orders a second take on a busy machine.
const CONNECTIONS: u32 = 16;

pub(crate) async fn open(url: &str) -> Result<SqlStore<Postgres>, BoxError> {
    // Nobody waits for what takes longer than the layer does, and the server gives it up.
    let server = url.parse::<PgConnectOptions>()?;
    let server = server.options([("statement_timeout", "2s"), ("client_connection_check_interval", "1s")]);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect_with(server).await?;
    let store = SqlStore::<Postgres>::new(pool);
    store.migrate().await?;
    Ok(store)
}
