use std::borrow::Cow;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::StatusCode;

use super::key::CacheKey;
use super::rules;
use super::stored::{StoredHead, StoredResponse};
use super::vary::Selection;
use crate::cache_fallback::Codec;
use crate::http::lines;

const VERSION: u8 = 1;

/// Writes responses that are [remembered](super::CachedResponses) down for a [store](crate::cache_fallback::Store) that processes
/// share, with what their requests had of the headers that they vary by.
///
/// They are not encrypted. What one user may see alone is under a key of theirs, which begins with the [scope](super::CacheScope).
#[derive(Clone, Copy, Debug, Default)]
pub struct StoredResponseCodec;

impl Codec<CacheKey, StoredResponse> for StoredResponseCodec {
    fn key<'k>(&self, key: &'k CacheKey) -> Cow<'k, [u8]> {
        Cow::Borrowed(key.as_str().as_bytes())
    }

    /// What it varies by; that there is nothing is so of all variants.
    fn variant(&self, response: &StoredResponse) -> Option<u64> {
        let StoredHead { status, selection, .. } = &response.head;
        (!rules::is_absence(*status)).then(|| selection.fingerprint())
    }

    /// A byte for the version, the status, the headers, what the request had, and the body by its length. Numbers are
    /// little-endian.
    fn encode(&self, response: &StoredResponse) -> Option<Bytes> {
        let StoredResponse { head: StoredHead { status, headers, selection }, body } = response;
        let mut bytes = BytesMut::with_capacity(64 + lines::length(headers) + selection.bytes() + body.len());
        bytes.put_u8(VERSION);
        bytes.put_u16_le(status.as_u16());
        lines::encode(&mut bytes, headers)?;
        selection.encode(&mut bytes)?;
        bytes.put_u32_le(u32::try_from(body.len()).ok()?);
        bytes.put_slice(body);
        Some(bytes.freeze())
    }

    fn decode(&self, mut bytes: Bytes) -> Option<StoredResponse> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let status = StatusCode::from_u16(bytes.try_get_u16_le().ok()?).ok()?;
        let headers = lines::decode(&mut bytes).ok()?;
        let selection = Selection::decode(&mut bytes)?;
        let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
        (bytes.len() == length).then(|| StoredResponse { head: StoredHead { status, headers, selection }, body: bytes })
    }
}

#[cfg(test)]
mod tests {
    use http::response::Parts;
    use http::{HeaderMap, HeaderName, HeaderValue, Response};
    use proptest::prelude::*;

    use super::*;

    fn head(status: u16, headers: HeaderMap) -> Parts {
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = StatusCode::from_u16(status).expect("a status");
        head.headers = headers;
        head
    }

    fn headers(lines: &[(String, Vec<u8>)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
            }
        }
        headers
    }

    fn stored(status: u16, response: HeaderMap, request: &HeaderMap, body: &[u8]) -> StoredResponse {
        let head = StoredHead::of(&head(status, response), request).expect("it answers others");
        head.with_body(Bytes::copy_from_slice(body))
    }

    fn lines() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        proptest::collection::vec(("x-[a-c]", proptest::collection::vec(32..=255_u8, 0..12)), 0..8)
    }

    fn responses() -> impl Strategy<Value = StoredResponse> {
        let vary = proptest::collection::vec("x-[a-c]", 0..3);
        let body = proptest::collection::vec(any::<u8>(), 0..100);
        (100..1000_u16, lines(), vary, lines(), body).prop_map(|(status, response, vary, request, body)| {
            let mut response = headers(&response);
            if !vary.is_empty() {
                response.insert("vary", vary.join(",").parse().expect("a value"));
            }
            stored(status, response, &headers(&request), &body)
        })
    }

    fn parts(response: &StoredResponse) -> (StatusCode, &HeaderMap, &Selection, &Bytes) {
        let StoredResponse { head: StoredHead { status, headers, selection }, body } = response;
        (*status, headers, selection, body)
    }

    /// It outlives programs.
    #[test]
    fn a_response_looks_the_same_in_every_version_of_the_program() {
        let request = headers(&[("accept".into(), b"a".to_vec())]);
        let response = headers(&[("vary".into(), b"accept, te".to_vec())]);
        let written = StoredResponseCodec.encode(&stored(200, response, &request, b"ok")).expect("short");
        let expected: &[u8] = b"\x01\xc8\x00\x02\x00\x04\x00\x0a\x00\x00\x00varyaccept, te\
            \x0e\x00\x01\x00\x00\x00content-length2\
            \x02\x00\x06\x00accept\x01\x01\x00\x00\x00a\x02\x00te\x00\x02\x00\x00\x00ok";
        assert_eq!(written, expected);
    }

    #[test]
    fn variants_are_told_apart_by_what_their_requests_had_and_absence_is_alone() {
        let of = |status, accept: &str| {
            let request = headers(&[("accept".into(), accept.into())]);
            let response = headers(&[("vary".into(), b"accept".to_vec())]);
            StoredResponseCodec.variant(&stored(status, response, &request, b""))
        };
        assert_eq!(of(200, "a"), of(203, "a"));
        assert_ne!(of(200, "a"), of(200, "b"));
        assert_eq!((of(404, "a"), of(410, "b")), (None, None));
        assert_eq!(of(200, "a"), Some(0xad17_2716_5ed9_3c05), "the same in all processes");
    }

    #[test]
    fn what_another_version_has_written_is_not_there() {
        let written = StoredResponseCodec.encode(&stored(200, HeaderMap::new(), &HeaderMap::new(), b"ok"));
        let mut written = written.expect("short").to_vec();
        assert!(StoredResponseCodec.decode(written.clone().into()).is_some());
        written.push(0);
        assert!(StoredResponseCodec.decode(written.clone().into()).is_none(), "it is too long");
        written.pop();
        written[0] = 2;
        assert!(StoredResponseCodec.decode(written.into()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(response in responses()) {
            let read = StoredResponseCodec.decode(StoredResponseCodec.encode(&response).expect("short")).expect("ours");
            prop_assert_eq!(parts(&read), parts(&response));
            prop_assert_eq!(StoredResponseCodec.variant(&read), StoredResponseCodec.variant(&response));
        }

        #[test]
        fn what_is_cut_is_not_there(response in responses(), cut: prop::sample::Index) {
            let written = StoredResponseCodec.encode(&response).expect("short");
            prop_assert!(StoredResponseCodec.decode(written.slice(..cut.index(written.len()))).is_none());
        }

        #[test]
        fn nothing_that_is_read_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), is_ours: bool) {
            let bytes = if is_ours { [&b"\x01\xc8\x00\x00\x00"[..], &bytes].concat() } else { bytes };
            let _ = StoredResponseCodec.decode(bytes.into());
        }

        #[test]
        fn a_byte_that_is_another_is_no_panic(response in responses(), at: prop::sample::Index, other: u8) {
            let mut written = StoredResponseCodec.encode(&response).expect("short").to_vec();
            let at = at.index(written.len());
            written[at] = other;
            let _ = StoredResponseCodec.decode(written.into());
        }
    }
}
