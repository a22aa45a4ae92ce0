//! What a repeated request is told, to the byte: all that is of the answer, and nothing that is of the moment.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use buttress::http::{Effect, KeptResponses};
use bytes::Bytes;
use futures::stream;
use http_body_util::BodyExt;

use super::server::Server;
use super::*;

const LIMIT: usize = 256 << 10;

/// A value that is no text.
fn latin() -> HeaderValue {
    HeaderValue::from_bytes(b"caf\xe9").expect("a value")
}

fn with_headers() -> Response<Body> {
    let mut response = Response::builder().status(StatusCode::CREATED).header("location", "/orders/7");
    for cookie in ["a=1", "b=2", "c=3"] {
        response = response.header("set-cookie", cookie);
    }
    response = response.header("link", "</a>; rel=next").header("x-request-id", "1").header("link", "</b>; rel=prev");
    response = response.header("access-control-allow-origin", "https://a.example").header("ratelimit", "\"all\";r=7");
    response = response.header("date", "Thu, 01 Jan 1970 00:00:00 GMT").header("etag", latin());
    response = response.header("content-type", "text/plain").header("content-length", "8");
    response.body(Body::from("an order")).expect("a response")
}

#[tokio::test]
async fn a_repeated_request_has_the_same_answer_but_for_what_is_of_one_client_or_one_moment() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, with_headers).layer(once(&store));
    let first = send(&app, order()).await;
    let mut expected = with_headers().headers().clone();
    assert_eq!((first.status(), first.headers()), (StatusCode::CREATED, &expected));
    assert_eq!(text(first).await, "an order");
    for name in ["set-cookie", "x-request-id", "access-control-allow-origin", "ratelimit", "date"] {
        expected.remove(name);
    }
    expected.insert("idempotency-replayed", HeaderValue::from_static("true"));
    for key in ["k", "\"k\""] {
        let again = send(&app, post_to("/orders", Some(key), "tea")).await;
        assert_eq!((again.status(), again.headers()), (StatusCode::CREATED, &expected));
        assert!(again.headers().get_all("link").iter().eq(["</a>; rel=next", "</b>; rel=prev"]));
        assert_eq!(again.headers()["etag"], latin());
        assert_eq!(text(again).await, "an order");
    }
    assert_eq!(calls.so_far(), 1);
}

/// The lines of a head, without those of the connection.
fn head(response: &str) -> (&str, Vec<&str>) {
    let (head, _) = response.split_once("\r\n\r\n").expect("a head");
    let (status, lines) = head.split_once("\r\n").expect("headers");
    let mut lines: Vec<_> = lines.split("\r\n").filter(|line| !line.starts_with("connection:")).collect();
    lines.sort_unstable();
    (status, lines)
}

#[tokio::test]
async fn over_a_socket_it_has_a_date_and_a_length_of_its_own() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || {
        let pieces = ["an ", "order"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let mut response = Response::new(Body::from_stream(stream::iter(pieces)));
        let date = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
        response.headers_mut().insert("date", date);
        response
    });
    let server = Server::http1(app.layer(once(&store))).await;
    let request =
        "POST / HTTP/1.1\r\nhost: a\r\nidempotency-key: k\r\ncontent-length: 3\r\nconnection: close\r\n\r\ntea";
    let first = server.exchange(request.as_bytes()).await;
    assert!(first.ends_with("\r\n\r\nan order"), "{first}");
    assert_eq!(head(&first), ("HTTP/1.1 200 OK", vec!["content-length: 8", "date: Thu, 01 Jan 1970 00:00:00 GMT"]));
    let again = server.exchange(request.as_bytes()).await;
    assert!(again.ends_with("\r\n\r\nan order"), "{again}");
    let (status, lines) = head(&again);
    let [length, date, replayed] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((status, length, replayed), ("HTTP/1.1 200 OK", "content-length: 8", "idempotency-replayed: true"));
    assert!(date.starts_with("date: ") && !date.contains("1970"), "{date}");
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test]
async fn what_no_header_can_say_does_not_come_so_far() {
    let (calls, store) = (Calls::default(), store());
    let server = Server::http1(answering(&calls, with_headers).layer(once(&store))).await;
    for key in ["a\0b", "a\x1b[2J", "a\x7f"] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\nidempotency-key: {key}\r\ncontent-length: 0\r\n\r\n");
        let refused = server.exchange(request.as_bytes()).await;
        assert!(refused.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{refused}");
    }
    assert!(store.is_empty() && calls.so_far() == 0);
}

#[tokio::test]
async fn methods_that_may_be_repeated_are_run_as_often_as_they_are_sent() {
    let (calls, store) = (Calls::default(), store());
    let counted = calls.clone();
    let app = Router::new().fallback(routing::any(async move || counted.count().to_string())).layer(once(&store));
    for (number, method) in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE].into_iter().enumerate() {
        for repeated in 1..=2 {
            let mut request = order();
            *request.method_mut() = method.clone();
            let response = send(&app, request).await;
            assert_eq!((response.status(), is_a_replay(&response)), (StatusCode::OK, false));
            assert_eq!(calls.so_far() as usize, 2 * number + repeated);
        }
    }
    assert!(store.is_empty());
}

#[tokio::test]
async fn an_answer_as_long_as_may_be_is_told_again_and_one_byte_more_is_not() {
    let (calls, store) = (Calls::default(), store());
    for (key, length, says_how_long) in
        [("a", LIMIT, true), ("b", LIMIT, false), ("c", LIMIT + 1, true), ("d", LIMIT + 1, false)]
    {
        let bytes = Bytes::from(vec![7; length]);
        let answer = bytes.clone();
        let app = answering(&calls, move || {
            let body = if says_how_long {
                Body::from(answer.clone())
            } else {
                let pieces = [answer.slice(..1000), answer.slice(1000..)].map(Ok::<_, std::io::Error>);
                Body::from_stream(stream::iter(pieces))
            };
            Response::builder().header("location", "/orders/7").body(body).expect("a response")
        });
        let app = app.layer(once(&store));
        let first = send(&app, post_to("/orders", Some(key), "")).await;
        assert_eq!(first.into_body().collect().await.expect("a body").to_bytes(), bytes);
        let again = send(&app, post_to("/orders", Some(key), "")).await;
        if length == LIMIT {
            assert!(is_a_replay(&again));
            assert_eq!(again.into_body().collect().await.expect("a body").to_bytes(), bytes);
        } else {
            assert_not_replayable(again).await;
        }
    }
    assert_eq!(calls.so_far(), 4);
}

#[tokio::test]
async fn how_much_is_kept_and_what_and_how_it_is_marked_may_be_said() {
    const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum");
    const AGAIN: HeaderName = HeaderName::from_static("x-again");
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || {
        let response =
            Response::builder().header("x-checksum", "7").header("x-again", "me").header("location", "/orders/7");
        response.body(Body::from("12345678")).expect("a response")
    });
    let refuse = AsResponse::new().describedby("https://docs.example/idempotency").expect("a reference");
    let keep = KeptResponses::new().header(CHECKSUM).expect("it may be").replayed_header(AGAIN).refuse_with(refuse);
    let layer = |bytes| once(&store).keep(keep.clone().max_body(bytes).into_body(Body::new as IntoBody));
    let app_of_8 = app.clone().layer(layer(8));
    let first = send(&app_of_8, order()).await;
    assert!(!first.headers().contains_key(AGAIN), "only we say so");
    let again = send(&app_of_8, order()).await;
    assert_eq!(
        (&again.headers()[CHECKSUM], &again.headers()[AGAIN]),
        (&"7".parse().expect("a value"), &"true".parse().expect("a value"))
    );
    assert!(!is_a_replay(&again), "by another name");
    assert_eq!(text(again).await, "12345678");
    let app_of_7 = app.layer(layer(7));
    assert_eq!(text(send(&app_of_7, post_to("/orders", Some("7"), "tea")).await).await, "12345678");
    let again = send(&app_of_7, post_to("/orders", Some("7"), "tea")).await;
    assert_eq!(again.headers()["link"], "<https://docs.example/idempotency>; rel=\"describedby\"");
    assert_not_replayable(again).await;
    let invalid = KeptResponses::new().header(HeaderName::from_static("set-cookie")).expect_err("it may not be");
    assert_eq!(invalid.to_string(), "the header `set-cookie` concerns one client, and cannot be kept of a response");
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_failed_for_good() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, || {
        let pieces = [Ok(Bytes::from("0123456789")), Err(std::io::Error::other("broken"))];
        Response::new(Body::from_stream(stream::iter(pieces)))
    });
    let app = app.layer(once(&store));
    let mut first = send(&app, order()).await;
    assert_eq!(first.status(), StatusCode::OK);
    let body = first.body_mut();
    assert_eq!(body.frame().await.expect("a frame").expect("data").into_data().expect("data"), "0123456789");
    assert!(body.frame().await.expect("a frame").is_err(), "what there was, and that it broke off");
    let again = send(&app, order()).await;
    assert_eq!((again.status(), is_a_replay(&again)), (StatusCode::INTERNAL_SERVER_ERROR, true));
    assert!(text(again).await.contains("urn:problem-type:buttress:idempotency-failed"));
    assert_eq!(calls.so_far(), 1);
}

#[tokio::test]
async fn what_a_handler_says_of_its_answer_holds_although_the_answer_breaks_off() {
    for (effect, is_kept) in [(None, false), (Some(Effect::Final), true)] {
        let (calls, store) = (Calls::default(), store());
        let app = answering(&calls, move || {
            let mut response = saying(201, effect);
            *response.body_mut() = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("broken"))]));
            response
        });
        let keep = KeptResponses::new().server_errors_have_no_effect().into_body(Body::new as IntoBody);
        let app = app.layer(once(&store).keep(keep));
        assert_eq!(send(&app, order()).await.status(), StatusCode::CREATED);
        let again = send(&app, order()).await;
        assert_eq!((is_a_replay(&again), calls.so_far()), (is_kept, if is_kept { 1 } else { 2 }));
        assert_eq!(again.status().as_u16(), if is_kept { 500 } else { 201 });
    }
}

fn saying(status: u16, effect: Option<Effect>) -> Response<Body> {
    let mut response = Response::builder().status(status).body(Body::empty()).expect("a response");
    effect.map(|effect| response.extensions_mut().insert(effect));
    response
}

#[tokio::test]
async fn a_status_says_whether_it_is_the_answer_unless_the_handler_does() {
    let store = store();
    let released = [401, 403, 407, 408, 413, 415, 425, 429];
    let kept = [200, 201, 202, 204, 301, 303, 400, 402, 404, 409, 410, 422, 451, 500, 501, 502, 503, 504];
    let by_status = released.map(|status| (status, None)).into_iter().chain(kept.map(|status| (status, Some(true))));
    for (number, (status, is_kept)) in by_status.enumerate() {
        for effect in [None, Some(Effect::Final), Some(Effect::None), Some(Effect::Unknown)] {
            let calls = Calls::default();
            let app = answering(&calls, move || saying(status, effect)).layer(once(&store));
            let key = format!("{number} {effect:?}").replace(' ', "-").replace(['(', ')'], "");
            let (first, again) = (
                send(&app, post_to("/orders", Some(&key), "")).await,
                send(&app, post_to("/orders", Some(&key), "")).await,
            );
            assert_eq!(first.status().as_u16(), status);
            let is_final = match effect {
                None => is_kept.is_some(),
                Some(effect) => effect == Effect::Final,
            };
            if effect == Some(Effect::Unknown) {
                assert_eq!((again.status(), calls.so_far()), (StatusCode::CONFLICT, 1));
                assert!(text(again).await.contains("urn:problem-type:buttress:idempotency-outcome-unknown"));
            } else {
                assert_eq!((again.status().as_u16(), is_a_replay(&again)), (status, is_final), "{effect:?}");
                assert_eq!(calls.so_far(), if is_final { 1 } else { 2 });
            }
        }
    }
}

#[tokio::test]
async fn a_request_is_refused_that_has_no_key_or_is_too_large_and_it_is_not_recorded() {
    let (calls, store) = (Calls::default(), store());
    let app = answering(&calls, with_headers).layer(once(&store));
    let large = || Body::from(vec![0; (1 << 20) + 1]);
    for (request, status, kind) in [
        (post_to("/orders", None, "tea"), StatusCode::BAD_REQUEST, "key-missing"),
        (post_to("/orders", Some("a, b"), "tea"), StatusCode::BAD_REQUEST, "key-malformed"),
        (post_to("/orders", Some(""), "tea"), StatusCode::BAD_REQUEST, "key-malformed"),
        (post_to("/orders", Some("k"), large()), StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
    ] {
        let refused = send(&app, request).await;
        assert_eq!(
            (refused.status(), &refused.headers()["content-type"]),
            (status, &HeaderValue::from_static("application/problem+json"))
        );
        assert!(text(refused).await.contains(&format!("urn:problem-type:buttress:idempotency-{kind}")));
    }
    assert!(store.is_empty() && calls.so_far() == 0);
    let largest = Body::from(vec![0; 1 << 20]);
    assert_eq!(send(&app, post_to("/orders", Some("k"), largest)).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn a_post_is_sent_again_under_one_key_and_has_one_effect() {
    use std::time::Duration;

    use buttress::http::IdempotencyKeyLayer;
    use buttress::retry::{Backoff, RetryConfig, RetryLayer};
    use tower::{ServiceBuilder, service_fn};

    let (calls, store) = (Calls::default(), store());
    let counted = calls.clone();
    let app = Router::new().fallback(routing::post(async move || format!("order {}", counted.count())));
    let (app, sent) = (app.layer(once(&store)), Calls::default());
    let network = service_fn(move |request: Request<String>| {
        let (app, is_lost) = (app.clone(), sent.count() <= 2);
        async move {
            let response = send(&app, request.map(Body::from)).await;
            // The answer is lost on its way, and what was asked for was done.
            if is_lost { Err(buttress::BoxError::from("reset")) } else { Ok(response) }
        }
    });
    let config = RetryConfig::new().backoff(Backoff::exponential(Duration::from_millis(1), Duration::from_millis(2)));
    let retry = RetryLayer::new(config).expect("valid").http_client();
    let client = ServiceBuilder::new()
        .layer(IdempotencyKeyLayer::new())
        .layer(retry.replay(|request: &Request<String>| Some(request.clone())))
        .service(network);
    let order = || Request::post("/orders").body("tea".to_owned()).expect("a request");
    assert_eq!(text(client.clone().oneshot(order()).await.expect("a response")).await, "order 1");
    assert_eq!(text(client.oneshot(order()).await.expect("a response")).await, "order 2", "another call, another key");
}

#[tokio::test]
async fn a_post_whose_key_is_in_another_header_is_sent_again_as_well() {
    use buttress::http::IdempotencyKeyLayer;
    use buttress::retry::{Backoff, RetryConfig, RetryLayer};
    use tower::{ServiceBuilder, service_fn};

    for (name, sent) in [(Some("paypal-request-id"), 3), (None, 1)] {
        let calls = Calls::default();
        let counter = calls.clone();
        let network = service_fn(move |request: Request<String>| {
            counter.count();
            assert_eq!(request.headers().contains_key("paypal-request-id"), name.is_some());
            std::future::ready(Err::<Response<Body>, buttress::BoxError>("reset".into()))
        });
        let backoff = Backoff::constant(std::time::Duration::ZERO);
        let retry = RetryLayer::new(RetryConfig::new().max_attempts(3).backoff(backoff)).expect("valid").http_client();
        let keys = name.map(|name| IdempotencyKeyLayer::new().header(axum::http::HeaderName::from_static(name)));
        let client = ServiceBuilder::new().layer(tower::util::option_layer(keys)).layer(retry).service(network);
        client.oneshot(Request::post("/").body(String::new()).expect("a request")).await.expect_err("reset");
        assert_eq!(calls.so_far(), sent);
    }
}

#[tokio::test]
async fn a_derived_key_is_sent_as_what_it_is_or_not_at_all() {
    use buttress::http::IdempotencyKeyLayer;
    use tower::{Layer, service_fn};

    for (key, bare, quoted) in [
        ("order-7", Some("order-7"), Some("\"order-7\"")),
        ("order 7, \"a\"", Some("\"order 7, \\\"a\\\"\""), Some("\"order 7, \\\"a\\\"\"")),
        ("", None, None),
        ("caf\u{e9}", None, None),
        ("a\nb", None, None),
    ] {
        for (layer, expected) in [(IdempotencyKeyLayer::new(), bare), (IdempotencyKeyLayer::new().quoted(), quoted)] {
            let echo = service_fn(async |request: Request<()>| {
                let key = request.headers().get("idempotency-key").map(|key| key.to_str().expect("text").to_owned());
                Ok::<_, std::convert::Infallible>(key)
            });
            let call = layer.derived(move |_: &Request<()>| Some(key.to_owned())).layer(echo);
            let sent = call.oneshot(Request::post("/").body(()).expect("a request")).await.expect("infallible");
            assert_eq!(sent.as_deref(), expected, "{key:?}");
        }
    }
}
