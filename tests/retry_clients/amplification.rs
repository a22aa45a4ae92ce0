//! Retries of retries over the wire: a client calls a server, whose handler calls another.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use buttress::http::{Bridge, ServerStackConfig, server_stack};
use http::{Request, StatusCode};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

use super::*;

/// The address of a server that asks `origin`, and answers what that answers.
async fn middle(origin: &FlakyServer, config: ServerStackConfig) -> String {
    let client = stack().layer(Bridge::new().layer(reqwest::Client::new()));
    let url = origin.url();
    let handler = async move || {
        let request = Request::get(url).body(String::new()).expect("valid");
        match client.oneshot(request).await {
            Ok(answer) => answer.status(),
            Err(_) => StatusCode::BAD_GATEWAY,
        }
        .into_response()
    };
    let app = Router::new().route("/", get(handler)).layer(server_stack(config).expect("valid"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}

/// How often the origin is asked, which fails for ever, for one call of the outermost client.
async fn asked(config: ServerStackConfig) -> u32 {
    let origin = FlakyServer::listening([Act::Busy { retry_after: "0" }; 20]);
    let url = middle(&origin, config).await;
    let outer = stack();
    let client = outer.layer(Bridge::new().layer(reqwest::Client::new()));
    let answer = client.oneshot(Request::get(url).body(String::new()).expect("valid")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    origin.requests()
}

#[tokio::test]
async fn three_attempts_of_three_attempts_are_three() {
    assert_eq!(asked(ServerStackConfig::new()).await, 3);
    assert_eq!(asked(ServerStackConfig::new().without_inbound_attempts()).await, 9);
}
