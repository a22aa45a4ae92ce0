//! A reverse proxy that answers from memory when its origin cannot.
//!
//! ```text
//! cargo run --example stale_on_error                                                  # with a flaky origin of its own
//! cargo run --example stale_on_error -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000
//! cargo run --example stale_on_error -- --listen 127.0.0.1:8080 --origin http://127.0.0.1:9000 --fresh 5
//! cargo run --example stale_on_error --features rfc9111 -- --rfc9111                  # what is remembered, the RFC decides
//! ```
//!
//! The origin is asked first, unless an answer is `--fresh`, and whatever good it says is remembered as its headers allow, up to 64 MiB. When it fails,
//! is too slow or is left alone by the circuit breaker, the last good answer stands in for up to `--stale-if-error` (a minute by
//! default), and says so: `Age` tells how old it is, `Cache-Status` what it stands in for.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use axum::http::{HeaderMap, Request, Response, StatusCode, Version, header};
use axum::response::IntoResponse;
use axum::routing::get;
use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore, ReadThroughConfig};
use buttress::circuit_breaker::{CircuitBreakerConfig, CircuitBreakerLayer};
use buttress::http::CachedResponses;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use clap::Parser;
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder, service_fn};

#[derive(Debug, Parser)]
#[command(about = "A reverse proxy that answers from memory when its origin cannot")]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Whom to ask, as in http://127.0.0.1:9000; without it, a flaky origin that is asked a few times.
    #[arg(long)]
    origin: Option<Uri>,
    /// How many seconds old an answer from memory may be.
    #[arg(long, default_value_t = 60)]
    stale_if_error: u64,
    /// For how many seconds an answer is told without asking the origin, and for as many more while it is asked again; by default
    /// it is always asked first.
    #[arg(long)]
    fresh: Option<u64>,
    /// Let RFC 9111 decide what is remembered, which takes the feature rfc9111.
    #[arg(long)]
    rfc9111: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let is_demonstration = options.origin.is_none();
    let origin = match options.origin {
        Some(uri) => {
            uri.into_parts().authority.ok_or("the origin is a URI with a host, such as http://127.0.0.1:9000")?
        }
        None => flaky_origin().await?,
    };
    let responses = if options.rfc9111 { as_the_rfc_has_it()? } else { CachedResponses::new() };
    let (stale_if_error, fresh) = (Duration::from_secs(options.stale_if_error), options.fresh.map(Duration::from_secs));
    let proxy = proxy(origin, stale_if_error, fresh, responses)?;
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    let serving = tokio::spawn(async move { axum::serve(listener, proxy).await });
    if is_demonstration {
        return demonstrate(address).await;
    }
    Ok(serving.await??)
}

#[cfg(feature = "rfc9111")]
fn as_the_rfc_has_it() -> Result<CachedResponses, Box<dyn Error>> {
    Ok(CachedResponses::new().rfc9111())
}

#[cfg(not(feature = "rfc9111"))]
fn as_the_rfc_has_it() -> Result<CachedResponses, Box<dyn Error>> {
    Err("--rfc9111 takes the feature rfc9111".into())
}

fn proxy(
    origin: Authority,
    stale_if_error: Duration,
    fresh: Option<Duration>,
    responses: CachedResponses,
) -> Result<Router, Box<dyn Error>> {
    let store = MemoryStore::new(NonZeroU64::new(64 << 20).expect("not zero"));
    let cache = CacheFallbackLayer::new(CacheFallbackConfig::new(stale_if_error).name("proxy"), store)?;
    let breaker = CircuitBreakerLayer::new(CircuitBreakerConfig::new().name("origin"))?;
    let timeout = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(2)).name("origin"))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let origin = ServiceBuilder::new()
        .layer(breaker.http_server())
        .layer(timeout.http_server())
        .service(service_fn(move |request| forward(client.clone(), origin.clone(), request)));
    let cache = cache.http_server(responses, Body::new);
    Ok(match fresh {
        None => Router::new().fallback_service(cache.layer(origin)),
        Some(fresh) => {
            let times = ReadThroughConfig::new(fresh).stale_while_revalidate(fresh);
            Router::new().fallback_service(cache.read_through(times)?.layer(origin))
        }
    })
}

/// Asks the origin; that it cannot be asked is said by a status, as a proxy does.
async fn forward(
    client: Client<HttpConnector, Body>,
    origin: Authority,
    mut request: Request<Body>,
) -> Result<Response<Body>, Infallible> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    (parts.scheme, parts.authority) = (Some(Scheme::HTTP), Some(origin));
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(parts).expect("it has all three parts");
    request.headers_mut().remove(header::HOST);
    keep_from_other_side(request.headers_mut());
    Ok(match client.request(request).await {
        Ok(mut response) => {
            keep_from_other_side(response.headers_mut());
            *response.version_mut() = Version::default();
            response.map(Body::new)
        }
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    })
}

/// What speaks of one connection is nothing to the other.
fn keep_from_other_side(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
}

/// Says a new price whenever it is asked, but every other time that it is out of order.
async fn flaky_origin() -> Result<Authority, Box<dyn Error>> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let price = async || match ASKED.fetch_add(1, Ordering::Relaxed) {
        asked if asked % 2 == 0 => Ok(format!("tea is at 1.{asked}0")),
        _ => Err(StatusCode::SERVICE_UNAVAILABLE),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/tea", get(price))).await });
    Ok(address.parse()?)
}

async fn demonstrate(proxy: SocketAddr) -> Result<(), Box<dyn Error>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    for (price, is_from_memory) in [("tea is at 1.00", false), ("tea is at 1.00", true), ("tea is at 1.20", false)] {
        let response = client.get(format!("http://{proxy}/tea").parse()?).await?;
        let status = response.headers().get("cache-status").cloned();
        let body = response.into_body().collect().await?.to_bytes();
        println!("{} ({status:?})", String::from_utf8_lossy(&body));
        assert_eq!((&*body, status.is_some()), (price.as_bytes(), is_from_memory));
    }
    Ok(())
}
