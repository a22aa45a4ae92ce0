use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManagerConfig};
use redis::{InfoDict, RedisError, Value};

use crate::rejection::BoxError;

/// A server that cannot hold records.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum InvalidRedis {
    /// It forgets records when it has no room for others, by this `maxmemory-policy`, which must be `noeviction`.
    Evicts(Box<str>),
    /// It did not say by which policy it forgets.
    Unknown(Arc<BoxError>),
}

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

/// Refuses a server that forgets records before their time.
pub(super) async fn check(connection: &mut impl ConnectionLike) -> Result<(), InvalidRedis> {
    // `CONFIG GET` is forbidden where somebody else runs the server.
    let answer: Value = redis::cmd("INFO").arg("memory").query_async(connection).await.map_err(InvalidRedis::from)?;
    let memory: InfoDict = redis::from_redis_value(answer).map_err(RedisError::from)?;
    match memory.get::<String>("maxmemory_policy") {
        Some(policy) if policy == "noeviction" => Ok(()),
        Some(policy) => Err(InvalidRedis::Evicts(policy.into())),
        None => Err(InvalidRedis::Unknown(Arc::new("`INFO memory` says no `maxmemory_policy`".into()))),
    }
}

impl From<RedisError> for InvalidRedis {
    fn from(error: RedisError) -> Self {
        Self::Unknown(Arc::new(error.into()))
    }
}

impl fmt::Display for InvalidRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicts(policy) => {
                write!(f, "the server's maxmemory-policy is {policy}, and it must be noeviction")
            }
            Self::Unknown(_) => f.write_str("the server did not say by which policy it forgets"),
        }
    }
}

impl Error for InvalidRedis {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Evicts(_) => None,
            Self::Unknown(cause) => Some(&***cause),
        }
    }
}
