//! A response as it is recorded.
//!
//! Two bytes that say whose it is, one for the version and one for what follows; the status; how many headers there are, and
//! each of them by the lengths of its name and its value; the trailers likewise; then the body, to the end. Numbers are
//! little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use crate::http::lines::{self, CUT};
use crate::http::pieces::Pieces;

const OURS: [u8; 2] = *b"bt";
const VERSION: u8 = 1;
const WHOLE: u8 = 0;
const WITHOUT_BODY: u8 = 1;

/// What was recorded of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    /// `None` if it could not be kept.
    pub(super) body: Option<Bytes>,
}

/// A response as it is to be recorded; without a `body` if that cannot be kept. `None` for headers that are longer than a length
/// can tell, which no server sends.
pub(super) fn encode(
    status: StatusCode,
    headers: &HeaderMap,
    trailers: &HeaderMap,
    body: Option<&Pieces>,
) -> Option<Bytes> {
    let lengths = lines::length(headers) + lines::length(trailers);
    let mut bytes = BytesMut::with_capacity(6 + lengths + body.map_or(0, Pieces::len));
    bytes.put_slice(&OURS);
    bytes.put_u8(VERSION);
    bytes.put_u8(if body.is_some() { WHOLE } else { WITHOUT_BODY });
    bytes.put_u16_le(status.as_u16());
    lines::encode(&mut bytes, headers)?;
    lines::encode(&mut bytes, trailers)?;
    body.into_iter().flat_map(Pieces::iter).for_each(|piece| bytes.put_slice(piece));
    Some(bytes.freeze())
}

impl Recorded {
    /// What was encoded; or why it cannot be told, and then it is not taken for nothing.
    pub(super) fn decode(mut bytes: Bytes) -> Result<Self, &'static str> {
        if bytes.try_get_u8() != Ok(OURS[0]) || bytes.try_get_u8() != Ok(OURS[1]) {
            return Err("it is none of ours");
        }
        if bytes.try_get_u8().map_err(|_| CUT)? != VERSION {
            return Err("it is of another version");
        }
        let kind = bytes.try_get_u8().map_err(|_| CUT)?;
        let status = StatusCode::from_u16(bytes.try_get_u16_le().map_err(|_| CUT)?).map_err(|_| "it has no status")?;
        let headers = lines::decode(&mut bytes)?;
        let trailers = lines::decode(&mut bytes)?;
        let body = match kind {
            WHOLE => Some(bytes),
            WITHOUT_BODY if bytes.is_empty() => None,
            WITHOUT_BODY => return Err("it has a body that it should not have"),
            _ => return Err("it is of an unknown kind"),
        };
        Ok(Self { status, headers, trailers, body })
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn encoded(recorded: &Recorded) -> Bytes {
        let body = recorded.body.clone().map(Pieces::from);
        encode(recorded.status, &recorded.headers, &recorded.trailers, body.as_ref()).expect("short")
    }

    fn recorded() -> impl Strategy<Value = Recorded> {
        let header = ("[a-z][a-z-]{0,20}", proptest::collection::vec(32..=255_u8, 0..40));
        let headers = proptest::collection::vec((header, any::<bool>()), 0..8);
        let body = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
        (100..1000_u16, headers, body).prop_map(|(status, lines, body)| {
            let (mut headers, mut trailers) = (HeaderMap::new(), HeaderMap::new());
            for ((name, value), is_trailer) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    let lines = if is_trailer { &mut trailers } else { &mut headers };
                    lines.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
                }
            }
            let status = StatusCode::from_u16(status).expect("a status");
            Recorded { status, headers, trailers, body: body.map(Bytes::from) }
        })
    }

    /// Records outlive programs.
    #[test]
    fn a_record_looks_the_same_in_every_version_of_the_program() {
        let headers = [(http::header::LOCATION, HeaderValue::from_static("/7"))].into_iter().collect();
        let record =
            Recorded { status: StatusCode::CREATED, headers, trailers: HeaderMap::new(), body: Some("ok".into()) };
        assert_eq!(encoded(&record), &b"bt\x01\x00\xc9\x00\x01\x00\x08\x00\x02\x00\x00\x00location/7\x00\x00ok"[..]);
    }

    #[test]
    fn what_another_version_has_recorded_is_not_taken_for_something_else() {
        for (bytes, why) in [
            (&b""[..], "it is none of ours"),
            (b"{}", "it is none of ours"),
            (b"bt", "it ends too soon"),
            (b"bt\x02\x00\xc9\x00\x00\x00", "it is of another version"),
            (b"bt\x01\x02\xc9\x00\x00\x00\x00\x00", "it is of an unknown kind"),
            (b"bt\x01\x01\xc9\x00\x00\x00\x00\x00body", "it has a body that it should not have"),
            (b"bt\x01\x00\x00\x00\x00\x00", "it has no status"),
            (b"bt\x01\x00\xc9\x00\x01\x00\x08\x00\xff\xff\xff\xfflocation", "it ends too soon"),
            (b"bt\x01\x00\xc9\x00\x01\x00\x01\x00\x00\x00\x00\x00 ", "a header has no name"),
        ] {
            assert_eq!(Recorded::decode(Bytes::from_static(bytes)), Err(why), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_with_all_headers_in_their_order(recorded in recorded()) {
            let bytes = encoded(&recorded);
            let decoded = Recorded::decode(bytes).expect("ours");
            for name in recorded.headers.keys() {
                let (before, after) = (recorded.headers.get_all(name), decoded.headers.get_all(name));
                prop_assert!(before.iter().eq(after.iter()));
            }
            prop_assert_eq!(decoded, recorded);
        }

        #[test]
        fn nothing_that_is_read_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), is_ours: bool) {
            let bytes = if is_ours { [&b"bt\x01\x00\xc9\x00"[..], &bytes].concat() } else { bytes };
            let _ = Recorded::decode(bytes.into());
        }

        #[test]
        fn what_is_cut_is_never_a_response_with_another_head(recorded in recorded(), cut in 0..300_usize) {
            let bytes = encoded(&recorded);
            let decoded = Recorded::decode(bytes.slice(..cut.min(bytes.len())));
            prop_assert!(decoded.is_err() || decoded.is_ok_and(|decoded| decoded.headers == recorded.headers));
        }
    }
}
