//! reqwest's client, brought to the types of `http` and as it is.

use std::sync::atomic::{AtomicU32, Ordering};

use buttress::http::{Bridge, IdempotentRequests, ReplayBodies, StatusClassifier};
use buttress::outcome::{Failure, FailureKind, Outcome};
use buttress::retry::RetryLayer;
use buttress::{Attempt, Check, Classify, Error};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use tower::{Layer, ServiceBuilder, ServiceExt};

use super::goaway::GoingAway;
use super::*;

type Answer = Result<http::Response<reqwest::Body>, Error<reqwest::Error>>;

async fn send(method: Method, url: &str) -> Answer {
    let client = ServiceBuilder::new()
        .layer(stack())
        .layer(Bridge::new())
        .service(reqwest::Client::new())
        .check::<Request<String>>();
    let request = Request::builder().method(method).uri(url).body("a body".to_owned());
    client.oneshot(request.expect("valid")).await
}

async fn text(answer: Answer) -> Bytes {
    answer.expect("an answer").into_body().collect().await.expect("a body").to_bytes()
}

#[tokio::test]
async fn what_was_dropped_without_an_answer_is_sent_again_where_that_is_safe() {
    let server = FlakyServer::listening([Act::Drop, Act::Drop]);
    assert_eq!(text(send(Method::PUT, &server.url()).await).await, "fine");
    assert_eq!(server.requests(), 3);
    let server = FlakyServer::listening([Act::Drop, Act::Drop]);
    send(Method::POST, &server.url()).await.expect_err("it may have been acted upon");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_body_that_streams_is_sent_again_by_replay() {
    let server = FlakyServer::listening([AT_ONCE, Act::Drop]);
    let client = ServiceBuilder::new()
        .layer(stack().replay(ReplayBodies::new().into_body(reqwest::Body::wrap)))
        .layer(Bridge::new())
        .service(reqwest::Client::new())
        .check::<Request<Full<Bytes>>>();
    let put = Request::put(server.url()).body(Full::<Bytes>::from("a body")).expect("valid");
    assert_eq!(text(client.oneshot(put).await).await, "fine");
    assert_eq!(server.requests(), 3);
}

#[tokio::test]
async fn the_head_decides_and_a_body_that_breaks_off_is_not_sent_for_again() {
    let server = FlakyServer::listening([AT_ONCE, Act::ResetInBody]);
    let answer = send(Method::GET, &server.url()).await.expect("a head");
    assert_eq!((answer.status(), server.requests()), (StatusCode::OK, 2));
    server.reset();
    answer.into_body().collect().await.expect_err("it was reset");
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_busy_server_says_when_to_come_again() {
    let server = FlakyServer::listening([AT_ONCE, AT_ONCE]);
    assert_eq!(text(send(Method::GET, &server.url()).await).await, "fine");
    assert_eq!(server.requests(), 3);
    let server = FlakyServer::listening([IN_AN_HOUR]);
    assert_eq!(send(Method::GET, &server.url()).await.expect("an answer").status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn what_was_never_sent_is_sent_whatever_it_is() {
    let send = async |server: &FlakyServer, knows: bool| {
        let never_sent =
            move |error: &Error<reqwest::Error>| matches!(error, Error::Inner(error) if knows && error.is_connect());
        let listen = server.clone();
        let listen = move |_: &mut Request<String>, attempt: Attempt| {
            if attempt == Attempt::FIRST.next() {
                listen.listen();
            }
        };
        let stack = stack().retry_with(|retry| retry.never_sent(never_sent).on_attempt(listen));
        let client = stack.layer(Bridge::new().layer(reqwest::Client::new()));
        client.oneshot(Request::post(server.url()).body("a body".to_owned()).expect("valid")).await
    };
    let server = FlakyServer::refusing([]);
    assert_eq!(text(send(&server, true).await).await, "fine");
    assert_eq!(server.requests(), 1);
    let server = FlakyServer::refusing([]);
    send(&server, false).await.expect_err("refused");
    assert_eq!(server.requests(), 0);
}

/// A client that sends nothing again by itself.
fn http2() -> reqwest::Client {
    let builder = reqwest::Client::builder().http2_prior_knowledge();
    builder.retry(reqwest::retry::never()).build().expect("a client")
}

#[tokio::test]
async fn what_a_server_that_goes_away_left_is_sent_again_over_another_connection() {
    let send = async |method: Method, url: String, client: reqwest::Client| {
        let request = Request::builder().method(method).uri(url).body("a body".to_owned()).expect("valid");
        stack().layer(Bridge::new().layer(client)).oneshot(request).await
    };
    for last_stream in [0, 1] {
        let server = GoingAway::having_seen(last_stream).await;
        assert_eq!(text(send(Method::GET, server.url(), http2()).await).await, "fine");
        assert_eq!(server.requests(), 2);

        let server = GoingAway::having_seen(last_stream).await;
        send(Method::POST, server.url(), http2()).await.expect_err("it may have been acted upon");
        assert_eq!(server.requests(), 1);
    }
    // Left to itself, reqwest does so with what the server says that it never saw, whatever it is.
    let itself = reqwest::Client::builder().http2_prior_knowledge().build().expect("a client");
    let server = GoingAway::having_seen(0).await;
    assert_eq!(text(send(Method::POST, server.url(), itself).await).await, "fine");
    assert_eq!(server.requests(), 2);
}

/// What a result means where the response is not one of `http`.
fn by_head(result: Result<&reqwest::Response, &Error<reqwest::Error>>) -> Outcome {
    match result {
        Ok(response) => StatusClassifier.of_head(response.status(), response.headers()),
        Err(_) => Failure::new(FailureKind::Error).into(),
    }
}

#[tokio::test]
async fn its_own_requests_are_copied_as_it_copies_them() {
    let retry = RetryLayer::new(retry())
        .expect("valid")
        .replay(reqwest::Request::try_clone)
        .may_repeat(|request: &reqwest::Request| IdempotentRequests.contain(request.method(), request.headers()))
        .classify(by_head);
    let client = ServiceBuilder::new()
        .layer(retry)
        .map_err(Error::inner)
        .service(reqwest::Client::new())
        .check::<reqwest::Request>();
    let send = async |method: Method, server: &FlakyServer| {
        let request = reqwest::Request::new(method, server.url().parse().expect("valid"));
        client.clone().oneshot(request).await
    };

    for script in [[Act::Drop, AT_ONCE], [AT_ONCE, Act::Drop]] {
        let server = FlakyServer::listening(script);
        let answer = send(Method::GET, &server).await.expect("an answer");
        assert_eq!((answer.text().await.expect("a body"), server.requests()), ("fine".to_owned(), 3));
        let server = FlakyServer::listening(script);
        let answer = send(Method::POST, &server).await;
        assert!(!answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
        assert_eq!(server.requests(), 1);
    }
}

#[tokio::test]
async fn a_bridge_refuses_what_the_client_cannot_take_without_calling_it() {
    let (server, calls) = (FlakyServer::listening([]), AtomicU32::new(0));
    let client = reqwest::Client::new();
    let counted = tower::service_fn(|request: reqwest::Request| {
        calls.fetch_add(1, Ordering::SeqCst);
        client.execute(request)
    });
    let send = async |url: &str| {
        let request = Request::get(url).body(String::new()).expect("valid");
        Bridge::new().layer(counted).oneshot(request).await
    };
    let error = send("/nowhere").await.expect_err("no whole URL");
    assert!(error.is_builder());
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    assert_eq!(text(send(&server.url()).await.map_err(Error::Inner)).await, "fine");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_the_caller_did_wrong_is_nobody_elses_matter_if_it_is_classified_so() {
    async fn after_ten<C>(stack: C) -> bool
    where
        C: Layer<buttress::http::Bridged<reqwest::Client, reqwest::Request, reqwest::Body>>,
        C::Service: tower::Service<Request<String>, Response = http::Response<reqwest::Body>> + Clone,
    {
        let client = stack.layer(Bridge::new().layer(reqwest::Client::new()));
        for _ in 0..10 {
            let relative = Request::get("/nowhere").body(String::new()).expect("valid");
            assert!(client.clone().oneshot(relative).await.is_err());
        }
        let server = FlakyServer::listening([]);
        client.oneshot(Request::get(server.url()).body(String::new()).expect("valid")).await.is_ok()
    }
    let classified =
        stack().classify(|answer: Result<&http::Response<reqwest::Body>, &Error<reqwest::Error>>| match answer {
            Err(Error::Inner(error)) if error.is_builder() => Outcome::Success,
            answer => StatusClassifier.classify(answer),
        });
    assert!(after_ten(classified).await);
    assert!(!after_ten(stack()).await, "the control: the breaker is open for all");
}
