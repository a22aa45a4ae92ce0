//! Records in Redis.

use buttress::BoxError;
use buttress::engines::redis::{Connection, RedisStore, connection_config};
use redis::Client;

pub(crate) async fn open(url: &str) -> Result<RedisStore<Connection>, BoxError> {
    let connection = Connection::new(Client::open(url)?, connection_config())?;
    Ok(RedisStore::new(connection).await?)
}
