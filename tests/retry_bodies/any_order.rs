//! Attempts that are read, left and sealed in any order.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use buttress::http::{KeptRequest, ReplayBodies, ReplayBody, ReplayPool, SupersededAttempt};
use buttress::retry::Replay;
use http::Request;
use hyper::body::Body;
use proptest::prelude::*;

use crate::script::{Hint, Script, Step, trailers};

const TRAILERS: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Act {
    Read,
    ReadAnOldOne,
    Drop,
    Retry,
    ForgetTheKept,
}

struct Attempt {
    body: Pin<Box<ReplayBody<Script>>>,
    data: Vec<u8>,
    has_trailers: bool,
    has_ended: bool,
    has_failed: bool,
}

impl Attempt {
    fn new(request: Request<ReplayBody<Script>>) -> Self {
        let body = Box::pin(request.into_body());
        Self { body, data: Vec::new(), has_trailers: false, has_ended: false, has_failed: false }
    }

    fn bytes(&self) -> usize {
        self.data.len() + if self.has_trailers { TRAILERS } else { 0 }
    }

    fn is_over(&self) -> bool {
        self.has_ended || self.has_failed
    }
}

struct World {
    pool: ReplayPool,
    limit: usize,
    whole: Vec<u8>,
    has_trailers: bool,
    fails: bool,
    kept: Option<KeptRequest<Script>>,
    current: Option<Attempt>,
    old: Vec<Attempt>,
    /// The most that an attempt was given.
    furthest: usize,
    is_given_up: bool,
}

impl World {
    fn read(&mut self) {
        let Some(attempt) = self.current.as_mut().filter(|attempt| !attempt.is_over()) else {
            return;
        };
        let left = (self.whole.len() - attempt.data.len()) as u64;
        if !self.fails {
            let hint = attempt.body.size_hint();
            assert!(
                hint.lower() <= left && hint.upper().is_none_or(|upper| left <= upper),
                "{left} are left: {hint:?}"
            );
        }
        let is_end = attempt.body.is_end_stream();
        assert!(!is_end || left == 0 && attempt.has_trailers == self.has_trailers, "it is not the end");
        match attempt.body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => assert!(!is_end),
            Poll::Ready(None) => {
                assert_eq!((&attempt.data, attempt.has_trailers), (&self.whole, self.has_trailers));
                attempt.has_ended = true;
            }
            Poll::Ready(Some(Err(error))) => {
                assert!(self.fails && error.to_string() == "broken", "{error}");
                attempt.has_failed = true;
                self.is_given_up = true;
            }
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    assert!(!attempt.has_trailers);
                    attempt.data.extend_from_slice(&data);
                    assert!(self.whole.starts_with(&attempt.data));
                }
                Err(frame) => {
                    assert_eq!(frame.into_trailers().expect("trailers"), trailers());
                    assert_eq!((&attempt.data, attempt.has_trailers), (&self.whole, false));
                    attempt.has_trailers = true;
                }
            },
        }
        self.furthest = self.furthest.max(attempt.bytes());
        self.is_given_up |= self.furthest > self.limit;
    }

    fn retry(&mut self) -> bool {
        let Some(mut kept) = self.kept.take() else {
            return false;
        };
        let is_sealed = ReplayBodies::new().seal(&mut kept);
        assert_eq!(is_sealed, !self.is_given_up, "{} of {}", self.furthest, self.limit);
        if is_sealed {
            self.old.extend(self.current.take());
            self.read_old();
            self.current = Some(Attempt::new(ReplayBodies::new().again(&mut kept)));
        }
        self.kept = Some(kept);
        is_sealed
    }

    fn read_old(&mut self) {
        for attempt in &mut self.old {
            assert_eq!((attempt.body.is_end_stream(), attempt.body.size_hint().exact()), (false, None));
            match attempt.body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Err(error))) => assert!(error.is::<SupersededAttempt>()),
                other => panic!("a sealed attempt got {other:?}"),
            }
        }
    }

    fn assert_counted(&self) {
        let counted = match (&self.kept, &self.current) {
            _ if self.is_given_up => 0,
            (Some(_), _) => self.furthest,
            (None, Some(attempt)) => self.furthest - attempt.bytes(),
            (None, None) => 0,
        };
        assert_eq!(self.pool.used(), counted);
    }
}

fn hold(script: &Script, cap: usize, pool: usize, acts: &[Act]) {
    let whole = script.data();
    let has_trailers = script.steps.iter().any(|step| matches!(step, Step::Trailers));
    let fails = script.steps.iter().any(|step| matches!(step, Step::Fail));
    let pool = ReplayPool::new(pool);
    let replay = ReplayBodies::new().cap(cap).pool(pool.clone());
    let (first, kept) = replay.split(Request::new(script.clone()));
    assert_eq!(kept.is_some(), script.is_end_stream() || script.size_hint().lower() <= cap as u64);
    // A body at its end is nobody's to seal: all of it was sent.
    let is_empty = script.is_end_stream();
    let limit = cap.min(pool.size());
    let current = Some(Attempt::new(first));
    let is_given_up = kept.is_none();
    let mut world =
        World { pool, limit, whole, has_trailers, fails, kept, current, old: Vec::new(), furthest: 0, is_given_up };
    for act in acts {
        match act {
            Act::Read => world.read(),
            Act::ReadAnOldOne if !is_empty => world.read_old(),
            Act::ReadAnOldOne => {}
            Act::Drop => world.current = None,
            Act::Retry if !is_empty => drop(world.retry()),
            Act::Retry => {}
            Act::ForgetTheKept => world.kept = None,
        }
        world.assert_counted();
    }
    if !is_empty {
        world.retry();
    }
    while world.current.as_ref().is_some_and(|attempt| !attempt.is_over()) {
        world.read();
        world.assert_counted();
    }
    let World { pool, kept, current, old, .. } = world;
    drop((kept, current));
    assert_eq!(pool.used(), 0, "{} old attempts hold nothing", old.len());
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..8).prop_map(Step::Data),
        1 => prop::collection::vec(any::<u8>(), 500..600).prop_map(Step::Data),
        2 => Just(Step::Wait),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let hint = prop_oneof![Just(Hint::Exact), Just(Hint::AtLeast), Just(Hint::Nothing)];
    let end = prop_oneof![3 => Just(None), 3 => Just(Some(Step::Trailers)), 1 => Just(Some(Step::Fail))];
    (prop::collection::vec(step(), 0..8), end, hint, any::<bool>()).prop_map(|(steps, end, hint, tells_end)| {
        let mut script = Script::new(steps.into_iter().chain(end)).hint(hint);
        script.tells_end = tells_end;
        script
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => Just(Act::Read),
        2 => Just(Act::ReadAnOldOne),
        1 => Just(Act::Drop),
        3 => Just(Act::Retry),
        1 => Just(Act::ForgetTheKept),
    ]
}

fn limit() -> impl Strategy<Value = usize> {
    prop_oneof![0..30_usize, 400..1_500_usize, Just(usize::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn every_attempt_that_ends_has_sent_it_all_and_no_sealed_one_ends(
        script in script(),
        cap in limit(),
        pool in limit(),
        acts in prop::collection::vec(act(), 0..40),
    ) {
        hold(&script, cap, pool, &acts);
    }
}

#[test]
fn it_is_replayed_whole_wherever_an_attempt_is_left() {
    let script = Script::of(&["one", "", "two", "three"]).trailers().hint(Hint::Exact);
    for first in 0..8 {
        for second in 0..8 {
            let mut acts = vec![Act::Read; first];
            acts.extend([Act::Drop, Act::Retry]);
            acts.extend(vec![Act::Read; second]);
            acts.push(Act::Retry);
            hold(&script, 100, 100, &acts);
        }
    }
}
