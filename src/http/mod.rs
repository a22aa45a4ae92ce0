//! What the layers need to know of HTTP.
//!
//! | what | does |
//! |---|---|
//! | [`AsResponse`] | refuses with a response: status, `Retry-After`, `application/problem+json` |
//! | [`StatusClassifier`] | reads outcomes from status codes and `Retry-After` |
//! | [`InExtensions`] | finds and leaves deadlines and marks in the extensions of requests and responses |
//! | [`DeadlineHeader`] | reads and writes deadlines as `grpc-timeout` or a header of your choice |
//! | [`BodyDeadline`] | bounds the time until the end of a body |
//!
//! The presets `.http_server()` and `.http_client()` on every layer choose among them. Over a server, an answer that the
//! layer makes itself is a response; over a client it is an error.

mod answer;
mod body;
mod classify;
mod deadline;
mod extensions;
mod presets;

pub use self::answer::{AsResponse, response};
pub use self::body::BodyDeadline;
pub use self::classify::StatusClassifier;
pub use self::deadline::{DeadlineHeader, InvalidDeadlineHeader, TrustedDeadline};
pub use self::extensions::InExtensions;
