//! The header `Content-Type`.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// A type without its parameters, such as the boundary between parts, which is another one each time.
pub(super) fn essence(headers: &HeaderMap) -> Option<&[u8]> {
    let kind = headers.get(CONTENT_TYPE)?.as_bytes();
    kind.split(|byte| *byte == b';').next().map(<[u8]>::trim_ascii)
}

/// Events come for as long as somebody listens.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|essence| essence.eq_ignore_ascii_case(b"text/event-stream"))
}
