//! A `reqwest::Client` behind the layers, brought to the types of `http` and as it is.
//!
//! Brought to the types of `http` it has the whole client stack. As it is, the layers are told by closures what its requests
//! and responses mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use buttress::deadline::InScope;
use buttress::fallback::{Failed, FallbackLayer};
use buttress::http::{
    Bridge, ClientStackConfig, IdempotentRequests, ServiceBuilderExt, StatusClassifier, client_stack,
};
use buttress::outcome::{ErrorsAreFailures, Outcome};
use buttress::retry::{Backoff, RetryConfig, RetryLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check, Classify, Error};
use http_body_util::BodyExt;
use reqwest::{Client, Method};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let asked = Arc::new(AtomicU32::new(0));
    let address = unsteady_server(asked.clone()).await?;
    brought_to_http(&address, &asked).await?;
    as_it_is(&address, &asked).await
}

fn attempt() -> TimeoutConfig {
    TimeoutConfig::new(Duration::from_millis(200)).name("attempt")
}

fn retry() -> RetryConfig {
    RetryConfig::new().backoff(Backoff::constant(Duration::from_millis(10)))
}

async fn brought_to_http(address: &str, asked: &AtomicU32) -> Result<(), BoxError> {
    let substitute =
        FallbackLayer::default().http_client().with(|_: Failed<_, _>| Ok(Response::new("substitute".into())));
    let stack = client_stack(ClientStackConfig::new().retry(retry()).attempt(attempt()))?;
    let client = ServiceBuilder::new()
        .client_stack(stack.fallback(substitute))
        .layer(Bridge::new())
        .service(Client::new())
        .check::<Request<String>>();

    for (path, expected, times) in [("/", "hello", 1), ("/flaky", "hello", 2), ("/slow", "substitute", 3)] {
        let request = Request::get(format!("{address}{path}")).body(String::new())?;
        let body = client.clone().oneshot(request).await?.into_body().collect().await?.to_bytes();
        let asked = asked.swap(0, Ordering::Relaxed);
        println!("{path}: {}, asked {asked} times", String::from_utf8_lossy(&body));
        assert_eq!((body, asked), (expected.into(), times));
    }
    Ok(())
}

/// What a result means where the response is not one of `http`.
fn meaning(result: Result<&reqwest::Response, &Error<reqwest::Error>>) -> Outcome {
    match result {
        Ok(response) => StatusClassifier.of_head(response.status(), response.headers()),
        Err(_) => ErrorsAreFailures.classify(result),
    }
}

async fn as_it_is(address: &str, asked: &AtomicU32) -> Result<(), BoxError> {
    let retry = RetryLayer::new(retry())?
        .replay(reqwest::Request::try_clone)
        .may_repeat(|request: &reqwest::Request| IdempotentRequests.contain(request.method(), request.headers()))
        .classify(meaning);
    let client = ServiceBuilder::new()
        .layer(retry)
        .layer(TimeoutLayer::new(attempt())?.deadline_of(InScope))
        .map_err(Error::inner)
        .service(Client::new())
        .check::<reqwest::Request>();
    let send = async |method: Method, url: &str| {
        let request = reqwest::Request::new(method, url.parse()?);
        let answer = client.clone().oneshot(request).await.map_err(BoxError::from);
        Ok::<_, BoxError>((answer, asked.swap(0, Ordering::Relaxed)))
    };

    let flaky = format!("{address}/flaky");
    let (answer, times) = send(Method::GET, &flaky).await?;
    let text = answer?.text().await?;
    println!("GET as it is: {text}, asked {times} times");
    assert_eq!((text.as_str(), times), ("hello", 2));

    let (answer, times) = send(Method::POST, &flaky).await?;
    let status = answer?.status();
    println!("POST as it is: {status}, asked {times} times");
    assert_eq!((status, times), (StatusCode::BAD_GATEWAY, 1));

    let (slow, times) = send(Method::GET, &format!("{address}/slow")).await?;
    let slow = slow.expect_err("it takes a minute");
    println!("slow: {slow}, asked {times} times");
    assert!(times == 3 && matches!(slow.downcast_ref(), Some(Error::<reqwest::Error>::Rejected(_))));

    let (nobody, _) = send(Method::GET, "http://127.0.0.1:1/").await?;
    let nobody = nobody.expect_err("nobody listens there");
    println!("nobody: {nobody}");
    assert!(matches!(nobody.downcast_ref(), Some(Error::<reqwest::Error>::Inner(error)) if error.is_connect()));
    Ok(())
}

async fn unsteady_server(asked: Arc<AtomicU32>) -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let count = move || asked.fetch_add(1, Ordering::Relaxed);
    let (root, flaky, slow) = (count.clone(), count.clone(), count);
    // Every other answer is good.
    let flaky = async move || if flaky() == 1 { Ok("hello") } else { Err(StatusCode::BAD_GATEWAY) };
    let slow = async move || {
        slow();
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    let root = async move || {
        root();
        "hello"
    };
    let app =
        Router::new().route("/", get(root)).route("/flaky", get(flaky.clone()).post(flaky)).route("/slow", get(slow));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}
