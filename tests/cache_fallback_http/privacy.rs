//! Nobody is told what another one may see.

use axum::http::HeaderMap;
use buttress::http::CachedResponses;

use super::*;

#[tokio::test]
async fn who_says_who_they_are_has_nothing_to_do_with_the_memory() {
    for header in [("authorization", "Bearer a"), ("cookie", "session=a")] {
        let world = World::new();
        let told = world.ask(get_with("/account", &[header]), "a's account").await;
        assert_eq!(told.body, "a's account");
        assert!(world.memory.is_empty());
        assert!(!world.fail(get("/account")).await.is_from_memory());
        world.get("/account", "everybody's").await;
        assert!(!world.fail(get_with("/account", &[header])).await.is_from_memory());
        assert!(world.fail(get("/account")).await.is_from_memory(), "the control");
    }
}

fn user(headers: &HeaderMap) -> Option<String> {
    headers.get("x-user")?.to_str().ok().map(str::to_owned)
}

#[tokio::test]
async fn with_a_scope_each_has_their_own_and_who_has_none_has_nothing() {
    let world = World::with(CachedResponses::new().scope(|request: &Request<Body>| user(request.headers())));
    let of = |name| get_with("/account", &[("x-user", name), ("authorization", "Bearer it-changes")]);
    world.ask(of("a"), "a's account").await;
    world.ask(of("b"), "b's account").await;
    assert_eq!(world.fail(of("a")).await.body, "a's account");
    assert_eq!(world.fail(of("b")).await.body, "b's account");
    assert!(!world.fail(of("c")).await.is_from_memory());
    world.get("/account", "nobody's").await;
    assert!(!world.fail(get("/account")).await.is_from_memory());
    assert_eq!(world.memory.len(), 2);
}

#[tokio::test]
async fn a_response_that_varies_is_for_those_who_ask_alike() {
    let world = World::new();
    let vary = [("vary", "Accept-Encoding, accept-language")];
    let ask = |language, encoding| get_with("/tea", &[("accept-language", language), ("accept-encoding", encoding)]);
    world.ask(ask("de", "gzip"), (vary, "Tee, gzip")).await;
    world.ask(ask("en", "gzip"), (vary, "tea, gzip")).await;
    assert_eq!(world.fail(ask("de", "gzip")).await.body, "Tee, gzip");
    assert_eq!(world.fail(ask("en", "gzip")).await.body, "tea, gzip");
    assert!(!world.fail(ask("de", "br")).await.is_from_memory());
    assert!(!world.fail(get("/tea")).await.is_from_memory());
    assert_eq!(world.memory.len(), 1, "all under one key");
}

#[tokio::test]
async fn of_many_variants_the_last_eight_are_kept() {
    let world = World::new();
    let ask = |number: u32| get_with("/tea", &[("accept-language", &format!("l{number}"))]);
    for number in 0..20 {
        world.ask(ask(number), ([("vary", "accept-language")], number.to_string())).await;
    }
    let mut kept = Vec::new();
    for number in 0..20 {
        kept.extend(world.fail(ask(number)).await.is_from_memory().then_some(number));
    }
    assert_eq!(kept, (12..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_site_is_not_told_the_pages_of_another() {
    let world = World::new();
    let of = |host| get_with("/", &[("host", host)]);
    world.ask(of("a.example"), "a's page").await;
    assert!(world.fail(of("a.example")).await.is_from_memory());
    assert!(world.fail(of("A.Example")).await.is_from_memory());
    assert!(!world.fail(of("b.example")).await.is_from_memory());
}

#[tokio::test]
async fn who_wants_a_part_or_no_copy_has_nothing_to_do_with_the_memory() {
    let world = World::new();
    world.get("/tea", "1.20").await;
    for header in [("range", "bytes=0-1"), ("cache-control", "no-store")] {
        let told = world.ask(get_with("/tea", &[header]), "2.40").await;
        assert_eq!(told.body, "2.40");
        assert!(!world.fail(get_with("/tea", &[header])).await.is_from_memory(), "{header:?}");
        assert_eq!(world.fail(get("/tea")).await.body, "1.20", "{header:?} remembers nothing");
    }
}

/// A search asks by its body.
#[tokio::test]
async fn a_request_with_a_body_has_nothing_to_do_with_the_memory() {
    let world = World::new();
    for header in [("content-length", "3"), ("transfer-encoding", "chunked")] {
        world.ask(get_with("/search", &[header]), "what a found").await;
        assert!(world.memory.is_empty());
        world.get("/search", "what is there").await;
        assert!(!world.fail(get_with("/search", &[header])).await.is_from_memory());
        world.memory.forget_all();
    }
    world.ask(get_with("/search", &[("content-length", "0")]), "what is there").await;
    assert!(world.fail(get("/search")).await.is_from_memory(), "the control");
}

/// A router that is nested shows the same path for both.
#[tokio::test]
async fn sites_that_the_path_does_not_tell_apart_are_told_apart_by_what_is_said() {
    let site =
        |request: &Request<Body>| request.headers().get("x-site").map(|site| format!("{site:?}")).unwrap_or_default();
    let world = World::with(CachedResponses::new().site(site));
    let of = |site| get_with("/products/7", &[("x-site", site)]);
    world.ask(of("a"), "a's product").await;
    assert!(!world.fail(of("b")).await.is_from_memory());
    assert_eq!(world.fail(of("a")).await.body, "a's product");
    let personal = get_with("/products/7", &[("x-site", "a"), ("cookie", "a=b")]);
    assert!(!world.fail(personal).await.is_from_memory(), "and that is all it says");
    assert_eq!(world.memory.forget_where(|key| key.uri().ends_with("/products/7")), 1);
}

/// Who has said nothing about who sent it is not taken for having said so.
#[tokio::test]
async fn who_says_who_they_are_is_not_everybody_whoever_says_whose_it_is() {
    #[derive(Clone)]
    struct Sometimes;

    impl buttress::http::CacheScope<Request<Body>> for Sometimes {
        fn scope_of(&self, request: &Request<Body>) -> buttress::http::Whose {
            user(request.headers()).map_or(buttress::http::Whose::Everybodys, buttress::http::Whose::Of)
        }
    }

    let world = World::with(CachedResponses::new().scope(Sometimes));
    world.ask(get_with("/account", &[("authorization", "Bearer a")]), "a's").await;
    assert!(world.memory.is_empty());
    assert!(!world.fail(get("/account")).await.is_from_memory());
}
