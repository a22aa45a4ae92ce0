//! A book that one process lends to another, over HTTP.
//!
//! | request | answer |
//! |---|---|
//! | `POST /book` `[order, fence]` | whether it was entered |
//! | `GET /book/{no}` | the order, or null |
//! | `POST /book/{no}/take-over` `fence` | the same, for a run that takes the order over |

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, Request};
use axum::routing::{get, post};
use axum::{Json, Router};
use buttress::BoxError;
use http_body_util::{BodyExt, Full};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::TcpListener;

use super::OrderBook;
use crate::client::{HttpClient, client};
use crate::orders::Order;

pub(super) async fn lend(book: OrderBook) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let desk = Router::new()
        .route(
            "/book",
            post(async |State(book): State<OrderBook>, Json((order, fence))| Json(book.enter(order, fence))),
        )
        .route("/book/{no}", get(async |State(book): State<OrderBook>, Path(no): Path<String>| Json(book.find(&no))))
        .route(
            "/book/{no}/take-over",
            post(async |State(book): State<OrderBook>, Path(no): Path<String>, Json(fence)| {
                Json(book.take_over(&no, fence))
            }),
        )
        .with_state(book);
    tokio::spawn(axum::serve(listener, desk).into_future());
    Ok(address)
}

/// The way to such a book.
pub(crate) struct Lent {
    client: HttpClient,
    address: SocketAddr,
}

impl Lent {
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { client: client(), address }
    }

    pub(super) async fn enter(&self, order: Order, fence: Option<u64>) -> Result<bool, BoxError> {
        self.ask(Method::POST, "", json!([order, fence]).to_string()).await
    }

    pub(super) async fn find(&self, no: &str) -> Result<Option<Order>, BoxError> {
        self.ask(Method::GET, &format!("/{no}"), String::new()).await
    }

    pub(super) async fn take_over(&self, no: &str, fence: u64) -> Result<Option<Order>, BoxError> {
        self.ask(Method::POST, &format!("/{no}/take-over"), fence.to_string()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: String) -> Result<T, BoxError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/book{path}", self.address))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        let answer = self.client.request(request).await?;
        Ok(serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?)
    }
}
