//! Retries of retries do not multiply.

use buttress::http::{InboundAttempts, ServerStackConfig, server_stack};
use buttress::{Attempt, Error};
use tower::util::MapRequest;
use tower::{Layer, ServiceExt};

use super::*;

/// A server whose handler asks a backend by way of a client stack, and answers what that answers; how often the backend is
/// asked.
fn middle(
    asked: &Calls,
    answer: impl Fn(&Request<()>) -> Response<Bytes> + Clone + Send + Sync + 'static,
) -> impl Service<Request<()>, Response = Response<Bytes>, Error = Infallible, Future: Send> + Clone {
    let client = stack(config()).layer(backend(asked, answer));
    let handler = service_fn(move |_: Request<()>| {
        let client = client.clone();
        async move {
            Ok::<_, Infallible>(match client.oneshot(get()).await {
                Ok(answer) => answer,
                Err(Error::Rejected(_)) => response(503),
                Err(Error::Inner(never)) => match never {},
            })
        }
    });
    server_stack(ServerStackConfig::new().without_door()).expect("valid").layer(handler)
}

fn forbids(response: &Response<Bytes>) -> bool {
    response.headers().get("x-should-retry").is_some_and(|value| value == "false")
}

fn attempt(number: u32) -> Request<()> {
    Request::builder().header("x-envoy-attempt-count", number).body(()).expect("valid")
}

/// `server`, and how often it is called.
fn count<S: Service<Request<()>>>(
    server: S,
    served: &Calls,
) -> MapRequest<S, impl Fn(Request<()>) -> Request<()> + Clone> {
    let served = served.clone();
    let counted = move |request| {
        served.count();
        request
    };
    server.map_request(counted)
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_for_a_retry_is_sent_once() {
    let asked = Calls::default();
    let server = middle(&asked, |_| response(500));
    for (request, times) in [(get(), 3), (attempt(1), 3), (attempt(2), 1), (attempt(7), 1)] {
        let answer = server.clone().oneshot(request).await.expect("infallible");
        assert_eq!((answer.status(), asked.take()), (StatusCode::INTERNAL_SERVER_ERROR, times));
        assert_eq!(forbids(&answer), times > 1, "who sent once leaves the others to who sent the retry");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_told_that_retries_gave_up_sends_nothing_again() {
    let (asked, served) = (Calls::default(), Calls::default());
    let outer = stack(config());
    let chain = outer.layer(count(middle(&asked, |_| response(500)), &served));
    let answer = chain.oneshot(get()).await.expect("an answer");
    assert!(forbids(&answer));
    assert_eq!((served.take(), asked.take()), (1, 3), "and not 3 and 9");

    // What the wire carries is the header, and here nobody reads it. A task of its own is in nobody's scope.
    let inner = stack(config()).layer(backend(&asked, |_| response(500)));
    let unguarded = service_fn(move |_: Request<()>| {
        let task = tokio::spawn(inner.clone().oneshot(get()));
        async move { task.await.expect("no panic") }
    });
    let unguarded = count(unguarded, &served);
    let outer = stack(config()).without_wrapping();
    let answer = outer.layer(unguarded).oneshot(get()).await.expect("an answer");
    assert!(!forbids(&answer));
    assert_eq!((served.take(), asked.take()), (3, 9));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_retried_is_left_to_be_retried() {
    let asked = Calls::default();
    // 501 is no failure, 507 is one that is not retried, and neither says anything about retries.
    for (status, times) in [(200, 1), (501, 1), (507, 1)] {
        let answer = middle(&asked, move |_| response(status)).oneshot(get()).await.expect("infallible");
        assert_eq!((forbids(&answer), asked.take()), (false, times), "{status}");
    }
    for status in [500, 502, 503, 504, 408, 429] {
        let answer = middle(&asked, move |_| response(status)).oneshot(get()).await.expect("infallible");
        assert_eq!((forbids(&answer), asked.take()), (true, 3), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_of_a_failure_is_left_as_it_is() {
    let asked = Calls::default();
    let client = stack(config()).layer(backend(&asked, |_| response(500)));
    let handler = |answer: fn() -> Response<Bytes>| {
        let client = client.clone();
        let handler = service_fn(move |_: Request<()>| {
            let client = client.clone();
            async move {
                let given_up = client.oneshot(get()).await.expect("an answer");
                assert_eq!(given_up.status(), 500);
                Ok::<_, Infallible>(answer())
            }
        });
        InboundAttempts::new().layer(handler).oneshot(get())
    };
    let covered = handler(|| response(200)).await.expect("infallible");
    assert!(!forbids(&covered));
    let own_word = handler(|| {
        let mut answer = response(500);
        answer.headers_mut().insert("x-should-retry", "true".parse().expect("valid"));
        answer
    });
    let own_word = own_word.await.expect("infallible");
    assert_eq!(own_word.headers()["x-should-retry"], "true");
    assert!(forbids(&handler(|| response(500)).await.expect("infallible")));
    assert_eq!(asked.take(), 9);
}

#[tokio::test]
async fn the_handler_is_told_of_a_retry_and_of_nothing_else() {
    let server = InboundAttempts::new().layer(service_fn(async |request: Request<()>| {
        let told = request.extensions().get::<Attempt>().copied();
        Ok::<_, Infallible>(Response::new((told, Attempt::current())))
    }));
    let seen = async |request| server.clone().oneshot(request).await.expect("infallible").into_body();
    assert_eq!(seen(get()).await, (None, Some(Attempt::FIRST)));
    let second = Attempt::FIRST.next();
    assert_eq!(seen(attempt(2)).await, (Some(second), Some(second)));
    assert_eq!(Attempt::current(), None);
}

/// A service that does its work in `call` is in the scope there too.
#[tokio::test]
async fn a_call_is_made_on_behalf_of_the_request() {
    let server =
        service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(Attempt::current()))));
    let mut server = InboundAttempts::new().layer(server);
    assert!(format!("{server:?}").starts_with("InboundAttemptsService"));
    let seen = server.call(attempt(2)).await.expect("infallible").into_body();
    assert_eq!(seen, Some(Attempt::FIRST.next()));
}
