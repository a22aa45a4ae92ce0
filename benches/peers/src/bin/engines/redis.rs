use std::sync::LazyLock;
use std::time::Duration;

use buttress::engines::redis::{Connection, RedisStore, connection_config};
use buttress::idempotency::RecordKey;
use redis::{Script, cmd};

use crate::measure::{Engine, Scripted};
use crate::support::redis_server::Redis;

/// A busy machine may take long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server, and one connection for all.
pub(crate) struct OfRedis {
    connection: Connection,
    store: RedisStore<Connection>,
    /// Ends with it.
    _server: Redis,
}

impl OfRedis {
    /// It saves when it does by default, which servers of tests do not.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let server = Redis::start(&[&["--save", "3600", "1", "300", "100", "60", "10000"], settings].concat()).await;
        let config = connection_config().set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
        let connection = Connection::new(server.client(), config).expect("valid");
        let store = RedisStore::new(connection.clone()).await.expect("it keeps records");
        Self { connection, store, _server: server }
    }
}

impl Engine for OfRedis {
    type Store = RedisStore<Connection>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn write(&self, key: &RecordKey, value: &'static [u8]) {
        let mut connection = self.connection.clone();
        cmd("SET").arg(key.as_bytes()).arg(value).exec_async(&mut connection).await.expect("it is written");
    }

    async fn read(&self, key: &RecordKey) -> Vec<u8> {
        let mut connection = self.connection.clone();
        cmd("GET").arg(key.as_bytes()).query_async(&mut connection).await.expect("it is there")
    }
}

static SET: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('SET', KEYS[1], ARGV[1])"));

impl Scripted for OfRedis {
    async fn write_by_script(&self, key: &RecordKey, value: &'static [u8]) {
        let mut connection = self.connection.clone();
        SET.key(key.as_bytes()).arg(value).invoke_async::<()>(&mut connection).await.expect("it is written");
    }
}
