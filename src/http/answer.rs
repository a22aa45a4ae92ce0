use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::rate_limit::whole_seconds;
use crate::rejection::{LimitReason, Reject, Rejection};

/// Refuses with a response, so that a service which cannot fail, as in axum, has its layers without any error
/// handling.
///
/// The response has the status below, a `Retry-After` (whole seconds, rounded up, at least 1) where the layer knows when, and a
/// body `application/problem+json` after RFC 9457. The [`Rejection`] itself is left in its extensions, where
/// [`StatusClassifier`](crate::http::StatusClassifier) of a layer further out looks for it.
///
/// | refusal | status |
/// |---|---|
/// | [`Elapsed`](crate::timeout::Elapsed) | 504, settable |
/// | [`Open`](crate::circuit_breaker::Open) | 503, settable |
/// | [`Limited`](crate::rate_limit::Limited) | 429, settable, and without `Retry-After` where the request costs more than can ever pass; 400, settable, where it lacks the key that it is counted under |
///
/// Any body that is `From<Bytes>` will do: axum's `Body`, `Full<Bytes>`, reqwest's.
///
/// ```
/// use std::time::Duration;
/// use buttress::http::AsResponse;
/// use buttress::timeout::{TimeoutConfig, TimeoutLayer};
/// use http::StatusCode;
///
/// # fn main() -> Result<(), buttress::timeout::InvalidTimeout> {
/// let door = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?
///     .http_server()
///     .reject_with(AsResponse::new().when_elapsed(StatusCode::SERVICE_UNAVAILABLE));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsResponse {
    elapsed: StatusCode,
    circuit_open: StatusCode,
    rate_limited: StatusCode,
    key_missing: StatusCode,
}

impl AsResponse {
    /// Refuses with the statuses of the table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            elapsed: StatusCode::GATEWAY_TIMEOUT,
            circuit_open: StatusCode::SERVICE_UNAVAILABLE,
            rate_limited: StatusCode::TOO_MANY_REQUESTS,
            key_missing: StatusCode::BAD_REQUEST,
        }
    }

    /// Answers a call that took too long with `status` instead of 504. A 408 tells the client that *it* was slow, and
    /// browsers repeat it.
    #[must_use]
    pub const fn when_elapsed(mut self, status: StatusCode) -> Self {
        self.elapsed = status;
        self
    }

    /// Answers a call that a circuit breaker refused with `status` instead of 503.
    #[must_use]
    pub const fn when_circuit_open(mut self, status: StatusCode) -> Self {
        self.circuit_open = status;
        self
    }

    /// Answers a call that a rate limiter refused with `status` instead of 429, where it does not concern the client alone:
    /// 503, say.
    #[must_use]
    pub const fn when_rate_limited(mut self, status: StatusCode) -> Self {
        self.rate_limited = status;
        self
    }

    /// Answers a call that a rate limiter refused for want of a key with `status` instead of 400: 401, say, where the key is
    /// that of an account.
    #[must_use]
    pub const fn when_key_missing(mut self, status: StatusCode) -> Self {
        self.key_missing = status;
        self
    }

    fn problem(self, rejection: &Rejection) -> Problem {
        match rejection {
            Rejection::Elapsed(elapsed) => Problem {
                status: self.elapsed,
                kind: "timeout",
                title: "Timed out",
                detail: if elapsed.was_called() {
                    "There was no answer within the time allowed."
                } else {
                    "The deadline had passed before the request arrived."
                },
            },
            Rejection::CircuitOpen(_) => Problem {
                status: self.circuit_open,
                kind: "circuit-open",
                title: "Temporarily unavailable",
                detail: "What is needed to answer is unavailable, and is left alone for a while.",
            },
            Rejection::RateLimited(limited) => self.too_many(limited.reason()),
        }
    }

    const fn too_many(self, reason: LimitReason) -> Problem {
        let (status, kind, title, detail) = match reason {
            LimitReason::WithoutKey => (
                self.key_missing,
                "rate-limit-key-missing",
                "Key missing",
                "Requests are counted by a key, such as that of an account, and this one has none.",
            ),
            LimitReason::CostAboveBurst => (
                self.rate_limited,
                "rate-limit-cost",
                "Too costly",
                "The request costs more than is ever let through at once. It cannot pass as it is.",
            ),
            _ => (
                self.rate_limited,
                "rate-limited",
                "Too many requests",
                "There were more requests than are let through.",
            ),
        };
        Problem { status, kind, title, detail }
    }

    fn response(self, rejection: Rejection) -> Response<Bytes> {
        let problem = self.problem(&rejection);
        let mut response = Response::new(problem.to_json().into());
        *response.status_mut() = problem.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = rejection.retry_after() {
            headers.insert(RETRY_AFTER, whole_seconds(wait).max(1).into());
        }
        response.extensions_mut().insert(rejection);
        response
    }
}

impl Default for AsResponse {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, E> Reject<Response<B>, E> for AsResponse
where
    B: From<Bytes>,
{
    fn reject(&self, rejection: Rejection) -> Result<Response<B>, E> {
        Ok(self.response(rejection).map(B::from))
    }
}

/// The response that [`AsResponse`] makes of a refusal, for a closure of yours to finish.
///
/// ```
/// use buttress::Rejection;
/// use http::Response;
///
/// let branded = |rejection: Rejection| -> Result<Response<String>, std::convert::Infallible> {
///     let mut response = buttress::http::response(rejection).map(|_| "<h1>One moment, please</h1>".to_owned());
///     response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/html"));
///     Ok(response)
/// };
/// # let _ = branded;
/// ```
#[must_use]
pub fn response(rejection: Rejection) -> Response<Bytes> {
    AsResponse::new().response(rejection)
}

/// A problem after RFC 9457. It tells the client what it can act on, and neither names nor limits of the layers.
struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: &'static str,
}

impl Problem {
    /// None of the texts needs escaping: they are all ours, and stand above.
    fn to_json(&self) -> String {
        format!(
            r#"{{"type":"urn:problem-type:buttress:{}","title":"{}","status":{},"detail":"{}"}}"#,
            self.kind,
            self.title,
            self.status.as_u16(),
            self.detail
        )
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;
    use crate::rejection::{Cause, Elapsed};

    fn elapsed(cause: Cause) -> Rejection {
        Elapsed::new("door".into(), Duration::from_secs(1), cause).into()
    }

    #[test]
    fn a_refusal_is_a_problem_that_carries_itself() {
        let response = response(elapsed(Cause::OwnLimit));
        assert_eq!(response.status(), 504);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert!(!response.headers().contains_key(RETRY_AFTER));
        assert_eq!(response.extensions().get(), Some(&elapsed(Cause::OwnLimit)));
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("valid JSON");
        let expected = serde_json::json!({
            "type": "urn:problem-type:buttress:timeout",
            "title": "Timed out",
            "status": 504,
            "detail": "There was no answer within the time allowed.",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_request_that_came_too_late_is_told_so() {
        let response = response(elapsed(Cause::DeadlineBeforeCall));
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("valid JSON");
        assert_eq!(body["detail"], "The deadline had passed before the request arrived.");
    }

    #[test]
    fn the_status_is_the_users_choice_and_the_body_agrees() {
        let refuse = AsResponse::new().when_elapsed(StatusCode::SERVICE_UNAVAILABLE);
        let response: Result<Response<Bytes>, Infallible> = refuse.reject(elapsed(Cause::OwnLimit));
        let response = response.unwrap_or_else(|never| match never {});
        assert_eq!(response.status(), 503);
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("valid JSON");
        assert_eq!(body["status"], 503);
    }
}
