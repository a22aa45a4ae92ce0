//! The shop's order service, on axum.
//!
//! | request | answer |
//! |---|---|
//! | `POST /orders` `{"order_no": "..", "cents": n}` | 201 `paid`, 202 `pay-later`, 429 if too many come, or a problem |
//! | `GET /orders/{no}` | 200 or 404 |
//! | `GET /health` | 200 |
//!
//! The limit and the door timeout are layers like any other to axum: they answer with a response, so there is no error to
//! handle.

mod noted;

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use buttress::Degraded;
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower::util::option_layer;
use tower::{ServiceBuilder, ServiceExt};

use self::noted::Noted;
use crate::layers::{Layer, Without};
use crate::payments::{PaymentError, Payments};
use crate::problem::Problem;
use crate::record::Log;

/// What the shop promises its customers.
pub(crate) const DOOR: Duration = Duration::from_secs(1);

/// How many orders a second the shop takes,
pub(crate) const RATE: u32 = 1000;

/// and how many at once after a pause.
pub(crate) const BURST: u32 = 100;

/// The service, which pays through `payments` at the provider's `charges`.
pub(crate) fn order_service(
    without: &Without,
    payments: Payments,
    charges: Uri,
    log: Log,
) -> Result<Router, Box<dyn Error>> {
    let quota = Quota::per_second(RATE).burst(BURST);
    let limit = RateLimitLayer::new(RateLimitConfig::new(quota).name("orders"))?.http_server();
    let door = TimeoutLayer::new(TimeoutConfig::new(DOOR).name("door"))?.http_server().export_deadline();
    let door = option_layer(without.keep(Layer::Timeout, door));

    // What is refused costs nothing more, so the limit is outermost; only orders are worth one.
    let orders =
        ServiceBuilder::new().layer(Noted(log)).option_layer(without.keep(Layer::Limit, limit)).layer(door.clone());

    let shop = Shop { payments, charges, book: Arc::default() };
    Ok(Router::new()
        .route("/orders/{no}", get(look_up))
        .route("/health", get(health))
        .layer(door)
        .route("/orders", post(place).route_layer(orders))
        .with_state(shop))
}

#[derive(Clone)]
struct Shop {
    payments: Payments,
    charges: Uri,
    book: Arc<OrderBook>,
}

#[derive(Debug, Deserialize)]
struct NewOrder {
    order_no: String,
    cents: u64,
}

#[derive(Clone, Debug, Serialize)]
struct Order {
    order_no: String,
    status: Status,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Paid,
    PayLater,
}

async fn place(
    State(shop): State<Shop>,
    order: Result<Json<NewOrder>, JsonRejection>,
) -> Result<(StatusCode, Json<Order>), Problem> {
    let Json(order) = order?;
    order.check()?;
    let status = shop.pay(&order).await?;
    let order = Order { order_no: order.order_no, status };
    shop.book.enter(order.clone());
    let code = match status {
        Status::Paid => StatusCode::CREATED,
        Status::PayLater => StatusCode::ACCEPTED,
    };
    Ok((code, Json(order)))
}

async fn look_up(State(shop): State<Shop>, Path(no): Path<String>) -> Result<Json<Order>, Problem> {
    shop.book.find(&no).map(Json).ok_or(Problem::NoSuchOrder)
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

impl NewOrder {
    /// The number becomes part of a header, so it is asked to be plain.
    fn check(&self) -> Result<(), Problem> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.order_no.is_empty() || self.order_no.len() > 64 || !self.order_no.chars().all(is_plain) {
            return Err(Problem::BadRequest("order_no is 1 to 64 letters, digits and hyphens.".into()));
        }
        if self.cents == 0 {
            return Err(Problem::BadRequest("cents is more than zero.".into()));
        }
        Ok(())
    }
}

impl Shop {
    async fn pay(&self, order: &NewOrder) -> Result<Status, Problem> {
        let charge = json!({ "order_no": order.order_no, "cents": order.cents });
        let request = Request::post(&self.charges)
            .header(CONTENT_TYPE, "application/json")
            // However often this order is tried, it is charged once. Without it, it would be tried once.
            .header("idempotency-key", format!("order-{}", order.order_no))
            .body(Full::from(charge.to_string()))
            .expect("a plain order number makes a header");
        let response = self.payments.clone().oneshot(request).await?;
        if response.extensions().get::<Degraded>().is_some() {
            return Ok(Status::PayLater);
        }
        if !response.status().is_success() {
            return Err(Problem::BadGateway(format!("The payment provider answered {}.", response.status())));
        }
        // The receipt, read to its end so that the connection serves the next order.
        response.into_body().collect().await.map_err(|error| Problem::BadGateway(error.to_string()))?;
        Ok(Status::Paid)
    }
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            buttress::Error::Rejected(rejection) => Self::Refused(rejection),
            buttress::Error::Inner(_) => Self::BadGateway("The payment provider cannot be reached.".into()),
        }
    }
}

/// Every order that was answered, in that order; the last word on a number counts.
#[derive(Default)]
struct OrderBook(Mutex<Vec<Order>>);

impl OrderBook {
    fn enter(&self, order: Order) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(order);
    }

    fn find(&self, no: &str) -> Option<Order> {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.iter().rfind(|order| order.order_no == no).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::net::Ipv4Addr;

    use axum::body::Body;
    use axum::http::HeaderMap;
    use tokio::net::TcpListener;

    use super::*;
    use crate::payments::payments;

    #[tokio::test]
    async fn every_try_of_a_charge_bears_the_key_of_its_order() {
        let keys = Arc::new(Mutex::new(vec![]));
        let seen = keys.clone();
        let fails = move |headers: HeaderMap| {
            seen.lock().expect("nobody panicked").push(headers["idempotency-key"].clone());
            ready(StatusCode::SERVICE_UNAVAILABLE)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let charges = format!("http://{}/charges", listener.local_addr().expect("it is bound"));
        let provider = Router::new().route("/charges", post(fails));
        tokio::spawn(axum::serve(listener, provider).into_future());

        // No try is cut short, however busy the machine is.
        let (without, log) = (Without::new(vec![Layer::Timeout]), Log::start());
        let payments = payments(&without, Duration::from_secs(1), log.clone()).expect("settings that work");
        let charges = charges.parse().expect("an address");
        let shop = order_service(&without, payments, charges, log).expect("settings that work");
        let order = Request::post("/orders")
            .header(CONTENT_TYPE, "application/json")
            .body(Body::from(r#"{"order_no": "7", "cents": 1999}"#))
            .expect("a request");
        let answer = shop.oneshot(order).await.expect("the router answers");
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        assert_eq!(*keys.lock().expect("nobody panicked"), ["order-7"; 4]);
    }
}
