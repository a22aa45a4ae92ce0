use bytes::Bytes;
use http::{Response, StatusCode};

use super::{AsResponse, Problem};
use crate::rejection::RefusalReason;

impl AsResponse {
    /// To a repeated request, whose first answer was not kept.
    pub(in crate::http) fn not_replayable<B: From<Bytes>>(self) -> Response<B> {
        problem(RefusalReason::NotReplayable).into_response()
    }

    /// Of a service that failed in the midst of a request.
    pub(in crate::http) fn failed<B: From<Bytes>>(self) -> Response<B> {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let text = r#"{"type":"urn:problem-type:buttress:idempotency-failed","title":"Failed","status":500,"detail":"The request was begun, and failed. It is not processed again."}"#;
        Problem { status, usual: status, text }.into_response()
    }
}

/// What is said of a request that was not run; the statuses are those of the IETF's draft on the header.
pub(super) const fn problem(reason: RefusalReason) -> Problem {
    let (status, text) = match reason {
        RefusalReason::Running => (
            StatusCode::CONFLICT,
            r#"{"type":"urn:problem-type:buttress:idempotency-running","title":"Still running","status":409,"detail":"The same request is being processed. Ask again for its answer."}"#,
        ),
        RefusalReason::Mismatch => (
            StatusCode::UNPROCESSABLE_ENTITY,
            r#"{"type":"urn:problem-type:buttress:idempotency-mismatch","title":"Key used before","status":422,"detail":"The idempotency key was used for another request. Choose a new one for this."}"#,
        ),
        RefusalReason::NotReplayable => (
            StatusCode::CONFLICT,
            r#"{"type":"urn:problem-type:buttress:idempotency-not-replayable","title":"Processed already","status":409,"detail":"The request was processed. Its answer was not kept, and it is not processed again."}"#,
        ),
        RefusalReason::OutcomeUnknown => (
            StatusCode::CONFLICT,
            r#"{"type":"urn:problem-type:buttress:idempotency-outcome-unknown","title":"Outcome unknown","status":409,"detail":"The request was begun, and what came of it is not known. It is not processed again until somebody has looked."}"#,
        ),
        RefusalReason::WithoutKey => (
            StatusCode::BAD_REQUEST,
            r#"{"type":"urn:problem-type:buttress:idempotency-key-missing","title":"Idempotency key missing","status":400,"detail":"The request needs an idempotency key, so that it is processed once however often it is sent."}"#,
        ),
        RefusalReason::MalformedKey => (
            StatusCode::BAD_REQUEST,
            r#"{"type":"urn:problem-type:buttress:idempotency-key-malformed","title":"Idempotency key malformed","status":400,"detail":"The idempotency key is one string of 1 to 255 visible characters."}"#,
        ),
        RefusalReason::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            r#"{"type":"urn:problem-type:buttress:idempotency-too-large","title":"Too large","status":413,"detail":"The request is too large to be processed once however often it is sent."}"#,
        ),
        RefusalReason::Cut => (
            StatusCode::BAD_REQUEST,
            r#"{"type":"urn:problem-type:buttress:idempotency-cut","title":"Request cut","status":400,"detail":"The request came to an end before it was whole. Nothing was done."}"#,
        ),
        RefusalReason::TooSlow => (
            StatusCode::REQUEST_TIMEOUT,
            r#"{"type":"urn:problem-type:buttress:idempotency-too-slow","title":"Too slow","status":408,"detail":"The request took too long to arrive. Nothing was done; send it again."}"#,
        ),
        RefusalReason::TooManyRunning | RefusalReason::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-busy","title":"Temporarily unavailable","status":503,"detail":"As many requests are being processed as can be. Nothing was done; send it again."}"#,
        ),
        RefusalReason::StoreUnavailable | RefusalReason::StoreFull => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-unavailable","title":"Temporarily unavailable","status":503,"detail":"It cannot be known whether the request was processed before, and so it is not processed now."}"#,
        ),
    };
    Problem { status, usual: status, text }
}
