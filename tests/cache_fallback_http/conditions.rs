//! What a request says of the answers that do for its sender.

use axum::http::StatusCode;
use tokio::time::advance;

use super::*;

const TAGGED: [(&str, &str); 4] = [
    ("etag", "\"1\""),
    ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("content-type", "text/plain"),
    ("cache-control", "max-age=5"),
];

#[tokio::test(start_paused = true)]
async fn who_has_what_stands_in_already_is_told_so() {
    let world = World::new();
    world.get("/tea", (TAGGED, "1.20")).await;
    advance(7 * SEC).await;
    for condition in [
        ("if-none-match", "\"1\""),
        ("if-none-match", "W/\"0\", W/\"1\""),
        ("if-none-match", "*"),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        for method in ["GET", "HEAD"] {
            let told = world.fail(request(method, "/tea", &[condition])).await;
            assert_eq!((told.status, &*told.body), (304, ""), "{method} {condition:?}");
            assert_eq!(told.header("etag"), ["\"1\""]);
            assert_eq!(told.header("age"), ["7"], "it may be too old for its sender");
            assert_eq!(told.header("cache-control"), ["max-age=5"]);
            assert_eq!(told.header("cache-status"), ["shop;fwd=stale;fwd-status=503;detail=stale-if-error"]);
            assert!(told.header("content-type").is_empty() && told.header("content-length").is_empty());
            assert!(told.degraded.is_some());
        }
    }
    for condition in
        [("if-none-match", "\"2\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT"), ("if-range", "\"1\"")]
    {
        let told = world.fail(get_with("/tea", &[condition])).await;
        assert_eq!((told.status, &*told.body), (200, "1.20"), "{condition:?}");
    }
}

/// Whether a condition of these holds, the origin alone can say.
#[tokio::test]
async fn what_the_origin_alone_can_say_is_not_said_for_it() {
    let world = World::new();
    world.get("/tea", (TAGGED, "1.20")).await;
    for condition in [("if-match", "\"1\""), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")] {
        let told = world.fail(get_with("/tea", &[condition])).await;
        assert_eq!((told.status, told.is_from_memory()), (503, false), "{condition:?}");
    }
    assert!(world.fail(get("/tea")).await.is_from_memory(), "the control");
}

#[tokio::test]
async fn a_condition_leaves_what_is_remembered_as_it_is_unless_all_of_the_answer_comes() {
    let world = World::new();
    world.get("/tea", (TAGGED, "1.20")).await;
    let conditional = || get_with("/tea", &[("if-none-match", "\"2\"")]);
    world.ask(conditional(), StatusCode::NOT_MODIFIED).await;
    assert_eq!(world.fail(conditional()).await.body, "1.20");
    world.ask(conditional(), "1.30").await;
    assert_eq!(world.fail(conditional()).await.body, "1.30");
}

#[tokio::test]
async fn who_loads_it_anew_is_told_nothing_of_old_and_has_it_remembered_for_all() {
    for header in [("cache-control", "no-cache"), ("pragma", "no-cache")] {
        let world = World::new();
        world.get("/tea", "1.20").await;
        assert!(!world.fail(get_with("/tea", &[header])).await.is_from_memory(), "{header:?}");
        assert_eq!(world.fail(get("/tea")).await.body, "1.20", "a failure changes nothing");
        assert_eq!(world.ask(get_with("/tea", &[header]), "1.30").await.body, "1.30");
        assert_eq!(world.fail(get("/tea")).await.body, "1.30", "{header:?}");
    }
    let world = World::new();
    world.get("/tea", "1.20").await;
    let again = get_with("/tea", &[("cache-control", "max-age=0")]);
    assert!(world.fail(again).await.is_from_memory(), "as people do when it fails");
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_told_for_a_short_time_whatever_its_origin_says() {
    let responses = buttress::http::CachedResponses::new().remember_absence(5 * SEC);
    let world = World::with(responses);
    let nothing = || (StatusCode::NOT_FOUND, [("cache-control", "max-age=60, stale-if-error=60")], "no tea");
    world.get("/tea", nothing()).await;
    advance(5 * SEC).await;
    assert_eq!(world.fail(get("/tea")).await.status, 404);
    advance(SEC).await;
    assert_eq!(world.fail(get("/tea")).await.status, 503);
    world.get("/tea", "1.20").await;
    advance(6 * SEC).await;
    assert_eq!(world.fail(get("/tea")).await.status, 200, "the control");
}
