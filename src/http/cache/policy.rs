use std::fmt;
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, StatusCode, response};

use super::rules::{Lookup, Verdict};

/// Decides which answers are kept, and for whom; by itself as the origin says explicitly.
pub(in crate::http) trait Policy: fmt::Debug + Send + Sync {
    /// What becomes of an answer. `absence`: for how long it is worth to be remembered that there is nothing, if it is.
    fn verdict(&self, lookup: Lookup, response: &response::Parts, absence: Option<Duration>) -> Verdict {
        lookup.verdict(response, absence)
    }

    /// Whether there are copies for everybody that may answer who says who they are.
    fn is_for_authorized(&self) -> bool {
        false
    }

    /// Whether that with these headers is one.
    fn may_answer_authorized(&self, kept: &HeaderMap) -> bool {
        let _ = kept;
        false
    }

    /// With which headers to ask whether a copy with the headers `known` is still good; without any, it is not asked.
    fn conditions(&self, known: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let _ = known;
        Vec::new()
    }

    /// Whether a 304 with the headers `response` says that a copy with this status and the headers `known` is still good.
    fn is_still_good(&self, status: StatusCode, known: &HeaderMap, response: &HeaderMap) -> bool {
        let _ = (status, known, response);
        false
    }
}

/// As the origin says explicitly, and no more.
#[derive(Debug)]
pub(super) struct Explicit;

impl Policy for Explicit {}
