//! What RFC 9111 has it that is kept, for how long, and for whom.

use axum::http::StatusCode;
use buttress::http::CachedResponses;
use tokio::time::advance;

use super::share::ForAll;
use super::*;

const MS: Duration = Duration::from_millis(1);

/// Its answers stand in for up to 30 s.
fn world() -> World {
    World::with(CachedResponses::new().rfc9111())
}

pub(super) fn answer(status: u16, headers: &[(&'static str, &str)]) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body("1.20".into()).expect("a response")
}

fn saying(control: &str) -> Response<Body> {
    answer(200, &[("cache-control", control)])
}

/// For how many seconds an answer stands in for a failure; none if it does not.
async fn stands_in_for(answer: Response<Body>) -> Option<u32> {
    let world = world();
    world.get("/tea", answer).await;
    let mut last = None;
    for second in 0..40 {
        advance(MS).await;
        if !world.fail(get("/tea")).await.is_from_memory() {
            return last;
        }
        last = Some(second);
        advance(SEC - MS).await;
    }
    panic!("there is a limit")
}

#[tokio::test(start_paused = true)]
async fn a_stale_answer_is_told_unless_its_origin_forbids_it() {
    for (control, seconds) in [
        ("max-age=5", Some(29)),
        ("public", Some(29)),
        ("max-age=5, stale-if-error=4", Some(8)),
        ("max-age=5, must-revalidate", Some(4)),
        ("Max-Age=5, Proxy-Revalidate", Some(4)),
        ("s-maxage=5, stale-if-error=20", Some(4)),
        ("max-age=5, no-cache", None),
        ("max-age=5, no-cache=\"x-user\"", None),
        ("max-age=5, no-store", None),
        ("max-age=5, private", None),
    ] {
        assert_eq!(stands_in_for(saying(control)).await, seconds, "{control}");
    }
    assert_eq!(stands_in_for(answer(404, &[("cache-control", "max-age=5")])).await, Some(4));
    assert_eq!(stands_in_for(answer(302, &[("cache-control", "max-age=5")])).await, Some(29));
    assert_eq!(stands_in_for(answer(302, &[])).await, None);
    assert_eq!(
        stands_in_for(answer(200, &[("set-cookie", "a=b"), ("cache-control", "public, max-age=5")])).await,
        None
    );
    let old = [("age", "3"), ("cache-control", "max-age=5, must-revalidate")];
    assert_eq!(stands_in_for(answer(200, &old)).await, Some(1), "it was old when it came");
}

#[tokio::test]
async fn what_was_said_to_one_is_told_to_all_only_if_its_origin_says_that_it_may_be() {
    let of_one = || get_with("/tea", &[("authorization", "Bearer a")]);
    for (control, is_for_all) in [
        ("max-age=60", false),
        ("private, max-age=60", false),
        ("public", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
    ] {
        let world = world();
        world.ask(of_one(), saying(control)).await;
        assert_eq!(world.memory.len(), usize::from(is_for_all), "{control}");
        assert_eq!(world.fail(get("/tea")).await.is_from_memory(), is_for_all, "{control}");
        assert_eq!(world.fail(of_one()).await.is_from_memory(), is_for_all, "{control}");
    }
    let world = world();
    world.get("/tea", saying("max-age=60")).await;
    assert!(world.fail(get("/tea")).await.is_from_memory(), "the control");
    assert!(!world.fail(of_one()).await.is_from_memory(), "their own may be another one");
    world.ask(of_one(), (StatusCode::FORBIDDEN, "no")).await;
    assert!(world.fail(get("/tea")).await.is_from_memory(), "whoever has no right takes nothing away");
}

#[tokio::test]
async fn a_cookie_has_nothing_to_do_with_the_memory_whatever_its_origin_says() {
    let world = world();
    let of_one = || get_with("/tea", &[("cookie", "a=b")]);
    world.ask(of_one(), saying("public, max-age=60")).await;
    assert!(world.memory.is_empty());
    world.get("/tea", saying("public, max-age=60")).await;
    assert!(!world.fail(of_one()).await.is_from_memory());
    assert!(world.fail(get("/tea")).await.is_from_memory(), "the control");
}

#[tokio::test]
async fn nothing_writes_a_warning() {
    let world = world();
    let old = [("cache-control", "public"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("age", "9")];
    world.get("/tea", answer(200, &old)).await;
    let told = world.fail(get("/tea")).await;
    assert!(told.is_from_memory() && told.header("warning").is_empty());
    assert_eq!(told.header("age"), ["9"]);
}

/// It was kept as what it is, for no time at all, in the place of what could stand in for it.
#[tokio::test]
async fn an_error_of_which_nobody_says_how_long_it_lasts_leaves_what_is_remembered() {
    for status in [405, 414, 501] {
        let world = world();
        world.get("/tea", saying("max-age=5")).await;
        world.get("/tea", answer(status, &[])).await;
        let told = world.fail(get("/tea")).await;
        assert_eq!((told.status, told.is_from_memory()), (200, true), "{status}");
        world.get("/tea", answer(status, &[("cache-control", "max-age=5")])).await;
        assert_eq!(world.fail(get("/tea")).await.status, status, "the control");
    }
    for status in [404, 410] {
        let world = world();
        world.get("/tea", saying("max-age=5")).await;
        world.get("/tea", answer(status, &[])).await;
        assert!(!world.fail(get("/tea")).await.is_from_memory(), "{status}");
    }
}

fn unchanged(headers: &[(&'static str, &str)]) -> Response<Body> {
    let mut response = answer(304, headers);
    *response.body_mut() = Body::empty();
    response
}

fn by_hand(responses: CachedResponses) -> World {
    let responses = ForAll::of(responses.of_server().into_body(Body::new));
    World::over(&cache().remember(responses).classify(StatusClassifier).mark_with(InExtensions))
}

/// Where what is looked at, as a failure has it looked at, is asked about next.
async fn asks_about(headers: &[(&'static str, &str)]) -> World {
    asks_about_a(200, headers).await
}

async fn asks_about_a(status: u16, headers: &[(&'static str, &str)]) -> World {
    let world = by_hand(CachedResponses::new().rfc9111());
    world.get("/tea", answer(status, headers)).await;
    world.fail(get("/tea")).await;
    world
}

const TAGGED: [(&str, &str); 3] = [("etag", "\"1\""), ("cache-control", "max-age=5, stale-if-error=5"), ("x-own", "1")];

#[tokio::test(start_paused = true)]
async fn what_is_still_good_is_told_whole_and_is_as_new_as_who_says_so() {
    let world = asks_about(&TAGGED).await;
    advance(9 * SEC).await;
    let told = world.get("/tea", unchanged(&[("etag", "\"1\""), ("x-own", "2")])).await;
    assert_eq!((told.status, &*told.body, told.header("x-own")), (200, "1.20", vec!["2"]));
    assert!(told.header("age").is_empty(), "it has just been said");
    advance(10 * SEC).await;
    let told = world.fail(get("/tea")).await;
    assert_eq!((&*told.body, told.header("x-own"), told.header("age")), ("1.20", vec!["2"], vec!["10"]));
    advance(SEC).await;
    assert!(!world.fail(get("/tea")).await.is_from_memory(), "the control: it gets old again");
}

#[tokio::test]
async fn who_has_what_is_still_good_is_told_that() {
    for (own, status, body) in [("\"1\"", 304, ""), ("\"0\"", 200, "1.20")] {
        let world = asks_about(&TAGGED).await;
        let told = world.ask(get_with("/tea", &[("if-none-match", own)]), unchanged(&[])).await;
        assert_eq!((told.status, &*told.body, told.header("etag")), (status, body, vec!["\"1\""]));
        assert_eq!(world.fail(get("/tea")).await.body, "1.20");
    }
}

#[tokio::test]
async fn what_is_still_good_and_yet_to_be_kept_no_more_is_told_once() {
    let world = asks_about(&TAGGED).await;
    let told = world.get("/tea", unchanged(&[("cache-control", "no-store")])).await;
    assert_eq!((told.status, &*told.body), (200, "1.20"));
    assert!(world.memory.is_empty());
}

#[tokio::test]
async fn a_304_about_another_answer_has_it_told_once_and_asked_for_anew() {
    let world = asks_about(&TAGGED).await;
    let told = world.get("/tea", unchanged(&[("etag", "\"2\"")])).await;
    assert_eq!((told.status, &*told.body, told.header("etag")), (200, "1.20", vec!["\"1\""]));
    assert!(world.memory.is_empty());
}

/// A line of a 304 that speaks of its connection was remembered.
#[tokio::test]
async fn what_a_304_says_of_its_connection_is_not_told_to_others() {
    let world = asks_about(&TAGGED).await;
    let hop = [("connection", "close, X-Hop"), ("x-hop", "1"), ("x-own", "2")];
    let told = world.get("/tea", unchanged(&hop)).await;
    assert_eq!(told.header("x-own"), ["2"]);
    let later = world.fail(get("/tea")).await;
    assert_eq!((later.header("x-own"), later.header("x-hop").len()), (vec!["2"], 0));
    assert!(told.header("x-hop").is_empty());
}

#[tokio::test]
async fn what_has_changed_takes_its_place() {
    let world = asks_about(&TAGGED).await;
    assert_eq!(world.get("/tea", ([("etag", "\"2\"")], "1.30")).await.body, "1.30");
    assert_eq!(world.fail(get("/tea")).await.body, "1.30");
}

#[tokio::test]
async fn what_cannot_be_asked_about_is_asked_for() {
    let world = asks_about(&[("cache-control", "max-age=5")]).await;
    assert_eq!(world.get("/tea", unchanged(&[])).await.status, 304, "nobody asked about one of ours");
    let plain = by_hand(CachedResponses::new());
    plain.get("/tea", answer(200, &TAGGED)).await;
    plain.fail(get("/tea")).await;
    assert_eq!(plain.get("/tea", unchanged(&[])).await.status, 304, "that is what the RFC has");
}

/// A 304 says that somebody has a page, and there is none.
#[tokio::test]
async fn who_has_what_is_no_success_is_told_it_all_the_same() {
    let tagged = || get_with("/tea", &[("if-none-match", "\"1\"")]);
    for (status, expected) in [(301, 301), (404, 404), (200, 304)] {
        let known = [("etag", "\"1\""), ("cache-control", "max-age=5")];
        let world = asks_about_a(status, &known).await;
        assert_eq!(world.fail(tagged()).await.status, expected, "{status}, which stands in");
        assert_eq!(world.ask(tagged(), unchanged(&[])).await.status, expected, "{status}, which is still good");
    }
}

/// What another one was told is not asked about, and so cannot be what is still good.
#[tokio::test]
async fn what_is_of_another_variant_is_not_asked_about() {
    let world = by_hand(CachedResponses::new().rfc9111());
    let in_language = |language| get_with("/tea", &[("accept-language", language)]);
    let varies = [("etag", "\"1\""), ("vary", "accept-language"), ("cache-control", "max-age=5")];
    world.ask(in_language("en"), answer(200, &varies)).await;
    assert!(!world.fail(in_language("de")).await.is_from_memory(), "it is looked at, and does not do");
    let told = world.ask(in_language("de"), unchanged(&[])).await;
    assert_eq!((told.status, &*told.body), (304, ""), "nobody asked about one of ours");
    assert!(!world.fail(in_language("de")).await.is_from_memory());
    assert!(world.fail(in_language("en")).await.is_from_memory());
    assert_eq!(world.ask(in_language("en"), unchanged(&[])).await.status, 200, "the control");
}
