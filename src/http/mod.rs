//! What the layers need to know of HTTP.
//!
//! | what | does |
//! |---|---|
//! | [`AsResponse`] | refuses with a response: status, `Retry-After`, `application/problem+json` |
//! | [`StatusClassifier`] | reads outcomes from status codes and `Retry-After` |
//! | [`InExtensions`] | finds and leaves deadlines and marks in the extensions of requests and responses |
//! | [`DeadlineHeader`] | reads and writes deadlines as `grpc-timeout` or a header of your choice |
//! | [`BodyDeadline`] | bounds the time until the end of a body |
//! | [`ReplayBodies`] | sends a request again whose body streams |
//! | [`ClientIp`] | tells clients apart by their IP address, behind proxies too, where headers can be forged |
//!
//! The presets `.http_server()` and `.http_client()` on every layer choose among them. Over a server, an answer that the
//! layer makes itself is a response; over a client it is an error.
//!
//! They are for services that take an `http::Request` and answer an `http::Response`, as hyper's clients do and tonic's.
//! `reqwest::Client` has types of its own; three lines bring it to those of `http`:
//!
//! ```no_run
//! # use std::time::Duration;
//! use buttress::timeout::{TimeoutConfig, TimeoutLayer};
//! use buttress::{Check, Error};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, service_fn};
//!
//! # fn main() -> Result<(), buttress::timeout::InvalidTimeout> {
//! let reqwest = reqwest::Client::new();
//! let client = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(250)))?.http_client())
//!     .map_err(Error::inner)
//!     .service(service_fn(move |request: Request<String>| {
//!         let reqwest = reqwest.clone();
//!         async move { reqwest.execute(request.try_into()?).await.map(Response::<reqwest::Body>::from) }
//!     }))
//!     .check::<Request<String>>();
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! To wrap it as it is, leave the preset out: `.deadline_of(InScope)` finds deadlines, and a closure classifies.

mod answer;
mod attempt;
mod body;
mod classify;
mod client_ip;
mod deadline;
mod extensions;
mod hints;
mod idempotent;
mod presets;
mod rate_limit;
mod replay;

pub use self::answer::{AsResponse, response};
pub use self::attempt::AttemptHeader;
pub use self::body::BodyDeadline;
pub use self::classify::StatusClassifier;
pub use self::client_ip::{ClientIp, InvalidClientIp, ProxyHeader, UnknownClient};
pub use self::deadline::{DeadlineHeader, InvalidDeadlineHeader, TrustedDeadline};
pub use self::extensions::InExtensions;
pub use self::idempotent::IdempotentRequests;
pub use self::rate_limit::RateLimitHeaders;
pub use self::replay::{AsReplayBody, KeptRequest, LostBody, ReplayBodies, ReplayBody, ReplayPool, SupersededAttempt};
