//! An axum server that answers in time, whatever its handlers do, and refuses what is too much.
//!
//! The layers refuse with responses, so there is no error to handle. A `ServiceBuilder` is read from the top, outermost
//! first: the fallback answers for everything inside, the timeout included.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use buttress::BoxError;
use buttress::fallback::{Failed, FallbackLayer};
use buttress::http::{ServerStackConfig, server_stack};
use buttress::rate_limit::{Quota, RateLimitConfig};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

async fn report() -> &'static str {
    tokio::time::sleep(Duration::from_secs(60)).await;
    "the whole report"
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let stack = ServerStackConfig::new()
        .rate_limit(RateLimitConfig::new(Quota::per_hour(4)))
        .door(TimeoutConfig::new(Duration::from_millis(400)));
    let summarised = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_server().with(|_: Failed<_, _>| Ok("a summary".into_response())))
        .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(200)).name("report"))?.http_server());
    let app = Router::new()
        .route("/report", get(report).layer(summarised))
        .route("/slow", get(report))
        .route("/", get(async || "hello"))
        .layer(server_stack(stack)?);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    let calls = [
        ("/", StatusCode::OK),
        ("/slow", StatusCode::GATEWAY_TIMEOUT),
        ("/report", StatusCode::OK),
        ("/", StatusCode::OK),
        ("/", StatusCode::TOO_MANY_REQUESTS),
    ];
    for (path, expected) in calls {
        let response = reqwest::get(format!("http://{address}{path}")).await?;
        let status = response.status();
        println!("{path}: {status}, {}", response.text().await?);
        assert_eq!(status, expected);
    }
    Ok(())
}
