use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, HeaderName, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sfv::{Integer, KeyRef, ListSerializer, RefBareItem, StringRef, TokenRef, key_ref, token_ref};

use super::condition;
use super::vary::Selection;
use crate::cache_fallback::{Because, Recalled};
use crate::outcome::FailureKind;

/// What says how the body is to be read that is kept.
const OF_BODY: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE];

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What the rest of a copy takes about: the map that it lies in, and its first entries.
const OVERHEAD: usize = 400;

/// What a header takes about beside its name and its value: its entry in the map, and how its value is shared.
const OF_HEADER: usize = 160;

/// The head of a response as it is remembered, in memory of its own. What speaks of the connection or sets a cookie is not in
/// it.
#[derive(Clone)]
pub(super) struct StoredHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) selection: Selection,
}

/// A response as it is remembered.
#[derive(Clone)]
pub struct StoredResponse {
    pub(super) head: StoredHead,
    pub(super) body: Bytes,
}

impl StoredHead {
    /// Of what a request with the headers `request` was answered with. None if that answers no other one.
    pub(super) fn of(response: &Parts, request: &HeaderMap) -> Option<Self> {
        let Parts { status, headers, .. } = response;
        let of_connection = named_by_connection(headers);
        let is_kept =
            |name: &HeaderName| !is_hop_by_hop(name) && *name != SET_COOKIE && !contains(&of_connection, name);
        let mut kept = HeaderMap::with_capacity(headers.keys_len() + 1);
        for (name, value) in headers.iter().filter(|(name, _)| is_kept(name)) {
            kept.append(name, copied(value));
        }
        Some(Self { status: *status, headers: kept, selection: Selection::of(headers, request)? })
    }

    /// About how many bytes of memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + OF_HEADER);
        headers.sum::<usize>() + self.selection.bytes() + OVERHEAD
    }

    /// With all of its body, also where its origin did not say beforehand how much that is.
    pub(super) fn with_body(mut self, body: Bytes) -> StoredResponse {
        self.headers.insert(CONTENT_LENGTH, body.len().into());
        StoredResponse { head: self, body }
    }
}

impl StoredResponse {
    /// Whether it may answer a request with these headers.
    pub(super) fn answers(&self, request: &HeaderMap) -> bool {
        self.head.selection.contains(request)
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len() + self.head.bytes()
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// All of the body, which is shared.
    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// Its headers, with what a 304 with the headers `newer` says of them (RFC 9111, section 3.2).
    pub(super) fn refreshed(&self, newer: &HeaderMap) -> HeaderMap {
        let mut headers = self.head.headers.clone();
        // They are of the answer that has come.
        for name in [AGE, DATE] {
            headers.remove(name);
        }
        let of_connection = named_by_connection(newer);
        let is_of_answer =
            |name: &&HeaderName| !is_hop_by_hop(name) && !OF_BODY.contains(name) && !contains(&of_connection, name);
        for name in newer.keys().filter(is_of_answer) {
            headers.remove(name);
            newer.get_all(name).iter().for_each(|value| _ = headers.append(name, copied(value)));
        }
        headers
    }

    /// Tells requests apart that it cannot answer all.
    pub(super) fn variant(&self, request: &HeaderMap) -> u64 {
        self.head.selection.variant(request)
    }

    /// The response to a request with these headers, or only that it is the one that its sender has. `is_head`: without the
    /// body.
    pub(super) fn recall(&self, is_head: bool, request: &HeaderMap, recalled: Recalled<'_>) -> Response<Bytes> {
        let Recalled { age, because, name } = recalled;
        let is_unmodified = self.head.status.is_success() && condition::has_it_already(request, &self.head.headers);
        let mut response = Response::new(if is_head || is_unmodified { Bytes::new() } else { self.body.clone() });
        *response.status_mut() = self.head.status;
        *response.headers_mut() = self.head.headers.clone();
        if is_unmodified {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            condition::without_content(response.headers_mut());
        }
        response.headers_mut().insert(AGE, age.as_secs().into());
        // Caches that stand closer to the origin come first.
        response.headers_mut().append(CACHE_STATUS, cache_status(name.as_str(), because));
        response
    }
}

/// What a server has read lies beside all else that it has read.
fn copied(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).expect("it was one already");
    copy.set_sensitive(value.is_sensitive());
    copy
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || name == "keep-alive"
        || name.as_str().starts_with("proxy-")
}

/// The names that `Connection` says are about the connection too.
fn named_by_connection(headers: &HeaderMap) -> Vec<&[u8]> {
    let members = headers.get_all(CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.map(<[u8]>::trim_ascii).collect()
}

fn contains(names: &[&[u8]], name: &HeaderName) -> bool {
    names.iter().any(|member| member.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// What the cache did (RFC 9211): whether it asked the origin, with what success, and why it has answered itself.
fn cache_status(cache: &str, because: Because<'_>) -> HeaderValue {
    const COLLAPSED: &KeyRef = key_ref("collapsed");
    const DETAIL: &KeyRef = key_ref("detail");
    const FWD: &KeyRef = key_ref("fwd");
    const FWD_STATUS: &KeyRef = key_ref("fwd-status");
    const HIT: &KeyRef = key_ref("hit");
    const TTL: &KeyRef = key_ref("ttl");
    let printable: String;
    let name: RefBareItem<'_> = if let Ok(token) = TokenRef::from_str(cache) {
        token.into()
    } else {
        printable = cache.chars().filter(|character| matches!(character, ' '..='~')).collect();
        StringRef::from_str(&printable).expect("all of it is printable").into()
    };
    let mut list = ListSerializer::new();
    let member = list.bare_item(name);
    let _ = match because {
        Because::Fresh { ttl } => member.parameter(HIT, true).parameter(TTL, whole_seconds(ttl, 1)).finish(),
        Because::Refreshing { stale_for } => {
            member.parameter(HIT, true).parameter(TTL, whole_seconds(stale_for, -1)).finish()
        }
        Because::Shared => member.parameter(FWD, token_ref("miss")).parameter(COLLAPSED, true).finish(),
        Because::Failed(failure) => {
            // The status of a refusal is ours, and none of the origin's.
            let code = failure.code().filter(|_| failure.rejection().is_none());
            let member = match (failure.kind(), code) {
                (FailureKind::Refused | FailureKind::Expired, _) => member.parameter(HIT, true),
                (_, None) => member.parameter(FWD, token_ref("stale")),
                (_, Some(code)) => member.parameter(FWD, token_ref("stale")).parameter(FWD_STATUS, code),
            };
            member.parameter(DETAIL, token_ref("stale-if-error")).finish()
        }
    };
    let list = list.finish().expect("it has a member");
    HeaderValue::try_from(list).expect("structured fields are of printable characters")
}

/// As many as the header has digits for.
fn whole_seconds(duration: Duration, sign: i64) -> Integer {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Integer::try_from(sign * seconds).unwrap_or(if sign < 0 { Integer::MIN } else { Integer::MAX })
}

impl fmt::Debug for StoredResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredResponse")
            .field("status", &self.head.status)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, IF_NONE_MATCH, LINK};
    use proptest::prelude::*;
    use sfv::{BareItem, List, ListEntry, Parser};

    use super::*;
    use crate::outcome::Failure;
    use crate::rejection::{Cause, Elapsed, Open, Rejection, TripReason};

    const SEC: Duration = Duration::from_secs(1);

    fn response(headers: &[(&str, &str)]) -> Parts {
        let mut response = Response::builder().status(203);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response").into_parts().0
    }

    fn stored(headers: &[(&str, &str)], body: &'static str) -> StoredResponse {
        let head = StoredHead::of(&response(headers), &HeaderMap::new()).expect("it answers others");
        head.with_body(body.into())
    }

    fn unavailable() -> Failure {
        Failure::new(FailureKind::Error).with_code(503)
    }

    fn told(stored: &StoredResponse, is_head: bool, age: Duration, because: Because<'_>) -> Response<Bytes> {
        stored.recall(is_head, &HeaderMap::new(), Recalled { age, because, name: "shop".into() })
    }

    fn recalled(stored: &StoredResponse) -> Response<Bytes> {
        told(stored, false, 7 * SEC, Because::Failed(&unavailable()))
    }

    fn lines(response: &Response<Bytes>) -> Vec<(&str, &str)> {
        response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect()
    }

    #[test]
    fn a_copy_is_told_as_it_was_but_for_its_age_and_its_mark() {
        let headers = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("link", "</a>"),
            ("content-length", "5"),
            ("link", "</b>"),
            ("age", "3"),
            ("age", "4"),
            ("x-own", "caf\u{e9}"),
        ];
        let response = recalled(&stored(&headers, "hello"));
        assert_eq!((response.status().as_u16(), &response.body()[..]), (203, &b"hello"[..]));
        assert_eq!(response.headers()[DATE], headers[0].1);
        assert!(response.headers().get_all(LINK).iter().eq(["</a>", "</b>"]), "all of them, in their order");
        assert_eq!(response.headers()["x-own"].as_bytes(), "caf\u{e9}".as_bytes());
        assert!(response.headers().get_all(AGE).iter().eq(["7"]));
        assert!(response.headers().get_all(CONTENT_LENGTH).iter().eq(["5"]));
        assert!(!response.headers().contains_key("warning"));
    }

    #[test]
    fn an_age_is_told_in_whole_seconds() {
        let age = |age| told(&stored(&[], ""), false, age, Because::Failed(&unavailable())).headers()[AGE].clone();
        assert_eq!(age(Duration::ZERO), "0");
        assert_eq!(age(Duration::from_millis(1999)), "1");
        assert_eq!(age(Duration::MAX), u64::MAX.to_string());
    }

    #[test]
    fn a_head_is_told_how_long_the_body_is_that_it_does_not_have() {
        let stored = stored(&[], "hello");
        let head = told(&stored, true, SEC, Because::Failed(&unavailable()));
        assert!(head.body().is_empty());
        assert_eq!(head.headers()[CONTENT_LENGTH], "5", "though its origin did not say so");
        assert_eq!(lines(&head), lines(&told(&stored, false, SEC, Because::Failed(&unavailable()))));
    }

    #[test]
    fn what_is_of_the_connection_or_of_one_user_is_not_kept() {
        let headers = [
            ("connection", "close, X-Hop"),
            ("Connection", " x-other "),
            ("x-hop", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "digest"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("set-cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("x-hops", "1"),
        ];
        let response = recalled(&stored(&headers, ""));
        let names = response.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>();
        assert_eq!(names, ["x-hops", "content-length", "age", "cache-status"]);
    }

    #[test]
    fn what_is_kept_of_a_head_does_not_hold_the_buffer_that_it_came_in() {
        let buffer = Bytes::from(vec![b'x'; 1 << 16]);
        let mut response = response(&[]);
        let mut value = HeaderValue::from_maybe_shared(buffer.slice(..8)).expect("a value");
        value.set_sensitive(true);
        response.headers.insert(CACHE_CONTROL, value);
        let head = StoredHead::of(&response, &HeaderMap::new()).expect("it answers others");
        drop(response);
        assert!(buffer.is_unique(), "nobody else holds it");
        assert_eq!(head.headers[CACHE_CONTROL], "xxxxxxxx");
        assert!(head.headers[CACHE_CONTROL].is_sensitive());
    }

    #[test]
    fn a_body_is_shared_with_whoever_it_is_told_to() {
        let stored = stored(&[], "hello");
        assert_eq!(recalled(&stored).body().as_ptr(), stored.body.as_ptr());
    }

    #[test]
    fn a_copy_answers_whoever_asks_for_the_same() {
        let request: HeaderMap = [(http::header::ACCEPT, HeaderValue::from_static("a"))].into_iter().collect();
        let varying = response(&[("vary", "accept")]);
        let stored = StoredHead::of(&varying, &request).expect("it answers others").with_body(Bytes::new());
        assert!(stored.answers(&request));
        assert!(!stored.answers(&HeaderMap::new()));
        assert!(StoredHead::of(&response(&[("vary", "*")]), &request).is_none());
    }

    #[test]
    fn what_a_copy_takes_is_counted() {
        let request: HeaderMap = [(http::header::ACCEPT, HeaderValue::from_static("abc"))].into_iter().collect();
        let head =
            StoredHead::of(&response(&[("x-own", "1234"), ("vary", "accept")]), &request).expect("it answers others");
        let stored = head.with_body("hello".into());
        let headers = "x-own".len() + 4 + "vary".len() + "accept".len() + "content-length".len() + 1;
        assert_eq!(stored.bytes(), "hello".len() + headers + "accept".len() + "abc".len() + 3 * 160 + 400);
        assert!(format!("{stored:?}").contains(&stored.bytes().to_string()));
        assert!(!format!("{stored:?}").contains("1234"), "it may be one user's");
    }

    #[test]
    fn the_mark_says_whether_the_origin_was_asked_and_what_it_said() {
        let elapsed = |cause| Failure::from(Rejection::from(Elapsed::new("door".into(), SEC, cause)));
        let open = Rejection::from(Open::new("door".into(), TripReason::ForcedOpen));
        for (failure, expected) in [
            (unavailable(), "shop;fwd=stale;fwd-status=503;detail=stale-if-error"),
            (Failure::new(FailureKind::Error), "shop;fwd=stale;detail=stale-if-error"),
            (elapsed(Cause::OwnLimit), "shop;fwd=stale;detail=stale-if-error"),
            (elapsed(Cause::DeadlineBeforeCall), "shop;hit;detail=stale-if-error"),
            (open.into(), "shop;hit;detail=stale-if-error"),
            (Failure::new(FailureKind::Refused).with_code(503), "shop;hit;detail=stale-if-error"),
        ] {
            assert_eq!(cache_status("shop", Because::Failed(&failure)), expected);
        }
    }

    #[test]
    fn the_mark_says_how_long_it_is_fresh_yet_or_has_not_been() {
        for (because, expected) in [
            (Because::Fresh { ttl: 30 * SEC + SEC / 2 }, "shop;hit;ttl=30"),
            (Because::Fresh { ttl: Duration::ZERO }, "shop;hit;ttl=0"),
            (Because::Fresh { ttl: Duration::MAX }, "shop;hit;ttl=999999999999999"),
            (Because::Refreshing { stale_for: 7 * SEC }, "shop;hit;ttl=-7"),
            (Because::Refreshing { stale_for: Duration::MAX }, "shop;hit;ttl=-999999999999999"),
            (Because::Shared, "shop;fwd=miss;collapsed"),
        ] {
            let response = told(&stored(&[], ""), false, 7 * SEC, because);
            assert!(response.headers().get_all(CACHE_STATUS).iter().eq([expected]));
            assert_eq!(response.headers()[AGE], "7");
        }
    }

    #[test]
    fn who_has_it_already_is_told_so_whatever_the_reason() {
        let headers = [
            ("etag", "\"1\""),
            ("content-type", "text/plain"),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-own", "1"),
        ];
        let stored = stored(&headers, "hello");
        let request = |tag| [(IF_NONE_MATCH, HeaderValue::from_static(tag))].into_iter().collect::<HeaderMap>();
        for because in [Because::Fresh { ttl: SEC }, Because::Failed(&unavailable())] {
            for is_head in [false, true] {
                let recalled = Recalled { age: 7 * SEC, because, name: "shop".into() };
                let response = stored.recall(is_head, &request("\"1\""), recalled);
                assert_eq!((response.status().as_u16(), response.body().len()), (304, 0));
                let names = response.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>();
                assert_eq!(names, ["etag", "x-own", "date", "age", "cache-status"]);
                let other = stored.recall(is_head, &request("\"2\""), recalled);
                assert_eq!(
                    (other.status().as_u16(), lines(&other)),
                    (203, lines(&told(&stored, false, 7 * SEC, because)))
                );
            }
        }
    }

    #[test]
    fn what_is_still_good_is_as_new_as_who_says_so() {
        let kept = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("age", "3"),
            ("etag", "\"1\""),
            ("cache-control", "max-age=5"),
            ("link", "</a>"),
            ("link", "</b>"),
            ("content-type", "text/plain"),
            ("x-own", "1"),
        ];
        let newer = [
            ("cache-control", "max-age=6"),
            ("cache-control", "public"),
            ("link", "</c>"),
            ("x-new", "1"),
            ("content-type", "text/html"),
            ("content-length", "0"),
            ("connection", "close"),
        ];
        let refreshed = stored(&kept, "hello").refreshed(&response(&newer).headers);
        let expected = [
            ("etag", "\"1\""),
            ("cache-control", "max-age=6"),
            ("cache-control", "public"),
            ("link", "</c>"),
            ("content-type", "text/plain"),
            ("content-length", "5"),
            ("x-own", "1"),
            ("x-new", "1"),
        ];
        assert_eq!(refreshed, response(&expected).headers);
    }

    #[test]
    fn what_is_no_success_is_told_whatever_its_condition() {
        let mut moved = response(&[("etag", "\"1\"")]);
        moved.status = StatusCode::PERMANENT_REDIRECT;
        let moved = StoredHead::of(&moved, &HeaderMap::new()).expect("it answers others").with_body(Bytes::new());
        let request = [(IF_NONE_MATCH, HeaderValue::from_static("*"))].into_iter().collect();
        let recalled = Recalled { age: SEC, because: Because::Shared, name: "shop".into() };
        assert_eq!(moved.recall(false, &request, recalled).status(), 308);
    }

    #[test]
    fn a_name_that_is_no_token_is_a_string() {
        let failure = Failure::new(FailureKind::Error);
        for (name, expected) in [
            ("a/b:c", "a/b:c"),
            ("two words", "\"two words\""),
            ("7", "\"7\""),
            ("", "\"\""),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("caf\u{e9}\r\n", "\"caf\""),
        ] {
            assert_eq!(
                cache_status(name, Because::Failed(&failure)),
                format!("{expected};fwd=stale;detail=stale-if-error"),
                "{name:?}"
            );
        }
    }

    /// The members of `Cache-Status` by name.
    fn members(headers: &HeaderMap) -> Vec<String> {
        let lines = headers.get_all(CACHE_STATUS).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        let list = Parser::new(&lines.join(&b", "[..])).parse::<List>().expect("a list");
        let name = |entry| match entry {
            ListEntry::Item(item) => match item.bare_item {
                BareItem::Token(token) => token.as_str().to_owned(),
                BareItem::String(string) => string.as_str().to_owned(),
                other => panic!("{other:?}"),
            },
            ListEntry::InnerList(list) => panic!("{list:?}"),
        };
        list.into_iter().map(name).collect()
    }

    #[test]
    fn what_caches_closer_to_the_origin_said_stays_and_comes_first() {
        let stored = stored(&[("cache-status", "origin;hit, other;fwd=miss")], "");
        assert_eq!(members(recalled(&stored).headers()), ["origin", "other", "shop"]);
        assert_eq!(members(recalled(&stored).headers()).len(), 3, "each time it is told");
    }

    proptest! {
        #[test]
        fn whatever_a_cache_is_called_its_mark_can_be_read(name in ".{0,20}", code in proptest::option::of(any::<u16>())) {
            let mut failure = Failure::new(FailureKind::Error);
            failure = code.map_or(failure.clone(), |code| failure.with_code(code));
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_STATUS, cache_status(&name, Because::Failed(&failure)));
            let printable = name.chars().filter(|character| (' '..='~').contains(character)).collect::<String>();
            prop_assert_eq!(members(&headers), [printable]);
        }

        #[test]
        fn no_header_is_lost_or_moved(
            lines in proptest::collection::vec(("x-[a-c]", proptest::collection::vec(32..=255_u8, 0..6)), 0..8),
        ) {
            let mut response = response(&[]);
            for (name, value) in lines {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    response.headers.append(HeaderName::try_from(name).expect("a name"), value);
                }
            }
            let stored = StoredHead::of(&response, &HeaderMap::new()).expect("it answers others").with_body(Bytes::new());
            let mut recalled = recalled(&stored).headers().clone();
            for name in [CONTENT_LENGTH, AGE, CACHE_STATUS] {
                prop_assert!(recalled.remove(name).is_some());
            }
            prop_assert_eq!(recalled, response.headers);
        }
    }
}
