//! How much memory a body takes at a time, whatever pieces it comes in.

use std::cell::Cell;
use std::rc::Rc;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt;

use super::*;

const RESPONSE_LIMIT: usize = 256 << 10;
const REQUEST_LIMIT: usize = 1 << 20;

/// What tasks, records and tables take, which does not grow with a body.
const BESIDE: usize = 32 << 10;

/// The most bytes of this thread at a time while `run` ran, and what it came to. All runs on this thread.
fn peak<T>(run: impl AsyncFnOnce() -> T) -> (usize, T) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut value = None;
    let info = allocation_counter::measure(|| value = Some(runtime.block_on(run())));
    (usize::try_from(info.bytes_max).expect("small"), value.expect("it ran"))
}

/// A body of so many pieces of so many bytes, each made when it is asked for.
fn pieces(count: usize, bytes: usize) -> Body {
    Body::from_stream(stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(Bytes::from(vec![7; bytes])))))
}

/// Reads a body a piece at a time.
async fn drained(body: Body) -> usize {
    let (mut body, mut length) = (body, 0);
    while let Some(frame) = body.frame().await {
        length += frame.expect("a frame").into_data().expect("data").len();
    }
    length
}

/// Sends it twice, and says how long the answer to the first was and what the second was answered with.
fn peak_of_answers(answer: impl Fn() -> Body + Clone + Send + Sync + 'static) -> (usize, usize, StatusCode) {
    let (bytes, (length, again)) = peak(async || {
        let (calls, store) = (Calls::default(), store());
        let app = answering(&calls, move || Response::new(answer())).layer(once(&store));
        let length = drained(send(&app, order()).await.into_body()).await;
        let again = send(&app, order()).await.status();
        assert_eq!(calls.so_far(), 1);
        (length, again)
    });
    (bytes, length, again)
}

#[test]
fn an_answer_of_a_hundred_megabytes_goes_through_within_twice_the_limit() {
    let (bytes, length, again) = peak_of_answers(|| pieces(6400, 16 << 10));
    assert_eq!((length, again), (100 << 20, StatusCode::CONFLICT));
    assert!(bytes < 2 * RESPONSE_LIMIT, "{bytes} bytes at a time");
}

#[test]
fn an_answer_without_end_goes_through_within_twice_the_limit() {
    let (bytes, ()) = peak(async || {
        let (calls, store) = (Calls::default(), store());
        let app = answering(&calls, || Response::new(pieces(usize::MAX, 16 << 10))).layer(once(&store));
        let mut body = send(&app, order()).await.into_body();
        for _ in 0..10_000 {
            body.frame().await.expect("without end").expect("a frame");
        }
        assert_eq!(send(&app, order()).await.status(), StatusCode::CONFLICT);
        assert_eq!(calls.so_far(), 1);
    });
    assert!(bytes < 2 * RESPONSE_LIMIT, "{bytes} bytes at a time");
}

/// A body of as many bytes as are kept takes them twice while they are written down, in whatever pieces it came.
#[test]
fn an_answer_in_pieces_of_any_size_takes_no_more_than_what_it_says() {
    for piece in [1, 100, 4000, 4096, 16 << 10] {
        let count = RESPONSE_LIMIT / piece;
        let (bytes, length, again) = peak_of_answers(move || pieces(count, piece));
        assert_eq!((length, again), (count * piece, StatusCode::OK));
        assert!(bytes < 2 * RESPONSE_LIMIT + BESIDE, "{bytes} bytes at a time in pieces of {piece}");
    }
}

#[test]
fn a_request_in_tiny_pieces_takes_no_more_than_what_it_says() {
    let (bytes, status) = peak(async || {
        let (calls, store) = (Calls::default(), store());
        let app = answering(&calls, || Response::new(Body::empty())).layer(once(&store));
        send(&app, post_to("/orders", Some("k"), pieces(REQUEST_LIMIT, 1))).await.status()
    });
    assert_eq!(status, StatusCode::OK);
    assert!(bytes < 2 * REQUEST_LIMIT + BESIDE, "{bytes} bytes at a time");
}

/// The control: what is collected is seen.
#[test]
fn a_body_that_is_collected_is_seen_as_a_whole() {
    let held = Rc::new(Cell::new(0));
    let (bytes, ()) = peak(async || {
        let app = answering(&Calls::default(), || Response::new(pieces(640, 16 << 10)));
        held.set(send(&app, order()).await.into_body().collect().await.expect("a body").to_bytes().len());
    });
    assert_eq!(held.get(), 10 << 20);
    assert!(bytes >= 10 << 20, "{bytes} bytes at a time");
}
