//! The ready stacks: their order, their settings, and what becomes of retries of retries.

mod allocations;
mod amplification;
mod client;
mod server;
mod settings;
#[path = "../support/mod.rs"]
mod support;
mod validator;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use buttress::http::{ClientStack, ClientStackConfig, client_stack};
use buttress::retry::{Backoff, RetryConfig, Spread};
use http::{Request, Response, StatusCode};
use hyper::body::Bytes;
use tower::{Service, service_fn};

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);

/// Three attempts, and waits of 100 ms and 200 ms.
fn retry() -> RetryConfig {
    RetryConfig::new().backoff(Backoff::exponential(100 * MS, SEC).spread(Spread::None))
}

fn config() -> ClientStackConfig {
    ClientStackConfig::new().retry(retry())
}

fn stack(config: ClientStackConfig) -> ClientStack {
    client_stack(config).expect("valid")
}

fn response(status: u16) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::new()).expect("a valid status")
}

fn get() -> Request<()> {
    Request::new(())
}

/// How often somebody was called.
#[derive(Clone, Debug, Default)]
struct Calls(Arc<AtomicU32>);

impl Calls {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How often since it was last asked.
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// Answers each request with what `answer` makes of it, and cannot fail otherwise.
fn backend<A>(
    calls: &Calls,
    answer: A,
) -> impl Service<Request<()>, Response = Response<Bytes>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
where
    A: Fn(&Request<()>) -> Response<Bytes> + Clone + Send + Sync + 'static,
{
    let calls = calls.clone();
    service_fn(move |request: Request<()>| {
        calls.count();
        std::future::ready(Ok(answer(&request)))
    })
}

/// Is called, and never answers.
fn hanging(
    calls: &Calls,
) -> impl Service<Request<()>, Response = Response<Bytes>, Error = Infallible, Future: Send> + Clone {
    let calls = calls.clone();
    service_fn(move |_: Request<()>| {
        calls.count();
        std::future::pending()
    })
}
