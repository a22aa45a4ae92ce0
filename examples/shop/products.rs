//! `GET /products/{id}`: what the catalogue says of a product, or last said while it still could.
//!
//! ```text
//! handler -> cache fallback (30 s) -> breaker -> attempt timeout 250 ms -> hyper-util's client -> catalogue
//! ```
//!
//! An answer from memory has an `Age`, and a `Cache-Status` with `stale-if-error`. Nothing is told from memory while the
//! catalogue answers.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Response};
use axum::routing::get;
use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer, OpenFor};
use buttress::http::CachedResponses;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use buttress::{BoxError, Check};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};

use crate::client::{ClientError, client};
use crate::layers::{self, Without};
use crate::problem::Problem;

/// How old a product may be when it is shown; a catalogue changes little in so short a time.
pub(crate) const STALE: Duration = Duration::from_secs(30);

/// Room for a thousand products and more.
const BYTES: NonZeroU64 = NonZeroU64::new(1 << 20).unwrap();

const ATTEMPT: Duration = Duration::from_millis(250);

/// How long a failing catalogue is left alone at a time. A call that finds out costs it little, and nobody waits for that.
const OPEN_FOR: Duration = Duration::from_millis(250);

/// The part of the order service that shows products.
pub(crate) fn router(without: &Without, catalogue: SocketAddr) -> Result<Router, BoxError> {
    let config = CacheFallbackConfig::new(STALE).name("products");
    let remembered = CacheFallbackLayer::new(config, MemoryStore::new(BYTES))?;
    let remembered = remembered.http_client(CachedResponses::new(), Body::new);

    let config =
        CircuitBreakerConfig::new().name("catalogue").consecutive_failures(10).open_for(OpenFor::fixed(OPEN_FOR));
    let breaker = CircuitBreakerLayer::new(config)?.http_client();

    let attempt = TimeoutLayer::new(TimeoutConfig::new(ATTEMPT).name("product"))?.http_client();

    let stack = ServiceBuilder::new()
        .option_layer(without.keep(layers::Layer::Cache, remembered))
        .option_layer(without.keep(layers::Layer::Breaker, breaker))
        .option_layer(without.keep(layers::Layer::Timeout, attempt))
        .map_err(buttress::Error::inner)
        // The memory makes responses of its own, and nobody but hyper can make its `Incoming`.
        .map_response(|response: Response<Incoming>| response.map(Body::new))
        .service(client())
        .check::<Request<Full<Bytes>>>();
    let shelf = Shelf { catalogue, products: BoxCloneSyncService::new(stack) };
    Ok(Router::new().route("/products/{id}", get(product)).with_state(shelf))
}

#[derive(Clone)]
struct Shelf {
    catalogue: SocketAddr,
    products: BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, ClientError>,
}

async fn product(State(shelf): State<Shelf>, Path(id): Path<u32>) -> Result<Response<Body>, Problem> {
    let request = Request::get(format!("http://{}/products/{id}", shelf.catalogue))
        .body(Full::default())
        .expect("an address and a number make a URI");
    let response = shelf.products.oneshot(request).await?;
    if response.status().is_server_error() {
        return Err(Problem::BadGateway(format!("The catalogue answered {}.", response.status())));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;
    use crate::catalogue;
    use crate::layers::Layer;
    use crate::record::Log;
    use crate::upstream::{Mood, Upstream};

    /// A shop and its catalogue. No call is cut short, however busy the machine is.
    fn scene(without: &[Layer]) -> (Router, Upstream) {
        let catalogue = catalogue::open(Log::start()).expect("there is a free port");
        let without = Without::new([&[Layer::Timeout], without].concat());
        (router(&without, catalogue.address()).expect("settings that work"), catalogue)
    }

    /// Its status, whether it is marked, and what it says.
    async fn read(shop: &Router, product: u32) -> (StatusCode, bool, Value) {
        let request = Request::get(format!("/products/{product}")).body(Body::empty()).expect("a request");
        let answer = shop.clone().oneshot(request).await.expect("the router answers");
        let (status, is_marked) = (answer.status(), answer.headers().contains_key("age"));
        let text = answer.into_body().collect().await.expect("it is whole").to_bytes();
        (status, is_marked, serde_json::from_slice(&text).expect("JSON"))
    }

    #[tokio::test]
    async fn what_the_catalogue_said_last_is_shown_while_it_is_down_and_not_after_that() {
        let (shop, catalogue) = scene(&[Layer::Breaker]);
        read(&shop, 7).await;
        let (status, is_marked, said) = read(&shop, 7).await;
        assert_eq!((status, is_marked, &said["id"]), (StatusCode::OK, false, &7.into()));

        catalogue.turns(Mood::Down);
        assert_eq!(read(&shop, 7).await, (StatusCode::OK, true, said.clone()));
        assert_eq!(read(&shop, 8).await.0, StatusCode::BAD_GATEWAY, "nobody has asked for it before");

        catalogue.turns(Mood::Healthy);
        let (status, is_marked, says) = read(&shop, 7).await;
        assert_eq!((status, is_marked), (StatusCode::OK, false));
        assert_ne!(says, said);
    }

    #[tokio::test]
    async fn a_breaker_of_its_own_keeps_nobody_from_what_is_remembered() {
        for (without, statuses) in [
            (vec![], [StatusCode::OK; 2]),
            (vec![Layer::Cache], [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE]),
        ] {
            let (shop, catalogue) = scene(&without);
            read(&shop, 7).await;
            catalogue.turns(Mood::Down);
            assert_eq!(read(&shop, 7).await.0, statuses[0]);
            for _ in 1..10 {
                read(&shop, 7).await;
            }
            assert_eq!(read(&shop, 7).await.0, statuses[1], "it is open");
        }
    }

    #[tokio::test]
    async fn that_there_is_no_such_product_is_an_answer() {
        let (shop, _catalogue) = scene(&[]);
        for product in [0, catalogue::PRODUCTS + 1] {
            assert_eq!(read(&shop, product).await.0, StatusCode::NOT_FOUND);
        }
    }
}
