//! Payments that are charged once, however often a customer clicks and a client retries.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use buttress::http::IdempotencyKeys;
use buttress::idempotency::{Execution, IdempotencyConfig, IdempotencyLayer, MemoryStore};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::BoxError;

static CHARGED: AtomicU64 = AtomicU64::new(0);

async fn pay(Json(payment): Json<Value>) -> impl IntoResponse {
    let run = Execution::current().expect("within the layer");
    // A run before this one ended without anybody knowing how: look whether it charged, before it is done again.
    assert!(!run.is_recovered(), "there is one process, and its records end with it");
    let number = CHARGED.fetch_add(1, Ordering::SeqCst) + 1;
    let location = [(header::LOCATION, format!("/payments/{number}"))];
    (StatusCode::CREATED, location, Json(json!({ "number": number, "cents": payment["cents"], "fence": run.fence() })))
}

fn app() -> Result<Router, BoxError> {
    // The one and only customer of this example; else the tenant of the authenticated request.
    let keys = IdempotencyKeys::new().scope(|_: &Parts| ("customer 1", "payment.create"));
    let store = MemoryStore::new(NonZeroUsize::new(100_000).expect("not zero"));
    let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?.http_server(keys, Body::new);
    Ok(Router::new().route("/payments", post(pay)).layer(once))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/payments", listener.local_addr()?);
    let server = axum::serve(listener, app()?);
    tokio::spawn(async move { server.await });
    let client = reqwest::Client::new();
    let send = async |key: &'static str| -> Result<(HeaderMap, String), BoxError> {
        let request = client.post(&url).header("idempotency-key", key).header("content-type", "application/json");
        let response = request.body(r#"{"cents":100}"#).send().await?;
        Ok((response.headers().clone(), response.text().await?))
    };
    let (first, again, other) = (send("a").await?, send("a").await?, send("b").await?);
    assert_eq!(first.1, again.1);
    assert_eq!(again.0["idempotency-replayed"], "true");
    assert_eq!((&again.0["location"], &other.0["location"]), (&first.0["location"], &"/payments/2".parse()?));
    assert_eq!(CHARGED.load(Ordering::SeqCst), 2);
    println!("two payments, and one of them was asked for twice");
    Ok(())
}
