//! The loops that make a row's calls.

use std::fmt::Debug;
use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower::{Service, ServiceExt};

use crate::rows::Calls;

/// Calls a service; `request` is told how many calls came before.
///
/// Every answer is checked, and a call that took another path than its row is named for is a panic.
pub(crate) fn through<S, R>(
    mut service: S,
    request: impl Fn(u64) -> R + 'static,
    is_as_meant: fn(&Result<S::Response, S::Error>) -> bool,
) -> Calls
where
    S: Service<R> + 'static,
    S::Response: Debug + 'static,
    S::Error: Debug + 'static,
{
    // To be called for every row alike: where it is a part of some loops, it costs others more.
    let is_as_meant = black_box(is_as_meant);
    Box::new(move |times| {
        now(async {
            for call in 0..times {
                let answer = service.ready().await.expect("always ready").call(black_box(request(call))).await;
                assert!(is_as_meant(&answer), "the call took another path: {answer:?}");
            }
        });
    })
}

/// Calls a function, for a peer that is no service.
#[cfg(feature = "peers")]
pub(crate) fn of<T: Debug + 'static>(
    function: impl Fn(u64) -> T + 'static,
    request: impl Fn(u64) -> u64 + 'static,
    is_as_meant: fn(&T) -> bool,
) -> Calls {
    let is_as_meant = black_box(is_as_meant);
    Box::new(move |times| {
        for call in 0..times {
            let answer = function(black_box(request(call)));
            assert!(is_as_meant(&answer), "the call took another path: {answer:?}");
        }
    })
}

/// Polls a future until it is ready, without a pause: what it waits for comes with the next poll, and no scheduler has a
/// part in what is measured.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

/// The same request each time.
pub(crate) fn always(request: u64) -> impl Fn(u64) -> u64 {
    move |_| request
}
