//! hyper-util's client behind a client stack: what fails is sent again where that is safe, each attempt has its limit, and a
//! failure that lasts its substitute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::{get, post};
use buttress::fallback::{Failed, FallbackConfig, FallbackLayer};
use buttress::http::{ClientStackConfig, ServiceBuilderExt, client_stack};
use buttress::retry::{Backoff, RetryConfig};
use buttress::timeout::TimeoutConfig;
use buttress::{BoxError, Check, Degraded};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let asked = Arc::new(AtomicU32::new(0));
    let address = unsteady_server(asked.clone()).await?;
    let config = ClientStackConfig::new()
        .total(TimeoutConfig::new(Duration::from_secs(2)))
        .retry(RetryConfig::new().backoff(Backoff::constant(Duration::from_millis(10))))
        .attempt(TimeoutConfig::new(Duration::from_millis(200)));
    let substitute = FallbackLayer::new(FallbackConfig::new().name("default price"))?
        .http_client()
        .with(|_: Failed<_, _>| Ok(Response::new(Body::from("9.99"))));
    let client = ServiceBuilder::new()
        .client_stack(client_stack(config)?.fallback(substitute))
        // The substitute's body is made here, so the origin's is brought to the same type.
        .map_response(|response: Response<_>| response.map(Body::new))
        .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>())
        .check::<Request<Full<Bytes>>>();

    let requests = [
        (Request::get(format!("{address}/price")), "4.99", 1),
        (Request::get(format!("{address}/busy")), "4.99", 3),
        (Request::post(format!("{address}/order")), "9.99", 1),
        (Request::get(format!("{address}/broken")), "9.99", 3),
        (Request::get(format!("{address}/slow")), "9.99", 3),
    ];
    for (request, price, times) in requests {
        let request = request.body(Full::default())?;
        let what = format!("{} {}", request.method(), request.uri().path());
        let response = client.clone().oneshot(request).await?;
        let why = response.extensions().get().map(|degraded: &Degraded| degraded.failure().to_string());
        let body = response.into_body().collect().await?.to_bytes();
        let asked = asked.swap(0, Ordering::Relaxed);
        println!("{what}: {}, asked {asked} times {}", String::from_utf8_lossy(&body), why.unwrap_or_default());
        assert_eq!((body, asked), (price.into(), times));
    }
    Ok(())
}

async fn unsteady_server(asked: Arc<AtomicU32>) -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let count = move |mut request: Request<Body>| {
        let before = asked.fetch_add(1, Ordering::Relaxed);
        request.extensions_mut().insert(before);
        request
    };
    let app = Router::new()
        .route("/price", get(async || "4.99"))
        .route("/busy", get(twice_busy))
        .route("/order", post(async || StatusCode::BAD_GATEWAY))
        .route("/broken", get(async || StatusCode::BAD_GATEWAY))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(60)).await))
        .layer(tower::util::MapRequestLayer::new(count));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(format!("http://{address}"))
}

/// The third request in a row finds it at leisure.
async fn twice_busy(request: Request<Body>) -> Answer {
    match request.extensions().get() {
        Some(0_u32 | 1) => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response(),
        _ => "4.99".into_response(),
    }
}
