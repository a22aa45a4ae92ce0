mod idempotency;
mod link;
mod number;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LINK, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

pub use self::link::InvalidLink;
use self::number::number;
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
/// | [`Refused`](crate::idempotency::Refused) | 409 while the request is running, or if what came of it cannot be told; 422 if its key was used for another request; 400 for a missing or malformed key; 413 if it is too large; 408 if it took too long to arrive; 400 if it is cut; 503 if nobody can know whether it was run before, as many are running as may, or its run did not come to its end; 500 if nobody says whose it is |
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
    describedby: Option<&'static str>,
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
            describedby: None,
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

    /// Says with each refusal where it is explained: `Link: <uri>; rel="describedby"`, as the IETF's draft on idempotency keys
    /// wants it.
    ///
    /// # Errors
    ///
    /// [`InvalidLink`] for what cannot stand in a header as the reference of a link.
    ///
    /// ```
    /// use buttress::http::AsResponse;
    ///
    /// # fn main() -> Result<(), buttress::http::InvalidLink> {
    /// let refuse = AsResponse::new().describedby("https://docs.example/idempotency#errors")?;
    /// # let _ = refuse;
    /// # Ok(())
    /// # }
    /// ```
    pub fn describedby(mut self, uri: &'static str) -> Result<Self, InvalidLink> {
        self.describedby = Some(link::checked(uri)?);
        Ok(self)
    }

    fn problem(self, rejection: &Rejection) -> Problem {
        let (status, usual, text) = match rejection {
            Rejection::Elapsed(elapsed) => (
                self.elapsed,
                StatusCode::GATEWAY_TIMEOUT,
                if elapsed.was_called() {
                    r#"{"type":"urn:problem-type:buttress:timeout","title":"Timed out","status":504,"detail":"There was no answer within the time allowed."}"#
                } else {
                    r#"{"type":"urn:problem-type:buttress:timeout","title":"Timed out","status":504,"detail":"The deadline had passed before the request arrived."}"#
                },
            ),
            Rejection::CircuitOpen(_) => (
                self.circuit_open,
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"type":"urn:problem-type:buttress:circuit-open","title":"Temporarily unavailable","status":503,"detail":"What is needed to answer is unavailable, and is left alone for a while."}"#,
            ),
            Rejection::RateLimited(limited) => return self.too_many(limited.reason()),
            Rejection::Idempotency(refused) => return idempotency::problem(refused.reason()),
        };
        Problem { status, usual, text }
    }

    const fn too_many(self, reason: LimitReason) -> Problem {
        let (status, usual, text) = match reason {
            LimitReason::WithoutKey => (
                self.key_missing,
                StatusCode::BAD_REQUEST,
                r#"{"type":"urn:problem-type:buttress:rate-limit-key-missing","title":"Key missing","status":400,"detail":"Requests are counted by a key, such as that of an account, and this one has none."}"#,
            ),
            LimitReason::CostAboveBurst => (
                self.rate_limited,
                StatusCode::TOO_MANY_REQUESTS,
                r#"{"type":"urn:problem-type:buttress:rate-limit-cost","title":"Too costly","status":429,"detail":"The request costs more than is ever let through at once. It cannot pass as it is."}"#,
            ),
            _ => (
                self.rate_limited,
                StatusCode::TOO_MANY_REQUESTS,
                r#"{"type":"urn:problem-type:buttress:rate-limited","title":"Too many requests","status":429,"detail":"There were more requests than are let through."}"#,
            ),
        };
        Problem { status, usual, text }
    }

    /// Not inlined, so that what polls a refusal stays small.
    #[inline(never)]
    fn response<B: From<Bytes>>(self, rejection: Rejection) -> Response<B> {
        let mut response = self.finish(&self.problem(&rejection));
        if let Some(wait) = rejection.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, number(whole_seconds(wait).max(1)));
        }
        response.extensions_mut().insert(rejection);
        response
    }
}

impl AsResponse {
    fn finish<B: From<Bytes>>(self, problem: &Problem) -> Response<B> {
        let mut response = Response::new(problem.to_json().into());
        *response.status_mut() = problem.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(link) = self.describedby.and_then(link::describedby) {
            response.headers_mut().insert(LINK, link);
        }
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
        Ok(self.response(rejection))
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
    /// What stands in the text.
    usual: StatusCode,
    text: &'static str,
}

impl Problem {
    /// Floods are refused, and so a text that is as it stands here is not even copied.
    #[inline]
    fn to_json(&self) -> Bytes {
        if self.status == self.usual { Bytes::from_static(self.text.as_bytes()) } else { self.to_changed_json() }
    }

    #[cold]
    fn to_changed_json(&self) -> Bytes {
        self.text.replacen(self.usual.as_str(), self.status.as_str(), 1).into()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::*;
    use crate::rejection::{Cause, Elapsed, Limited, Open, TripReason};

    #[test]
    fn every_refusal_is_a_problem_in_json() {
        let limited = [LimitReason::QuotaUsedUp, LimitReason::CostAboveBurst, LimitReason::WithoutKey]
            .map(|reason| Limited::new("door".into(), reason).into());
        let open = Open::new("door".into(), TripReason::ForcedOpen).into();
        let others = [elapsed(Cause::OwnLimit), elapsed(Cause::DeadlineBeforeCall), open];
        let teapot = StatusCode::IM_A_TEAPOT;
        let chosen = AsResponse::new().when_elapsed(teapot).when_circuit_open(teapot).when_rate_limited(teapot);
        let chosen = chosen.when_key_missing(teapot);
        for rejection in others.into_iter().chain(limited) {
            for (refuse, is_chosen) in [(AsResponse::new(), false), (chosen, true)] {
                let response: Response<Bytes> = refuse.response(rejection.clone());
                assert_eq!(response.status() == teapot, is_chosen);
                let body: serde_json::Value = serde_json::from_slice(response.body()).expect("valid JSON");
                assert_eq!(body["status"], response.status().as_u16());
                let members = body.as_object().expect("an object").keys();
                assert_eq!(members.collect::<Vec<_>>(), ["detail", "status", "title", "type"]);
            }
        }
    }

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
    fn a_refusal_says_where_it_is_explained_if_it_was_told() {
        let refuse = AsResponse::new().describedby("/docs/limits#429").expect("a reference");
        let rejections = [elapsed(Cause::OwnLimit), Limited::new("door".into(), LimitReason::QuotaUsedUp).into()];
        for rejection in rejections {
            let response: Response<Bytes> = refuse.response(rejection.clone());
            assert_eq!(response.headers()[LINK], "</docs/limits#429>; rel=\"describedby\"");
            assert!(!super::response(rejection).headers().contains_key(LINK));
        }
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
