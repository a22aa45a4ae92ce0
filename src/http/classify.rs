use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use crate::clock;
use crate::outcome::{self, Classify, Failure, FailureKind, Outcome};
use crate::rejection::{MayCarryRejection, Rejection};

/// Reads what a call means from its status code, and how long the server asks to be left alone from `Retry-After`
/// (RFC 9110, section 10.2.3).
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
    fn classify(&self, result: Result<&Response<B>, &E>) -> Outcome {
        let response = match result {
            Ok(response) => response,
            Err(error) => return outcome::of_error(error).into(),
        };
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            return Failure::from(rejection.clone()).with_code(response.status().as_u16()).into();
        }
        let Some(kind) = kind_of(response.status()) else {
            return Outcome::Success;
        };
        let failure = Failure::new(kind).with_code(response.status().as_u16());
        match retry_after(response.headers()) {
            Some(wait) => failure.with_retry_after(wait).into(),
            None => failure.into(),
        }
    }
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

/// How long a server asks to be left alone: whole seconds, or a date, which is compared with the server's own `Date`
/// where it gives one, since its clock need not agree with ours. A date that has passed asks for no wait.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits and yet no number means longer than a `u64` of seconds can say.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let now = date(headers).unwrap_or_else(clock::wall_time);
    Some(until.duration_since(now).unwrap_or_default())
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

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

    fn hint(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut response = Response::builder().status(503).header(RETRY_AFTER, retry_after);
        if let Some(date) = date {
            response = response.header(DATE, date);
        }
        let response = response.body(()).expect("valid headers");
        meaning(&response).failure().and_then(|failure| failure.retry_after())
    }

    #[test]
    fn a_hint_in_seconds_is_read() {
        assert_eq!(hint("120", None), Some(Duration::from_secs(120)));
        assert_eq!(hint(" 0 ", None), Some(Duration::ZERO));
        assert_eq!(hint("99999999999999999999999", None), Some(Duration::from_secs(u64::MAX)));
    }

    #[test]
    fn a_hint_as_date_counts_from_the_servers_own_date() {
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(hint("Sun, 06 Nov 1994 08:50:07 GMT", Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(hint("Sunday, 06-Nov-94 08:50:07 GMT", Some(now)), Some(Duration::from_secs(30)));
        assert_eq!(hint("Sun, 06 Nov 1994 08:00:00 GMT", Some(now)), Some(Duration::ZERO), "it has passed");
        assert_eq!(hint("Sun, 06 Nov 1994 08:50:07 GMT", None), Some(Duration::ZERO), "long ago by the wall clock");
        let far = httpdate::fmt_http_date(clock::wall_time() + Duration::from_secs(1000));
        let left = hint(&far, None).expect("a date");
        assert!(left > Duration::from_secs(900) && left <= Duration::from_secs(1000));
    }

    #[test]
    fn a_malformed_hint_is_no_hint() {
        for value in ["", "-1", "1.5", "soon", "+3", "0x10", "1 2"] {
            assert_eq!(hint(value, None), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_can_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(RETRY_AFTER, value.clone());
                headers.insert(DATE, value);
                retry_after(&headers);
            }
        }
    }
}
