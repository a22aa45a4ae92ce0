use std::time::Duration;

use redis::aio::ConnectionManagerConfig;

/// How to connect to a server so that it is noticed within the layer's
/// [time for its store](crate::idempotency::IdempotencyConfig::store_timeout) that it is gone, or stands still: 100 ms to
/// connect, 150 ms to answer, and the next call connects anew.
///
/// By default a call waits for six attempts to connect, which takes seconds. A server that is further away needs longer, and
/// so does one that [waits](super::RedisStore::wait) for its replicas.
#[must_use]
pub fn connection_config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(100)))
        .set_response_timeout(Some(Duration::from_millis(150)))
        .set_number_of_retries(0)
}
