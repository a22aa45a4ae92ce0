//! Responses of HTTP that are remembered: which are, for which requests, and for how long.

mod codec;
mod condition;
pub(super) mod control;
mod copied;
pub(super) mod freshness;
mod key;
pub(super) mod policy;
mod remember;
mod responses;
pub(super) mod rules;
mod scope;
mod share;
mod stored;
mod vary;

pub use self::codec::StoredResponseCodec;
pub use self::copied::CopiedBody;
pub use self::key::CacheKey;
pub use self::remember::{AskedOfCache, Copying};
pub use self::responses::CachedResponses;
pub use self::scope::{CacheScope, Everybody, Site, Whose};
pub use self::stored::StoredResponse;
