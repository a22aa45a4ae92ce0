//! The shop's order service, on axum.
//!
//! | request | answer |
//! |---|---|
//! | `POST /orders` `{"order_no": "..", "cents": n}` | 201 `paid`, 202 `pay-later`, 429 if too many come, or a problem |
//! | the same once more | 409 while it runs, and then the first answer, with `idempotency-replayed: true` |
//! | another order of the same number | 422 |
//! | `GET /orders/{no}` | 200 or 404 |
//! | `GET /products/{id}` | the product, perhaps from memory, 404, or a problem: `products.rs` |
//! | `GET /health` | 200 |
//!
//! Limit, door timeout and dedup are layers like any other to axum: they answer with a response, so there is no error to
//! handle.
//!
//! What concerns the customer stands outside of dedup, what concerns the order inside. Who is turned away by the limit has
//! ordered nothing. Who is told "too late" at the door, or goes away, leaves an order behind that is run to its end, and
//! gets its answer by sending it once more. "Pay later" is such an answer: the order stands, and is not tried again.
//!
//! Where the records outlive the service, so does that an order was begun. A service that crashes leaves orders behind of
//! which nobody knows how far they came; when its lease is over, one that is sent again is taken over. That run looks in the
//! book first, and charges by the same key as the one before. If that has only stood still, the book refuses what it enters
//! now: it has the smaller fence.

mod book;
mod noted;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router};
use buttress::http::IdempotencyKeys;
use buttress::idempotency::{Execution, IdempotencyConfig, IdempotencyLayer, Store};
use buttress::jitter::Jitter;
use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Degraded};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::sleep;
use tower::util::option_layer;
use tower::{ServiceBuilder, ServiceExt};

pub(crate) use self::book::{Book, OrderBook, TakenOver};
use self::noted::Noted;
use crate::layers::{Layer, Without};
use crate::payments::Payments;
use crate::problem::Problem;
use crate::record::Log;

/// What the shop promises its customers.
pub(crate) const DOOR: Duration = Duration::from_secs(1);

/// How many orders a second the shop takes,
pub(crate) const RATE: u32 = 1000;

/// and how many at once after a pause.
pub(crate) const BURST: u32 = 100;

/// For how many seconds the answer to an order is told again.
const RETENTION: u32 = 10 * 60;

/// As long as no order takes; with no timeouts it is the provider that ends it.
const LONGEST_RUN: Duration = Duration::from_secs(60);

/// Who sends an order again while it runs is told to come back when its lease may be over, and by then most are done. After a
/// crash nobody runs the order for as long.
const LEASE: Duration = Duration::from_secs(1);

/// As many as the limit lets in while they are remembered, so that there is room for all.
pub(crate) const RECORDS: NonZeroUsize = NonZeroUsize::new((RATE * RETENTION) as usize).unwrap();

/// About how often the records are forgotten whose time is over.
const PURGED_EACH: Duration = Duration::from_secs(60);

/// So many at a time, which is more than the limit lets in meanwhile.
const PURGED_AT_ONCE: u32 = 100_000;

/// What the service is made of.
pub(crate) struct OrderService {
    pub(crate) without: Without,
    /// Whose records these are: the store may hold those of others as well.
    pub(crate) tenant: String,
    pub(crate) payments: Payments,
    /// Where the provider takes charges.
    pub(crate) charges: Uri,
    /// Shows products. It is not behind the limit, which is for orders.
    pub(crate) products: Router,
    /// What was sold is entered here.
    pub(crate) book: Book,
    pub(crate) log: Log,
}

impl OrderService {
    /// The service, which records in `store` what it runs.
    pub(crate) fn over(self, store: impl Store + Clone) -> Result<Router, BoxError> {
        let Self { without, tenant, payments, charges, products, book, log } = self;
        let quota = Quota::per_second(RATE).burst(BURST);
        let limit = RateLimitLayer::new(RateLimitConfig::new(quota).name("orders"))?.http_server();
        let door = TimeoutLayer::new(TimeoutConfig::new(DOOR).name("door"))?.http_server();
        let door = option_layer(without.keep(Layer::Timeout, door));

        // What has no number that can be read is no order, and the handler says what is wrong with it.
        let scope = move |_: &Parts| Some((tenant.clone(), "order.create"));
        let keys = IdempotencyKeys::new().scope(scope).key(order_no).key_optional();
        let retention = Duration::from_secs(RETENTION.into());
        let config = IdempotencyConfig::new().name("orders").lease(LEASE).longest_run(LONGEST_RUN).retention(retention);
        tokio::spawn(purge(store.clone()));
        let dedup = IdempotencyLayer::new(config, store)?.http_server(keys, Body::new);
        let dedup = without.keep(Layer::Dedup, dedup);
        let charged_by = if dedup.is_some() { ChargedBy::Order } else { ChargedBy::Call };

        // What is refused costs nothing more, so the limit is outermost; only orders are worth one.
        let orders = ServiceBuilder::new()
            .layer(Noted(log))
            .option_layer(without.keep(Layer::Limit, limit))
            .layer(door.clone())
            .option_layer(dedup);

        let shop = Shop { payments, charges, charged_by, book };
        Ok(Router::new()
            .route("/orders/{no}", get(look_up))
            .route("/health", get(health))
            .merge(products.with_state(()))
            .layer(door)
            .route("/orders", post(place).route_layer(orders))
            .with_state(shop))
    }
}

/// Forgets the records whose time is over, which some stores leave to others.
async fn purge(store: impl Store) {
    let mut jitter = Jitter::new();
    loop {
        sleep(jitter.between(PURGED_EACH / 2, PURGED_EACH)).await;
        if let Err(error) = store.purge(PURGED_AT_ONCE).await {
            eprintln!("shop: records whose time is over are left until the next time: {error}");
        }
    }
}

#[derive(Clone)]
struct Shop {
    payments: Payments,
    charges: Uri,
    charged_by: ChargedBy,
    book: Book,
}

/// What the provider knows a charge by, however often that is tried.
#[derive(Clone, Copy)]
enum ChargedBy {
    /// The number of its order, so that no two runs of one order could charge twice.
    Order,
    /// A key of its own for each call: then a second run shows in the provider's ledger, which else would hide it.
    Call,
}

impl ChargedBy {
    fn key(self, order_no: &str) -> String {
        match self {
            Self::Order => format!("order-{order_no}"),
            Self::Call => format!("call-{:032x}", fastrand::u128(..)),
        }
    }
}

#[derive(Debug, Deserialize)]
struct NewOrder {
    order_no: String,
    cents: u64,
}

/// An order as it is entered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    order_no: String,
    status: Status,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Paid,
    PayLater,
}

impl Status {
    const fn code(self) -> StatusCode {
        match self {
            Self::Paid => StatusCode::CREATED,
            Self::PayLater => StatusCode::ACCEPTED,
        }
    }
}

/// The number that an order is run once by, if it is one.
fn order_no(_: &Parts, body: &Bytes) -> Option<String> {
    let order: NewOrder = serde_json::from_slice(body).ok()?;
    order.check().is_ok().then_some(order.order_no)
}

/// Runs an order, perhaps not as the first one to do so.
///
/// Two things together keep an order from being entered twice, and neither would do alone. A run that takes an order over
/// *looks it up*, as the run before may have entered it and died before it could record so: to sell it once more would be the
/// second entry. But that run may not be dead; its process may only stand still, find nothing wrong when it goes on, and
/// enter the order after it was looked up. So the look-up also leaves a *fence*: each run of an order has a larger one than the
/// run before, and from then on the book refuses a smaller. Looking up and leaving the fence is one step of the book, and so
/// is comparing the fence and writing. A table of your own does the same with a column for the fence, in one transaction.
async fn place(
    State(shop): State<Shop>,
    order: Result<Json<NewOrder>, JsonRejection>,
) -> Result<(StatusCode, Json<Order>), Problem> {
    let Json(order) = order?;
    order.check()?;
    let run = Execution::current();
    let left = match &run {
        // Of the run before nobody knows how far it came.
        Some(run) if run.is_recovered() => {
            shop.book.take_over(&order.order_no, run.fence()).await.map_err(Problem::BookClosed)?
        }
        _ => None,
    };
    let order = match left {
        Some(entered) => entered,
        None => shop.sell(order, run.map(|run| run.fence())).await?,
    };
    Ok((order.status.code(), Json(order)))
}

async fn look_up(State(shop): State<Shop>, Path(no): Path<String>) -> Result<Json<Order>, Problem> {
    shop.book.find(&no).await.map_err(Problem::BookClosed)?.map(Json).ok_or(Problem::NoSuchOrder)
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
    async fn sell(&self, order: NewOrder, fence: Option<u64>) -> Result<Order, Problem> {
        let status = self.pay(&order).await?;
        let order = Order { order_no: order.order_no, status };
        let is_entered = self.book.enter(order.clone(), fence).await.map_err(Problem::BookClosed)?;
        is_entered.then_some(order).ok_or(Problem::TakenOver)
    }

    async fn pay(&self, order: &NewOrder) -> Result<Status, Problem> {
        let charge = json!({ "order_no": order.order_no, "cents": order.cents });
        let request = Request::post(&self.charges)
            .header(CONTENT_TYPE, "application/json")
            // However often this charge is tried, it is made once. Without it, it would be tried once.
            .header("idempotency-key", self.charged_by.key(&order.order_no))
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
