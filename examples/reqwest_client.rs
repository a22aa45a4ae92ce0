//! A `reqwest::Client` behind the layers, as it is and brought to the types of `http`.
//!
//! As it is, it has layers that know nothing of HTTP: a timeout, which keeps to deadlines in scope. Brought to the types of
//! `http` it has the presets too, and a 502 is a failure.

use std::time::Duration;

use axum::Router;
use axum::http::{Request, Response, StatusCode};
use axum::routing::get;
use buttress::deadline::InScope;
use buttress::fallback::{Failed, FallbackLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check, Error};
use http_body_util::BodyExt;
use reqwest::{Client, Method};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/", get(async || "hello"))
        .route("/broken", get(async || StatusCode::BAD_GATEWAY))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await));
    tokio::spawn(async move { axum::serve(listener, app).await });

    let attempt = TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(200)).name("attempt"))?;
    let as_it_is = ServiceBuilder::new()
        .layer(attempt.clone().deadline_of(InScope))
        .map_err(Error::inner)
        .service(Client::new())
        .check::<reqwest::Request>();

    let get = async |url: String| {
        let request = reqwest::Request::new(Method::GET, url.parse()?);
        as_it_is.clone().oneshot(request).await.map_err(BoxError::from)
    };
    println!("/: {}", get(format!("http://{address}/")).await?.text().await?);
    let slow = get(format!("http://{address}/slow")).await.expect_err("it takes a minute");
    println!("/slow: {slow}");
    assert!(matches!(slow.downcast_ref(), Some(Error::<reqwest::Error>::Rejected(_))));
    let nobody = get("http://127.0.0.1:1/".to_owned()).await.expect_err("nobody listens there");
    println!("nobody: {nobody}");
    assert!(matches!(nobody.downcast_ref(), Some(Error::<reqwest::Error>::Inner(error)) if error.is_connect()));

    let reqwest = Client::new();
    let over_http = ServiceBuilder::new()
        .layer(FallbackLayer::default().http_client().with(|_: Failed<_, _>| Ok(Response::new("substitute".into()))))
        .layer(attempt.http_client())
        .map_err(Error::inner)
        .service(service_fn(move |request: Request<String>| {
            let reqwest = reqwest.clone();
            async move { reqwest.execute(request.try_into()?).await.map(Response::<reqwest::Body>::from) }
        }))
        .check::<Request<String>>();

    for (path, expected) in [("/", "hello"), ("/broken", "substitute"), ("/slow", "substitute")] {
        let request = Request::get(format!("http://{address}{path}")).body(String::new())?;
        let body = over_http.clone().oneshot(request).await?.into_body().collect().await?.to_bytes();
        println!("{path}: {}", String::from_utf8_lossy(&body));
        assert_eq!(body, expected);
    }
    Ok(())
}
