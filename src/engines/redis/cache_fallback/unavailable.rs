use std::error::Error;
use std::fmt;
use std::time::Duration;

use redis::RedisError;

use crate::circuit_breaker::Open;

/// Why a [`RedisCache`](super::RedisCache) had no answer.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum RedisCacheError {
    /// The server did not answer within so long.
    Late(Duration),
    /// It was not asked: its circuit is open.
    CircuitOpen(Open),
    /// It was not reached, or denies what is asked.
    Failed(RedisError),
}

impl fmt::Display for RedisCacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(within) => write!(f, "the server did not answer within {within:?}"),
            Self::CircuitOpen(_) => f.write_str("the server was not asked"),
            Self::Failed(_) => f.write_str("the server failed"),
        }
    }
}

impl Error for RedisCacheError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Late(_) => None,
            Self::CircuitOpen(open) => Some(open),
            Self::Failed(error) => Some(error),
        }
    }
}
