#![cfg_attr(docsrs, feature(doc_cfg))]
//! placeholder

mod check;
pub mod clock;
pub mod deadline;
pub mod fallback;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "serde")]
mod human_duration;
pub mod jitter;
mod key;
#[cfg(test)]
#[path = "../tests/support/model.rs"]
mod model;
mod name;
pub mod outcome;
pub mod rejection;
mod telemetry;
pub mod timeout;

pub use crate::check::Check;
pub use crate::deadline::{Deadline, DeadlineOf};
pub use crate::key::KeyOf;
pub use crate::name::Name;
pub use crate::outcome::{AnyErrorIsFailure, Classify, Degraded, ErrorsAreFailures, Failure, FailureKind, Outcome};
pub use crate::rejection::{AsError, BoxError, Error, MayCarryRejection, Reject, Rejection};
