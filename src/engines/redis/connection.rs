use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value};

/// How to connect to a server so that it is noticed within the layer's
/// [time for its store](crate::idempotency::IdempotencyConfig::store_timeout) that it is gone, or stands still: 100 ms to
/// connect, 150 ms to answer.
///
/// By default a call waits for six attempts to connect, which takes seconds. A server that is further away needs longer, and
/// so does one that [waits](super::RedisStore::wait) for its replicas; the layer must then have more time for its store as well:
/// a call that it cuts off before the time to answer is over says nothing of the connection.
#[must_use]
pub fn connection_config() -> ConnectionManagerConfig {
    ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(100)))
        .set_response_timeout(Some(Duration::from_millis(150)))
        .set_number_of_retries(0)
}

/// A connection that is made anew for the next call after an answer has not come in time, and when it has broken. Clones share
/// it.
///
/// A [`ConnectionManager`] alone makes another one only when it has broken, which a machine that vanishes does not say: until
/// the operating system gives up, after minutes, each call would wait in vain.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    client: Client,
    config: ConnectionManagerConfig,
    current: Mutex<Current>,
}

#[derive(Clone)]
struct Current {
    manager: ConnectionManager,
    /// How many there were before.
    number: u64,
}

impl Connection {
    /// A connection that is made when it is first used, best as [`connection_config`] says. Without a time to answer it is
    /// never found dead.
    ///
    /// # Errors
    ///
    /// If the settings contradict each other.
    pub fn new(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        Ok(Self(Arc::new(Shared { client, config, current: Mutex::new(Current { manager, number: 0 }) })))
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a connection whose answer has not come, unless another call has done so.
    fn after<T>(&self, asked: &Current, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(RedisError::is_timeout) {
            let mut current = self.current();
            let Shared { client, config, .. } = &*self.0;
            if current.number == asked.number
                && let Ok(manager) = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())
            {
                *current = Current { manager, number: asked.number + 1 };
            }
        }
        answer
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut current = self.current().clone();
            let answer = current.manager.send_packed_command(command).await;
            self.after(&current, answer)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let mut current = self.current().clone();
            let answers = current.manager.send_packed_commands(commands, offset, count).await;
            self.after(&current, answers)
        })
    }

    fn get_db(&self) -> i64 {
        self.current().manager.get_db()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("number", &self.current().number).finish_non_exhaustive()
    }
}
