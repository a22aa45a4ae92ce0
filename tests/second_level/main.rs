//! The cache fallback over a store that processes share, whichever that is.

mod shelf;

use std::borrow::Cow;
use std::future::{pending, ready};
use std::num::NonZeroU64;
use std::task::Poll;
use std::time::Duration;

use buttress::BoxError;
use buttress::cache_fallback::{
    Accepts, Allowed, Asks, CacheFallbackConfig, CacheFallbackLayer, Codec, Memory, MemoryStore, Recalled, Remember,
    Slot,
};
use bytes::Bytes;
use tokio::task::yield_now;
use tokio::time::advance;
use tokio_test::task;
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};

use self::shelf::Shelf;

const SEC: Duration = Duration::from_secs(1);

/// What is said of a letter, in a language.
type Word = (char, String);

/// Of the words of a letter there is one in each language, but for those of `*`, which are for all.
struct Words;

impl Codec<char, Word> for Words {
    fn key<'k>(&self, letter: &'k char) -> Cow<'k, [u8]> {
        letter.to_string().into_bytes().into()
    }

    fn variant(&self, word: &Word) -> Option<u64> {
        (word.0 != '*').then(|| u64::from(u32::from(word.0)))
    }

    fn encode(&self, word: &Word) -> Option<Bytes> {
        (word.1 != "unspeakable").then(|| format!("{}{}", word.0, word.1).into())
    }

    fn decode(&self, bytes: Bytes) -> Option<Word> {
        let text = str::from_utf8(&bytes).ok()?;
        let language = text.chars().next()?;
        Some((language, text[language.len_utf8()..].to_owned()))
    }
}

/// A question about a letter, in a language, and what the teacher says.
#[derive(Clone, Copy, Debug)]
struct Question {
    letter: char,
    language: char,
    says: Option<&'static str>,
    allowed: Allowed,
}

#[derive(Clone)]
struct Dictionary;

impl Remember<Question, String> for Dictionary {
    type Key = char;
    type Asked = Question;
    type Kept = Word;

    fn asks(&self, question: &Question) -> Asks<char, Question> {
        Asks::For { key: question.letter, asked: *question, accepts: Accepts::default() }
    }

    fn learn(&self, asked: Question, word: String, slot: Slot<char, Word>) -> String {
        if word == "nothing" {
            slot.forget(|_| true);
        } else {
            let Question { language, allowed, .. } = asked;
            let replaces = move |other: &Word| language == '*' || other.0 == language || other.0 == '*';
            slot.keep((language, word.clone()), word.len(), allowed, replaces);
        }
        word
    }

    fn does_for(&self, asked: &Question, kept: &Word) -> bool {
        kept.0 == asked.language || kept.0 == '*'
    }

    fn recall(&self, _: &Question, kept: &Word, recalled: Recalled<'_>) -> String {
        format!("{}, {} s old", kept.1, recalled.age.as_secs())
    }
}

struct Process {
    memory: Memory<char, Word>,
    service: BoxCloneSyncService<Question, String, BoxError>,
}

impl Process {
    fn over(shelf: &Shelf) -> Self {
        Self::limited(shelf, 30 * SEC)
    }

    fn limited(shelf: &Shelf, stale_if_error: Duration) -> Self {
        let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero")).over(shelf.clone(), Words);
        let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(stale_if_error), store).expect("valid");
        let teacher = service_fn(|Question { says, .. }| {
            ready(says.map(str::to_owned).ok_or_else(|| BoxError::from("the teacher is out")))
        });
        let layer = layer.remember(Dictionary);
        Self { memory: layer.memory(), service: BoxCloneSyncService::new(layer.layer(teacher)) }
    }

    async fn ask(&self, question: Question) -> Result<String, String> {
        self.service.clone().oneshot(question).await.map_err(|error| error.to_string())
    }

    /// Is told something, and it is put.
    async fn learn(&self, question: Question) {
        assert_eq!(self.ask(question).await.as_deref(), Ok(question.says.expect("something")));
        settled().await;
    }

    /// What it says when its teacher is out.
    async fn fail(&self, letter: char) -> Option<String> {
        self.ask(german(letter, None)).await.ok()
    }
}

fn german(letter: char, says: Option<&'static str>) -> Question {
    Question { letter, language: 'd', says, allowed: Allowed::default() }
}

fn english(letter: char, says: Option<&'static str>) -> Question {
    Question { language: 'e', ..german(letter, says) }
}

/// What is done in the background is done.
async fn settled() {
    for _ in 0..100 {
        yield_now().await;
    }
}

fn old(word: &str, seconds: u32) -> Option<String> {
    Some(format!("{word}, {seconds} s old"))
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_as_old_as_it_is_and_stands_in_no_longer_than_that_allows() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    advance(20 * SEC).await;
    assert_eq!(other.fail('a').await, old("Apfel", 20));
    advance(10 * SEC).await;
    assert_eq!(other.fail('a').await, old("Apfel", 30), "it is remembered");
    assert_eq!(shelf.asked(), 1);
    assert_eq!(Process::over(&shelf).fail('a').await, old("Apfel", 30));
    advance(Duration::from_millis(1)).await;
    assert_eq!((other.fail('a').await, Process::over(&shelf).fail('a').await), (None, None));
    assert_eq!(other.ask(german('a', None)).await, Err("the teacher is out".into()), "untouched");
}

#[tokio::test(start_paused = true)]
async fn no_process_tells_an_answer_for_longer_than_its_origin_and_whoever_kept_it_allow() {
    let shelf = Shelf::new();
    let one = Process::limited(&shelf, 30 * SEC);
    let allowed = Allowed { age: 5 * SEC, stale_if_error: Some(15 * SEC), ..Allowed::default() };
    one.learn(Question { allowed, ..german('a', Some("Apfel")) }).await;
    one.learn(german('b', Some("Birne"))).await;
    let keeps = |letter: char| shelf.entries(letter.to_string().as_bytes())[0].keep_for;
    assert_eq!([keeps('a'), keeps('b')], [10 * SEC, 30 * SEC], "it is kept for as long as it is of use");
    let patient = || Process::limited(&shelf, 3600 * SEC);
    advance(10 * SEC).await;
    assert_eq!(patient().fail('a').await, old("Apfel", 15));
    assert_eq!(Process::limited(&shelf, 9 * SEC).fail('b').await, None, "each keeps to its own limit");
    advance(SEC).await;
    assert_eq!(patient().fail('a').await, None);
    advance(19 * SEC).await;
    assert_eq!(patient().fail('b').await, old("Birne", 30));
    advance(SEC).await;
    assert_eq!(patient().fail('b').await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_over_when_it_comes_is_not_put() {
    let shelf = Shelf::new();
    let one = Process::over(&shelf);
    let allowed = |age| Allowed { age: age * SEC, ..Allowed::default() };
    one.learn(Question { allowed: allowed(30), ..german('a', Some("Apfel")) }).await;
    assert_eq!((shelf.put(), one.memory.len()), (0, 1));
    advance(SEC).await;
    one.learn(Question { allowed: allowed(29), ..german('a', Some("Apfel")) }).await;
    assert_eq!(shelf.put(), 1);
}

/// The older answer was left there, and told by whoever had not heard of the newer one.
#[tokio::test(start_paused = true)]
async fn what_is_of_no_use_elsewhere_takes_the_older_answer_with_it() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    advance(SEC).await;
    assert_eq!(Process::over(&shelf).fail('a').await, old("Apfel", 1), "the control");
    let never = Allowed { stale_if_error: Some(Duration::ZERO), ..Allowed::default() };
    one.learn(Question { allowed: never, ..german('a', Some("Ananas")) }).await;
    assert_eq!((other.fail('a').await, shelf.put()), (None, 1));
}

/// Each success was written out, as often as the key was asked for.
#[tokio::test(start_paused = true)]
async fn what_is_asked_for_often_is_put_once_a_second() {
    let shelf = Shelf::new();
    let one = Process::over(&shelf);
    for _ in 0..30 {
        one.learn(german('a', Some("Apfel"))).await;
        one.learn(english('a', Some("apple"))).await;
        advance(SEC / 10).await;
    }
    assert_eq!((shelf.put(), one.memory.counts().remembered), (6, 60), "each variant");
    assert_eq!(Process::over(&shelf).fail('a').await, old("Apfel", 1));
    one.memory.forget(&'a');
    advance(SEC / 10).await;
    one.learn(german('a', Some("Apfel"))).await;
    assert_eq!((shelf.put(), Process::over(&shelf).fail('a').await), (7, old("Apfel", 0)), "it was forgotten");
    let shorter = Allowed { stale_if_error: Some(10 * SEC), ..Allowed::default() };
    one.learn(Question { allowed: shorter, ..german('a', Some("Apfel")) }).await;
    assert_eq!(shelf.put(), 8, "it is allowed something else");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_put_is_put_the_next_time() {
    let shelf = Shelf::new();
    let one = Process::over(&shelf);
    shelf.is_down(true);
    one.learn(german('a', Some("Apfel"))).await;
    shelf.is_down(false);
    one.learn(german('a', Some("Apfel"))).await;
    assert_eq!(shelf.put(), 1);
    one.learn(german('a', Some("Apfel"))).await;
    assert_eq!(shelf.put(), 1, "the control");
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_when_a_call_has_failed_and_there_is_nothing_and_never_else() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    assert_eq!(one.fail('a').await, old("Apfel", 0));
    assert_eq!(shelf.asked(), 0);
    assert_eq!((other.fail('a').await, shelf.asked()), (old("Apfel", 0), 1));
    assert_eq!((other.fail('b').await, shelf.asked()), (None, 2));
    let counts = other.memory.counts();
    assert_eq!((counts.stood_in, counts.missed, counts.remembered), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn all_variants_are_found_and_each_of_them_by_whom_it_does_for() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    advance(SEC).await;
    one.learn(english('a', Some("apple"))).await;
    assert_eq!(other.fail('a').await, old("Apfel", 1));
    assert_eq!(other.ask(english('a', None)).await.ok(), old("apple", 0));
    assert_eq!(shelf.asked(), 1, "both were found");
    let french = Question { language: 'f', ..german('a', None) };
    assert_eq!((other.ask(french).await.is_err(), shelf.asked()), (true, 2));
    advance(SEC).await;
    one.learn(Question { language: '*', ..german('a', Some("alpha")) }).await;
    assert_eq!(other.ask(french).await.ok(), old("alpha", 0));
    assert_eq!(other.fail('a').await, old("alpha", 0), "in the place of all");
}

/// Its own is younger, and only does not do for this request.
#[tokio::test(start_paused = true)]
async fn what_is_found_does_not_take_the_place_of_what_is_younger() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    advance(SEC).await;
    shelf.is_down(true);
    other.learn(german('a', Some("Ananas"))).await;
    shelf.is_down(false);
    assert!(other.ask(english('a', None)).await.is_err(), "it is not asked for");
    assert_eq!((other.fail('a').await, shelf.asked()), (old("Ananas", 0), 1));
    assert_eq!(other.memory.bytes(), 256 + 6, "nor stands beside it");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_one_that_has_nothing() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    shelf.is_down(true);
    assert_eq!(other.ask(german('a', None)).await, Err("the teacher is out".into()));
    other.learn(german('b', Some("Birne"))).await;
    assert_eq!(other.fail('b').await, old("Birne", 0));
    shelf.is_down(false);
    assert_eq!(other.fail('a').await, old("Apfel", 0));
    assert_eq!(one.fail('b').await, None, "it was not put");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_or_read_is_not_there() {
    type Spoils = fn(&[u8]) -> Vec<u8>;
    let shelf = Shelf::new();
    let one = Process::over(&shelf);
    one.learn(german('u', Some("unspeakable"))).await;
    assert_eq!((shelf.put(), one.fail('u').await), (0, old("unspeakable", 0)));
    one.learn(german('a', Some("Apfel"))).await;
    assert_eq!(Process::over(&shelf).fail('a').await, old("Apfel", 0));
    let versions: [Spoils; 4] = [
        |bytes| [&[2], &bytes[1..]].concat(),
        |bytes| bytes[..20].to_vec(),
        |bytes| [bytes, &[0xff]].concat(),
        |_| Vec::new(),
    ];
    for spoils in versions {
        advance(SEC).await;
        one.learn(german('a', Some("Apfel"))).await;
        shelf.spoil(b"a", spoils);
        assert_eq!(Process::over(&shelf).fail('a').await, None);
    }
}

/// Whoever has written it may count otherwise, or lie, and the memory would be larger than it may be.
#[tokio::test(start_paused = true)]
async fn what_is_found_takes_no_less_room_than_it_has_bytes() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    shelf.spoil(b"a", |bytes| [&bytes[..33], &[0; 8], &bytes[41..]].concat());
    assert_eq!(other.fail('a').await, old("Apfel", 0));
    assert_eq!(other.memory.bytes(), 256 + 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_forgotten_there_by_key_or_all_of_it() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    for letter in ['a', 'b', 'c'] {
        one.learn(german(letter, Some("word"))).await;
    }
    one.memory.forget(&'a');
    settled().await;
    assert_eq!((shelf.forgotten(), other.fail('a').await), ((1, 0), None));
    // The teacher says that there is no such word.
    assert_eq!(other.ask(german('b', Some("nothing"))).await.as_deref(), Ok("nothing"));
    settled().await;
    assert_eq!((shelf.forgotten(), Process::over(&shelf).fail('b').await), ((2, 0), None));
    assert_eq!(Process::over(&shelf).fail('c').await, old("word", 0));
    one.memory.forget_where(|letter| *letter == 'z');
    settled().await;
    assert_eq!((shelf.forgotten(), shelf.keys(), one.memory.len()), ((2, 1), 0, 2));
}

/// The store has not been told yet, or will never be.
#[tokio::test(start_paused = true)]
async fn what_is_not_forgotten_there_yet_is_not_believed() {
    let forgets: [fn(&Memory<char, Word>); 3] =
        [|memory| _ = memory.forget(&'a'), |memory| _ = memory.forget_where(|_| false), Memory::forget_all];
    for forgets in forgets {
        for is_told in [true, false] {
            let shelf = Shelf::new();
            let [one, other] = [(), ()].map(|()| Process::over(&shelf));
            other.learn(german('a', Some("Apfel"))).await;
            advance(SEC).await;
            shelf.hold_tells();
            shelf.is_down(!is_told);
            forgets(&one.memory);
            shelf.is_down(false);
            settled().await;
            assert_eq!(one.fail('a').await, None, "it is there, and may not be true");
            assert_eq!(Process::over(&shelf).fail('a').await, old("Apfel", 1), "the control: who has not heard of it");
            shelf.is_down(!is_told);
            shelf.let_tells();
            settled().await;
            shelf.is_down(false);
            assert_eq!(shelf.keys() == 0 || shelf.entries(b"a").is_empty(), is_told);
            assert_eq!(one.fail('a').await, None);
            advance(SEC).await;
            other.learn(german('a', Some("Ananas"))).await;
            assert_eq!(one.fail('a').await, old("Ananas", 0), "of what is asked for later there is no doubt");
        }
    }
}

/// What is found was asked for before it was forgotten, and comes after.
#[tokio::test(start_paused = true)]
async fn what_is_forgotten_while_it_is_looked_for_is_not_found() {
    for forgets in [false, true] {
        let shelf = Shelf::new();
        let [one, other] = [(), ()].map(|()| Process::over(&shelf));
        one.learn(german('a', Some("Apfel"))).await;
        shelf.hold_gets();
        let mut looks = task::spawn(other.fail('a'));
        assert!(looks.poll().is_pending());
        if forgets {
            other.memory.forget(&'a');
            settled().await;
        }
        shelf.let_gets();
        settled().await;
        let Poll::Ready(found) = looks.poll() else { panic!("it has an answer") };
        assert_eq!((found.is_some(), other.memory.len()), (!forgets, usize::from(!forgets)));
    }
}

/// It is forgotten there between its answer and when that comes.
#[tokio::test(start_paused = true)]
async fn what_was_in_doubt_when_it_was_looked_for_is_not_believed_when_it_comes() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    shelf.hold_tells();
    other.memory.forget(&'a');
    shelf.hold_gets();
    let mut looks = task::spawn(other.fail('a'));
    assert!(looks.poll().is_pending());
    shelf.let_tells();
    settled().await;
    assert_eq!(shelf.entries(b"a"), [], "there is no doubt any more");
    shelf.let_gets();
    assert_eq!(looks.await, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_while_it_looks_leaves_everything_as_it_was() {
    let shelf = Shelf::new();
    let [one, other] = [(), ()].map(|()| Process::over(&shelf));
    one.learn(german('a', Some("Apfel"))).await;
    shelf.hold_gets();
    let mut looks = task::spawn(other.fail('a'));
    assert!(looks.poll().is_pending());
    drop(looks);
    shelf.let_gets();
    settled().await;
    assert!(other.memory.is_empty());
    assert_eq!(other.fail('a').await, old("Apfel", 0));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_64_answers_are_on_their_way_and_the_others_are_in_memory_alone() {
    let shelf = Shelf::new();
    let one = Process::over(&shelf);
    shelf.hold_tells();
    let letters: Vec<char> = (0..100).map(|number| char::from_u32(0x4e00 + number).expect("a letter")).collect();
    for letter in &letters {
        one.learn(german(*letter, Some("word"))).await;
    }
    shelf.let_tells();
    settled().await;
    assert_eq!((shelf.put(), one.memory.len()), (64, 100));
    one.learn(german('a', Some("Apfel"))).await;
    assert_eq!(shelf.put(), 65, "and there is room again");
}

/// Nothing runs in the background without a runtime, and nothing fails for it.
#[test]
fn without_a_runtime_nothing_is_put_and_what_could_not_be_forgotten_is_not_believed() {
    let shelf = Shelf::new();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime().block_on(Process::over(&shelf).learn(german('a', Some("Apfel"))));
    assert_eq!(shelf.put(), 1);
    let one = Process::over(&shelf);
    assert_eq!(futures::executor::block_on(one.fail('a')), old("Apfel", 0), "who asks needs none");
    assert_eq!(futures::executor::block_on(one.ask(german('b', Some("Birne")))).as_deref(), Ok("Birne"));
    one.memory.forget(&'a');
    one.memory.forget_all();
    assert_eq!(futures::executor::block_on(one.fail('a')), None);
    assert_eq!((shelf.put(), shelf.keys(), shelf.forgotten()), (1, 1, (0, 0)));
    // What is in doubt stays so.
    assert_eq!(runtime().block_on(one.fail('a')), None);
}

#[tokio::test(start_paused = true)]
async fn a_memory_without_a_second_level_has_none() {
    let store = MemoryStore::<char, Word>::new(NonZeroU64::new(1 << 20).expect("not zero"));
    assert!(format!("{store:?}").contains("has_second_level: false"));
    let backed = store.clone().over(Shelf::new(), Words);
    assert!(format!("{backed:?}").contains("has_second_level: true"));
    assert!(format!("{:?}", backed.clone()).contains("has_second_level: true"), "and so have its clones");
}

/// A service that is not ready is waited for.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_has_not_failed() {
    let shelf = Shelf::new();
    let one = Process::over(&shelf);
    one.learn(german('a', Some("Apfel"))).await;
    let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero")).over(shelf.clone(), Words);
    let layer = CacheFallbackLayer::new(CacheFallbackConfig::new(30 * SEC), store).expect("valid");
    let stuck = tower::util::BoxCloneSyncService::new(
        tower::ServiceBuilder::new()
            .concurrency_limit(1)
            .service(service_fn(|_: Question| pending::<Result<String, BoxError>>())),
    );
    let service = layer.remember(Dictionary).layer(stuck);
    let mut holds = task::spawn(service.clone().oneshot(german('b', None)));
    assert!(holds.poll().is_pending());
    let mut waits = task::spawn(service.oneshot(german('a', None)));
    assert!(waits.poll().is_pending());
    advance(SEC).await;
    assert!(waits.poll().is_pending());
    assert_eq!(shelf.asked(), 0);
}
