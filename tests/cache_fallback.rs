//! The cache fallback as a service.

mod support;

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use buttress::cache_fallback::{
    Accepts, Allowed, Asks, Because, CacheFallbackConfig, CacheFallbackLayer, Counts, InvalidCacheFallback, Memory,
    MemoryStore, Recalled, Remember, Slot,
};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::outcome::{Degraded, Failure, FailureKind, Outcome};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Name};
use support::{drops, readiness};
use tokio::time::{advance, sleep};
use tokio_test::task;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const SEC: Duration = Duration::from_secs(1);

fn store<K: Eq + std::hash::Hash + Clone, V>() -> MemoryStore<K, V> {
    MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"))
}

/// Up to 30 s old.
fn cache<K: Eq + std::hash::Hash + Clone, V>() -> CacheFallbackLayer<K, V> {
    CacheFallbackLayer::new(CacheFallbackConfig::new(30 * SEC), store()).expect("valid")
}

type Says = Result<&'static str, BoxError>;

/// What is asked for, and what comes of it.
type Request = (Option<u32>, Says);

fn key(request: &Request) -> Option<u32> {
    request.0
}

fn ask(key: u32, says: &'static str) -> Request {
    (Some(key), Ok(says))
}

fn fail(key: u32) -> Request {
    (Some(key), Err("down".into()))
}

/// Answers what it is sent.
fn echo() -> impl Service<Request, Response = &'static str, Error = BoxError, Future: Send> + Clone + Send + Sync {
    service_fn(|(_, says): Request| ready(says))
}

fn counts(memory: &Memory<u32, &'static str>) -> (u64, u64, u64) {
    let Counts { remembered, stood_in, missed, .. } = memory.counts();
    (remembered, stood_in, missed)
}

#[tokio::test]
async fn the_last_good_answer_stands_in_for_a_failure_of_the_same_key() {
    let layer = cache();
    let memory = layer.memory();
    let service = layer.key(key).layer(echo());
    let says = async |request| service.clone().oneshot(request).await.map_err(|error| error.to_string());
    assert_eq!(says(ask(7, "first")).await.as_deref(), Ok("first"));
    assert_eq!(says(ask(7, "second")).await.as_deref(), Ok("second"), "the service is asked first, always");
    assert_eq!(says(fail(7)).await.as_deref(), Ok("second"));
    assert_eq!(says(fail(7)).await.as_deref(), Ok("second"), "and again");
    assert_eq!(says(fail(8)).await, Err("down".into()), "of another key nothing is remembered");
    assert_eq!(says(ask(7, "third")).await.as_deref(), Ok("third"));
    assert_eq!(says(fail(7)).await.as_deref(), Ok("third"));
    assert_eq!(counts(&memory), (3, 3, 1));
}

#[tokio::test]
async fn a_request_without_a_key_has_nothing_to_do_with_the_memory() {
    let layer = cache();
    let memory = layer.memory();
    let service = layer.key(key).layer(echo());
    service.clone().oneshot((None, Ok("answer"))).await.expect("an answer");
    service.clone().oneshot((None, Err("down".into()))).await.expect_err("nothing stands in");
    assert_eq!((memory.len(), counts(&memory)), (0, (0, 0, 0)));
    service.oneshot(ask(7, "answer")).await.expect("an answer");
    assert_eq!((memory.len(), counts(&memory)), (1, (1, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_old_does_not_stand_in_and_the_failure_comes_out_untouched() {
    let service = cache().key(key).layer(echo());
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    advance(30 * SEC).await;
    assert_eq!(service.clone().oneshot(fail(7)).await.expect("from memory"), "answer");
    advance(Duration::from_millis(1)).await;
    assert_eq!(service.oneshot(fail(7)).await.expect_err("too old").to_string(), "down");
}

/// An answer may be from any moment between the request and its arrival.
#[tokio::test(start_paused = true)]
async fn an_answer_is_as_old_as_its_request() {
    let slow = service_fn(|(_, says): Request| async move {
        sleep(20 * SEC).await;
        says
    });
    let service = cache().key(key).layer(slow);
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    // It fails 20 s later, when the answer is 40 s old.
    service.oneshot(fail(7)).await.expect_err("too old");
}

#[tokio::test]
async fn by_default_it_stands_in_for_what_nobody_who_asked_is_to_blame_for() {
    use FailureKind::*;
    let classify = |result: Result<&Option<FailureKind>, &Infallible>| match result {
        Ok(Some(kind)) => Outcome::Failure(Failure::new(*kind)),
        Ok(None) => Outcome::Success,
        Err(never) => match *never {},
    };
    let echo = service_fn(|kind: Option<FailureKind>| ready(Ok::<_, Infallible>(kind)));
    let service = cache().key(|_: &Option<FailureKind>| Some(())).classify(classify).layer(echo);
    service.clone().oneshot(None).await.expect("infallible");
    for (kind, stands_in) in [
        (Error, true),
        (Permanent, false),
        (TimedOut, true),
        (Expired, true),
        (RequestTimeout, false),
        (Throttled, false),
        (Refused, true),
    ] {
        let answer = service.clone().oneshot(Some(kind)).await.expect("infallible");
        assert_eq!(answer.is_none(), stands_in, "{kind}");
    }
    let config = CacheFallbackConfig::new(SEC).on([Throttled]);
    let other = CacheFallbackLayer::new(config, store()).expect("valid").key(|_: &Option<FailureKind>| Some(()));
    let service = other.classify(classify).layer(echo);
    service.clone().oneshot(None).await.expect("infallible");
    assert_eq!(service.clone().oneshot(Some(Throttled)).await.expect("infallible"), None);
    assert_eq!(service.oneshot(Some(Error)).await.expect("infallible"), Some(Error), "not one of those it was told");
}

#[tokio::test(start_paused = true)]
async fn it_stands_in_for_what_the_layers_inside_refuse() {
    let timeout = TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("valid");
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid");
    let circuit = breaker.breaker().clone();
    let calls = Arc::new(AtomicU32::new(0));
    let origin = service_fn({
        let calls = calls.clone();
        move |(_, says): Request| {
            calls.fetch_add(1, Ordering::Relaxed);
            async move {
                if says.is_err() {
                    pending::<()>().await;
                }
                says
            }
        }
    });
    let service = ServiceBuilder::new().layer(cache().key(key)).layer(breaker).layer(timeout).service(origin);
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    assert_eq!(service.clone().oneshot(fail(7)).await.expect("in time"), "answer", "it hangs");
    circuit.force_open();
    assert_eq!(service.oneshot(fail(7)).await.expect("at once"), "answer", "the circuit is open");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// Fails to become ready, or never is, as told.
#[derive(Clone, Default)]
struct Moody {
    is_stuck: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
}

impl Service<Request> for Moody {
    type Response = &'static str;
    type Error = BoxError;
    type Future = Ready<Says>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.is_broken.load(Ordering::Relaxed) {
            return Poll::Ready(Err("broken".into()));
        }
        if self.is_stuck.load(Ordering::Relaxed) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, (_, says): Request) -> Self::Future {
        ready(says)
    }
}

#[tokio::test]
async fn a_service_that_fails_to_become_ready_is_stood_in_for() {
    let moody = Moody::default();
    let service = cache().key(key).layer(moody.clone());
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    moody.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(service.clone().oneshot(ask(7, "next")).await.expect("from memory"), "answer");
    let error = service.clone().oneshot(ask(8, "next")).await.expect_err("nothing is remembered");
    assert_eq!(error.to_string(), "broken");
    moody.is_broken.store(false, Ordering::Relaxed);
    assert_eq!(service.oneshot(ask(8, "next")).await.expect("it is asked anew"), "next");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_waited_for_a_moment_and_on_where_nothing_is_remembered() {
    let moody = Moody::default();
    let layer = cache();
    let memory = layer.memory();
    let service = layer.key(key).layer(moody.clone());
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    moody.is_stuck.store(true, Ordering::Relaxed);
    let mut known = task::spawn(service.clone().oneshot(ask(7, "next")));
    let mut unknown = task::spawn(service.oneshot(ask(8, "next")));
    assert!(known.poll().is_pending() && unknown.poll().is_pending());
    advance(Duration::from_millis(49)).await;
    assert!(known.poll().is_pending() && unknown.poll().is_pending());
    advance(Duration::from_millis(1)).await;
    assert!(known.is_woken() && unknown.is_woken());
    assert!(matches!(known.poll(), Poll::Ready(Ok("answer"))));
    assert!(unknown.poll().is_pending());
    advance(3600 * SEC).await;
    assert!(unknown.poll().is_pending());
    moody.is_stuck.store(false, Ordering::Relaxed);
    assert!(matches!(unknown.poll(), Poll::Ready(Ok("next"))));
    assert_eq!(counts(&memory), (2, 1, 0), "nothing failed");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_is_no_failure_where_refusals_are_not_stood_in_for() {
    let moody = Moody::default();
    let config = CacheFallbackConfig::new(30 * SEC).on([FailureKind::Error]);
    let service = CacheFallbackLayer::new(config, store()).expect("valid").key(key).layer(moody.clone());
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    moody.is_stuck.store(true, Ordering::Relaxed);
    let mut call = task::spawn(service.oneshot(ask(7, "next")));
    assert!(call.poll().is_pending());
    advance(SEC).await;
    assert!(call.poll().is_pending());
}

/// It is asked again and again in one turn, until the task's budget is used up.
#[tokio::test(start_paused = true)]
async fn a_service_that_uses_up_the_budget_of_its_task_does_not_keep_its_caller_waiting() {
    #[derive(Clone)]
    struct Greedy(Arc<AtomicBool>);

    impl Service<Request> for Greedy {
        type Response = &'static str;
        type Error = BoxError;
        type Future = Ready<Says>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            if !self.0.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            while std::pin::pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            Poll::Pending
        }

        fn call(&mut self, (_, says): Request) -> Self::Future {
            ready(says)
        }
    }

    let is_stuck = Arc::new(AtomicBool::new(false));
    let service = cache().key(key).layer(Greedy(is_stuck.clone()));
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    is_stuck.store(true, Ordering::Relaxed);
    let mut call = task::spawn(service.oneshot(ask(7, "next")));
    assert!(call.poll().is_pending());
    advance(SEC).await;
    assert!(matches!(call.poll(), Poll::Ready(Ok("answer"))));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_has_been_called_is_waited_for_as_long_as_it_takes() {
    let slow_to_fail = service_fn(|(_, says): Request| async move {
        if says.is_err() {
            sleep(10 * SEC).await;
        }
        says
    });
    let service = cache().key(key).layer(slow_to_fail);
    service.clone().oneshot(ask(7, "answer")).await.expect("an answer");
    let mut call = task::spawn(service.oneshot(fail(7)));
    assert!(call.poll().is_pending());
    advance(9 * SEC).await;
    assert!(call.poll().is_pending());
    advance(SEC).await;
    assert!(matches!(call.poll(), Poll::Ready(Ok("answer"))));
}

#[tokio::test]
async fn a_layer_that_is_applied_twice_or_cloned_has_one_memory_and_another_layer_has_another() {
    let layer = cache().key(key);
    layer.layer(echo()).oneshot(ask(7, "answer")).await.expect("an answer");
    assert_eq!(layer.layer(echo()).oneshot(fail(7)).await.expect("from memory"), "answer");
    assert_eq!(layer.clone().layer(echo()).oneshot(fail(7)).await.expect("from memory"), "answer");
    cache().key(key).layer(echo()).oneshot(fail(7)).await.expect_err("its own memory is empty");
}

#[tokio::test]
async fn layers_that_are_given_the_same_store_share_its_answers() {
    let store = store();
    let layer = |name: &'static str| {
        CacheFallbackLayer::new(CacheFallbackConfig::new(SEC).name(name), store.clone()).expect("valid").key(key)
    };
    layer("first").layer(echo()).oneshot(ask(7, "answer")).await.expect("an answer");
    let second = layer("second");
    assert_eq!(second.layer(echo()).oneshot(fail(7)).await.expect("from memory"), "answer");
    assert_eq!(counts(&second.memory()), (0, 1, 0), "but each counts for itself");
}

#[tokio::test(start_paused = true)]
async fn each_layer_keeps_to_its_own_limit_where_they_share_a_store() {
    let store = store();
    let layer =
        |limit| CacheFallbackLayer::new(CacheFallbackConfig::new(limit), store.clone()).expect("valid").key(key);
    layer(3600 * SEC).layer(echo()).oneshot(ask(7, "answer")).await.expect("an answer");
    advance(6 * SEC).await;
    layer(5 * SEC).layer(echo()).oneshot(fail(7)).await.expect_err("too old for this one");
    assert_eq!(layer(6 * SEC).layer(echo()).oneshot(fail(7)).await.expect("from memory"), "answer");
}

#[tokio::test]
async fn what_is_forgotten_does_not_stand_in() {
    let layer = cache();
    let memory = layer.memory();
    let service = layer.key(key).size_of(|says: &&str| says.len()).layer(echo());
    for key in 0..6 {
        service.clone().oneshot(ask(key, "answer")).await.expect("an answer");
    }
    assert_eq!((memory.len(), memory.bytes()), (6, 6 * (6 + 256)));
    assert!(memory.forget(&0));
    assert!(!memory.forget(&0), "it is gone");
    assert_eq!(memory.forget_where(|key| key % 2 == 1), 3);
    let mut known = Vec::new();
    for key in 0..6 {
        known.extend(service.clone().oneshot(fail(key)).await.is_ok().then_some(key));
    }
    assert_eq!(known, [2, 4]);
    memory.forget_all();
    assert!(memory.is_empty());
    service.oneshot(fail(2)).await.expect_err("nothing is remembered");
}

/// Answers when it is told to.
fn held() -> (Arc<tokio::sync::Semaphore>, impl Service<Request, Response = &'static str, Error = BoxError> + Clone) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let origin = service_fn({
        let gate = gate.clone();
        move |(_, says): Request| {
            let gate = gate.clone();
            async move {
                gate.acquire().await?.forget();
                says
            }
        }
    });
    (gate, origin)
}

#[tokio::test]
async fn what_was_asked_for_before_something_was_forgotten_is_told_and_not_remembered() {
    let layer = cache();
    let (memory, (gate, origin)) = (layer.memory(), held());
    let service = layer.key(key).layer(origin);
    for (forget, is_kept) in [(false, true), (true, false)] {
        let mut call = task::spawn(service.clone().oneshot(ask(7, "from before")));
        assert!(call.poll().is_pending());
        if forget {
            memory.forget(&7);
        }
        gate.add_permits(1);
        assert!(matches!(call.poll(), Poll::Ready(Ok("from before"))));
        assert_eq!(memory.len() == 1, is_kept);
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_answers_that_of_the_later_request_is_remembered() {
    let origin = service_fn(|(_, says): Request| async move {
        if says.as_ref().is_ok_and(|says| *says == "older") {
            sleep(5 * SEC).await;
        }
        says
    });
    let service = cache().key(key).layer(origin);
    let mut older = task::spawn(service.clone().oneshot(ask(7, "older")));
    assert!(older.poll().is_pending());
    advance(SEC).await;
    assert_eq!(service.clone().oneshot(ask(7, "younger")).await.expect("an answer"), "younger");
    advance(5 * SEC).await;
    assert!(matches!(older.poll(), Poll::Ready(Ok("older"))), "it is told, late");
    assert_eq!(service.oneshot(fail(7)).await.expect("from memory"), "younger");
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_everything_as_it_was() {
    drops::at_every_point(
        1,
        || {
            let layer = cache();
            let memory = layer.memory();
            let origin = service_fn(|(_, says): Request| async move {
                sleep(Duration::from_millis(1)).await;
                says
            });
            (memory, layer.key(key).layer(origin))
        },
        |(_, service)| service.call(ask(7, "answer")),
        async |(memory, service), polls| {
            assert_eq!(memory.len(), usize::from(polls > 1), "it is remembered once it is told");
            assert_eq!(service.oneshot(ask(8, "next")).await.expect("an answer"), "next");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_keeps_to_the_contract_of_readiness() {
    readiness::is_kept_by(|inner| cache().key(|number: &u32| Some(*number)).layer(inner)).await;
}

#[tokio::test]
async fn a_service_that_panics_when_called_is_asked_as_a_new_clone_the_next_time() {
    let origin = readiness::ReadinessProbe::new(service_fn(|(_, says): Request| {
        assert_ne!(says.as_ref().ok(), Some(&"panic"));
        ready(says)
    }));
    let mut service = cache().key(key).layer(origin);
    let panics = catch_unwind(AssertUnwindSafe(|| drop(service.call(ask(7, "panic")))));
    assert!(panics.is_err());
    assert_eq!(service.call(ask(7, "answer")).await.expect("an answer"), "answer");
}

#[tokio::test]
async fn who_changes_the_wrapped_service_is_served_by_what_it_is_then() {
    let mut service = cache().key(key).layer(Moody::default());
    service.call(ask(7, "answer")).await.expect("an answer");
    let broken = Moody::default();
    broken.is_broken.store(true, Ordering::Relaxed);
    *service.get_mut() = broken;
    assert!(service.get_ref().is_broken.load(Ordering::Relaxed));
    assert_eq!(service.call(ask(7, "next")).await.expect("from memory"), "answer");
    assert!(service.into_inner().is_broken.load(Ordering::Relaxed));
}

#[tokio::test]
async fn an_answer_from_memory_is_marked_with_what_it_stands_in_for() {
    #[derive(Clone)]
    struct Answer(&'static str, Option<Degraded>);
    let origin = service_fn(|(_, says): Request| ready(says.map(|says| Answer(says, None))));
    let config = CacheFallbackConfig::new(SEC).name("prices");
    let layer = CacheFallbackLayer::new(config, store()).expect("valid").key(key);
    let service = layer.mark_with(|answer: &mut Answer, degraded| answer.1 = Some(degraded)).layer(origin);
    assert!(service.clone().oneshot(ask(7, "1.20")).await.expect("an answer").1.is_none());
    let answer = service.oneshot(fail(7)).await.expect("from memory");
    let degraded = answer.1.expect("marked");
    assert_eq!((answer.0, degraded.layer(), degraded.name()), ("1.20", "cache_fallback", &Name::from("prices")));
    assert_eq!(degraded.failure().kind(), FailureKind::Error);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_told_and_counted_and_the_one_before_stays() {
    let max = NonZeroU64::new(10_000).expect("not zero");
    let store = MemoryStore::with_max_entry(max, NonZeroU64::new(300).expect("not zero")).expect("small enough");
    let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(SEC), store).expect("valid");
    let memory = layer.memory();
    let service = layer.key(key).size_of(|says: &&str| says.len()).layer(echo());
    let (small, large) = ("a".repeat(44).leak() as &str, "b".repeat(45).leak() as &str);
    service.clone().oneshot(ask(7, small)).await.expect("an answer");
    assert_eq!(service.clone().oneshot(ask(7, large)).await.expect("an answer"), large);
    assert_eq!(service.oneshot(fail(7)).await.expect("from memory"), small);
    assert_eq!(memory.counts().too_large, 1);
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let refused = |config: CacheFallbackConfig| {
        let layer = CacheFallbackLayer::<u32, u32>::new(config.name("prices"), store());
        layer.expect_err("refused")
    };
    let never = refused(CacheFallbackConfig::new(SEC).on([]));
    assert_eq!(never, InvalidCacheFallback::NothingToStandInFor("prices".into()));
    assert_eq!(never.to_string(), "the cache fallback `prices` must name at least one kind of failure in `on`");
    let nothing = refused(CacheFallbackConfig::new(Duration::ZERO));
    assert_eq!(nothing, InvalidCacheFallback::NothingToStandIn("prices".into()));
    assert_eq!(nothing.to_string(), "`stale_if_error` of the cache fallback `prices` must be longer than zero");
}

/// Remembers words by their first letter, in two languages. A question is for one of them, or about a change of a letter.
#[derive(Clone)]
struct Dictionary;

#[derive(Clone, Debug)]
struct Question {
    letter: char,
    language: &'static str,
    most: Option<Duration>,
    changes: bool,
    says: Option<&'static str>,
}

impl Question {
    const fn about(letter: char, language: &'static str, says: Option<&'static str>) -> Self {
        Self { letter, language, most: None, changes: false, says }
    }
}

impl Remember<Question, String> for Dictionary {
    type Key = char;
    type Asked = (char, &'static str);
    type Kept = (&'static str, String);

    fn asks(&self, question: &Question) -> Asks<char, Self::Asked> {
        let Question { letter, language, most, changes, .. } = *question;
        let asked = (letter, language);
        if changes {
            return Asks::ToForget { key: letter, asked };
        }
        Asks::For { key: letter, asked, accepts: Accepts { stand_in: most, ..Accepts::default() } }
    }

    fn learn(&self, asked: Self::Asked, response: String, slot: Slot<char, Self::Kept>) -> String {
        assert_eq!(*slot.key(), asked.0);
        match response.as_str() {
            "unknown" => slot.forget(|kept| kept.0 == asked.1),
            "secret" => drop(slot),
            word => {
                let allowed = Allowed { stale_if_error: word.ends_with('!').then_some(SEC), ..Allowed::default() };
                slot.keep((asked.1, response.clone()), response.len(), allowed, |kept| kept.0 == asked.1);
            }
        }
        response
    }

    fn does_for(&self, asked: &Self::Asked, kept: &Self::Kept) -> bool {
        kept.0 == asked.1
    }

    fn recall(&self, _: &Self::Asked, kept: &Self::Kept, recalled: Recalled<'_>) -> String {
        let Because::Failed(failure) = recalled.because else { panic!("nothing has failed: {recalled:?}") };
        format!("{} ({} s, {}, {})", kept.1, recalled.age.as_secs(), failure, recalled.name)
    }

    fn changed(&self, asked: &Self::Asked, _: &String, forget: &mut dyn FnMut(&char)) {
        forget(&asked.0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_remembers_says_what_is_kept_for_whom_and_for_how_long() {
    let teacher =
        service_fn(|question: Question| ready(question.says.map(str::to_owned).ok_or_else(|| BoxError::from("gone"))));
    let service = cache().remember(Dictionary).layer(teacher);
    let says = async |question| service.clone().oneshot(question).await.map_err(|error| error.to_string());
    let (german, english) = (|says| Question::about('a', "de", says), |says| Question::about('a', "en", says));
    says(german(Some("Apfel"))).await.expect("an answer");
    says(english(Some("apple"))).await.expect("an answer");
    advance(5 * SEC).await;
    let from_memory = |word: &str| Ok(format!("{word} (5 s, error, cache_fallback)"));
    assert_eq!((says(german(None)).await, says(english(None)).await), (from_memory("Apfel"), from_memory("apple")));
    let most = |seconds: u32| Question { most: Some(seconds * SEC), ..german(None) };
    assert_eq!((says(most(4)).await, says(most(5)).await), (Err("gone".into()), from_memory("Apfel")));

    // Neither kept nor forgotten.
    assert_eq!(says(german(Some("secret"))).await.as_deref(), Ok("secret"));
    assert_eq!(says(german(None)).await, from_memory("Apfel"));
    // Forgotten, in its language.
    says(german(Some("unknown"))).await.expect("an answer");
    assert_eq!((says(german(None)).await, says(english(None)).await), (Err("gone".into()), from_memory("apple")));
    // For a shorter time.
    says(german(Some("Apfel!"))).await.expect("an answer");
    advance(2 * SEC).await;
    assert_eq!(says(german(None)).await, Err("gone".into()));
    let change = |says| Question { changes: true, ..german(says) };
    assert_eq!(says(change(None)).await, Err("gone".into()));
    assert_eq!(says(english(None)).await, Err("gone".into()), "nobody knows whether it has: there was no answer");
    says(english(Some("apple"))).await.expect("an answer");
    assert_eq!(says(change(Some("done"))).await.as_deref(), Ok("done"));
    assert_eq!(says(english(None)).await, Err("gone".into()));
}

#[cfg(feature = "serde")]
#[test]
fn settings_are_read_under_the_same_checks() {
    let read = |text| serde_json::from_str::<CacheFallbackConfig>(text);
    assert_eq!(
        read(r#"{"stale_if_error": "30s"}"#).expect("the rest has defaults"),
        CacheFallbackConfig::new(30 * SEC)
    );
    let all = r#"{"stale_if_error": "1m", "name": "prices", "on": ["timed_out"], "ready_within": "10ms"}"#;
    let expected = CacheFallbackConfig::new(60 * SEC).name("prices").on([FailureKind::TimedOut]);
    assert_eq!(read(all).expect("valid"), expected.ready_within(Duration::from_millis(10)));
    let zero = read(r#"{"stale_if_error": "0s"}"#).expect("a duration");
    assert!(CacheFallbackLayer::<u32, u32>::new(zero, store()).is_err());
    assert!(read("{}").expect_err("nobody has said how old").to_string().contains("missing field `stale_if_error`"));
    let unknown = read(r#"{"stale_if_error": "30s", "fresh": "5s"}"#).expect_err("no such field");
    assert!(unknown.to_string().contains("unknown field `fresh`"));
}
