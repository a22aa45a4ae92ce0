use http::{Extensions, HeaderMap, Response, StatusCode};

use super::hints;
use crate::outcome::{self, Classify, Failure, FailureKind, Outcome};
use crate::rejection::{MayCarryRejection, Rejection};

/// Reads what a call means from its status code; how long the server asks to be left alone from `Retry-After` (RFC 9110,
/// section 10.2.3) or else from `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10); and from `x-should-retry: false` that
/// the request is not to be sent again.
///
/// | status | means |
/// |---|---|
/// | 500, 502, 503, 504 | [`Error`](FailureKind::Error) |
/// | 501, 505 | success: the server says what it will never do |
/// | other 5xx | [`Permanent`](FailureKind::Permanent) |
/// | 408 | [`RequestTimeout`](FailureKind::RequestTimeout) |
/// | 425, 429 | [`Throttled`](FailureKind::Throttled) |
/// | anything else | success |
///
/// A response that [`AsResponse`](crate::http::AsResponse) of a layer further in made means what its
/// [`Rejection`] says, whatever its status. An error means that the call failed, unless it carries a refusal.
///
/// ```
/// use std::time::Duration;
/// use buttress::http::StatusClassifier;
/// use buttress::outcome::{Classify, Failure, FailureKind};
///
/// let busy = http::Response::builder().status(503).header("retry-after", "2").body(()).unwrap();
/// let outcome = StatusClassifier.classify(Ok::<_, &std::io::Error>(&busy));
/// let expected = Failure::new(FailureKind::Error).with_code(503).with_retry_after(Duration::from_secs(2));
/// assert_eq!(outcome, expected.into());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StatusClassifier;

impl<B, E> Classify<Response<B>, E> for StatusClassifier
where
    E: MayCarryRejection,
{
    #[inline]
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        match result {
            Ok(response) if is_plainly_fine(response) => Outcome::Success,
            Ok(response) => of_response(response.status(), response.headers(), response.extensions()),
            Err(error) => outcome::of_error(error).into(),
        }
    }
}

/// Most are, and it takes a look or two to see.
#[inline]
fn is_plainly_fine<B>(response: &Response<B>) -> bool {
    response.status() < StatusCode::REQUEST_TIMEOUT && response.extensions().is_empty()
}

#[inline(never)]
fn of_response(status: StatusCode, headers: &HeaderMap, extensions: &Extensions) -> Outcome {
    match extensions.get::<Rejection>() {
        Some(rejection) => Failure::from(rejection.clone()).with_code(status.as_u16()).into(),
        None => StatusClassifier.of_head(status, headers),
    }
}

impl StatusClassifier {
    /// What a response with this status and these headers means; for clients whose responses are not those of `http`.
    #[must_use]
    pub fn of_head(self, status: StatusCode, headers: &HeaderMap) -> Outcome {
        match kind_of(status) {
            None => Outcome::Success,
            Some(kind) => failed(kind, status, headers).into(),
        }
    }
}

#[cold]
fn failed(kind: FailureKind, status: StatusCode, headers: &HeaderMap) -> Failure {
    let mut failure = Failure::new(kind).with_code(status.as_u16());
    if let Some(wait) = hints::wait(headers) {
        failure = failure.with_retry_after(wait);
    }
    if hints::forbid_retry(headers) { failure.not_to_be_retried() } else { failure }
}

fn kind_of(status: StatusCode) -> Option<FailureKind> {
    match status.as_u16() {
        500 | 502 | 503 | 504 => Some(FailureKind::Error),
        // Not 501 and 505, which say what the server will never do.
        506..=599 => Some(FailureKind::Permanent),
        408 => Some(FailureKind::RequestTimeout),
        425 | 429 => Some(FailureKind::Throttled),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::rejection::{Cause, Elapsed, Error};

    fn meaning(response: &Response<()>) -> Outcome {
        StatusClassifier.classify(Ok::<_, &io::Error>(response))
    }

    fn status(status: u16) -> Response<()> {
        Response::builder().status(status).body(()).expect("a valid status")
    }

    #[test]
    fn every_status_means_what_the_table_says() {
        for code in 100..600 {
            let expected = match code {
                500 | 502 | 503 | 504 => Some(FailureKind::Error),
                408 => Some(FailureKind::RequestTimeout),
                425 | 429 => Some(FailureKind::Throttled),
                501 | 505 => None,
                _ if code >= 500 => Some(FailureKind::Permanent),
                _ => None,
            };
            let failure = meaning(&status(code)).failure();
            assert_eq!(failure.as_ref().map(Failure::kind), expected, "{code}");
            assert_eq!(failure.and_then(|failure| failure.code()), expected.map(|_| code));
        }
    }

    #[test]
    fn our_own_refusal_counts_for_more_than_its_status() {
        for (cause, kind) in
            [(Cause::OwnLimit, FailureKind::TimedOut), (Cause::DeadlineBeforeCall, FailureKind::Expired)]
        {
            let rejection = Rejection::from(Elapsed::new("attempt".into(), Duration::from_secs(1), cause));
            let mut response = status(200);
            response.extensions_mut().insert(rejection.clone());
            let failure = meaning(&response).failure().expect("a refusal is a failure");
            assert_eq!((failure.kind(), failure.rejection()), (kind, Some(&rejection)));
            let as_error = Error::<io::Error>::from(rejection);
            let outcome = Classify::<Response<()>, _>::classify(&StatusClassifier, Err(&as_error));
            assert_eq!(outcome.failure().map(|failure| failure.kind()), Some(kind));
        }
    }

    #[test]
    fn a_transport_error_is_an_error() {
        let outcome = Classify::<Response<()>, _>::classify(&StatusClassifier, Err(&io::Error::other("reset")));
        assert_eq!(outcome, Failure::new(FailureKind::Error).into());
    }

    #[test]
    fn what_the_server_says_about_another_try_is_read() {
        let busy = Response::builder().status(429).header("retry-after", "2").header("x-should-retry", "false");
        let expected = Failure::new(FailureKind::Throttled).with_code(429).with_retry_after(Duration::from_secs(2));
        assert_eq!(meaning(&busy.body(()).expect("valid")), expected.not_to_be_retried().into());
        let fine = Response::builder().status(200).header("retry-after", "2").header("x-should-retry", "false");
        assert_eq!(meaning(&fine.body(()).expect("valid")), Outcome::Success);
    }
}
