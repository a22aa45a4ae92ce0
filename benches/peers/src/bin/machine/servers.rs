//! The servers that are compared: one handler, and what stands around it.

mod ours;
#[cfg(feature = "peers")]
mod peers;

use std::convert::Infallible;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{Route, get};
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::Outcome;

/// What a server is called, and how to make it.
type Server = (&'static str, fn() -> Outcome<Router>);

/// Axum puts what `layer` makes into a box, whatever it is: that is what the second one tells.
const BARE: [Server; 2] = [("bare", || Ok(handler())), ("identity", || Ok(within(Identity::new())))];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| name)
}

pub(crate) fn named(name: &str) -> Outcome<Router> {
    let (_, make) = all().find(|(known, _)| *known == name).ok_or("no server has this name")?;
    make()
}

fn all() -> impl Iterator<Item = Server> {
    let all = BARE.into_iter().chain(ours::ALL);
    #[cfg(feature = "peers")]
    let all = all.chain(peers::ALL);
    all
}

fn handler() -> Router {
    Router::new().route("/", get(async || "hello"))
}

/// As users do: one `layer` around all routes.
fn within<L>(layer: L) -> Router
where
    L: Layer<Route> + Clone + Send + Sync + 'static,
    L::Service: Service<Request, Response: IntoResponse, Error: Into<Infallible>> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Future: Send,
{
    handler().layer(layer)
}
