//! Bodies that have no end, or take long to come to it; what goes out, and what is told again.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use buttress::clock::Moment;
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::*;

const SEC: Duration = Duration::from_secs(1);

/// `letters`, one a second.
fn trickling(letters: &'static str) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send {
    stream::iter(letters.as_bytes().chunks(1)).then(async |letter| {
        tokio::time::sleep(SEC).await;
        Ok(Bytes::from_static(letter))
    })
}

fn created(kind: &'static str, body: Body) -> Response<Body> {
    let response = Response::builder().status(StatusCode::CREATED).header("location", "/orders/7");
    response.header("content-type", kind).body(body).expect("a response")
}

/// What `response` says, if there is one before a minute has passed.
async fn soon(response: impl Future<Output = Response<Body>>) -> Response<Body> {
    tokio::time::timeout(60 * SEC, response).await.expect("an answer that does not wait for its body")
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_is_handed_on_at_once_and_not_run_again() {
    let (calls, store) = (Calls::default(), store());
    for (key, kind) in [("a", "text/event-stream"), ("b", "Text/Event-Stream; charset=utf-8")] {
        let app =
            answering(&calls, move || created(kind, Body::from_stream(stream::pending::<std::io::Result<Bytes>>())));
        let (app, before) = (app.layer(once(&store)), Moment::now());
        let first = soon(send(&app, post_to("/events", Some(key), ""))).await;
        assert_eq!((first.status(), Moment::now()), (StatusCode::CREATED, before));
        assert_not_replayable(send(&app, post_to("/events", Some(key), "")).await).await;
    }
    assert_eq!(calls.so_far(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_switches_protocols_is_handed_on_at_once_and_not_run_again() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || {
        let body = Body::from_stream(stream::pending::<std::io::Result<Bytes>>());
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header("location", "/orders/7");
        response.body(body).expect("a response")
    });
    let (app, before) = (app.layer(once(&store)), Moment::now());
    let first = soon(send(&app, order())).await;
    assert_eq!((first.status(), Moment::now()), (StatusCode::SWITCHING_PROTOCOLS, before));
    assert_not_replayable(send(&app, order()).await).await;
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_goes_out_when_its_time_is_over_and_nothing_of_it_is_lost() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || created("text/plain", Body::from_stream(trickling("abcdefghijklmnopqrstuvwxyz"))));
    let (app, before) = (app.layer(once(&store)), Moment::now());
    let first = soon(send(&app, order())).await;
    assert_eq!(Moment::now().since(before), 10 * SEC);
    assert_eq!(text(first).await, "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(Moment::now().since(before), 26 * SEC);
    assert_not_replayable(send(&app, order()).await).await;
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_stops_to_say_nothing_goes_out_when_its_time_is_over() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || {
        // Never waits for anything.
        let nothing = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::new()));
        created("text/plain", Body::from_stream(nothing))
    });
    let app = app.layer(once(&store));
    // Time goes on although somebody is busy.
    let time = tokio::spawn(async {
        loop {
            tokio::time::advance(SEC).await;
        }
    });
    assert_eq!(soon(send(&app, order())).await.status(), StatusCode::CREATED);
    time.abort();
    assert_not_replayable(send(&app, order()).await).await;
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_trickles_is_refused_when_its_time_is_over_and_not_recorded() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || created("text/plain", Body::empty())).layer(once(&store));
    let before = Moment::now();
    let body =
        Body::from_stream(stream::repeat("abcdefghijklmnopqrstuvwxyz").flat_map(|text| Box::pin(trickling(text))));
    let refused = soon(send(&app, post_to("/orders", Some("k"), body))).await;
    assert_eq!((refused.status(), Moment::now().since(before)), (StatusCode::REQUEST_TIMEOUT, 30 * SEC));
    assert!(text(refused).await.contains("urn:problem-type:buttress:idempotency-too-slow"));
    assert!(store.is_empty());
    // One that is slow, and in time.
    let body = Body::from_stream(trickling("abcdefghijklmnopqrstuvwxyz"));
    assert_eq!(send(&app, post_to("/orders", Some("k"), body)).await.status(), StatusCode::CREATED);
    let whole = post_to("/orders", Some("k"), "abcdefghijklmnopqrstuvwxyz");
    assert!(is_a_replay(&send(&app, whole).await), "however it came, it is the same request");
    assert_eq!(calls.so_far(), 1);
}

fn with_trailers(data: &'static [&'static str], trailers: &HeaderMap) -> Body {
    let data = data.iter().map(|data| Frame::data(Bytes::from_static(data.as_bytes())));
    let frames: Vec<_> = data.chain([Frame::trailers(trailers.clone())]).map(Ok::<_, std::io::Error>).collect();
    Body::new(StreamBody::new(stream::iter(frames)))
}

fn lines(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let line = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let mut map = HeaderMap::new();
    lines.iter().map(|(name, value)| line((*name, *value))).for_each(|(name, value)| _ = map.append(name, value));
    map
}

#[tokio::test]
async fn trailers_reach_the_first_client_and_those_of_the_answer_the_others() {
    let (calls, store) = (Calls::default(), store());
    let all = lines(&[
        ("etag", "\"7\""),
        ("set-cookie", "a=b"),
        ("server-timing", "db;dur=53"),
        ("link", "</a>"),
        ("link", "</b>"),
    ]);
    let trailers = all.clone();
    let app =
        answering(&calls, move || created("text/plain", with_trailers(&["so", "me"], &trailers))).layer(once(&store));
    let first = send(&app, order()).await.into_body().collect().await.expect("a body");
    assert_eq!(first.trailers(), Some(&all));
    assert_eq!(first.to_bytes(), "some");
    let again = send(&app, order()).await.into_body().collect().await.expect("a body");
    assert_eq!(again.trailers(), Some(&lines(&[("etag", "\"7\""), ("link", "</a>"), ("link", "</b>")])));
    assert_eq!(again.to_bytes(), "some");
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test]
async fn trailers_count_as_much_as_the_body_does() {
    let (calls, store) = (Calls::default(), store());
    let mut all = HeaderMap::new();
    all.insert("etag", HeaderValue::from_bytes(&vec![b'7'; 256 << 10]).expect("a value"));
    let trailers = all.clone();
    let app = answering(&calls, move || created("text/plain", with_trailers(&["some"], &trailers))).layer(once(&store));
    let first = send(&app, order()).await.into_body().collect().await.expect("a body");
    assert_eq!(first.trailers(), Some(&all), "nothing is lost for being too long");
    assert_eq!(first.to_bytes(), "some");
    assert_not_replayable(send(&app, order()).await).await;
    assert_eq!(calls.so_far(), 1);
}
