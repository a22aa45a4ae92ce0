use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Original, Read, Rest, State, Turn};
use crate::http::replay::buffer::{Buffer, NotKept};
use crate::http::replay::pool::ReplayPool;

fn rest(left: u64) -> Rest {
    Rest { hint: SizeHint::with_exact(left), is_end: left == 0 }
}

fn data(bytes: &'static str) -> Poll<Option<Read>> {
    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(bytes.as_bytes())))))
}

/// Of 6 bytes, of which 4 are kept.
fn state() -> State<()> {
    State::new(Box::pin(()), rest(6), Buffer::new(4, ReplayPool::new(100)))
}

impl State<()> {
    #[track_caller]
    fn lend(&mut self, attempt: u64) -> std::pin::Pin<Box<()>> {
        match self.turn(attempt, Waker::noop()) {
            Turn::Lent { original, .. } => original,
            _ => panic!("it is not lent"),
        }
    }

    fn read(&mut self, attempt: u64, bytes: &'static str, left: u64) -> Option<NotKept> {
        let original = self.lend(attempt);
        self.give_back(attempt, original, data(bytes), rest(left), None).keeping.ends
    }

    fn next(&mut self, attempt: u64) -> Turn<()> {
        self.turn(attempt, Waker::noop())
    }
}

#[test]
fn what_is_read_is_given_to_the_next_attempt_and_to_no_older_one() {
    let mut state = state();
    assert_eq!(state.read(0, "12", 4), None);
    assert_eq!(state.size_hint(0).exact(), Some(4));
    assert!(state.seal().is_some());
    assert!(matches!(state.next(0), Turn::Superseded));
    assert_eq!((state.size_hint(0).exact(), state.is_end_stream(0)), (None, false));
    assert_eq!(state.begin(), 1);
    assert_eq!(state.size_hint(1).exact(), Some(6));
    assert!(matches!(state.next(1), Turn::Next(frame) if frame.data_ref().is_some_and(|data| data == "12")));
    assert_eq!(state.size_hint(1).exact(), Some(4));
}

#[test]
fn what_is_above_the_cap_ends_the_keeping_and_not_the_attempt() {
    let mut state = state();
    assert_eq!(state.read(0, "1234", 2), None);
    assert_eq!(state.read(0, "56", 0), Some(NotKept::Cap));
    assert!(state.seal().is_none());
    assert!(state.is_end_stream(0));
    assert!(matches!(state.next(0), Turn::Yours(_)));
}

#[test]
fn an_original_that_comes_back_late_brings_what_the_next_attempt_waits_for() {
    let mut state = state();
    let original = state.lend(0);
    assert!(state.seal().is_some());
    state.begin();
    assert!(matches!(state.next(1), Turn::Wait));
    assert!(state.wait(1, Waker::noop().clone()).is_ok());
    assert!(state.wait(0, Waker::noop().clone()).is_err(), "an older attempt waits for nothing");
    let back = state.give_back(0, original, data("123456"), rest(0), Some(Waker::noop().clone()));
    assert!(back.read.is_none());
    assert!(back.wake.is_some());
    assert!(state.parked.is_none(), "the older attempt waits no longer");
    assert!(state.wait(1, Waker::noop().clone()).is_err(), "it is here");
    assert_eq!((state.size_hint(1).exact(), state.is_end_stream(1)), (Some(6), false));
    assert!(matches!(state.next(1), Turn::Ahead(Ok(_), keeping) if keeping.ends == Some(NotKept::Cap)));
    assert!(state.is_end_stream(1));
    assert!(matches!(state.next(1), Turn::Yours(_)));
}

struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_waker_is_left_once_and_taken_by_whoever_seals() {
    let (mut state, waker) = (state(), Waker::from(Arc::new(Task)));
    for knows in [false, true] {
        let Turn::Lent { original, knows_waker } = state.turn(0, &waker) else { panic!("it is lent") };
        assert_eq!(knows_waker, knows);
        let left = (!knows_waker).then(|| waker.clone());
        assert!(state.give_back(0, original, Poll::Pending, rest(6), left).wake.is_none());
    }
    assert!(state.seal().expect("sealed").is_some(), "it waits");
    assert!(state.seal().expect("sealed").is_none(), "it was told");
}

#[test]
fn what_is_lost_is_lost_to_all() {
    let mut state = state();
    drop(state.lend(0));
    assert!(state.lose().0.is_none());
    assert!(matches!(state.next(0), Turn::Lost));
    assert!(matches!(state.next(0), Turn::Lost), "still");
    assert_eq!((state.size_hint(0).exact(), state.is_end_stream(0)), (None, false));
    assert!(state.seal().is_none());
}

#[test]
fn an_end_is_an_end_for_every_attempt() {
    let mut state = state();
    for attempt in 0..2 {
        if attempt == 0 {
            let original = state.lend(0);
            assert!(state.give_back(0, original, Poll::Ready(None), rest(6), None).unneeded.original.is_some());
        }
        assert!(matches!(state.next(attempt), Turn::End));
        assert!(matches!(state.next(attempt), Turn::End), "still");
        assert_eq!((state.size_hint(attempt).exact(), state.is_end_stream(attempt)), (Some(0), true));
        assert!(state.seal().is_some());
        state.begin();
    }
}

#[test]
fn all_is_let_go_once_nobody_asks_for_it() {
    let mut left_first = state();
    assert!(left_first.leave(0).original.is_none(), "there may be another attempt");
    assert!(left_first.let_go().original.is_some());

    let mut left_last = state();
    assert!(left_last.let_go().original.is_none(), "the attempt goes on");
    assert!(left_last.leave(0).original.is_some());

    let mut older = state();
    assert!(older.seal().is_some());
    older.begin();
    assert!(older.let_go().original.is_none());
    assert!(older.leave(0).original.is_none(), "the older one was not asked");
    assert!(older.leave(1).original.is_some());

    let mut lent = state();
    let original = lent.lend(0);
    assert!(lent.seal().is_some());
    assert!(lent.let_go().original.is_none(), "it is not here");
    let back = lent.give_back(0, original, data("12"), rest(4), None);
    assert!(back.unneeded.original.is_some() && back.unneeded.ahead.is_some());
    assert!(matches!(lent.original, Original::Gone));
}

#[test]
fn a_hint_that_has_no_upper_bound_or_overflows_stays_true() {
    let mut state = state();
    let original = state.lend(0);
    let mut hint = SizeHint::default();
    hint.set_lower(u64::MAX);
    let at_least = Rest { hint, is_end: false };
    drop(state.give_back(0, original, data("12"), at_least, None).unneeded);
    assert!(state.seal().is_some());
    state.begin();
    assert_eq!((state.size_hint(1).lower(), state.size_hint(1).upper()), (u64::MAX, None));
}
