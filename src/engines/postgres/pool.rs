use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPool;
use sqlx::{Error, Postgres};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::clock;

/// Longer than a connection takes to be made; and if there is no server, whoever asks next is not held up for longer.
const LONGEST: Duration = Duration::from_secs(5);

/// A pool, in which connections are made by whoever needs them.
#[derive(Clone)]
pub(super) struct Connection {
    pool: PgPool,
    /// Of those who gave up, one goes on: without, a connection that takes longer to be made than anybody waits would never be.
    goes_on: Arc<Semaphore>,
}

type Acquiring = Pin<Box<dyn Future<Output = Result<PoolConnection<Postgres>, Error>> + Send>>;

/// Whoever waits for a connection.
struct Waiting {
    acquiring: Option<Acquiring>,
    goes_on: Arc<Semaphore>,
}

impl Connection {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, goes_on: Arc::new(Semaphore::new(1)) }
    }

    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, Error> {
        Waiting { acquiring: Some(Box::pin(self.pool.acquire())), goes_on: self.goes_on.clone() }.await
    }
}

impl Future for Waiting {
    type Output = Result<PoolConnection<Postgres>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let acquiring = self.acquiring.as_mut().expect("polled after it finished");
        let acquired = acquiring.as_mut().poll(cx);
        if acquired.is_ready() {
            self.acquiring = None;
        }
        acquired
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(acquiring) = self.acquiring.take()
            && let Ok(turn) = self.goes_on.clone().try_acquire_owned()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                drop(clock::within(LONGEST, acquiring).await);
                drop(turn);
            });
        }
    }
}
