//! The payment provider.
//!
//! `POST /charges` takes an `Idempotency-Key`, and charges once for each key however often it is asked.

mod ledger;

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Extension, Json, Router};

use self::ledger::{Charge, Ledger};
use crate::problem::Problem;
use crate::upstream::{Delay, Upstream};

pub(crate) struct Provider {
    pub(crate) upstream: Upstream,
    ledger: Arc<Ledger>,
}

impl Provider {
    pub(crate) fn open() -> io::Result<Self> {
        let ledger = Arc::new(Ledger::default());
        let app = Router::new().route("/charges", post(charge)).with_state(ledger.clone());
        Ok(Self { upstream: Upstream::open(app)?, ledger })
    }

    /// The number of the order of every charge that it made.
    pub(crate) fn charged(&self) -> Vec<String> {
        self.ledger.orders()
    }
}

async fn charge(
    State(ledger): State<Arc<Ledger>>,
    Extension(Delay(delay)): Extension<Delay>,
    headers: HeaderMap,
    charge: Result<Json<Charge>, JsonRejection>,
) -> Result<impl IntoResponse, Problem> {
    let Json(charge) = charge?;
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .ok_or_else(|| Problem::BadRequest("An Idempotency-Key is required.".into()))?;
    let receipt = ledger.charge(key, charge, delay).await.map_err(|_| Problem::KeyReused)?;
    Ok((StatusCode::CREATED, Json(receipt)))
}
