//! Payments that are charged once, however often a customer clicks and a client retries.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{Request, StatusCode, request::Parts};
use axum::{Json, Router, body::Body, response::IntoResponse, routing::post};
use buttress::http::IdempotencyKeys;
use buttress::idempotency::{Execution, IdempotencyConfig, IdempotencyLayer, MemoryStore};
use serde_json::{Value, json};
use tower::{BoxError, ServiceExt};

static CHARGED: AtomicU64 = AtomicU64::new(0);

/// `fence` goes into the row that is written, and `is_recovered` says whether to look there first for what a run before did.
async fn pay(Json(payment): Json<Value>) -> impl IntoResponse {
    let run = Execution::current().map(|run| (run.fence(), run.is_recovered()));
    let number = CHARGED.fetch_add(1, Ordering::SeqCst) + 1;
    (StatusCode::CREATED, Json(json!({ "payment": number, "cents": payment["cents"], "run": run })))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Whose keys these are, which authentication has found out further out, and of which operation.
    let keys = IdempotencyKeys::new().scope(|head: &Parts| Some((*head.extensions.get::<u32>()?, "payment.create")));
    let store = MemoryStore::new(NonZeroUsize::new(100_000).expect("not zero"));
    let once = IdempotencyLayer::new(IdempotencyConfig::new(), store)?.http_server(keys, Body::new);
    let app = Router::new().route("/payments", post(pay)).layer(once);
    for (tenant, key, cents) in [(1_u32, "a", 100), (1, "a", 100), (1, "a", 200), (2, "a", 100), (1, "b", 100)] {
        let request = Request::post("/payments").header("content-type", "application/json").extension(tenant);
        let body = Body::from(json!({ "cents": cents }).to_string());
        let response = app.clone().oneshot(request.header("idempotency-key", key).body(body)?).await?;
        let (status, replayed) = (response.status(), response.headers().contains_key("idempotency-replayed"));
        println!(
            "tenant {tenant} pays {cents} under the key {key}: {status}{}",
            if replayed { ", replayed" } else { "" }
        );
    }
    assert_eq!(CHARGED.load(Ordering::SeqCst), 3);
    Ok(())
}
