//! Requests of HTTP that are run once.

mod client;
mod key;
mod record;
mod request;
mod response;

use http::HeaderName;

use super::answer::AsResponse;
use crate::idempotency::IdempotencyLayer;

pub(super) use self::client::HasKey;
pub use self::client::{CallKey, Drawn, IdempotencyKeyLayer, IdempotencyKeyService};
pub use self::request::{FingerprintIn, IdempotencyKeys, InHeader, KeyIn, WholeRequest};
pub use self::response::{Effect, InvalidKeptHeader, KeptResponses};

/// Where a request has its key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a response that is told again is marked with.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

impl<St, I, Ke, R, T> IdempotencyLayer<St, I, Ke, R, T> {
    /// For an HTTP server: requests are known by `keys`, responses are kept and told again with
    /// [`KeptResponses`] and refused as responses. `into_body` makes the service's body of one that was read: axum's `Body::new`.
    pub fn http_server<S, K, P, F>(
        self,
        keys: IdempotencyKeys<S, K, P>,
        into_body: F,
    ) -> IdempotencyLayer<St, IdempotencyKeys<S, K, P>, KeptResponses<F>, AsResponse, T> {
        self.identify(keys).keep(KeptResponses::new().into_body(into_body)).reject_with(AsResponse::new())
    }
}
