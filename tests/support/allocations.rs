//! How often a call asks for memory.

use std::fmt::Debug;

use tower::{Service, ServiceExt};

/// Calls enough that one allocation in ten thousand would show.
pub(crate) const CALLS: u64 = 10_000;

/// The allocations of [`CALLS`] calls of `service`, after it has warmed up, each of which must satisfy `is_as_meant`.
///
/// Claim zero only beside a service that is known to allocate: a counter that counts nothing says zero too.
pub(crate) fn of<S, Req>(
    mut service: S,
    request: impl Fn() -> Req,
    is_as_meant: impl Fn(&Result<S::Response, S::Error>) -> bool,
) -> u64
where
    S: Service<Req, Response: Debug, Error: Debug>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(tokio::task::unconstrained(async {
        let mut call = async || {
            let answer = service.ready().await.expect("ready").call(request()).await;
            assert!(is_as_meant(&answer), "the call took another path: {answer:?}");
        };
        call().await;
        let mut total = 0;
        for _ in 0..CALLS {
            let mut pending = std::pin::pin!(call());
            // Counted from inside the poll: the future itself lives on the stack.
            total += counted(&mut pending).await;
        }
        total
    }))
}

async fn counted<F: Future<Output = ()>>(future: &mut std::pin::Pin<&mut F>) -> u64 {
    let mut total = 0;
    std::future::poll_fn(|cx| {
        let mut polled = std::task::Poll::Pending;
        total += allocation_counter::measure(|| polled = future.as_mut().poll(cx)).count_total;
        polled
    })
    .await;
    total
}
