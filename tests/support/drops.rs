//! What becomes of a call that is dropped, wherever it is dropped.

use std::future::Future;
use std::time::Duration;

use tokio_test::task;

/// Polls the future of a call k times and then drops it, for k = 0, 1, .. until the call comes to its end.
///
/// `world` makes what the call is made in, `call` makes the call, and `is_as_new` looks at the world after each drop: the
/// next call succeeds, every counter is where it was. The author states at how many `points` the call waits; a call that
/// waits more often or less has points that nobody thought of.
///
/// Between polls paused time moves on until the future is woken.
pub(crate) async fn at_every_point<W, Fut>(
    points: usize,
    world: impl Fn() -> W,
    call: impl Fn(&mut W) -> Fut,
    is_as_new: impl AsyncFn(W, usize),
) where
    Fut: Future,
{
    for polls in 0.. {
        let mut world = world();
        let mut future = task::spawn(call(&mut world));
        for polled in 0..polls {
            if future.poll().is_ready() {
                assert_eq!(polled, points, "the call waits at another number of points than stated");
                drop(future);
                is_as_new(world, polls).await;
                return;
            }
            until_woken(&future).await;
        }
        drop(future);
        is_as_new(world, polls).await;
    }
}

async fn until_woken<F: Future>(future: &task::Spawn<F>) {
    for _ in 0..1_000_000 {
        if future.is_woken() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the call waits and nothing will wake it");
}
