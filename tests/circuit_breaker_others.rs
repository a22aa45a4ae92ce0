//! What others may do in the middle of a circuit breaker's work: wakers that own tasks, listeners that call back,
//! subscribers that block or panic. None of it runs under a lock.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use buttress::Error;
use buttress::circuit_breaker::{
    Changes, CircuitBreaker, CircuitBreakerConfig, CircuitBreakerLayer, KeyedCircuitBreaker, State, WhenDropped,
};
use tower::{Layer, Service};
use tracing::span;

fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new().name("test").consecutive_failures(1)
}

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new(config()).expect("valid")
}

/// A lock that waits for itself would wait for ever: the one place where a test has to give up after a time.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = channel();
    let worker = std::thread::spawn(move || {
        work();
        done.send(())
    });
    assert!(wait.recv_timeout(Duration::from_secs(30)).is_ok(), "it waits for itself, or panicked");
    worker.join().expect("no panic").expect("somebody listens");
}

struct NeverReady;

impl Service<()> for NeverReady {
    type Response = ();
    type Error = Error<()>;
    type Future = std::future::Ready<Result<(), Error<()>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<()>>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        unreachable!("it is never ready")
    }
}

/// A waker that owns a task, as in the simplest of executors, or that does something when it wakes.
struct Owns<T>(Mutex<T>);

impl<T: Send + 'static> Wake for Owns<T> {
    fn wake(self: Arc<Self>) {}
}

struct CallsBack<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for CallsBack<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

#[test]
fn a_waker_may_be_the_last_to_hold_a_service_that_is_parked_too() {
    ends(|| {
        let layer = CircuitBreakerLayer::new(config()).expect("valid");
        let mut owned = layer.layer(NeverReady);
        assert!(owned.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending());
        let task = Waker::from(Arc::new(Owns(Mutex::new(owned))));
        let mut service = layer.layer(NeverReady);
        assert!(service.poll_ready(&mut Context::from_waker(&task)).is_pending());
        drop(task);
        assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending(), "another task polls it");
    });
}

#[test]
fn a_listener_may_ask_the_breakers_while_their_settings_change() {
    ends(|| {
        let breakers = KeyedCircuitBreaker::<u32>::new(config()).expect("valid");
        breakers.try_acquire(&1).expect("closed").success();
        let mut changes = breakers.get(&1).expect("it has one").changes();
        let asks = breakers.clone();
        let asks = Waker::from(Arc::new(CallsBack(move || {
            assert_eq!(asks.len(), 1);
            asks.try_acquire(&1).expect("closed").success();
        })));
        let mut next = Box::pin(async move { changes.next().await });
        assert!(next.as_mut().poll(&mut Context::from_waker(&asks)).is_pending());
        breakers.reconfigure(&config()).expect("valid");
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
}

#[test]
fn a_listener_that_hears_of_the_end_may_drop_what_is_left() {
    ends(|| {
        let breaker = CircuitBreaker::new(config().when_dropped(WhenDropped::Failure)).expect("valid");
        let mut changes = breaker.changes();
        let left = Mutex::new(breaker.try_acquire().ok());
        let drops = Waker::from(Arc::new(CallsBack(move || drop(left.lock().expect("no panic").take()))));
        let mut next = Box::pin(async move { changes.next().await });
        assert!(next.as_mut().poll(&mut Context::from_waker(&drops)).is_pending());
        drop(breaker);
        assert_eq!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
    });
}

/// Says that it has been told of an event, and returns when it may.
struct Holds {
    told: Sender<()>,
    may_go_on: Mutex<Receiver<()>>,
}

/// Panics at every event.
struct Panics;

macro_rules! subscribes {
    ($subscriber:ty, |$this:ident| $at_event:expr) => {
        impl tracing::Subscriber for $subscriber {
            fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
                metadata.target() == "buttress"
            }
            fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
                span::Id::from_u64(1)
            }
            fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
            fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
            fn event(&self, _: &tracing::Event<'_>) {
                let $this = self;
                $at_event
            }
            fn enter(&self, _: &span::Id) {}
            fn exit(&self, _: &span::Id) {}
        }
    };
}

subscribes!(Holds, |this| {
    this.told.send(()).expect("the test listens");
    this.may_go_on.lock().expect("no panic").recv().expect("the test goes on");
});
subscribes!(Panics, |_this| panic!("on purpose"));

/// A thread that forces the breaker open, and stops at each change that it tells its subscriber of.
struct Held {
    thread: std::thread::JoinHandle<()>,
    told: Receiver<()>,
    go_on: Sender<()>,
}

impl Held {
    fn by(breaker: CircuitBreaker) -> Self {
        let ((tell, told), (go_on, may_go_on)) = (channel(), channel());
        let thread = std::thread::spawn(move || {
            let holds = Holds { told: tell, may_go_on: Mutex::new(may_go_on) };
            tracing::subscriber::with_default(holds, || {
                breaker.force_open();
                drop(breaker);
            });
        });
        let held = Self { thread, told, go_on };
        held.told.recv().expect("the first change");
        held
    }

    /// It goes on to the next change.
    fn next(&self) {
        self.go_on.send(()).expect("it waits");
        self.told.recv().expect("another change");
    }

    fn end(self) {
        self.go_on.send(()).expect("it waits");
        self.thread.join().expect("no panic");
    }
}

fn states(changes: &mut Changes) -> VecDeque<State> {
    std::iter::from_fn(|| changes.try_next()).map(|change| change.to).collect()
}

#[test]
fn changes_come_in_order_although_the_thread_that_tells_them_is_held_up() {
    use State::{Closed, ForcedClosed, ForcedOpen};

    let breaker = breaker();
    let mut changes = breaker.changes();
    let held = Held::by(breaker.clone());
    breaker.reset();
    breaker.force_closed();
    assert_eq!(states(&mut changes), [ForcedOpen], "the others wait for their turn");
    held.next();
    breaker.force_open();
    assert_eq!(states(&mut changes), [Closed, ForcedClosed], "also behind those that are being told");
    held.next();
    held.next();
    assert_eq!(states(&mut changes), [ForcedOpen]);
    held.end();
    assert_eq!(changes.missed(), 0);
}

#[test]
fn who_begins_to_listen_hears_nothing_of_before() {
    let breaker = breaker();
    let held = Held::by(breaker.clone());
    breaker.reset();
    let mut changes = breaker.changes();
    breaker.disable();
    held.next();
    held.next();
    held.end();
    assert_eq!(states(&mut changes), [State::Disabled], "the reset was still to be told then");
}

#[test]
fn the_last_changes_of_a_breaker_that_is_gone_are_heard_of() {
    let breaker = breaker();
    let mut changes = breaker.changes();
    let held = Held::by(breaker.clone());
    breaker.reset();
    breaker.disable();
    drop(breaker);
    let next = self::breaker();
    let mut of_the_next = next.changes();
    held.next();
    next.force_open();
    assert_eq!(states(&mut of_the_next), [State::ForcedOpen], "another breaker waits for nobody");
    held.next();
    held.end();
    assert_eq!(states(&mut changes), [State::ForcedOpen, State::Closed, State::Disabled]);
    assert_eq!(pin!(changes.next()).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(None));
}

#[test]
fn a_subscriber_that_panics_keeps_no_change_from_anybody() {
    let breaker = breaker();
    let mut changes = breaker.changes();
    tracing::subscriber::with_default(Panics, || {
        std::panic::catch_unwind(AssertUnwindSafe(|| breaker.force_open())).expect_err("it panics");
    });
    breaker.reset();
    assert_eq!(states(&mut changes), [State::ForcedOpen, State::Closed]);
}
