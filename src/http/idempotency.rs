//! Requests of HTTP that are run once.

mod key;
mod read;
mod record;
mod request;

use http::HeaderName;

pub use self::read::PartlyRead;
pub use self::request::{IdempotencyKeys, InHeader, KeyIn};

/// Where a request has its key.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a response that is told again is marked with.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
