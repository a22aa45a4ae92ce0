//! hyper-util's client behind the layers: each attempt has its limit, and a failure its substitute.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use buttress::fallback::{Failed, FallbackConfig, FallbackLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check, Degraded, Error};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let address = unsteady_server().await?;
    let client = ServiceBuilder::new()
        .layer(
            FallbackLayer::new(FallbackConfig::new().name("default price"))?
                .http_client()
                .with(|_: Failed<_, _>| Ok(Response::new(Body::from("9.99")))),
        )
        .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(200)).name("attempt"))?.http_client())
        .map_err(Error::inner)
        // The substitute's body is made here, so the origin's is brought to the same type.
        .map_response(|response: Response<_>| response.map(Body::new))
        .service(Client::builder(TokioExecutor::new()).build_http::<Body>())
        .check::<Request<Body>>();

    for (path, price) in [("/price", "4.99"), ("/broken", "9.99"), ("/slow", "9.99")] {
        let request = Request::get(format!("{address}{path}")).body(Body::empty())?;
        let response = client.clone().oneshot(request).await?;
        let why = response.extensions().get().map(|degraded: &Degraded| degraded.failure().to_string());
        let body = response.into_body().collect().await?.to_bytes();
        println!("{path}: {} {}", String::from_utf8_lossy(&body), why.unwrap_or_default());
        assert_eq!(body, price);
    }
    Ok(())
}

async fn unsteady_server() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/price", get(async || "4.99"))
        .route("/broken", get(async || StatusCode::BAD_GATEWAY))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}
