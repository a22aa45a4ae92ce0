//! Responses of HTTP that stand in for a failure: which may, for which requests, and for how long.

mod codec;
mod control;
mod copied;
mod key;
mod responses;
mod rules;
mod scope;
mod stored;
mod vary;

pub use self::codec::StoredResponseCodec;
pub use self::copied::CopiedBody;
pub use self::key::CacheKey;
pub use self::responses::{AskedOfCache, CachedResponses, Copying};
pub use self::scope::{CacheScope, Everybody, Site, Whose};
pub use self::stored::StoredResponse;
