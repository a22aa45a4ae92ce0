//! The harnesses find what they are there to find.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::BoxError;
use proptest::prelude::*;
use support::readiness::{Inner, ReadinessProbe};
use support::{allocations, drops, model, readiness};
use tower::{Service, ServiceExt, service_fn};

/// Makes the classic mistake: calls a clone of the service that it made ready.
#[derive(Clone)]
struct CallsTheClone(Inner);

impl Service<u32> for CallsTheClone {
    type Response = u32;
    type Error = BoxError;
    type Future = <Inner as Service<u32>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.0.clone().call(request)
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "called unready")]
async fn a_layer_that_calls_a_clone_is_caught() {
    readiness::is_kept_by(CallsTheClone).await;
}

#[tokio::test(start_paused = true)]
async fn no_layer_at_all_keeps_readiness() {
    readiness::is_kept_by(|inner| inner).await;
}

#[tokio::test]
#[should_panic(expected = "called unready")]
async fn one_readiness_is_good_for_one_call() {
    let mut probe = ReadinessProbe::new(service_fn(|(): ()| async { Ok::<_, BoxError>(()) }));
    probe.ready().await.expect("ready").call(()).await.expect("an answer");
    drop(probe.call(()));
}

/// A permit that forgets itself when it is not given back by hand.
async fn leaky(permits: Rc<Cell<u32>>) {
    permits.set(permits.get() - 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    permits.set(permits.get() + 1);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "dropped after 1 polls")]
async fn a_leak_on_drop_is_caught() {
    drops::at_every_point(
        2,
        || Rc::new(Cell::new(1)),
        |permits| leaky(permits.clone()),
        async |permits, polls| {
            assert_eq!(permits.get(), 1, "dropped after {polls} polls");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "another number of points")]
async fn a_point_nobody_thought_of_is_caught() {
    drops::at_every_point(1, || Rc::new(Cell::new(1)), |permits| leaky(permits.clone()), async |_, _| {}).await;
}

#[tokio::test(start_paused = true)]
async fn every_point_is_visited_once() {
    let visited = std::cell::RefCell::new(Vec::new());
    drops::at_every_point(
        2,
        || Rc::new(Cell::new(1)),
        |permits| leaky(permits.clone()),
        async |_, polls| {
            visited.borrow_mut().push(polls);
        },
    )
    .await;
    assert_eq!(visited.into_inner(), [0, 1, 2, 3]);
}

#[test]
fn an_allocation_is_counted_and_none_is_not() {
    let plain = service_fn(|number: u32| std::future::ready(Ok::<_, ()>(number)));
    assert_eq!(allocations::of(plain, || 1, Result::is_ok), 0);
    let boxed = tower::util::BoxService::new(plain);
    assert_eq!(allocations::of(boxed, || 1, Result::is_ok), allocations::CALLS, "one box a call");
}

/// Lets one through per second, and forgets that time can run backwards.
fn turnstile(is_sound: bool) -> impl FnMut(Duration, &()) -> bool {
    let mut last: Option<Duration> = None;
    move |now, ()| {
        let waited = last.map(|last| if is_sound { now.saturating_sub(last) } else { now.abs_diff(last) });
        let passes = waited.is_none_or(|waited| waited >= Duration::from_secs(1));
        if passes {
            last = Some(now);
        }
        passes
    }
}

/// The same, from a list of all who passed.
fn obvious() -> impl FnMut(Duration, &()) -> bool {
    let mut passed = Vec::new();
    move |now, ()| {
        let passes = passed.last().is_none_or(|last| now >= *last + Duration::from_secs(1));
        if passes {
            passed.push(now);
        }
        passes
    }
}

#[test]
fn a_sound_state_machine_agrees_with_its_reference() {
    model::agree(Just(()), || turnstile(true), obvious);
}

#[test]
fn a_planted_bug_is_found_in_few_steps() {
    let found = model::differs(Just(()), || turnstile(false), obvious).expect("time runs backwards in some history");
    assert!(found.contains("in step 1 "), "the shortest history has two steps:\n{found}");
}
