use std::num::NonZeroU32;

use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::InExtensions;
use crate::attempt::Attempt;
use crate::retry::OnAttempt;
use crate::telemetry;

/// From the second attempt on, leaves the [`Attempt`] in the request's extensions, and in the current span as
/// `http.request.resend_count`, where that has such a field (OpenTelemetry's semantic conventions for HTTP).
impl<B> OnAttempt<Request<B>> for InExtensions {
    #[inline]
    fn on_attempt(&self, request: &mut Request<B>, attempt: Attempt) {
        if attempt.is_retry() {
            let told = request.extensions().get().copied().map_or(attempt, |told: Attempt| told.max(attempt));
            request.extensions_mut().insert(told);
            telemetry::resent(attempt);
        }
    }
}

/// Tells over the wire which attempt a request is, so that a server can refrain from multiplying retries by its own.
///
/// As what a [retry](crate::retry::RetryLayer::on_attempt) tells its requests, it writes the header from the second attempt
/// on, beside what [`InExtensions`] does; and also at the first, if that is a part of somebody else's retry, so that the
/// services further on know it too. As what [`InboundAttempts`](crate::http::InboundAttempts) looks for, it is
/// believed whoever sends it: the worst that a lie does is that the liar's own request is not retried.
///
/// ```
/// use buttress::http::AttemptHeader;
/// use buttress::retry::{RetryConfig, RetryLayer};
///
/// # fn main() -> Result<(), buttress::retry::InvalidRetry> {
/// let retry = RetryLayer::new(RetryConfig::new())?.http_client().on_attempt(AttemptHeader::new());
/// # let _ = retry;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AttemptHeader {
    name: HeaderName,
    /// What the first attempt would be told.
    first: u32,
}

impl AttemptHeader {
    /// `x-envoy-attempt-count`, which counts attempts from 1 and which meshes with Envoy write and read.
    #[must_use]
    pub const fn new() -> Self {
        Self { name: HeaderName::from_static("x-envoy-attempt-count"), first: 1 }
    }

    /// `grpc-previous-rpc-attempts`, which counts those before
    /// ([gRFC A6](https://github.com/grpc/proposal/blob/master/A6-client-retries.md)).
    #[must_use]
    pub const fn grpc() -> Self {
        Self { name: HeaderName::from_static("grpc-previous-rpc-attempts"), first: 0 }
    }

    /// A header of this name, which counts attempts from 1.
    #[must_use]
    pub const fn named(name: HeaderName) -> Self {
        Self { name, first: 1 }
    }

    /// Which attempt these headers say, if they say it.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap) -> Option<Attempt> {
        let told: u32 = headers.get(&self.name)?.to_str().ok()?.trim().parse().ok()?;
        let number = told.checked_sub(self.first)?.saturating_add(1);
        NonZeroU32::new(number).map(Attempt::new)
    }
}

impl Default for AttemptHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> OnAttempt<Request<B>> for AttemptHeader {
    fn on_attempt(&self, request: &mut Request<B>, attempt: Attempt) {
        let outer = request.extensions().get().copied().max(Attempt::current());
        InExtensions.on_attempt(request, attempt);
        let attempt = outer.map_or(attempt, |outer: Attempt| outer.max(attempt));
        if attempt.is_retry() {
            let value = HeaderValue::from(attempt.resends().saturating_add(self.first));
            request.headers_mut().insert(&self.name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(header: &AttemptHeader, attempt: Attempt) -> Request<()> {
        let mut request = Request::new(());
        header.on_attempt(&mut request, attempt);
        request
    }

    #[test]
    fn what_is_written_is_read() {
        for header in
            [AttemptHeader::new(), AttemptHeader::grpc(), AttemptHeader::named(HeaderName::from_static("try"))]
        {
            for number in [2, 3, u32::MAX] {
                let attempt = Attempt::new(NonZeroU32::new(number).expect("not zero"));
                assert_eq!(header.read(sent(&header, attempt).headers()), Some(attempt), "{header:?}");
            }
        }
    }

    #[test]
    fn the_first_attempt_is_told_nothing() {
        let request = sent(&AttemptHeader::new(), Attempt::FIRST);
        assert!(request.headers().is_empty() && request.extensions().is_empty());
    }

    #[tokio::test]
    async fn the_first_attempt_of_a_part_of_a_retry_is_told_of_that() {
        let third = Attempt::FIRST.next().next();
        let header = AttemptHeader::new();
        let in_scope = third.scope(async { sent(&header, Attempt::FIRST) }).await;
        assert_eq!(header.read(in_scope.headers()), Some(third));
        let mut request = Request::new(());
        request.extensions_mut().insert(third);
        header.on_attempt(&mut request, Attempt::FIRST.next());
        assert_eq!(header.read(request.headers()), Some(third), "the later one");
        assert_eq!(request.extensions().get(), Some(&third));
    }

    #[test]
    fn each_header_counts_in_its_own_way() {
        let second = Attempt::FIRST.next();
        assert_eq!(sent(&AttemptHeader::new(), second).headers()["x-envoy-attempt-count"], "2");
        assert_eq!(sent(&AttemptHeader::grpc(), second).headers()["grpc-previous-rpc-attempts"], "1");
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for value in ["", "-1", "two", "1.5", "0", "4294967296"] {
            let mut headers = HeaderMap::new();
            headers.insert("x-envoy-attempt-count", HeaderValue::from_static(value));
            assert_eq!(AttemptHeader::new().read(&headers), None, "{value:?}");
        }
    }
}
