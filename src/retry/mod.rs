//! Sends a request again when it failed.

mod config;
mod future;
mod handle;
mod layer;
mod service;
mod state;

pub use self::config::{
    AnyRequest, Backoff, BudgetConfig, Cloned, Copied, InvalidRetry, MayRepeat, NeverSent, NotKnown, OnAttempt, Replay,
    RetryConfig, RetryWhen, Spread, Untold,
};
pub use self::future::ResponseFuture;
pub use self::handle::Budget;
pub use self::layer::RetryLayer;
pub use self::service::Retry;
pub use crate::outcome::Kinds;
