//! What is kept of responses, for how long, and how it is told.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use buttress::KeyOf;
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::http::CachedResponses;
use buttress::outcome::AnyErrorIsFailure;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use bytes::Bytes;
use futures::stream;
use tokio::time::advance;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use super::*;

const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

#[tokio::test(start_paused = true)]
async fn a_response_from_memory_says_so_and_how_old_it_is() {
    let world = World::new();
    let good = world.get("/tea", ([DATE, ("etag", "\"1\""), ("warning", "199 - old")], "1.20")).await;
    assert!(!good.is_from_memory() && good.degraded.is_none());
    advance(7 * SEC + SEC / 2).await;
    let told = world.fail(get("/tea")).await;
    assert_eq!((told.status, &*told.body), (200, "1.20"));
    assert_eq!(told.header("age"), ["7"]);
    assert_eq!(told.header("date"), [DATE.1]);
    assert_eq!(told.header("etag"), ["\"1\""]);
    assert_eq!(told.header("content-length"), ["4"]);
    assert_eq!(told.header("cache-status"), ["shop;fwd=stale;fwd-status=503;detail=stale-if-error"]);
    let degraded = told.degraded.expect("marked");
    assert_eq!(
        (degraded.layer(), degraded.name().as_str(), degraded.failure().code()),
        ("cache_fallback", "shop", Some(503))
    );
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_too_old_leaves_the_failure_as_it_is() {
    let world = World::new();
    world.get("/tea", "1.20").await;
    advance(30 * SEC).await;
    assert_eq!(world.fail(get("/tea")).await.body, "1.20");
    advance(SEC).await;
    let told = world.fail(get("/tea")).await;
    assert_eq!((told.status, &*told.body, told.is_from_memory()), (503, "down", false));
    let unknown = world.fail(get("/coffee")).await;
    assert_eq!((unknown.status, &*unknown.body), (503, "down"));
}

#[tokio::test(start_paused = true)]
async fn it_stands_in_for_failures_and_for_nothing_else() {
    for (status, stands_in) in [
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (501, false),
        (505, false),
        (507, false),
        (400, false),
        (402, false),
        (408, false),
        (429, false),
        (304, false),
        (206, false),
        (302, false),
    ] {
        let world = World::new();
        world.get("/tea", "1.20").await;
        let status = StatusCode::from_u16(status).expect("a status");
        let told = world.get("/tea", (status, "other")).await;
        assert_eq!(told.is_from_memory(), stands_in, "{status}");
        assert!(world.fail(get("/tea")).await.is_from_memory(), "{status} leaves what is remembered");
    }
}

#[tokio::test(start_paused = true)]
async fn it_stands_in_for_a_timeout_and_an_open_circuit_inside() {
    let layer = cache().http_server(CachedResponses::new(), Body::new);
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new()).expect("valid").http_server();
    let circuit = breaker.breaker().clone();
    let timeout = TimeoutLayer::new(TimeoutConfig::new(SEC)).expect("valid").http_server();
    let origin = service_fn(async |request: Request<Body>| {
        if request.headers().contains_key("x-hang") {
            std::future::pending::<()>().await;
        }
        Ok::<_, Infallible>("1.20".into_response())
    });
    let service = ServiceBuilder::new().layer(layer).layer(breaker).layer(timeout).service(origin);
    let ask = async |request| Told::of(service.clone().oneshot(request).await.expect("infallible")).await;
    ask(get("/tea")).await;
    let told = ask(get_with("/tea", &[("x-hang", "1")])).await;
    assert_eq!((&*told.body, told.header("cache-status")), ("1.20", vec!["shop;fwd=stale;detail=stale-if-error"]));
    circuit.force_open();
    let told = ask(get("/tea")).await;
    assert_eq!((&*told.body, told.header("cache-status")), ("1.20", vec!["shop;hit;detail=stale-if-error"]));
    let refused = ask(get("/coffee")).await;
    assert_eq!((refused.status, refused.header("content-type")), (503, vec!["application/problem+json"]));
}

#[tokio::test]
async fn what_is_gone_does_not_come_back() {
    for (status, origin_says) in [
        (404, vec![]),
        (410, vec![]),
        (204, vec![]),
        (401, vec![]),
        (403, vec![]),
        (451, vec![]),
        (302, vec![("cache-control", "no-store")]),
        (304, vec![("cache-control", "private")]),
        (200, vec![("cache-control", "no-store")]),
        (200, vec![("cache-control", "private")]),
        (200, vec![("cache-control", "max-age=5, no-cache")]),
        (200, vec![("cache-control", "must-revalidate")]),
        (200, vec![("cache-control", "Proxy-Revalidate")]),
        (200, vec![("set-cookie", "a=b")]),
        (200, vec![("vary", "accept, *")]),
    ] {
        let world = World::new();
        world.get("/tea", "1.20").await;
        assert_eq!(world.memory.len(), 1);
        let mut answer = (StatusCode::from_u16(status).expect("a status"), "other").into_response();
        for (name, value) in &origin_says {
            answer.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        world.get("/tea", answer).await;
        assert!(world.memory.is_empty(), "{status} {origin_says:?}");
        let told = world.fail(get("/tea")).await;
        assert_eq!((told.status, told.is_from_memory()), (503, false), "{status} {origin_says:?}");
    }
}

#[tokio::test]
async fn that_there_is_nothing_is_remembered_if_it_is_wanted() {
    let world = World::with(CachedResponses::new().remember_absence(30 * SEC));
    world.ask(get_with("/tea", &[("accept-language", "de")]), ([("vary", "accept-language")], "Tee")).await;
    world.get("/tea", (StatusCode::NOT_FOUND, "no tea")).await;
    for request in [get("/tea"), get_with("/tea", &[("accept-language", "de")])] {
        let told = world.fail(request).await;
        assert_eq!((told.status, &*told.body, told.is_from_memory()), (404, "no tea", true));
    }
}

#[tokio::test(start_paused = true)]
async fn its_origin_and_its_sender_may_shorten_how_old_it_may_be() {
    let world = World::new();
    let answer = ([("cache-control", "max-age=5, stale-if-error=10"), ("age", "3")], "1.20");
    world.get("/tea", answer).await;
    advance(12 * SEC).await;
    let told = world.fail(get("/tea")).await;
    assert_eq!(told.header("age"), ["15"], "it was 3 s old when it came");
    for (control, is_told) in [("stale-if-error=14", false), ("stale-if-error=15", true), ("max-stale=14", false)] {
        let told = world.fail(get_with("/tea", &[("cache-control", control)])).await;
        assert_eq!(told.is_from_memory(), is_told, "{control}");
    }
    advance(SEC).await;
    assert!(!world.fail(get("/tea")).await.is_from_memory());
    world.get("/tea", ([("cache-control", "stale-if-error=86400")], "1.20")).await;
    advance(31 * SEC).await;
    assert!(!world.fail(get("/tea")).await.is_from_memory(), "no longer than it is set to");
}

#[tokio::test]
async fn a_head_is_told_from_a_get_and_remembers_nothing() {
    let world = World::new();
    let head = || request("HEAD", "/tea", &[]);
    world.ask(head(), ([("content-length", "4")], "")).await;
    assert!(world.memory.is_empty());
    world.get("/tea", "1.20").await;
    let told = world.fail(head()).await;
    assert_eq!((told.status, &*told.body, told.header("content-length")), (200, "", vec!["4"]));
    assert!(told.is_from_memory());
}

#[tokio::test]
async fn who_changes_something_has_it_forgotten() {
    for (method, status, forgets) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 303, true),
        ("PATCH", 400, false),
        ("POST", 500, false),
        ("OPTIONS", 200, false),
    ] {
        let world = World::new();
        world.get("/tea", "1.20").await;
        world.get("/coffee", "2.40").await;
        let status = StatusCode::from_u16(status).expect("a status");
        world.ask(request(method, "/tea", &[]), (status, "")).await;
        assert_eq!(world.fail(get("/tea")).await.is_from_memory(), !forgets, "{method} {status}");
        assert!(world.fail(get("/coffee")).await.is_from_memory());
    }
    let world = World::new();
    world.get("/orders/7", "paid").await;
    world.get("/orders/8", "paid").await;
    let created = [("location", "/orders/7"), ("content-location", "/orders/8")];
    world.ask(request("POST", "/orders", &[]), (created, "")).await;
    assert!(world.memory.is_empty());
}

/// HTTP/2 tells a server the whole URI, and HTTP/1 the path and the host.
#[tokio::test]
async fn what_is_changed_by_one_version_of_http_is_forgotten_for_the_other() {
    let world = World::new();
    world.ask(get_with("/tea", &[("host", "shop")]), "1.20").await;
    assert!(world.fail(get("https://shop/tea")).await.is_from_memory());
    world.ask(request("PUT", "https://shop/tea", &[]), "").await;
    assert!(world.memory.is_empty());
}

/// The server did it; its client did not hear of it.
#[tokio::test]
async fn a_change_of_which_nobody_knows_what_came_has_it_forgotten() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let layer = cache().http_server(CachedResponses::new(), Body::new);
    let memory = layer.memory();
    let origin = service_fn({
        let gate = gate.clone();
        move |request: Request<Body>| {
            let gate = gate.clone();
            async move {
                match request.method().as_str() {
                    "GET" => Ok("1.20".into_response()),
                    "PUT" => Err("cut"),
                    "PATCH" => Ok((StatusCode::SERVICE_UNAVAILABLE, "down").into_response()),
                    _ => {
                        gate.notified().await;
                        Ok("done".into_response())
                    }
                }
            }
        }
    });
    let service = layer.classify(AnyErrorIsFailure).layer(origin);
    let keep = async || Told::of(service.clone().oneshot(get("/tea")).await.expect("an answer")).await;
    for (method, forgets) in [("DELETE", true), ("PUT", true), ("PATCH", false)] {
        keep().await;
        let mut call = tokio_test::task::spawn(service.clone().oneshot(request(method, "/tea", &[])));
        let _ = call.poll();
        drop(call);
        assert_eq!(memory.is_empty(), forgets, "{method}");
    }
}

#[tokio::test]
async fn a_key_is_found_as_it_is_for_a_request() {
    let responses = CachedResponses::new().of_server();
    let world = World::with(responses.clone());
    world.ask(get_with("/tea", &[("host", "shop")]), "1.20").await;
    world.ask(get_with("/tea?size=2", &[("host", "shop")]), "2.40").await;
    let key = responses.key_of(&get("http://shop/tea")).expect("it has one");
    assert!(world.memory.forget(&key));
    assert_eq!(world.memory.len(), 1);
}

#[tokio::test]
async fn an_absence_replaces_what_there_was_for_everybody() {
    let world = World::with(CachedResponses::new().remember_absence(30 * SEC));
    let ask = |language| get_with("/tea", &[("accept-language", language)]);
    let vary = [("vary", "accept-language")];
    world.ask(ask("de"), (vary, "Tee")).await;
    world.ask(ask("fr"), (StatusCode::NOT_FOUND, vary, "rien")).await;
    assert!(!world.fail(ask("de")).await.is_from_memory());
    assert_eq!(world.fail(ask("fr")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn an_absence_of_old_does_not_take_what_is_there_since() {
    let layer = cache().http_server(CachedResponses::new(), Body::new);
    let origin = service_fn(async |request: Request<Body>| {
        if request.headers().contains_key("x-late") {
            tokio::time::sleep(SEC).await;
            return Ok((StatusCode::NOT_FOUND, "not yet").into_response());
        }
        Ok::<_, Infallible>("1.20".into_response())
    });
    let (memory, service) = (layer.memory(), layer.layer(origin));
    let mut early = tokio_test::task::spawn(service.clone().oneshot(get_with("/tea", &[("x-late", "1")])));
    assert!(early.poll().is_pending());
    advance(SEC / 2).await;
    Told::of(service.clone().oneshot(get("/tea")).await.expect("infallible")).await;
    advance(SEC).await;
    assert!(early.poll().is_ready());
    assert_eq!(memory.len(), 1);
}

#[tokio::test]
async fn what_is_too_large_is_counted() {
    let world = World::with(CachedResponses::new().max_body(100));
    world.get("/tea", "a".repeat(101)).await;
    assert_eq!(world.memory.counts().too_large, 1);
    // In a mebibyte, a sixteenth is for one key, head and all.
    let world = World::new();
    world.get("/tea", "a".repeat(65 << 10)).await;
    assert_eq!((world.memory.len(), world.memory.counts().too_large), (0, 1));
    world.get("/tea", "a".repeat(62 << 10)).await;
    assert_eq!((world.memory.len(), world.memory.counts().too_large), (1, 1));
}

#[tokio::test]
async fn what_a_key_takes_is_counted_as_well() {
    let world = World::new();
    for number in 0..1000 {
        world.get(&format!("/tea?{}{number}", "a".repeat(4000)), "1.20").await;
        assert!(world.memory.len() * 4000 < 1 << 20);
    }
}

#[tokio::test]
async fn whoever_holds_the_memory_forgets_by_prefix() {
    let world = World::new();
    for uri in ["/products/7", "/products/8", "/orders/7"] {
        world.get(&format!("http://shop{uri}"), "something").await;
    }
    assert_eq!(world.memory.forget_where(|key| key.uri().starts_with("//shop/products/")), 2);
    assert!(world.fail(get("http://shop/orders/7")).await.is_from_memory());
    assert!(!world.fail(get("http://shop/products/7")).await.is_from_memory());
}

#[tokio::test]
async fn a_body_passes_as_it_comes_and_is_kept_if_it_is_not_too_long() {
    let world = World::with(CachedResponses::new().max_body(100));
    let body =
        |length: usize| Body::from_stream(stream::iter(vec![Ok::<_, Infallible>(Bytes::from("ab")); length / 2]));
    assert_eq!(world.get("/tea", body(100)).await.body.len(), 100);
    assert_eq!(world.fail(get("/tea")).await.body.len(), 100);
    assert_eq!(world.get("/coffee", body(102)).await.body.len(), 102, "all of it passes");
    assert!(!world.fail(get("/coffee")).await.is_from_memory());
}

#[tokio::test]
async fn a_body_that_is_given_up_breaks_off_or_has_another_length_is_not_kept() {
    let world = World::new();
    let broken = stream::iter([Ok("1."), Err(std::io::Error::other("cut"))]);
    *world.says.lock().expect("no panic") = Body::from_stream(broken).into_response();
    let response = world.service.clone().oneshot(get("/tea")).await.expect("infallible");
    response.into_body().collect().await.expect_err("it breaks off");
    assert!(world.memory.is_empty());

    *world.says.lock().expect("no panic") =
        Body::from_stream(stream::iter(["1.", "20"].map(Ok::<_, Infallible>))).into_response();
    let mut response = world.service.clone().oneshot(get("/tea")).await.expect("infallible");
    response.body_mut().frame().await.expect("a frame").expect("data");
    drop(response);
    assert!(world.memory.is_empty(), "given up");

    for length in ["3", "5"] {
        let whole = Body::from_stream(stream::iter(["1.", "20"].map(Ok::<_, Infallible>)));
        world.get("/tea", ([("content-length", length)], whole)).await;
        assert!(world.memory.is_empty(), "of {length} it is said to be");
    }
    let whole = Body::from_stream(stream::iter(["1.", "20"].map(Ok::<_, Infallible>)));
    world.get("/tea", ([("content-length", "4")], whole)).await;
    assert_eq!(world.memory.len(), 1, "the control");
}

#[tokio::test]
async fn a_flood_of_query_strings_stays_under_the_limit() {
    let world = World::new();
    for number in 0..5000 {
        world.get(&format!("/tea?x={number}"), "a".repeat(500)).await;
        assert!(world.memory.bytes() <= 1 << 20);
    }
    assert!(world.memory.len() > 500, "and it is made use of: {}", world.memory.len());
    assert!(world.fail(get("/tea?x=4999")).await.is_from_memory());
    world.get(&format!("/tea?x={}", "a".repeat(4096)), "long").await;
    assert!(!world.fail(get(&format!("/tea?x={}", "a".repeat(4096)))).await.is_from_memory());
}
