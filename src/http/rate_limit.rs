use std::fmt::Write as _;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response};

use crate::rate_limit::{Announce, Snapshot, Standing};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Tells the client how the limiters stand, after the IETF's draft of the header fields `RateLimit-Policy` and `RateLimit`
/// (draft-ietf-httpapi-ratelimit-headers-10).
///
/// ```text
/// RateLimit-Policy: "orders";q=1000;w=1
/// RateLimit: "orders";r=42
/// ```
///
/// - `q` in `w` is the rate: as many tokens as come back in `w` seconds. `w` is the shortest span of whole seconds in which
///   an empty bucket is full again. It is not what may come at once: that is the burst, and `r` is never more.
/// - `r` is how many tokens are there, and if there are none, `t` after how many seconds there is one.
///
/// It tells the names of the limiters to the client; characters that the fields cannot hold are left out.
///
/// ```
/// use buttress::http::RateLimitHeaders;
/// use buttress::rate_limit::{Quota, RateLimitConfig, RateLimitLayer};
/// use http::Response;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config = RateLimitConfig::new(Quota::per_minute(60).burst(10)).name("orders");
/// let service = RateLimitLayer::new(config)?
///     .http_server()
///     .announce(RateLimitHeaders)
///     .layer(service_fn(async |()| Ok::<_, std::convert::Infallible>(Response::new(bytes::Bytes::new()))));
///
/// let response = service.oneshot(()).await?;
/// assert_eq!(response.headers()["ratelimit-policy"], "\"orders\";q=10;w=10");
/// assert_eq!(response.headers()["ratelimit"], "\"orders\";r=9");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimitHeaders;

impl<B> Announce<Response<B>> for RateLimitHeaders {
    fn announce(&self, response: &mut Response<B>, standings: &[Standing]) {
        let headers = response.headers_mut();
        append(headers, POLICY, standings, |item, Standing { bucket, .. }| {
            let (quota, window) = policy(bucket);
            write!(item, ";q={quota};w={window}")
        });
        append(headers, LIMIT, standings, |item, Standing { bucket, .. }| match bucket.next_in {
            next if bucket.remaining == 0 => write!(item, ";r=0;t={}", whole_seconds(next)),
            _ => write!(item, ";r={}", bucket.remaining),
        });
    }
}

/// A line of its own, so that what the handler says of limits further in stays.
fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    standings: &[Standing],
    describe: impl Fn(&mut String, &Standing) -> std::fmt::Result,
) {
    let mut line = String::new();
    for standing in standings {
        if !line.is_empty() {
            line.push_str(", ");
        }
        push_string(&mut line, standing.name.as_str());
        describe(&mut line, standing).expect("a string takes whatever is written into it");
    }
    if let (false, Ok(value)) = (line.is_empty(), HeaderValue::try_from(line)) {
        headers.append(name, value);
    }
}

/// A string of RFC 9651, section 3.3.3.
fn push_string(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars().filter(|character| matches!(character, ' '..='~')) {
        if matches!(character, '"' | '\\') {
            line.push('\\');
        }
        line.push(character);
    }
    line.push('"');
}

/// As many tokens as come back in so many seconds.
fn policy(bucket: &Snapshot) -> (u128, u64) {
    let interval = bucket.interval.as_nanos().max(1);
    let refill = bucket.interval.saturating_mul(bucket.burst);
    let window = whole_seconds(refill).max(1);
    (u128::from(window) * 1_000_000_000 / interval, window)
}

pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}
