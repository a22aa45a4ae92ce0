use std::error::Error;
use std::fmt;
use std::sync::{Arc, LazyLock};

use redis::aio::ConnectionLike;
use redis::{InfoDict, RedisError, Script, Value};

use crate::rejection::BoxError;

static WRITES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("check.lua")));

/// A server that cannot hold records.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum InvalidRedis {
    /// It forgets records when it has no room for others, by this `maxmemory-policy`, which must be `noeviction`.
    Evicts(Box<str>),
    /// It did not say by which policy it forgets, or whether it is of a cluster.
    Unknown(Arc<BoxError>),
    /// It is of a cluster. A connection to one asks again elsewhere by itself, and then nobody knows what was done before.
    Cluster,
    /// It does not let its user [do](super#what-a-server-of-records-must-be) what a store does, or nobody at this time.
    Denies(Arc<BoxError>),
}

/// Refuses a server that forgets records before their time, and one that would not write them. The key is written for a moment.
pub(super) async fn check(connection: &mut (impl ConnectionLike + Send), key: &str) -> Result<(), InvalidRedis> {
    // `CONFIG GET` is forbidden where somebody else runs the server.
    let info = redis::cmd("INFO")
        .query_async::<Value>(connection)
        .await
        .and_then(|answer| redis::from_redis_value::<InfoDict>(answer).map_err(RedisError::from));
    let info = info.map_err(|error| InvalidRedis::Unknown(Arc::new(error.into())))?;
    match info.get::<String>("maxmemory_policy") {
        Some(policy) if policy == "noeviction" => {}
        Some(policy) => return Err(InvalidRedis::Evicts(policy.into())),
        None => return Err(InvalidRedis::Unknown(Arc::new("`INFO` says no `maxmemory_policy`".into()))),
    }
    match info.get::<u8>("cluster_enabled") {
        Some(0) => {}
        Some(_) => return Err(InvalidRedis::Cluster),
        None => return Err(InvalidRedis::Unknown(Arc::new("`INFO` says no `cluster_enabled`".into()))),
    }
    let denied = |error: RedisError| InvalidRedis::Denies(Arc::new(error.into()));
    // A server that knows the script is not told it otherwise, and may yet forget it.
    WRITES.prepare_invoke().load_async(connection).await.map_err(denied)?;
    let written = WRITES.key(key).invoke_async::<Value>(connection).await.and_then(Value::extract_error);
    written.map(drop).map_err(denied)
}

impl fmt::Display for InvalidRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicts(policy) => {
                write!(f, "the server's maxmemory-policy is {policy}, and it must be noeviction")
            }
            Self::Unknown(_) => {
                f.write_str("the server did not say by which policy it forgets, or whether it is of a cluster")
            }
            Self::Cluster => f.write_str("the server is of a cluster"),
            Self::Denies(_) => f.write_str("the server denies what is done to records"),
        }
    }
}

impl Error for InvalidRedis {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Evicts(_) | Self::Cluster => None,
            Self::Unknown(cause) | Self::Denies(cause) => Some(&***cause),
        }
    }
}
