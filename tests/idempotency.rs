//! Requests that are run once, under paused time.

mod support;

use std::future::{Future, Ready, ready};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buttress::clock::Moment;
use buttress::idempotency::{
    Begin, Capabilities, Claim, Commit, Execution, Fingerprint, IdempotencyConfig, IdempotencyLayer, Identify, Keep,
    Kept, MemoryStore, Owner, RecordKey, RefusalReason, RunOnce, ScopeOf, Store, StoreError, Unreadable, Verdict, Wait,
    WhenUnavailable,
};
use buttress::{Error, MayCarryRejection};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

type Failure = Error<&'static str>;

/// Keeps numbers; an error has had no effect.
struct Numbers;

impl<E: Send> Keep<u32, E> for Numbers {
    type Future = Ready<Kept<u32, E>>;

    fn keep(&self, result: Result<u32, E>) -> Self::Future {
        let verdict = match &result {
            Ok(number) => Verdict::Final(Bytes::copy_from_slice(&number.to_le_bytes())),
            Err(_) => Verdict::NoEffect,
        };
        ready(Kept { result, verdict })
    }

    fn replay(&self, kept: Bytes) -> Result<u32, Unreadable> {
        let bytes = kept.as_ref().try_into().map_err(|_| Unreadable::new("not four bytes"))?;
        Ok(u32::from_le_bytes(bytes))
    }
}

#[derive(Clone, Debug)]
struct Order {
    number: u32,
    cents: u32,
}

fn order(number: u32) -> Order {
    Order { number, cents: 100 }
}

fn once() -> RunOnce<
    impl ScopeOf<Order> + Clone + Send + Sync + 'static,
    impl Fn(&Order) -> Option<u32> + Clone + Send + Sync + 'static,
    impl Fn(&Order) -> u32 + Clone + Send + Sync + 'static,
> {
    RunOnce::new()
        .scope(|_: &Order| ("shop", "order.create"))
        .key(|order: &Order| (order.number != 0).then_some(order.number))
        .fingerprint(|order: &Order| order.cents)
}

fn store() -> MemoryStore {
    MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"))
}

fn layer(
    config: IdempotencyConfig,
) -> IdempotencyLayer<MemoryStore, impl Identify<Order, Request = Order, Future: 'static>, Numbers> {
    IdempotencyLayer::new(config, store()).expect("valid").identify(once()).keep(Numbers)
}

fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> RefusalReason {
    match result {
        Err(Error::Rejected(buttress::Rejection::Idempotency(refused))) => refused.reason(),
        other => panic!("not refused: {other:?}"),
    }
}

/// Takes a while, and counts how often it was called.
fn slow(
    calls: &Arc<AtomicU32>,
) -> impl Service<Order, Response = u32, Error = Failure, Future: Send> + Clone + Send + 'static {
    let calls = calls.clone();
    service_fn(move |order: Order| {
        let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(SEC).await;
            Ok(order.number * 10 + call)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_answered_with_what_came_of_the_first() {
    let calls = Arc::default();
    let mut service = layer(IdempotencyConfig::new()).layer(slow(&calls));
    for _ in 0..3 {
        assert_eq!(service.call(order(7)).await.expect("an answer"), 71);
    }
    assert_eq!(service.call(order(8)).await.expect("an answer"), 82);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn of_200_at_once_one_runs_and_the_others_are_told_so() {
    let (calls, conflicts) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
    let (counter, seen) = (calls.clone(), conflicts.clone());
    let inner = service_fn(move |_: Order| {
        counter.fetch_add(1, Ordering::SeqCst);
        let seen = seen.clone();
        async move {
            seen.acquire_many(199).await.expect("open").forget();
            Ok::<_, Failure>(5)
        }
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    let racers: Vec<_> = (0..200)
        .map(|_| {
            let (call, conflicts) = (service.call(order(1)), conflicts.clone());
            tokio::spawn(async move {
                let result = call.await;
                if result.is_err() {
                    conflicts.add_permits(1);
                }
                result
            })
        })
        .collect();
    let mut answered = 0;
    for racer in racers {
        match racer.await.expect("no panic") {
            Ok(5) => answered += 1,
            other => assert_eq!(reason(other), RefusalReason::Running),
        }
    }
    assert_eq!((answered, calls.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(service.oneshot(order(1)).await.expect("an answer"), 5);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_wait_gets_the_one_answer_when_it_is_there() {
    let calls = Arc::default();
    let service = layer(IdempotencyConfig::new().wait(Wait::up_to(5 * SEC))).layer(slow(&calls));
    let start = Moment::now();
    let all = futures::future::join_all((0..10).map(|_| service.clone().oneshot(order(3)))).await;
    assert!(all.into_iter().all(|answer| answer.expect("an answer") == 31));
    assert_eq!(Moment::now().since(start), SEC, "nobody waits for longer than the run takes");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn more_wait_than_may_and_longer_than_they_may() {
    let calls = Arc::default();
    let wait = Wait::up_to(SEC / 2).for_each_key(2);
    let service = layer(IdempotencyConfig::new().wait(wait)).layer(slow(&calls));
    let all = futures::future::join_all((0..5).map(|_| service.clone().oneshot(order(3)))).await;
    assert_eq!(all.into_iter().map(|answer| u32::from(answer.is_ok())).sum::<u32>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_when_its_sender_has_gone() {
    let calls = Arc::default();
    let mut service = layer(IdempotencyConfig::new()).layer(slow(&calls));
    let mut call = tokio_test::task::spawn(service.call(order(4)));
    assert!(call.poll().is_pending());
    tokio::task::yield_now().await;
    drop(call);
    assert_eq!(reason(service.call(order(4)).await), RefusalReason::Running);
    sleep(2 * SEC).await;
    assert_eq!(service.call(order(4)).await.expect("an answer"), 41);
}

#[tokio::test(start_paused = true)]
async fn another_request_under_the_key_is_refused_and_so_is_one_without_a_key() {
    let calls = Arc::default();
    let mut service = layer(IdempotencyConfig::new()).layer(slow(&calls));
    service.call(order(4)).await.expect("an answer");
    assert_eq!(reason(service.call(Order { number: 4, cents: 101 }).await), RefusalReason::Mismatch);
    assert_eq!(reason(service.call(order(0)).await), RefusalReason::WithoutKey);
    let optional = layer(IdempotencyConfig::new()).identify(once().key_optional()).layer(slow(&calls));
    assert_eq!(optional.clone().oneshot(order(0)).await.expect("an answer"), 2);
    assert_eq!(optional.oneshot(order(0)).await.expect("an answer"), 3);
}

#[tokio::test(start_paused = true)]
async fn what_had_no_effect_is_run_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = calls.clone();
    let inner = service_fn(move |_: Order| {
        let call = counter.fetch_add(1, Ordering::SeqCst);
        ready(if call == 0 { Err(Error::Inner("busy")) } else { Ok(9) })
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    service.call(order(1)).await.expect_err("busy");
    assert_eq!(service.call(order(1)).await.expect("an answer"), 9);
}

#[tokio::test(start_paused = true)]
async fn a_panic_comes_to_whoever_sent_the_request_and_it_is_not_run_again() {
    let inner = service_fn(|_: Order| -> Ready<Result<u32, Failure>> { panic!("on purpose") });
    let service = layer(IdempotencyConfig::new()).layer(inner);
    let call = tokio::spawn(service.clone().oneshot(order(1)));
    assert!(call.await.expect_err("it panics").is_panic());
    assert_eq!(reason(service.oneshot(order(1)).await), RefusalReason::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn a_long_run_keeps_its_lease_and_knows_its_fence() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let runs = seen.clone();
    let inner = service_fn(move |_: Order| {
        let runs = runs.clone();
        async move {
            let run = Execution::current().expect("it runs once");
            runs.lock().expect("no panic").push((run.fence(), run.attempt(), run.is_recovered()));
            sleep(150 * SEC).await;
            assert!(!run.is_lost());
            Ok::<_, Failure>(1)
        }
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    let call = tokio::spawn(service.call(order(1)));
    for _ in 0..14 {
        sleep(10 * SEC).await;
        assert_eq!(reason(service.call(order(1)).await), RefusalReason::Running);
    }
    assert_eq!(call.await.expect("no panic").expect("an answer"), 1);
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.len(), 1);
    assert!(seen[0].0 > 0 && seen[0].1 == 1 && !seen[0].2);
    assert!(Execution::current().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_taken_over_from_and_knows_it() {
    let lost = Arc::new(AtomicU32::new(0));
    let counter = lost.clone();
    let inner = service_fn(move |_: Order| {
        let counter = counter.clone();
        async move {
            let run = Execution::current().expect("it runs once");
            if run.attempt() == 1 {
                run.lost().await;
                counter.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Ok::<_, Failure>(run.attempt())
        }
    });
    let mut service = layer(IdempotencyConfig::new()).layer(inner);
    let _hangs = tokio::spawn(service.call(order(1)));
    sleep(301 * SEC).await;
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::Running);
    sleep(31 * SEC).await;
    assert_eq!(lost.load(Ordering::SeqCst), 1);
    assert_eq!(service.call(order(1)).await.expect("an answer"), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_drains_waits_for_what_runs_and_nothing_new_is_run() {
    let calls = Arc::default();
    let layer = layer(IdempotencyConfig::new().max_running(2));
    let mut service = layer.layer(slow(&calls));
    let calls = [service.call(order(1)), service.call(order(2))].map(tokio::spawn);
    tokio::task::yield_now().await;
    assert_eq!(layer.idempotency().running(), 2);
    assert_eq!(reason(service.call(order(3)).await), RefusalReason::TooManyRunning);
    assert!(!layer.idempotency().drain(SEC / 2).await, "they are not done yet");
    assert_eq!(reason(service.call(order(3)).await), RefusalReason::Draining);
    assert!(layer.idempotency().drain(SEC).await);
    for call in calls {
        call.await.expect("no panic").expect("an answer");
    }
}

/// A store that can be cut off, slowed down, or lose its answers.
#[derive(Clone)]
struct Far {
    store: MemoryStore,
    link: Arc<Mutex<Link>>,
}

#[derive(Clone, Copy, Default)]
struct Link {
    takes: Duration,
    is_down: bool,
    loses_answers: bool,
    begun: u32,
    completed: u32,
}

impl Far {
    fn new() -> Self {
        Self { store: store(), link: Arc::default() }
    }

    fn set(&self, set: impl FnOnce(&mut Link)) {
        set(&mut self.link.lock().expect("no panic"));
    }

    fn link(&self) -> Link {
        *self.link.lock().expect("no panic")
    }

    async fn over<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let before = self.link();
        sleep(before.takes).await;
        if self.link().is_down {
            return Err(StoreError::Unavailable(Arc::new("down".into())));
        }
        let answer = asked.await;
        if before.loses_answers { Err(StoreError::Ambiguous(Arc::new("lost".into()))) } else { answer }
    }
}

impl Store for Far {
    async fn begin(&self, key: &RecordKey, claim: Claim) -> Result<Begin, StoreError> {
        self.set(|link| link.begun += 1);
        self.over(self.store.begin(key, claim)).await
    }

    async fn complete(&self, key: &RecordKey, claim: Claim, answer: Bytes) -> Result<Commit, StoreError> {
        self.set(|link| link.completed += 1);
        self.over(async { self.store.complete(key, claim, answer).await }).await
    }

    async fn renew(&self, key: &RecordKey, owner: Owner, lease: Duration) -> Result<bool, StoreError> {
        self.over(async { self.store.renew(key, owner, lease).await }).await
    }

    async fn release(&self, key: &RecordKey, owner: Owner) -> Result<bool, StoreError> {
        self.over(async { self.store.release(key, owner).await }).await
    }

    async fn park(&self, key: &RecordKey, claim: Claim, why: &str) -> Result<bool, StoreError> {
        self.over(async { self.store.park(key, claim, why).await }).await
    }

    async fn look(&self, key: &RecordKey, fingerprint: Fingerprint) -> Result<Option<Begin>, StoreError> {
        self.over(async { self.store.look(key, fingerprint).await }).await
    }

    async fn resolve(&self, key: &RecordKey, answer: Option<Bytes>) -> Result<bool, StoreError> {
        self.over(async { self.store.resolve(key, answer).await }).await
    }

    async fn purge(&self, limit: u32) -> Result<u32, StoreError> {
        self.over(self.store.purge(limit)).await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}

fn layer_on(
    store: Far,
    config: IdempotencyConfig,
) -> IdempotencyLayer<Far, impl Identify<Order, Request = Order, Future: 'static>, Numbers> {
    IdempotencyLayer::new(config, store).expect("valid").identify(once()).keep(Numbers)
}

#[tokio::test(start_paused = true)]
async fn without_the_store_nothing_is_run_unless_it_may_be_run_twice() {
    let (calls, far) = (Arc::default(), Far::new());
    far.set(|link| link.is_down = true);
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let start = Moment::now();
    let refused = service.call(order(1)).await;
    assert_eq!(Moment::now().since(start), Duration::ZERO);
    assert_eq!(refused.as_ref().expect_err("refused").rejection().and_then(|refused| refused.retry_after()), Some(SEC));
    assert_eq!(reason(refused), RefusalReason::StoreUnavailable);
    far.set(|link| (link.is_down, link.takes) = (false, SEC));
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::StoreUnavailable);
    assert_eq!(Moment::now().since(start), Duration::from_millis(250), "it is not waited for");
    assert_eq!(calls.load(Ordering::SeqCst), 0);

    far.set(|link| link.is_down = true);
    let run = IdempotencyConfig::new().when_unavailable(WhenUnavailable::Run);
    let mut service = layer_on(far, run).layer(slow(&calls));
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
    assert_eq!(service.call(order(1)).await.expect("an answer"), 12);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_is_made_again_and_one_that_nobody_hears_of_is_forgotten() {
    let (calls, far) = (Arc::default(), Far::new());
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    // Slower than it is waited for: the claim is made, and nobody is told.
    far.set(|link| (link.takes, link.loses_answers) = (Duration::from_millis(100), true));
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::StoreUnavailable);
    assert_eq!(far.link().begun, 2, "an answer that is lost is asked for again");
    assert_eq!(far.store.len(), 1, "the control: there is a claim");
    far.set(|link| link.loses_answers = false);
    sleep(SEC).await;
    assert_eq!(far.store.len(), 0, "nobody would have run it until its lease ends");
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_goes_while_the_store_is_asked_leaves_no_claim_that_nobody_runs() {
    let (calls, far) = (Arc::default(), Far::new());
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    far.set(|link| link.takes = Duration::from_millis(200));
    let mut call = tokio_test::task::spawn(service.call(order(1)));
    assert!(call.poll().is_pending());
    sleep(Duration::from_millis(50)).await;
    drop(call);
    sleep(3 * SEC).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "it was run to its end");
    assert_eq!(service.call(order(1)).await.expect("an answer"), 11);
}

#[tokio::test(start_paused = true)]
async fn what_came_of_a_request_is_recorded_when_the_store_is_back_and_its_sender_has_it_at_once() {
    let (calls, far) = (Arc::default(), Far::new());
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC / 2).await;
    far.set(|link| link.is_down = true);
    let start = Moment::now();
    assert_eq!(call.await.expect("no panic").expect("the true answer"), 11);
    assert_eq!(Moment::now().since(start), SEC / 2);
    sleep(2 * SEC).await;
    far.set(|link| link.is_down = false);
    assert_eq!(reason(service.call(order(1)).await), RefusalReason::Running, "the lease holds");
    sleep(2 * SEC).await;
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 11);
    assert!(far.link().completed > 2, "it was asked again and again");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_store_that_is_lost_changes_nothing_about_what_is_recorded() {
    let (calls, far) = (Arc::default(), Far::new());
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(slow(&calls));
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC / 2).await;
    far.set(|link| link.loses_answers = true);
    assert_eq!(call.await.expect("no panic").expect("the true answer"), 11);
    far.set(|link| link.loses_answers = false);
    sleep(2 * SEC).await;
    assert_eq!(service.call(order(1)).await.expect("the same answer"), 11);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn who_was_cut_off_for_longer_than_its_lease_is_taken_over_from_and_answers_what_was_recorded() {
    let far = Far::new();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = runs.clone();
    let inner = service_fn(move |_: Order| {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            sleep(if run == 1 { 60 * SEC } else { SEC }).await;
            Ok::<_, Failure>(run)
        }
    });
    // Two instances of a program, one of which does not reach the store that both use.
    let here = Far { store: far.store.clone(), link: Arc::default() };
    let mut cut_off = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner.clone());
    let mut other = layer_on(here, IdempotencyConfig::new()).layer(inner);
    let first = tokio::spawn(cut_off.call(order(1)));
    sleep(SEC).await;
    far.set(|link| link.is_down = true);
    sleep(31 * SEC).await;
    assert_eq!(other.call(order(1)).await.expect("an answer"), 2, "the lease is over");
    far.set(|link| link.is_down = false);
    assert_eq!(first.await.expect("no panic").expect("what was recorded"), 2);
    assert_eq!(other.call(order(1)).await.expect("the same"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_does_not_wait_for_a_store_that_is_slow_to_renew_the_lease() {
    let far = Far::new();
    let inner = service_fn(async |_: Order| {
        sleep(Duration::from_millis(10_010)).await;
        Ok::<_, Failure>(1)
    });
    let mut service = layer_on(far.clone(), IdempotencyConfig::new()).layer(inner);
    let start = Moment::now();
    let call = tokio::spawn(service.call(order(1)));
    sleep(SEC).await;
    // The lease is renewed after ten seconds, and that takes as long as it may.
    far.set(|link| link.takes = Duration::from_millis(200));
    assert_eq!(call.await.expect("no panic").expect("an answer"), 1);
    assert_eq!(Moment::now().since(start), Duration::from_millis(10_210), "to record it takes as long, once");
}
