//! A `reqwest::Client` behind a timeout, which tells a slow server from one that is not there.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check, Error};
use reqwest::{Client, Method, Request};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let client = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(200)).name("attempt"))?)
        .map_err(Error::inner)
        .service(Client::new())
        .check::<Request>();

    let get = async |url: String| {
        client.clone().oneshot(Request::new(Method::GET, url.parse()?)).await.map_err(BoxError::from)
    };
    println!("/: {}", get(format!("http://{address}/")).await?.text().await?);

    let slow = get(format!("http://{address}/slow")).await.expect_err("it takes a minute");
    println!("/slow: {slow}");
    assert!(matches!(slow.downcast_ref(), Some(Error::<reqwest::Error>::Rejected(_))));

    let nobody = get("http://127.0.0.1:1/".to_owned()).await.expect_err("nobody listens there");
    println!("nobody: {nobody}");
    assert!(matches!(nobody.downcast_ref(), Some(Error::<reqwest::Error>::Inner(error)) if error.is_connect()));
    Ok(())
}
