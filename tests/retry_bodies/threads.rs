//! An attempt is sealed while it reads, on another thread.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread;

use buttress::BoxError;
use buttress::http::{KeptRequest, LostBody, ReplayBodies, ReplayBody, ReplayPool};
use buttress::retry::Replay;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio_test::{assert_pending, assert_ready, task};

use crate::script::{Hint, Script, Step, trailers};
use crate::{again, is_superseded, next, split, whole};

/// Says when it is read for the first time, and goes on when it is told to.
struct Held {
    door: Option<(Sender<()>, Receiver<()>)>,
    panics: bool,
    script: Script,
    _alive: Arc<()>,
}

impl Body for Held {
    type Data = VecDeque<u8>;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<VecDeque<u8>>, BoxError>>> {
        if let Some((arrived, go)) = self.door.take() {
            arrived.send(()).expect("somebody waits for it");
            go.recv().expect("it is told to");
            assert!(!self.panics, "as told");
        }
        Pin::new(&mut self.script).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        self.script.size_hint()
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// An attempt that is inside `poll_frame`.
struct Race {
    kept: KeptRequest<Held>,
    go: Sender<()>,
    old: thread::JoinHandle<(Polled, ReplayBody<Held>)>,
    alive: Arc<()>,
}

impl Race {
    fn begin(replay: &ReplayBodies, script: Script, panics: bool) -> Self {
        let ((arrived, has_arrived), (go, told), alive) = (channel(), channel(), Arc::default());
        let held = Held { door: Some((arrived, told)), panics, script, _alive: Arc::clone(&alive) };
        let (mut first, kept) = split(replay, held);
        let old = thread::spawn(move || {
            let polled = pin!(&mut first).poll_frame(&mut Context::from_waker(Waker::noop()));
            (polled, first)
        });
        has_arrived.recv().expect("it is read");
        Self { kept, go, old, alive }
    }

    /// The attempt comes back and hears that it is over.
    fn end(go: &Sender<()>, old: thread::JoinHandle<(Polled, ReplayBody<Held>)>) {
        go.send(()).expect("it waits");
        match old.join().expect("no panic") {
            (Poll::Ready(Some(Err(error))), _) => assert!(is_superseded(&error)),
            (other, _) => panic!("a sealed attempt got {other:?}"),
        }
    }
}

/// What the next attempt gets when an older one reads `step` after it was sealed.
fn handed_over(replay: &ReplayBodies, step: Option<Step>) -> (Polled, ReplayBody<Held>, KeptRequest<Held>) {
    let rest = Step::Data(b"rest".to_vec());
    let steps: Vec<_> = step.map_or(vec![], |step| vec![step, rest]);
    let Race { mut kept, go, old, .. } = Race::begin(replay, Script::new(steps), false);
    let mut second = again(&mut kept);
    let polled = {
        let mut waiting = task::spawn(second.frame());
        assert_pending!(waiting.poll(), "the older attempt has the body");
        assert_pending!(waiting.poll(), "and still has");
        assert!(!waiting.is_woken());
        Race::end(&go, old);
        assert!(waiting.is_woken());
        waiting.poll()
    };
    (polled, second, kept)
}

#[tokio::test]
async fn what_a_sealed_attempt_reads_belongs_to_the_next() {
    let replay = ReplayBodies::new();
    let (polled, second, mut kept) = handed_over(&replay, Some(Step::Data(b"0123".to_vec())));
    assert_eq!(assert_ready!(polled).expect("a frame").expect("data").into_data().expect("data"), "0123");
    assert_eq!(whole(second).await.to_bytes(), "rest");
    assert_eq!(whole(again(&mut kept)).await.to_bytes(), "0123rest");

    let (polled, ..) = handed_over(&replay, Some(Step::Trailers));
    let frame = assert_ready!(polled).expect("a frame").expect("trailers");
    assert_eq!(frame.into_trailers().expect("trailers"), trailers());

    let (polled, second, _) = handed_over(&replay, None);
    assert!(assert_ready!(polled).is_none(), "the end");
    assert!(second.is_end_stream());

    let (polled, second, mut kept) = handed_over(&replay, Some(Step::Wait));
    assert_eq!(assert_ready!(polled).expect("a frame").expect("data").into_data().expect("data"), "rest");
    assert_eq!(whole(second).await.to_bytes(), "");
    assert_eq!(whole(again(&mut kept)).await.to_bytes(), "rest");
}

#[tokio::test]
async fn what_is_handed_over_is_told_in_the_size_and_kept_for_the_one_after() {
    let script = Script::of(&["0123", "rest"]).hint(Hint::Exact);
    let Race { mut kept, go, old, .. } = Race::begin(&ReplayBodies::new(), script, false);
    let second = again(&mut kept);
    assert_eq!(second.size_hint().exact(), Some(8), "none of it was read yet");
    Race::end(&go, old);
    assert_eq!(second.size_hint().exact(), Some(8), "some of it was read ahead");
    assert!(!second.is_end_stream());
    let mut third = again(&mut kept);
    assert_eq!(next(&mut third).await, "0123");
    assert_eq!(third.size_hint().exact(), Some(4));
    assert_eq!(whole(third).await.to_bytes(), "rest");
}

#[tokio::test]
async fn what_is_handed_over_and_above_the_cap_is_sent_once() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().cap(3).pool(pool.clone());
    let (polled, second, mut kept) = handed_over(&replay, Some(Step::Data(b"0123".to_vec())));
    assert_eq!(assert_ready!(polled).expect("a frame").expect("data").into_data().expect("data"), "0123");
    assert!(!replay.seal(&mut kept));
    assert_eq!(pool.used(), 0);
    assert_eq!(whole(second).await.to_bytes(), "rest");
}

#[tokio::test]
async fn an_error_is_handed_over_too() {
    let replay = ReplayBodies::new();
    let (polled, _second, mut kept) = handed_over(&replay, Some(Step::Fail));
    assert_eq!(assert_ready!(polled).expect("an error").expect_err("broken").to_string(), "broken");
    assert!(!replay.seal(&mut kept));
}

#[tokio::test]
async fn a_body_that_panics_is_lost_to_the_next_attempt() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().pool(pool.clone());
    let Race { mut kept, go, old, alive } = Race::begin(&replay, Script::of(&["0123"]), true);
    let mut second = again(&mut kept);
    let mut waiting = task::spawn(second.frame());
    assert_pending!(waiting.poll());
    go.send(()).expect("it waits");
    assert!(old.join().is_err(), "it panics");
    assert!(waiting.is_woken());
    let error = assert_ready!(waiting.poll()).expect("it does not end").expect_err("it fails");
    assert!(error.is::<LostBody>());
    assert!(!replay.seal(&mut kept));
    assert_eq!((pool.used(), Arc::strong_count(&alive)), (0, 1));
}

#[test]
fn an_attempt_that_waits_for_an_older_one_can_be_superseded_too() {
    let Race { mut kept, go, old, .. } = Race::begin(&ReplayBodies::new(), Script::of(&["0123"]), false);
    let mut second = again(&mut kept);
    let mut second = task::spawn(second.frame());
    assert_pending!(second.poll());
    let mut third = again(&mut kept);
    assert!(second.is_woken());
    let error = assert_ready!(second.poll()).expect("it does not end").expect_err("it fails");
    assert!(is_superseded(&error));
    let mut third = task::spawn(third.frame());
    assert_pending!(third.poll());
    Race::end(&go, old);
    assert!(third.is_woken());
    assert_eq!(assert_ready!(third.poll()).expect("a frame").expect("data").into_data().expect("data"), "0123");
}

#[test]
fn a_body_that_nobody_asks_for_any_more_goes_when_it_is_given_back() {
    for step in [Some(Step::Data(b"0123".to_vec())), Some(Step::Wait), None] {
        let pool = ReplayPool::new(100);
        let replay = ReplayBodies::new().pool(pool.clone());
        let Race { mut kept, go, old, alive } = Race::begin(&replay, Script::new(step), false);
        let second = again(&mut kept);
        drop((second, kept));
        assert_eq!(Arc::strong_count(&alive), 2, "it is being read");
        go.send(()).expect("it waits");
        let (polled, _first) = old.join().expect("no panic");
        assert!(matches!(polled, Poll::Ready(Some(Err(error))) if is_superseded(&error)));
        assert_eq!((pool.used(), Arc::strong_count(&alive)), (0, 1));
    }
}

#[test]
fn an_attempt_that_is_not_sealed_keeps_what_it_reads_while_the_kept_is_dropped() {
    let pool = ReplayPool::new(100);
    let replay = ReplayBodies::new().pool(pool.clone());
    let Race { kept, go, old, .. } = Race::begin(&replay, Script::of(&["0123"]), false);
    drop(kept);
    go.send(()).expect("it waits");
    let (polled, _first) = old.join().expect("no panic");
    assert_eq!(assert_ready!(polled).expect("a frame").expect("data").into_data().expect("data"), "0123");
    assert_eq!(pool.used(), 0, "and nothing is kept for nobody");
}
