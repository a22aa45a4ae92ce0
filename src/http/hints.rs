//! What a server says about being called again.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, HeaderName, RETRY_AFTER};
use sfv::{BareItem, List, ListEntry, Parser};

use crate::clock;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// How long the server asks to be left alone: `Retry-After`, or else what `RateLimit` says, as its draft has it.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers).or_else(|| rate_limit(headers))
}

/// Whole seconds, or a date, which is compared with the server's own `Date` where it gives one, since its clock need not
/// agree with ours. A date that has passed asks for no wait.
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

/// The longest time until one of the limits that are used up (`r=0`) has something again (`t`, in seconds;
/// draft-ietf-httpapi-ratelimit-headers-10).
fn rate_limit(headers: &HeaderMap) -> Option<Duration> {
    let limits = headers.get_all(RATE_LIMIT).iter();
    let lists = limits.filter_map(|value| Parser::new(value.as_bytes()).parse::<List>().ok());
    lists.flatten().filter_map(|limit| until_reset(&limit)).max()
}

fn until_reset(limit: &ListEntry) -> Option<Duration> {
    let ListEntry::Item(limit) = limit else {
        return None;
    };
    let number = |key: &str| match limit.params.get(key) {
        Some(BareItem::Integer(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    let is_used_up = number("r") == Some(0);
    number("t").filter(|_| is_used_up).map(Duration::from_secs)
}

/// Whether the server says that the request is not to be sent again: `x-should-retry: false`, which several public APIs
/// and their clients have agreed upon.
pub(super) fn forbid_retry(headers: &HeaderMap) -> bool {
    headers.get(SHOULD_RETRY).is_some_and(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"false"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |value: &str| HeaderValue::from_str(value).expect("a valid value");
        let mut headers = HeaderMap::new();
        for (name, text) in pairs {
            headers.append(name, value(text));
        }
        headers
    }

    fn hint(retry_after: &str, date: Option<&str>) -> Option<Duration> {
        let mut pairs = vec![(RETRY_AFTER, retry_after)];
        pairs.extend(date.map(|date| (DATE, date)));
        wait(&headers(&pairs))
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

    #[test]
    fn a_limit_that_is_used_up_says_when_it_is_not() {
        let wait_for =
            |fields: &[&str]| wait(&headers(&fields.iter().map(|field| (RATE_LIMIT, *field)).collect::<Vec<_>>()));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait_for(&[r#""default";r=0;t=30"#]), seconds(30));
        assert_eq!(wait_for(&[r#""default";r=5;t=30"#]), None, "there is something left");
        assert_eq!(wait_for(&[r#""default";r=0"#]), None, "it does not say when");
        assert_eq!(wait_for(&[r#""a";r=0;t=3, "b";r=0;t=7;pk=:AAE=:, "c";r=1;t=9"#]), seconds(7));
        assert_eq!(wait_for(&[r#""a";r=0;t=8"#, r#""b";r=0;t=7"#]), seconds(8), "a field may come in several lines");
        for malformed in
            ["", "100", r#""a";r=0;t=-1"#, r#""a";r=0;t=1.5"#, r#""a";r=0;t=1 "b""#, "limit=10, remaining=0, reset=5"]
        {
            assert_eq!(wait_for(&[malformed]), None, "{malformed:?}");
        }
    }

    #[test]
    fn retry_after_counts_for_more_than_rate_limit() {
        let both = headers(&[(RETRY_AFTER, "2"), (RATE_LIMIT, r#""default";r=0;t=30"#)]);
        assert_eq!(wait(&both), Some(Duration::from_secs(2)));
    }

    #[test]
    fn only_false_forbids() {
        let forbids = |value| forbid_retry(&headers(&[(SHOULD_RETRY, value)]));
        assert!(forbids("false") && forbids(" False "));
        assert!(!forbids("true") && !forbids("") && !forbid_retry(&HeaderMap::new()));
    }

    proptest! {
        #[test]
        fn no_header_can_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                for name in [RETRY_AFTER, DATE, RATE_LIMIT, SHOULD_RETRY] {
                    headers.insert(&name, value.clone());
                    wait(&headers);
                    forbid_retry(&headers);
                }
                headers.remove(RETRY_AFTER);
                wait(&headers);
            }
        }

        #[test]
        fn no_list_of_limits_can_panic(value in r#"("[a-z]{0,3}"(;[rt](=-?[0-9]{0,16})?){0,3},? ?){0,3}"#) {
            wait(&headers(&[(RATE_LIMIT, &value)]));
        }
    }
}
