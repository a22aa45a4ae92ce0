use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};

use crate::clock::{Moment, Now};
use crate::deadline::{Deadline, DeadlineOf, ExportDeadline};
use crate::telemetry;

/// Carries deadlines across the wire, as the time that is left.
///
/// Nothing crosses it unless asked for. Outward, give it to a client's timeout, and each request says how long its
/// answer is waited for. Inward, say whom you believe and how much: a stranger who asks for an hour, or for a
/// microsecond, is not listened to.
///
/// The formats are gRPC's `grpc-timeout` (at most eight digits and one of `H M S m u n`; see "gRPC over HTTP2") and
/// plain milliseconds in a header of your choice. What is written is rounded down, but never to zero, which would say that it
/// is too late already. A value that cannot be read is ignored, with an event.
///
/// ```
/// use std::net::SocketAddr;
/// use std::time::Duration;
/// use axum::body::Body;
/// use axum::extract::ConnectInfo;
/// use buttress::http::{DeadlineHeader, InExtensions};
/// use buttress::timeout::{TimeoutConfig, TimeoutLayer};
/// use http::{HeaderName, Request};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let header = DeadlineHeader::millis(HeaderName::from_static("x-time-left-ms"));
///
/// let attempt = TimeoutLayer::new(TimeoutConfig::new(Duration::from_millis(250)))?
///     .http_client()
///     .export_with(header.clone());
///
/// // Served with `into_make_service_with_connect_info::<SocketAddr>()`.
/// let from_gateway = |request: &Request<Body>| {
///     let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
///     peer.is_some_and(|ConnectInfo(peer)| peer.ip().is_loopback())
/// };
/// let door = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?
///     .http_server()
///     .deadline_of((InExtensions, header.trusting(from_gateway, Duration::from_secs(1))?));
/// let app: axum::Router = axum::Router::new().layer(door);
/// # let _ = (attempt, app);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DeadlineHeader {
    header: HeaderName,
    format: Format,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Grpc,
    Millis,
}

impl DeadlineHeader {
    /// gRPC's `grpc-timeout`.
    #[must_use]
    pub const fn grpc_timeout() -> Self {
        Self { header: HeaderName::from_static("grpc-timeout"), format: Format::Grpc }
    }

    /// Whole milliseconds in `header`.
    #[must_use]
    pub const fn millis(header: HeaderName) -> Self {
        Self { header, format: Format::Millis }
    }

    /// Reads the header where `trust`, such as `|request: &Request<Body>| ..`, says that its sender may set it, and
    /// takes it for `at_most` when it asks for more.
    ///
    /// # Errors
    ///
    /// [`InvalidDeadlineHeader`] if `at_most` is zero.
    pub fn trusting<T>(self, trust: T, at_most: Duration) -> Result<TrustedDeadline<T>, InvalidDeadlineHeader>
    where
        T: Send + Sync + 'static,
    {
        if at_most.is_zero() {
            return Err(InvalidDeadlineHeader::ZeroMaximum);
        }
        Ok(TrustedDeadline { header: self, trust: Arc::new(trust), at_most })
    }
}

impl<B> ExportDeadline<Request<B>> for DeadlineHeader {
    fn export(&self, request: &mut Request<B>, deadline: Deadline, now: Moment) {
        let left = deadline.moment().since(now);
        let value = match self.format {
            Format::Grpc => write_grpc(left),
            Format::Millis => HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1)),
        };
        request.headers_mut().insert(self.header.clone(), value);
    }
}

/// A [`DeadlineHeader`] that is read where its sender is trusted.
pub struct TrustedDeadline<T> {
    header: DeadlineHeader,
    trust: Arc<T>,
    at_most: Duration,
}

impl<T> Clone for TrustedDeadline<T> {
    fn clone(&self) -> Self {
        Self { header: self.header.clone(), trust: self.trust.clone(), at_most: self.at_most }
    }
}

impl<B, T> DeadlineOf<Request<B>> for TrustedDeadline<T>
where
    T: Fn(&Request<B>) -> bool,
{
    fn deadline_of(&self, request: &Request<B>, now: &Now) -> Option<Deadline> {
        let name = &self.header.header;
        let value = request.headers().get(name)?;
        if !(self.trust)(request) {
            telemetry::deadline_ignored(name.as_str(), "its sender is not trusted");
            return None;
        }
        let text = value.as_bytes();
        let left = match self.header.format {
            Format::Grpc => read_grpc(text),
            Format::Millis => number(text).map(Duration::from_millis),
        };
        let Some(left) = left else {
            telemetry::deadline_ignored(name.as_str(), "it cannot be read");
            return None;
        };
        Some(Deadline::at(now.moment() + left.min(self.at_most)))
    }
}

impl<T> fmt::Debug for TrustedDeadline<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedDeadline")
            .field("header", &self.header)
            .field("at_most", &self.at_most)
            .finish_non_exhaustive()
    }
}

/// A setting that a [`DeadlineHeader`] cannot work with.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidDeadlineHeader {
    /// The most a sender may ask for is zero: every request that carries the header would be too late.
    ZeroMaximum,
}

impl fmt::Display for InvalidDeadlineHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroMaximum => f.write_str("the most a deadline header may ask for must be longer than zero"),
        }
    }
}

impl Error for InvalidDeadlineHeader {}

/// gRPC's units with their length in nanoseconds, finest first.
const GRPC_UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60_000_000_000),
    (b'H', 3_600_000_000_000),
];

/// gRPC allows eight digits.
const GRPC_MOST: u128 = 99_999_999;

fn write_grpc(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos().max(1);
    let (unit, count) = GRPC_UNITS
        .iter()
        .map(|&(unit, length)| (unit, nanos / u128::from(length)))
        .find(|(_, count)| *count <= GRPC_MOST)
        .unwrap_or((b'H', GRPC_MOST));
    HeaderValue::try_from(format!("{count}{}", char::from(unit))).expect("digits and a letter are a header value")
}

fn read_grpc(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    let &(_, length) = GRPC_UNITS.iter().find(|(known, _)| known == unit)?;
    if digits.len() > 8 {
        return None;
    }
    let count = u32::try_from(number(digits)?).ok()?;
    Some(Duration::from_nanos(length).saturating_mul(count))
}

/// Decimal digits and nothing else; what is too large for a `u64` is as large as one can be.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn read(header: &DeadlineHeader, value: &str, trusted: bool) -> Option<Duration> {
        let trust = move |_: &Request<()>| trusted;
        let reader = header.clone().trusting(trust, Duration::from_secs(10)).expect("ten seconds are a maximum");
        let request = Request::builder().header(&header.header, value).body(()).expect("a valid header");
        reader.deadline_of(&request, &Now::unread()).map(Deadline::left)
    }

    fn millis() -> DeadlineHeader {
        DeadlineHeader::millis(HeaderName::from_static("x-left"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_trusted_sender_is_believed_up_to_the_maximum() {
        assert_eq!(read(&millis(), "250", true), Some(250 * MS));
        assert_eq!(read(&DeadlineHeader::grpc_timeout(), "250m", true), Some(250 * MS));
        assert_eq!(read(&millis(), "99999999999999999999999", true), Some(Duration::from_secs(10)), "clamped");
        assert_eq!(read(&DeadlineHeader::grpc_timeout(), "99999999H", true), Some(Duration::from_secs(10)), "clamped");
        assert_eq!(read(&millis(), "0", true), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_not() {
        assert_eq!(read(&millis(), "250", false), None);
        assert_eq!(read(&DeadlineHeader::grpc_timeout(), "250m", false), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_no_deadline() {
        for value in ["", "m", "1", "123456789m", "1x", "-1m", "+1m", "1.5S", " 1S", "1 S", "1ms"] {
            assert_eq!(read(&DeadlineHeader::grpc_timeout(), value, true), None, "{value:?}");
        }
        for value in ["", "1m", "-1", "+1", "1.5", "0x1", "1e3"] {
            assert_eq!(read(&millis(), value, true), None, "{value:?}");
        }
    }

    #[test]
    fn a_maximum_of_zero_is_refused() {
        let error = millis().trusting(|_: &Request<()>| true, Duration::ZERO).expect_err("zero is refused");
        assert_eq!(error, InvalidDeadlineHeader::ZeroMaximum);
        assert_eq!(error.to_string(), "the most a deadline header may ask for must be longer than zero");
    }

    fn written(header: &DeadlineHeader, left: Duration) -> String {
        let mut request = Request::new(());
        let now = Moment::EPOCH;
        header.export(&mut request, Deadline::at(now + left), now);
        request.headers()[&header.header].to_str().expect("text").to_owned()
    }

    #[test]
    fn what_is_left_is_written_in_the_finest_unit_that_fits() {
        let grpc = |left| written(&DeadlineHeader::grpc_timeout(), left);
        assert_eq!(grpc(Duration::from_nanos(1)), "1n");
        assert_eq!(grpc(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(grpc(Duration::from_nanos(100_000_999)), "100000u", "rounded down");
        assert_eq!(grpc(Duration::from_secs(99)), "99000000u");
        assert_eq!(grpc(Duration::from_secs(100)), "100000m");
        assert_eq!(grpc(Duration::MAX), "5124095H", "as far as a moment can be");
        assert_eq!(written(&millis(), Duration::from_micros(1_999)), "1");
        assert_eq!(written(&millis(), Duration::from_micros(1)), "1", "zero would say that it is too late");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_no_more_and_hardly_less(nanos in 1..u64::MAX) {
            let left = Duration::from_nanos(nanos);
            let text = written(&DeadlineHeader::grpc_timeout(), left);
            prop_assert!(text.len() <= 9);
            let read = read_grpc(text.as_bytes()).expect("what we write we can read");
            prop_assert!(read <= left);
            prop_assert!(left - read <= left / 100_000, "{left:?} became {read:?}");
        }

        #[test]
        fn no_header_can_panic(value in proptest::collection::vec(any::<u8>(), 0..24)) {
            read_grpc(&value);
            number(&value);
        }
    }
}
