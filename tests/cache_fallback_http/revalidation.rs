//! What RFC 9111 has it that is told without asking, and what it takes to ask whether something is still good.

use axum::http::StatusCode;
use buttress::http::CachedResponses;
use tokio::time::advance;

use super::read_through::Through;
use super::rfc9111::answer;
use super::*;

/// The same where what is fresh is told without asking, for ten seconds at most.
fn through(answers: impl Fn(u32, &Request<Body>) -> Response<Body> + Clone + Send + Sync + 'static) -> Through {
    Through::new(CachedResponses::new().rfc9111(), answers)
}

const NOW: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

type Headers = &'static [(&'static str, &'static str)];

#[tokio::test(start_paused = true)]
async fn an_answer_is_told_without_asking_for_as_long_as_it_is_fresh() {
    let cases: [(u16, Headers, u32); 15] = [
        (200, &[("cache-control", "max-age=3")], 3),
        (200, &[("cache-control", "Max-Age=3, must-revalidate")], 3),
        (200, &[("cache-control", "max-age=60, s-maxage=4")], 4),
        (200, &[("cache-control", "max-age=60")], 10),
        (200, &[("cache-control", "max-age=60, no-cache")], 0),
        (200, &[("cache-control", "max-age=60, private")], 0),
        (200, &[("cache-control", "max-age=60"), ("age", "8")], 2),
        (200, &[], 0),
        (200, &[NOW, ("expires", "Sun, 06 Nov 1994 08:49:42 GMT")], 5),
        (200, &[NOW, ("expires", "0")], 0),
        (200, &[NOW, ("last-modified", "Sun, 06 Nov 1994 08:48:47 GMT")], 5),
        (404, &[("cache-control", "max-age=3")], 3),
        (404, &[], 0),
        (302, &[("cache-control", "max-age=3")], 3),
        (302, &[NOW, ("last-modified", "Sun, 06 Nov 1994 08:48:47 GMT")], 0),
    ];
    for (status, headers, seconds) in cases {
        let headers = headers.to_vec();
        let said = format!("{status} {headers:?}");
        let world = through(move |_, _| {
            let mut answer = answer(status, &headers);
            // Once it is stale it is asked for.
            answer.headers_mut().append("cache-control", "stale-while-revalidate=0".parse().expect("a value"));
            answer
        });
        world.told(get("/tea")).await;
        let mut fresh_for = 0;
        while world.told(get("/tea")).await.is_from_memory() {
            advance(SEC).await;
            fresh_for += 1;
        }
        assert_eq!(fresh_for, seconds, "{said}");
    }
}

/// Answers with `first`, and then, if it is asked whether that is still good, that it is.
fn still_good(tag: &'static str) -> Through {
    through(move |number, request| {
        if number > 1 && request.headers().get("if-none-match").is_some_and(|asked| asked == tag) {
            let number = number.to_string();
            let newer =
                [("etag", tag), ("cache-control", "max-age=5, stale-while-revalidate=0"), ("x-number", &*number)];
            return (StatusCode::NOT_MODIFIED, newer).into_response();
        }
        let first = [("etag", tag), ("cache-control", "max-age=0, must-revalidate"), ("x-number", "1")];
        (first, "1.20").into_response()
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_is_asked_about_and_told_whole_if_it_is_still_good() {
    for tag in ["\"1\"", "W/\"1\""] {
        let world = still_good(tag);
        world.told(get("/tea")).await;
        advance(7 * SEC).await;
        let told = world.told(get("/tea")).await;
        assert_eq!(world.last_asked("if-none-match").as_deref(), Some(tag));
        assert_eq!((told.status, &*told.body, told.header("x-number"), world.calls()), (200, "1.20", vec!["2"], 2));
        advance(4 * SEC).await;
        let told = world.told(get("/tea")).await;
        assert_eq!((&*told.body, told.header("age"), world.calls()), ("1.20", vec!["4"], 2), "it is fresh again");
        advance(2 * SEC).await;
        assert_eq!((world.told(get("/tea")).await.header("x-number"), world.calls()), (vec!["3"], 3));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_what_is_still_good_is_told_so() {
    for (own, status, body) in [("\"1\"", 304, ""), ("\"0\"", 200, "1.20")] {
        let world = still_good("\"1\"");
        world.told(get("/tea")).await;
        advance(SEC).await;
        let told = world.told(get_with("/tea", &[("if-none-match", own)])).await;
        assert_eq!((told.status, &*told.body, world.calls()), (status, body, 2), "{own}");
        assert_eq!(world.last_asked("if-none-match").as_deref(), Some("\"1\""));
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_takes_its_place() {
    let world = through(|number, _| {
        let tag = format!("\"{number}\"");
        ([("etag", &*tag), ("cache-control", "max-age=1, stale-while-revalidate=0")], number.to_string())
            .into_response()
    });
    world.told(get("/tea")).await;
    advance(2 * SEC).await;
    assert_eq!(world.told(get("/tea")).await.body, "2");
    assert_eq!(world.last_asked("if-none-match").as_deref(), Some("\"1\""));
    advance(2 * SEC).await;
    assert_eq!(world.told(get("/tea")).await.body, "3");
    assert_eq!(world.last_asked("if-none-match").as_deref(), Some("\"2\""));
}

#[tokio::test(start_paused = true)]
async fn a_304_about_another_answer_has_it_told_once_and_asked_for_anew() {
    let world = through(|number, _| match number {
        2 => (StatusCode::NOT_MODIFIED, [("etag", "\"2\"")]).into_response(),
        _ => ([("etag", "\"1\""), ("cache-control", "no-cache")], "1.20").into_response(),
    });
    world.told(get("/tea")).await;
    advance(SEC).await;
    let told = world.told(get("/tea")).await;
    assert_eq!((told.status, &*told.body, told.header("etag")), (200, "1.20", vec!["\"1\""]));
    assert!(world.memory.is_empty());
    assert_eq!(world.told(get("/tea")).await.body, "1.20");
    assert_eq!(world.last_asked("if-none-match"), None);
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_about_the_answer_that_the_request_would_have() {
    let world = through(|_, request| {
        let language = request.headers()["accept-language"].clone();
        let answer = ([("vary", "accept-language"), ("cache-control", "max-age=0, stale-while-revalidate=0")], "1.20");
        let mut answer = answer.into_response();
        answer.headers_mut().insert("etag", format!("{language:?}").parse().expect("a value"));
        answer
    });
    let of = |language: &str| get_with("/tea", &[("accept-language", language)]);
    world.told(of("de")).await;
    advance(SEC).await;
    world.told(of("en")).await;
    assert_eq!(world.last_asked("if-none-match"), None);
    advance(SEC).await;
    world.told(of("de")).await;
    assert_eq!(world.last_asked("if-none-match").as_deref(), Some("\"de\""));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_does_not_answer_is_stood_in_for_unless_it_forbids_it() {
    for (control, status) in [("max-age=0", 200), ("max-age=0, must-revalidate", 503), ("no-cache", 503)] {
        let world = through(move |number, _| match number {
            1 => ([("etag", "\"1\""), ("cache-control", control)], "1.20").into_response(),
            _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        });
        world.told(get("/tea")).await;
        advance(11 * SEC).await;
        assert_eq!(world.told(get("/tea")).await.status, status, "{control}");
        assert_eq!(world.last_asked("if-none-match").as_deref(), Some("\"1\""));
    }
}
