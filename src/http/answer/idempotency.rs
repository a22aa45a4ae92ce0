use bytes::Bytes;
use http::{Response, StatusCode};

use super::{AsResponse, Problem};
use crate::rejection::RefusalReason;

impl AsResponse {
    /// To a repeated request, whose first answer was not kept.
    pub(in crate::http) fn not_replayable<B: From<Bytes>>(self) -> Response<B> {
        self.finish(&problem(RefusalReason::NotReplayable))
    }

    /// Of a service that failed in the midst of a request.
    pub(in crate::http) fn failed<B: From<Bytes>>(self, is_final: bool) -> Response<B> {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let text = if is_final {
            r#"{"type":"urn:problem-type:buttress:idempotency-failed","title":"Failed","status":500,"detail":"The request was begun, and failed. It is not processed again."}"#
        } else {
            r#"{"type":"urn:problem-type:buttress:idempotency-failed-for-now","title":"Failed","status":500,"detail":"The request was begun, and failed. Sent again, it is processed again."}"#
        };
        self.finish(&Problem { status, usual: status, text })
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
        RefusalReason::Interrupted => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-interrupted","title":"Interrupted","status":503,"detail":"The request was begun, and did not come to its end. Sent again under the same key, it is looked up, and may be processed again."}"#,
        ),
        RefusalReason::RolledBack => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-rolled-back","title":"Rolled back","status":503,"detail":"The request was processed, and what it did was undone. Sent again, it is processed again."}"#,
        ),
        RefusalReason::WithoutKey => (
            StatusCode::BAD_REQUEST,
            r#"{"type":"urn:problem-type:buttress:idempotency-key-missing","title":"Idempotency key missing","status":400,"detail":"The request needs an idempotency key, so that it is processed once however often it is sent."}"#,
        ),
        RefusalReason::WithoutScope => (
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"type":"urn:problem-type:buttress:idempotency-scope-missing","title":"Sender unknown","status":500,"detail":"The server does not know whose request this is, and so it is not processed."}"#,
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
        RefusalReason::TooManyRunning => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-busy","title":"Temporarily unavailable","status":503,"detail":"As many requests are being processed as can be. Nothing was done; send it again."}"#,
        ),
        RefusalReason::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-draining","title":"Shutting down","status":503,"detail":"The server takes nothing new. Nothing was done; send it again, to another one."}"#,
        ),
        RefusalReason::StoreUnavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-unavailable","title":"Temporarily unavailable","status":503,"detail":"It cannot be known whether the request was processed before, and so it is not processed now."}"#,
        ),
        RefusalReason::StoreFull => (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"type":"urn:problem-type:buttress:idempotency-full","title":"Temporarily unavailable","status":503,"detail":"There is no room to remember the request, and so it is not processed. Nothing was done; send it again."}"#,
        ),
    };
    Problem { status, usual: status, text }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::rejection::Refused;

    const ALL: [RefusalReason; 16] = [
        RefusalReason::Running,
        RefusalReason::Mismatch,
        RefusalReason::NotReplayable,
        RefusalReason::OutcomeUnknown,
        RefusalReason::Interrupted,
        RefusalReason::RolledBack,
        RefusalReason::WithoutKey,
        RefusalReason::WithoutScope,
        RefusalReason::MalformedKey,
        RefusalReason::TooLarge,
        RefusalReason::Cut,
        RefusalReason::TooSlow,
        RefusalReason::StoreUnavailable,
        RefusalReason::StoreFull,
        RefusalReason::TooManyRunning,
        RefusalReason::Draining,
    ];

    #[test]
    fn every_reason_is_a_problem_of_a_type_of_its_own() {
        let described = AsResponse::new().describedby("https://docs.example/idempotency").expect("a reference");
        let mut responses: Vec<Response<Bytes>> =
            ALL.iter().map(|reason| described.response(Refused::new("orders".into(), *reason).into())).collect();
        responses.extend([true, false].map(|is_final| described.failed(is_final)));
        let mut types = HashSet::new();
        for response in &responses {
            let body: serde_json::Value = serde_json::from_slice(response.body()).expect("valid JSON");
            assert_eq!(body["status"], response.status().as_u16());
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(response.headers()["link"], "<https://docs.example/idempotency>; rel=\"describedby\"");
            types.insert(body["type"].as_str().expect("a type").to_owned());
        }
        assert_eq!(types.len(), responses.len(), "{types:?}");
        let not_replayable: Response<Bytes> = described.not_replayable();
        assert_eq!(not_replayable.body(), responses[2].body(), "one text, whoever says it");
    }
}
