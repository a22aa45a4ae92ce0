//! The product catalogue, from which the shop has what it shows.
//!
//! `GET /products/{id}` says what a product is, and when that was so.

use std::io;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::problem::Problem;
use crate::record::Log;
use crate::upstream::{Delay, Upstream};

/// They are numbered from 1.
pub(crate) const PRODUCTS: u32 = 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: u32,
    /// When it was so, counted from the start of the run: whoever reads it later can tell how old it is.
    pub(crate) as_of: Duration,
}

pub(crate) fn open(log: Log) -> io::Result<Upstream> {
    Upstream::open(Router::new().route("/products/{id}", get(product)).with_state(log))
}

async fn product(
    State(log): State<Log>,
    Extension(Delay(delay)): Extension<Delay>,
    Path(id): Path<u32>,
) -> Result<Json<Product>, Problem> {
    sleep(delay).await;
    let product = Product { id, as_of: log.now() };
    (1..=PRODUCTS).contains(&id).then_some(Json(product)).ok_or(Problem::NoSuchProduct)
}
