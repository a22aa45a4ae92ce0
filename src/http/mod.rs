//! What the layers need to know of HTTP.
//!
//! | what | does |
//! |---|---|
//! | [`client_stack`], [`server_stack`] | put the layers in their order, with settings that go together; each is a layer, also by [`ServiceBuilderExt`] |
//! | [`AsResponse`] | refuses with a response: status, `Retry-After`, `application/problem+json` |
//! | [`StatusClassifier`] | reads outcomes from status codes and `Retry-After` |
//! | [`InExtensions`] | finds and leaves deadlines and marks in the extensions of requests and responses |
//! | [`DeadlineHeader`] | reads and writes deadlines as `grpc-timeout` or a header of your choice |
//! | [`BodyDeadline`] | bounds the time until the end of a body |
//! | [`ReplayBodies`] | sends a request again whose body streams |
//! | [`InboundAttempts`], [`AttemptHeader`] | keep retries of retries from multiplying |
//! | [`IdempotencyKeys`], [`KeptResponses`] | know a request that is repeated, and keep the response that it is answered with |
//! | [`IdempotencyKeyLayer`] | gives each outbound call a key, which stays the same however often it is sent |
//! | [`CachedResponses`] | remembers responses as their headers allow, to stand in for a failure, and to be told while they are fresh |
//! | [`Bridge`] | brings a client with types of its own to those of `http` |
//! | [`ClientIp`] | tells clients apart by their IP address, behind proxies too, where headers can be forged |
//!
//! The presets `.http_server()` and `.http_client()` on every layer choose among them. Over a server, an answer that the
//! layer makes itself is a response; over a client it is an error.
//!
//! They are for services that take an `http::Request` and answer an `http::Response`, as hyper's clients do and tonic's.
//! `reqwest::Client` has types of its own; a [`Bridge`] brings it to those of `http`.
//!
//! To wrap it as it is, say by closures what the presets would. A `reqwest::Request` whose body streams is sent once then;
//! by way of the [`Bridge`] (`http::Request::try_from` makes one of it) and [`ReplayBodies`] it is sent again:
//!
//! ```no_run
//! # use std::time::Duration;
//! use buttress::http::{IdempotentRequests, StatusClassifier};
//! use buttress::retry::{RetryConfig, RetryLayer};
//! use buttress::{BoxError, Check, Failure, FailureKind};
//! use tower::ServiceBuilder;
//!
//! # fn main() -> Result<(), BoxError> {
//! let retry = RetryLayer::new(RetryConfig::new())?
//!     .replay(reqwest::Request::try_clone)
//!     .may_repeat(|request: &reqwest::Request| IdempotentRequests.contain(request.method(), request.headers()))
//!     .classify(|result: Result<&reqwest::Response, &reqwest::Error>| match result {
//!         Ok(response) => StatusClassifier.of_head(response.status(), response.headers()),
//!         Err(_) => Failure::new(FailureKind::Error).into(),
//!     });
//! let client = ServiceBuilder::new().layer(retry).service(reqwest::Client::new()).check::<reqwest::Request>();
//! # let _ = client;
//! # Ok(())
//! # }
//! ```

mod answer;
mod attempt;
mod body;
mod bridge;
mod cache;
mod classify;
mod client_ip;
mod content_type;
mod deadline;
mod extensions;
mod hints;
mod idempotency;
mod idempotent;
mod inbound;
mod lines;
mod partly_read;
mod pieces;
mod presets;
mod rate_limit;
mod replay;
#[cfg(feature = "rfc9111")]
mod rfc9111;
mod stack;

pub use self::answer::{AsResponse, InvalidLink, response};
pub use self::attempt::AttemptHeader;
pub use self::body::BodyDeadline;
pub use self::bridge::{Bridge, Bridged, BridgedFuture};
pub use self::cache::{
    AskedOfCache, CacheKey, CacheScope, CachedResponses, CopiedBody, Copying, Everybody, Site, StoredResponse,
    StoredResponseCodec, Whose,
};
pub use self::classify::StatusClassifier;
pub use self::client_ip::{ClientIp, InvalidClientIp, ProxyHeader, UnknownClient};
pub use self::deadline::{DeadlineHeader, InvalidDeadlineHeader, TrustedDeadline};
pub use self::extensions::InExtensions;
pub use self::idempotency::{
    CallKey, Drawn, Effect, FingerprintIn, IdempotencyKeyLayer, IdempotencyKeyService, IdempotencyKeys, InHeader,
    InvalidKeptHeader, KeptResponses, KeyIn, WholeRequest,
};
pub use self::idempotent::IdempotentRequests;
pub use self::inbound::{InboundAttempts, InboundAttemptsFuture, InboundAttemptsService};
pub use self::partly_read::PartlyRead;
pub use self::rate_limit::RateLimitHeaders;
pub use self::replay::{AsReplayBody, KeptRequest, LostBody, ReplayBodies, ReplayBody, ReplayPool, SupersededAttempt};
pub use self::stack::{
    ClientStack, ClientStackConfig, InvalidStack, Optional, SendOnce, SentOnce, ServerStack, ServerStackConfig,
    ServiceBuilderExt, WrapErrors, WrappedErrors, WrappedErrorsFuture, client_stack, server_stack,
};
