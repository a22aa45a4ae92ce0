//! What is told without asking, and what is asked for in the meantime.

use buttress::cache_fallback::{ReadThroughConfig, ReadThroughLayer};
use buttress::http::{CachedResponses, CopiedBody, Everybody, InExtensions, StatusClassifier};

use tokio::time::advance;

use super::*;

pub(super) type Cache = ReadThroughLayer<
    CacheKey,
    StoredResponse,
    CachedResponses<Everybody, fn(CopiedBody<Body>) -> Body>,
    StatusClassifier,
    InExtensions,
>;

/// Fresh for ten seconds at most, told for ten more while another one is asked for, and up to 30 s old.
pub(super) fn layer(responses: CachedResponses) -> Cache {
    let times = ReadThroughConfig::new(10 * SEC).stale_while_revalidate(10 * SEC).jitter(0.0);
    let into_body: fn(CopiedBody<Body>) -> Body = Body::new;
    cache().http_server(responses, into_body).read_through(times).expect("valid")
}

/// A service behind a memory that is read through. It answers by the number of the request, from 1, and the request.
pub(super) struct Through {
    asked: Arc<Mutex<Vec<Request<()>>>>,
    pub(super) memory: Memory<CacheKey, StoredResponse>,
    service: tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
}

impl Through {
    pub(super) fn new(
        responses: CachedResponses,
        answers: impl Fn(u32, &Request<Body>) -> Response<Body> + Clone + Send + Sync + 'static,
    ) -> Self {
        let layer = layer(responses);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let origin = service_fn({
            let asked = asked.clone();
            move |request: Request<Body>| {
                let number = {
                    let mut asked = asked.lock().expect("no panic");
                    asked.push(Request::from_parts(request.clone_head(), ()));
                    u32::try_from(asked.len()).expect("few")
                };
                let answer = answers(number, &request);
                async move { Ok::<_, Infallible>(answer) }
            }
        });
        let memory = layer.memory();
        Self { asked, memory, service: tower::util::BoxCloneSyncService::new(layer.layer(origin)) }
    }

    pub(super) async fn told(&self, request: Request<Body>) -> Told {
        Told::of(self.service.clone().oneshot(request).await.expect("infallible")).await
    }

    /// How often the service was asked.
    pub(super) fn calls(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }

    /// A header of the last request that the service was asked.
    pub(super) fn last_asked(&self, name: &str) -> Option<String> {
        let asked = self.asked.lock().expect("no panic");
        let value = asked.last().expect("it was asked").headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    }
}

trait CloneHead {
    fn clone_head(&self) -> axum::http::request::Parts;
}

impl CloneHead for Request<Body> {
    fn clone_head(&self) -> axum::http::request::Parts {
        let mut head = Request::new(()).into_parts().0;
        (head.method, head.uri, head.headers) = (self.method().clone(), self.uri().clone(), self.headers().clone());
        head
    }
}

fn numbered(number: u32, _: &Request<Body>) -> Response<Body> {
    ([("etag", format!("\"{number}\"")), ("cache-control", "stale-while-revalidate=0".to_owned())], number.to_string())
        .into_response()
}

fn world() -> Through {
    Through::new(CachedResponses::new(), numbered)
}

#[tokio::test(start_paused = true)]
async fn what_is_fresh_is_told_without_asking() {
    let world = world();
    assert!(!world.told(get("/tea")).await.is_from_memory());
    advance(9 * SEC).await;
    let told = world.told(get("/tea")).await;
    assert_eq!((&*told.body, told.header("age"), world.calls()), ("1", vec!["9"], 1));
    assert_eq!(told.header("cache-status"), ["shop;hit;ttl=1"]);
    assert!(told.degraded.is_none(), "it is as good as another");
    assert_eq!(world.memory.counts().fresh, 1);
    advance(2 * SEC).await;
    assert_eq!((&*world.told(get("/tea")).await.body, world.calls()), ("2", 2), "the control");
}

#[tokio::test(start_paused = true)]
async fn an_origin_says_how_long_it_is_fresh_and_no_longer_than_is_set() {
    for (control, seconds) in
        [("max-age=3", 3), ("max-age=60, s-maxage=4", 4), ("s-maxage=60, max-age=4", 10), ("max-age=0", 0)]
    {
        let control = format!("{control}, stale-while-revalidate=0");
        let world =
            Through::new(CachedResponses::new(), move |_, _| ([("cache-control", &*control)], "1.20").into_response());
        world.told(get("/tea")).await;
        let mut fresh_for = 0;
        while world.told(get("/tea")).await.is_from_memory() {
            advance(SEC).await;
            fresh_for += 1;
        }
        assert_eq!(fresh_for, seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_just_stale_is_told_while_it_is_asked_for_once() {
    let world = Through::new(CachedResponses::new(), |number, _| number.to_string().into_response());
    world.told(get("/tea")).await;
    advance(12 * SEC).await;
    for request in [get("/tea"), get("/tea"), request("HEAD", "/tea", &[])] {
        let told = world.told(request).await;
        assert_eq!((told.header("age"), told.header("cache-status")), (vec!["12"], vec!["shop;hit;ttl=-2"]));
    }
    tokio::time::sleep(SEC).await;
    assert_eq!(world.calls(), 2);
    let told = world.told(get("/tea")).await;
    assert_eq!((&*told.body, world.calls()), ("2", 2), "it is fresh again");
    advance(21 * SEC).await;
    assert_eq!((&*world.told(get("/tea")).await.body, world.calls()), ("3", 3), "it is too old for that");
}

/// The answer to it would be remembered by nobody.
#[tokio::test(start_paused = true)]
async fn who_asks_for_a_head_has_all_of_it_asked_for() {
    let world = Through::new(CachedResponses::new(), |number, _| number.to_string().into_response());
    world.told(get("/tea")).await;
    advance(12 * SEC).await;
    let told = world.told(request("HEAD", "/tea", &[])).await;
    assert_eq!((&*told.body, told.header("cache-status")), ("", vec!["shop;hit;ttl=-2"]));
    tokio::time::sleep(SEC).await;
    assert_eq!(world.told(get("/tea")).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_request_says_what_it_takes_without_asking() {
    for (header, is_told) in [
        (("cache-control", "max-age=5"), true),
        (("cache-control", "max-age=4"), false),
        (("cache-control", "max-age=0"), false),
        (("cache-control", "min-fresh=1"), false),
        (("cache-control", "no-cache"), false),
        (("pragma", "no-cache"), false),
        (("cache-control", "no-store"), false),
        (("if-match", "\"1\""), false),
        (("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"), false),
        (("cache-control", "only-if-cached"), true),
        (("accept", "text/plain"), true),
    ] {
        let world = world();
        world.told(get("/tea")).await;
        advance(5 * SEC).await;
        let told = world.told(get_with("/tea", &[header])).await;
        assert_eq!((told.is_from_memory(), world.calls() == 1), (is_told, is_told), "{header:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_what_is_fresh_already_is_told_so_without_asking() {
    let world = world();
    world.told(get("/tea")).await;
    for (tag, status) in [("\"1\"", 304), ("W/\"1\"", 304), ("\"0\"", 200)] {
        let told = world.told(get_with("/tea", &[("if-none-match", tag)])).await;
        assert_eq!((told.status, told.header("etag"), world.calls()), (status, vec!["\"1\""], 1), "{tag}");
    }
    let told = world.told(request("HEAD", "/tea", &[])).await;
    assert_eq!((told.status, &*told.body, told.header("content-length")), (200, "", vec!["1"]));
    assert_eq!(world.calls(), 1);
}

/// What they have is told to nobody else, and is not what they are told the others have.
#[tokio::test(start_paused = true)]
async fn who_has_what_has_expired_asks_for_all_of_it() {
    let world = world();
    world.told(get("/tea")).await;
    advance(11 * SEC).await;
    let told = world.told(get_with("/tea", &[("if-none-match", "\"1\"")])).await;
    assert_eq!((told.status, &*told.body), (200, "2"));
    assert_eq!(world.last_asked("if-none-match"), None);
    assert_eq!((&*world.told(get("/tea")).await.body, world.calls()), ("2", 2));
}

#[tokio::test(start_paused = true)]
async fn who_wants_nothing_but_what_is_remembered_has_nobody_asked() {
    let world = world();
    let only = || get_with("/tea", &[("cache-control", "only-if-cached")]);
    assert_eq!((world.told(only()).await.status, world.calls()), (504, 0));
    world.told(get("/tea")).await;
    assert_eq!((&*world.told(only()).await.body, world.calls()), ("1", 1));
    advance(11 * SEC).await;
    assert_eq!((world.told(only()).await.status, world.calls()), (504, 1));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_nothing_is_fresh_for_a_short_time() {
    fn nothing(number: u32, _: &Request<Body>) -> Response<Body> {
        (axum::http::StatusCode::NOT_FOUND, [("cache-control", "max-age=60")], number.to_string()).into_response()
    }
    let world = Through::new(CachedResponses::new().remember_absence(2 * SEC), nothing);
    world.told(get("/tea")).await;
    advance(SEC).await;
    let told = world.told(get("/tea")).await;
    assert_eq!((told.status, &*told.body, world.calls()), (404, "1", 1));
    advance(2 * SEC).await;
    assert_eq!((&*world.told(get("/tea")).await.body, world.calls()), ("2", 2));
    let world = Through::new(CachedResponses::new(), nothing);
    world.told(get("/tea")).await;
    world.told(get("/tea")).await;
    assert_eq!(world.calls(), 2, "unless it is said, it is not remembered");
}

#[tokio::test(start_paused = true)]
async fn who_changes_what_is_fresh_has_it_asked_for() {
    let world = world();
    world.told(get("/tea")).await;
    world.told(request("PUT", "/tea", &[])).await;
    assert_eq!((&*world.told(get("/tea")).await.body, world.calls()), ("3", 3));
}
