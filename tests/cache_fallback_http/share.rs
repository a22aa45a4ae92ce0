//! What it takes to ask once for all who ask, apart from who does it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use buttress::Deadline;
use buttress::cache_fallback::{Accepts, Asks, Recalled, Remember, Share, Slot};
use buttress::http::{AskedOfCache, CachedResponses, CopiedBody, Everybody, StatusClassifier};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::advance;
use tokio_test::task::spawn;

use super::*;

pub(super) type Responses = CachedResponses<Everybody, fn(CopiedBody<Body>) -> Body>;

fn responses() -> Responses {
    CachedResponses::new().of_server().into_body(Body::new)
}

fn asked(responses: &Responses, request: &Request<Body>) -> (AskedOfCache, Accepts) {
    match Remember::<Request<Body>, Response<Body>>::asks(responses, request) {
        Asks::For { asked, accepts, .. } => (asked, accepts),
        _ => panic!("it asks for something"),
    }
}

/// Learns each answer as one for all who ask, in the place of the one that was looked at last.
#[derive(Clone)]
pub(super) struct ForAll(Responses, Arc<Mutex<Option<StoredResponse>>>);

impl ForAll {
    pub(super) fn of(responses: Responses) -> Self {
        Self(responses, Arc::default())
    }
}

impl Remember<Request<Body>, Response<Body>> for ForAll {
    type Key = CacheKey;
    type Asked = AskedOfCache;
    type Kept = StoredResponse;

    fn asks(&self, request: &Request<Body>) -> Asks<CacheKey, AskedOfCache> {
        Remember::<_, Response<Body>>::asks(&self.0, request)
    }

    fn learn(
        &self,
        mut asked: AskedOfCache,
        response: Response<Body>,
        slot: Slot<CacheKey, StoredResponse>,
    ) -> Response<Body> {
        let known = self.1.lock().expect("no panic").take();
        Share::<_, Response<Body>>::for_all(&self.0, &mut get("/"), &mut asked, known.as_ref());
        Remember::<Request<Body>, _>::learn(&self.0, asked, response, slot)
    }

    fn does_for(&self, asked: &AskedOfCache, kept: &StoredResponse) -> bool {
        *self.1.lock().expect("no panic") = Some(kept.clone());
        Remember::<Request<Body>, Response<Body>>::does_for(&self.0, asked, kept)
    }

    fn recall(&self, asked: &AskedOfCache, kept: &StoredResponse, recalled: Recalled<'_>) -> Response<Body> {
        Remember::<Request<Body>, _>::recall(&self.0, asked, kept, recalled)
    }
}

/// What a request is answered as it comes out of the layer, and the memory of that.
async fn answered(answer: impl IntoResponse) -> (Response<Body>, Memory<CacheKey, StoredResponse>) {
    let layer = cache().remember(ForAll::of(responses().max_body(10))).classify(StatusClassifier);
    let memory = layer.memory();
    let answer = Arc::new(Mutex::new(Some(answer.into_response())));
    let origin = service_fn(move |_: Request<Body>| {
        let answer = answer.lock().expect("no panic").take().expect("asked once");
        async { Ok::<_, Infallible>(answer) }
    });
    let conditional = get_with("/tea", &[("if-none-match", "\"1\"")]);
    (layer.layer(origin).oneshot(conditional).await.expect("infallible"), memory)
}

async fn gather(response: Response<Body>) -> Response<Body> {
    Share::<Request<Body>, _>::gather(&responses(), response).await
}

/// A body that gives what it is sent, and counts how often it is asked.
struct Sent(mpsc::UnboundedReceiver<&'static str>, Arc<AtomicU32>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.poll_recv(cx).map(|data| Some(Ok(Frame::data(data?.into()))))
    }
}

fn sent() -> (mpsc::UnboundedSender<&'static str>, Body, Arc<AtomicU32>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let asked = Arc::new(AtomicU32::new(0));
    (sender, Body::new(Sent(receiver, asked.clone())), asked)
}

#[tokio::test]
async fn what_is_gathered_is_kept_before_anybody_reads_it() {
    let (response, memory) = answered("1.20").await;
    assert!(memory.is_empty(), "nobody has read it");
    let response = gather(response).await;
    assert_eq!(memory.len(), 1);
    assert_eq!(Told::of(response).await.body, "1.20");
    assert_eq!((memory.len(), memory.counts().remembered), (1, 1), "once");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_handed_on_after_a_while_with_all_that_came() {
    let (sender, body, _) = sent();
    let (response, memory) = answered(body).await;
    sender.send("1.").expect("read");
    let mut gathering = spawn(gather(response));
    assert!(gathering.poll().is_pending());
    advance(2 * SEC - SEC / 10).await;
    assert!(gathering.poll().is_pending());
    advance(SEC / 5).await;
    let Poll::Ready(response) = gathering.poll() else { panic!("it takes too long") };
    assert!(memory.is_empty());
    sender.send("20").expect("read");
    drop(sender);
    assert_eq!(Told::of(response).await.body, "1.20");
    assert_eq!(memory.len(), 1, "it is all of it");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_handed_on_as_it_comes() {
    let (sender, body, _) = sent();
    let (response, memory) = answered(body).await;
    sender.send("1234567890").expect("read");
    let mut gathering = spawn(gather(response));
    assert!(gathering.poll().is_pending(), "it is just not too long");
    sender.send("x").expect("read");
    let Poll::Ready(response) = gathering.poll() else { panic!("it is too long") };
    sender.send("y").expect("read");
    drop(sender);
    assert_eq!(Told::of(response).await.body, "1234567890xy");
    assert_eq!((memory.len(), memory.counts().too_large), (0, 1));
}

#[tokio::test]
async fn a_body_that_breaks_off_does_so_where_it_did() {
    let broken = futures::stream::iter([Ok("1."), Err(std::io::Error::other("cut"))]);
    let (response, memory) = answered(Body::from_stream(broken)).await;
    let mut body = gather(response).await.into_body();
    assert_eq!(body.frame().await.expect("a frame").expect("data").into_data().expect("data"), "1.");
    body.frame().await.expect("a frame").expect_err("it breaks off");
    assert!(memory.is_empty());
}

#[tokio::test]
async fn nobody_waits_for_the_body_of_what_is_not_kept() {
    let cases: [(u16, &[(&'static str, &str)]); 7] = [
        (200, &[("cache-control", "private")]),
        (200, &[("cache-control", "no-store")]),
        (200, &[("set-cookie", "a=b")]),
        (200, &[("vary", "*")]),
        (200, &[("content-length", "11")]),
        (404, &[]),
        (302, &[]),
    ];
    for (status, headers) in cases {
        let (_sender, body, polled) = sent();
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let (response, _) = answered(answer.body(body).expect("a response")).await;
        let mut gathering = spawn(gather(response));
        assert!(gathering.poll().is_ready(), "{status} {headers:?}");
        assert_eq!(polled.load(Ordering::Relaxed), 0, "{status} {headers:?}");
    }
    let (_sender, body, polled) = sent();
    let (response, _) = answered(body).await;
    assert!(spawn(gather(response)).poll().is_pending(), "the control");
    assert_ne!(polled.load(Ordering::Relaxed), 0);
}

/// Its sender is told by a condition what it has; nobody else has that.
#[tokio::test]
async fn asked_for_all_a_request_is_without_what_its_sender_has_said_for_themselves() {
    let lines = [
        ("if-none-match", "\"1\""),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("cache-control", "max-age=5, only-if-cached"),
        ("pragma", "anything"),
        ("accept-language", "de"),
        ("x-user", "7"),
    ];
    for method in ["GET", "HEAD"] {
        let mut request = request(method, "/tea?a=b", &lines);
        request.extensions_mut().insert(Deadline::within(SEC));
        request.extensions_mut().insert(7_u32);
        let responses = responses();
        let (mut asked, _) = asked(&responses, &request);
        Share::<_, Response<Body>>::for_all(&responses, &mut request, &mut asked, None);
        assert_eq!((request.method().as_str(), request.uri().to_string()), ("GET", "/tea?a=b".to_owned()));
        let left = request.headers().keys().map(axum::http::HeaderName::as_str).collect::<Vec<_>>();
        assert_eq!(left, ["x-user", "accept-language"]);
        assert_eq!(request.extensions().get::<Deadline>(), None);
        assert_eq!(request.extensions().get::<u32>(), Some(&7));
    }
}

#[tokio::test]
async fn who_asks_of_nothing_but_the_memory_is_told_that_it_has_nothing() {
    let responses = responses();
    let (asked, accepts) = asked(&responses, &get_with("/tea", &[("cache-control", "only-if-cached")]));
    assert!(accepts.only_remembered);
    let response = Share::<Request<Body>, _>::nothing_remembered(&responses, &asked).expect("an answer");
    let told = Told::of(response).await;
    assert_eq!((told.status, &*told.body), (504, ""));
}
