//! Which requests may be answered by what was remembered, and which answers are.

use std::time::Duration;

use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_LOCATION, COOKIE, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, RANGE,
    SET_COOKIE, TRAILER, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, StatusCode, response};

use super::condition;
use super::control::{RequestControl, ResponseControl};
use super::freshness;
use super::key::CacheKey;
use super::vary;
use crate::cache_fallback::{Accepts, Allowed};
use crate::http::content_type::is_event_stream;
use crate::outcome::Degraded;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Asks {
    /// Its answer is nobody else's.
    Bypass,
    /// Something that may be remembered.
    Lookup(Lookup),
    /// That something be changed: what is [remembered](changed) of it is not so any more.
    Changes,
}

/// Of a request that may be answered by a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Lookup {
    /// It asks for the head only.
    pub(super) is_head: bool,
    /// It asks for the answer only if something holds.
    is_conditional: bool,
    /// It says who sent it, where copies are for everybody.
    pub(in crate::http) is_authorized: bool,
    /// Which copies do.
    pub(super) accepts: Accepts,
}

/// What becomes of what was remembered, and of the answer that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Verdict {
    /// The answer takes its place.
    Keep(Allowed),
    /// It goes, and nothing takes its place.
    Forget,
    /// It stays.
    Leave,
}

/// What is asked for. `is_scoped`: each user has a copy of their own, and so one who is known by a password or a cookie may be
/// answered by a copy. `is_for_authorized`: there are copies for whoever has a password.
pub(in crate::http) fn asks(method: &Method, headers: &HeaderMap, is_scoped: bool, is_for_authorized: bool) -> Asks {
    match *method {
        Method::GET | Method::HEAD => {}
        // It asks for a tunnel, and has no resource.
        Method::CONNECT => return Asks::Bypass,
        ref method if method.is_safe() => return Asks::Bypass,
        _ => return Asks::Changes,
    }
    let has = |name| headers.contains_key(name);
    // What is asked for by a body is not told by the URI.
    let has_body = has(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    let is_authorized = !is_scoped && has(AUTHORIZATION);
    if has_body || has(RANGE) || (is_authorized && !is_for_authorized) || (!is_scoped && has(COOKIE)) {
        return Asks::Bypass;
    }
    let control = RequestControl::of(headers);
    if control.no_store {
        return Asks::Bypass;
    }
    let is_for_origin = has(IF_MATCH) || has(IF_UNMODIFIED_SINCE);
    let is_conditional = is_for_origin || has(IF_RANGE) || condition::OF_CACHES.into_iter().any(has);
    let is_head = *method == Method::HEAD;
    let mut accepts = accepts(&control, is_for_origin);
    accepts.shared &= !is_head && !is_authorized;
    Asks::Lookup(Lookup { is_head, is_conditional, is_authorized, accepts })
}

/// `is_for_origin`: whether the answer does can be said by the origin alone.
///
/// `max-age` does not count where a copy stands in for a failure: browsers say 0 whenever a page is loaded again, as people do
/// when it fails. `no-cache` is what they say when no copy is wanted.
fn accepts(control: &RequestControl, is_for_origin: bool) -> Accepts {
    let is_to_be_asked = control.no_cache || is_for_origin;
    let is_reload = is_to_be_asked || control.max_age == Some(Duration::ZERO);
    // Nobody knows here for how long a copy is fresh yet.
    let wants_fresher = control.min_fresh.is_some_and(|least| !least.is_zero());
    let stand_in = match (control.stale_if_error, control.max_stale) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Accepts {
        unasked: if is_reload || wants_fresher { Some(Duration::ZERO) } else { control.max_age },
        stand_in: if is_to_be_asked { Some(Duration::ZERO) } else { stand_in },
        // The others want what is fresh, and what stands in, for as long as the layer has it.
        shared: !is_reload && !wants_fresher && stand_in.is_none(),
        only_remembered: control.only_if_cached,
    }
}

/// What goes when a request that [changes](Asks::Changes) something was answered: what it was about, and what its answer
/// refers to (RFC 9111, section 4.4). A failure changes nothing, and may be why the copy is needed.
pub(super) fn changed<'a>(
    key: &'a CacheKey,
    status: StatusCode,
    headers: &'a HeaderMap,
) -> impl Iterator<Item = CacheKey> + 'a {
    let has_changed = status.is_success() || status.is_redirection();
    let references = [LOCATION, CONTENT_LOCATION].into_iter().filter_map(|name| headers.get(name));
    std::iter::once(key.clone())
        .chain(references.filter_map(|reference| key.of_reference(reference)))
        .filter(move |_| has_changed)
}

impl Lookup {
    /// The same of a request for all of the answer, in any case.
    pub(super) fn for_all(self) -> Self {
        Self { is_head: false, is_conditional: false, ..self }
    }

    /// Whether an answer with this status is all that there is, and not what a condition has chosen.
    pub(in crate::http) fn is_full(self, status: StatusCode) -> bool {
        !self.is_head && (!self.is_conditional || status == StatusCode::OK)
    }

    /// What becomes of the answer to it. `absence`: for how long it is worth to be remembered that there is nothing, if it is.
    pub(super) fn verdict(self, response: &response::Parts, absence: Option<Duration>) -> Verdict {
        if is_substitute(response) {
            return Verdict::Leave;
        }
        let status = response.status;
        let is_withdrawn = is_withdrawn(status);
        let is_positive = matches!(status.as_u16(), 200 | 203 | 301 | 308);
        let is_full = self.is_full(status);
        let absence = absence.filter(|_| is_absence(status));
        match allowed(&response.headers) {
            Some(allowed) if is_full && (is_positive || absence.is_some()) => {
                Verdict::Keep(absence.map_or(allowed, |most| freshness::until(most, allowed)))
            }
            _ if is_withdrawn => Verdict::Forget,
            None if is_full && is_positive => Verdict::Forget,
            // The origin says now that there is to be no copy.
            None if is_forbidden(&ResponseControl::of(&response.headers)) && !is_failure(status) => Verdict::Forget,
            _ => Verdict::Leave,
        }
    }
}

/// Whether a layer further in has put it in the place of a failure: it is no good answer of the origin.
pub(in crate::http) fn is_substitute(response: &response::Parts) -> bool {
    response.extensions.get::<Degraded>().is_some()
}

/// Whether it says that what there was is there no more, or not for everybody.
pub(in crate::http) fn is_withdrawn(status: StatusCode) -> bool {
    is_absence(status) || matches!(status.as_u16(), 204 | 401 | 403 | 451)
}

/// Whether it says that there is nothing.
pub(in crate::http) fn is_absence(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}

pub(in crate::http) fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

const fn is_forbidden(control: &ResponseControl) -> bool {
    control.no_store || control.no_cache || control.private || control.must_revalidate || control.proxy_revalidate
}

/// For how long a copy of an answer may be used. None if there may be none: its origin says so, or it is one user's, or all that
/// belongs to it is never there.
fn allowed(headers: &HeaderMap) -> Option<Allowed> {
    let control = ResponseControl::of(headers);
    if is_nobody_elses(headers) || is_forbidden(&control) { None } else { Some(freshness::allowed(headers, &control)) }
}

/// Whether it is one user's, or all that belongs to it is never there.
pub(in crate::http) fn is_nobody_elses(headers: &HeaderMap) -> bool {
    headers.contains_key(SET_COOKIE)
        || headers.contains_key(TRAILER)
        || is_event_stream(headers)
        || vary::is_unique(headers)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Request, Response, request};
    use proptest::prelude::*;

    use super::super::key::Side;
    use super::super::scope::Whose;
    use super::*;
    use crate::outcome::{Failure, FailureKind};

    const SEC: Duration = Duration::from_secs(1);

    fn request(method: &str, headers: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().method(method).uri("http://a/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn response(status: u16, headers: &[(&str, &str)]) -> response::Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response").into_parts().0
    }

    fn asks(head: &request::Parts, is_scoped: bool) -> Asks {
        super::asks(&head.method, &head.headers, is_scoped, false)
    }

    fn changed<'a>(key: &'a CacheKey, response: &'a response::Parts) -> impl Iterator<Item = CacheKey> + 'a {
        super::changed(key, response.status, &response.headers)
    }

    fn get(headers: &[(&str, &str)]) -> Asks {
        asks(&request("GET", headers), false)
    }

    fn lookup(method: &str, headers: &[(&str, &str)]) -> Lookup {
        match asks(&request(method, headers), true) {
            Asks::Lookup(lookup) => lookup,
            other => panic!("{other:?}"),
        }
    }

    fn verdict(status: u16, headers: &[(&str, &str)]) -> Verdict {
        lookup("GET", &[]).verdict(&response(status, headers), None)
    }

    /// Where that there is nothing is worth to be remembered for a minute.
    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

    const PLAIN: Allowed =
        Allowed { age: Duration::ZERO, fresh: None, stale_while_revalidate: None, stale_if_error: None };

    const ALONE: Accepts = Accepts { unasked: None, stand_in: None, shared: false, only_remembered: false };

    #[test]
    fn only_get_and_head_are_looked_up_and_what_is_not_safe_changes_something() {
        for (method, expected) in [
            (
                "GET",
                Asks::Lookup(Lookup {
                    is_head: false,
                    is_conditional: false,
                    is_authorized: false,
                    accepts: Accepts::default(),
                }),
            ),
            (
                "HEAD",
                Asks::Lookup(Lookup { is_head: true, is_conditional: false, is_authorized: false, accepts: ALONE }),
            ),
            ("OPTIONS", Asks::Bypass),
            ("TRACE", Asks::Bypass),
            ("QUERY", Asks::Bypass),
            ("CONNECT", Asks::Bypass),
            ("POST", Asks::Changes),
            ("PUT", Asks::Changes),
            ("PATCH", Asks::Changes),
            ("DELETE", Asks::Changes),
            ("PURGE", Asks::Changes),
        ] {
            assert_eq!(asks(&request(method, &[]), false), expected, "{method}");
        }
        let personal = [("cookie", "a=b"), ("cache-control", "no-store")];
        assert_eq!(asks(&request("POST", &personal), false), Asks::Changes, "whoever does it");
    }

    #[test]
    fn what_is_one_users_is_looked_up_only_where_each_has_a_scope() {
        for header in [("authorization", "Bearer a"), ("cookie", "a=b"), ("cookie", "")] {
            assert_eq!(get(&[header]), Asks::Bypass, "{header:?}");
            assert_eq!(asks(&request("GET", &[header]), true), get(&[]), "{header:?}");
        }
    }

    #[test]
    fn where_there_are_copies_for_whoever_has_a_password_they_ask_by_themselves() {
        let head = request("GET", &[("authorization", "Bearer a")]);
        let Asks::Lookup(lookup) = super::asks(&head.method, &head.headers, false, true) else { panic!("it asks") };
        assert_eq!((lookup.is_authorized, lookup.accepts), (true, ALONE));
        let Asks::Lookup(lookup) = super::asks(&head.method, &head.headers, true, true) else { panic!("it asks") };
        assert!(!lookup.is_authorized && lookup.accepts.shared, "each has a copy of their own");
        let head = request("GET", &[("authorization", "Bearer a"), ("cookie", "a=b")]);
        assert_eq!(super::asks(&head.method, &head.headers, false, true), Asks::Bypass);
    }

    #[test]
    fn whoever_wants_no_copy_or_a_part_gets_none() {
        for header in [("cache-control", "max-stale, no-store"), ("range", "bytes=0-")] {
            assert_eq!(get(&[header]), Asks::Bypass, "{header:?}");
            assert_eq!(asks(&request("HEAD", &[header]), true), Asks::Bypass, "{header:?}");
        }
    }

    fn accepts(headers: &[(&str, &str)]) -> Accepts {
        lookup("GET", headers).accepts
    }

    #[test]
    fn who_loads_it_anew_is_answered_by_the_origin() {
        for header in [("cache-control", "max-stale, no-cache"), ("pragma", "no-cache")] {
            let anew = Accepts { unasked: Some(Duration::ZERO), stand_in: Some(Duration::ZERO), ..ALONE };
            assert_eq!(accepts(&[header]), anew, "{header:?}");
        }
        let again = Accepts { unasked: Some(Duration::ZERO), ..ALONE };
        assert_eq!(accepts(&[("cache-control", "max-age=0")]), again, "or a copy, if the origin fails");
    }

    #[test]
    fn a_sender_says_how_old_an_answer_it_takes_without_asking() {
        let accepts = |control| accepts(&[("cache-control", control)]);
        assert_eq!(accepts("max-age=5"), Accepts { unasked: Some(5 * SEC), ..Accepts::default() });
        let asked_alone = Accepts { shared: false, ..Accepts::default() };
        assert_eq!(accepts("min-fresh=5, max-age=9"), Accepts { unasked: Some(Duration::ZERO), ..asked_alone });
        assert_eq!(accepts("max-stale=9"), Accepts { stand_in: Some(9 * SEC), ..asked_alone });
        assert_eq!(accepts("stale-if-error=9"), Accepts { stand_in: Some(9 * SEC), ..asked_alone });
        assert_eq!(accepts("min-fresh=0"), Accepts::default());
        assert_eq!(accepts("only-if-cached"), Accepts { only_remembered: true, ..Accepts::default() });
    }

    #[test]
    fn what_the_origin_alone_can_say_is_asked_of_it() {
        for condition in ["if-match", "if-unmodified-since"] {
            let accepts = accepts(&[(condition, "x"), ("cache-control", "max-stale")]);
            let nothing = Accepts { unasked: Some(Duration::ZERO), stand_in: Some(Duration::ZERO), ..ALONE };
            assert_eq!(accepts, nothing, "{condition}");
        }
        for condition in ["if-none-match", "if-modified-since"] {
            assert_eq!(accepts(&[(condition, "x")]), Accepts::default(), "{condition}");
        }
    }

    #[test]
    fn asked_for_all_it_asks_for_all_of_it() {
        let lookup = lookup("HEAD", &[("if-none-match", "\"1\"")]);
        assert_eq!(lookup.verdict(&response(308, &[]), None), Verdict::Leave);
        assert_eq!(lookup.for_all().verdict(&response(308, &[]), None), Verdict::Keep(PLAIN));
    }

    #[test]
    fn a_sender_says_how_old_a_copy_it_takes() {
        let most = |control| accepts(&[("cache-control", control)]).stand_in;
        assert_eq!(most("stale-if-error=7"), Some(7 * SEC));
        assert_eq!(most("max-stale=5"), Some(5 * SEC));
        assert_eq!(most("max-stale=5, stale-if-error=7"), Some(5 * SEC));
        assert_eq!(most("max-stale=7, stale-if-error=5"), Some(5 * SEC));
        assert_eq!(most("max-stale, stale-if-error=5"), Some(5 * SEC));
        assert_eq!(most("max-stale"), Some(Duration::MAX));
        assert_eq!(most("stale-if-error=0"), Some(Duration::ZERO));
        assert_eq!(most("min-fresh=3"), None);
    }

    #[test]
    fn good_answers_are_kept_and_what_is_gone_is_forgotten() {
        let absent = Verdict::Keep(freshness::until(60 * SEC, PLAIN));
        for (status, expected, if_negative) in [
            (200, Verdict::Keep(PLAIN), Verdict::Keep(PLAIN)),
            (203, Verdict::Keep(PLAIN), Verdict::Keep(PLAIN)),
            (301, Verdict::Keep(PLAIN), Verdict::Keep(PLAIN)),
            (308, Verdict::Keep(PLAIN), Verdict::Keep(PLAIN)),
            (404, Verdict::Forget, absent),
            (410, Verdict::Forget, absent),
            (100, Verdict::Leave, Verdict::Leave),
            (201, Verdict::Leave, Verdict::Leave),
            (204, Verdict::Forget, Verdict::Forget),
            (401, Verdict::Forget, Verdict::Forget),
            (403, Verdict::Forget, Verdict::Forget),
            (451, Verdict::Forget, Verdict::Forget),
            (206, Verdict::Leave, Verdict::Leave),
            (302, Verdict::Leave, Verdict::Leave),
            (304, Verdict::Leave, Verdict::Leave),
            (400, Verdict::Leave, Verdict::Leave),
            (412, Verdict::Leave, Verdict::Leave),
            (429, Verdict::Leave, Verdict::Leave),
            (500, Verdict::Leave, Verdict::Leave),
            (501, Verdict::Leave, Verdict::Leave),
            (503, Verdict::Leave, Verdict::Leave),
        ] {
            let response = response(status, &[]);
            assert_eq!(lookup("GET", &[]).verdict(&response, None), expected, "{status}");
            assert_eq!(lookup("GET", &[]).verdict(&response, MINUTE), if_negative, "{status}");
            let of_head = match if_negative {
                Verdict::Keep(_) if expected == if_negative => Verdict::Leave,
                _ => expected,
            };
            assert_eq!(lookup("HEAD", &[]).verdict(&response, MINUTE), of_head, "{status} has no body");
        }
    }

    #[test]
    fn an_answer_that_may_not_be_kept_takes_the_older_copy_with_it() {
        for header in [
            ("cache-control", "no-store"),
            ("cache-control", "private"),
            ("cache-control", "private=\"x\""),
            ("cache-control", "no-cache"),
            ("cache-control", "max-age=60, stale-if-error=60, must-revalidate"),
            ("cache-control", "proxy-revalidate"),
            ("set-cookie", "a=b"),
            ("vary", "accept, *"),
            ("vary", "not a name"),
            ("trailer", "digest"),
            ("content-type", "Text/Event-Stream ; charset=utf-8"),
        ] {
            for status in [200, 203, 301, 308, 404, 410] {
                for negative in [None, MINUTE] {
                    let verdict = lookup("GET", &[]).verdict(&response(status, &[header]), negative);
                    assert_eq!(verdict, Verdict::Forget, "{status} {header:?}");
                }
            }
            assert_eq!(verdict(503, &[header]), Verdict::Leave, "{header:?}");
            // What is not kept anyway may set a cookie.
            let of_others = if header.0 == "cache-control" { Verdict::Forget } else { Verdict::Leave };
            for status in [201, 206, 302, 304] {
                assert_eq!(verdict(status, &[header]), of_others, "{status} {header:?}");
            }
            assert_eq!(lookup("HEAD", &[]).verdict(&response(200, &[header]), None), of_others, "{header:?}");
        }
        for header in [
            ("cache-control", "public"),
            ("vary", "accept"),
            ("content-type", "text/event-streams"),
            ("pragma", "no-cache"),
        ] {
            assert_eq!(verdict(200, &[header]), Verdict::Keep(PLAIN), "{header:?}");
        }
    }

    #[test]
    fn a_substitute_of_a_layer_further_in_is_not_kept() {
        let mut response = response(200, &[]);
        let failure = Failure::new(FailureKind::Error);
        response.extensions.insert(Degraded::new("fallback", "other".into(), failure));
        assert_eq!(lookup("GET", &[]).verdict(&response, None), Verdict::Leave);
        response.status = StatusCode::NOT_FOUND;
        assert_eq!(lookup("GET", &[]).verdict(&response, MINUTE), Verdict::Leave);
    }

    #[test]
    fn under_a_condition_only_the_whole_answer_is_kept() {
        for condition in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"] {
            let lookup = lookup("GET", &[(condition, "\"7\"")]);
            assert_eq!(lookup.verdict(&response(200, &[]), None), Verdict::Keep(PLAIN), "{condition}");
            for status in [203, 301, 308, 304, 412] {
                assert_eq!(lookup.verdict(&response(status, &[]), MINUTE), Verdict::Leave, "{condition} {status}");
            }
            for status in [404, 410] {
                assert_eq!(lookup.verdict(&response(status, &[]), MINUTE), Verdict::Forget, "{condition} {status}");
            }
            let forbidden = response(203, &[("cache-control", "no-store")]);
            assert_eq!(lookup.verdict(&forbidden, None), Verdict::Forget, "{condition}");
        }
    }

    #[test]
    fn what_is_changed_goes_and_so_does_what_the_answer_refers_to() {
        let head = request("POST", &[]);
        let key = CacheKey::of(&Whose::Of("u".into()), Side::Client, &head.uri, &head.headers).expect("a key");
        let changed = |status, headers: &[(&str, &str)]| {
            changed(&key, &response(status, headers)).map(|key| key.to_string()).collect::<Vec<_>>()
        };
        let references = [("location", "/x/7"), ("content-location", "http://a/y")];
        assert_eq!(changed(201, &references), ["1:uhttp://a/x", "1:uhttp://a/x/7", "1:uhttp://a/y"]);
        assert_eq!(changed(303, &[("location", "http://b/x/7")]), ["1:uhttp://a/x"], "another origin's");
        assert_eq!(changed(204, &[]), ["1:uhttp://a/x"]);
        for status in [100, 400, 404, 412, 429, 500, 503] {
            assert_eq!(changed(status, &references), [""; 0], "{status}");
        }
    }

    proptest! {
        #[test]
        fn no_headers_can_panic(
            method in "GET|HEAD|POST",
            status in 100..1000_u16,
            values in proptest::collection::vec((0..9_usize, proptest::collection::vec(any::<u8>(), 0..20)), 0..6),
            flags: (bool, bool),
        ) {
            const NAMES: [HeaderName; 9] =
                [http::header::AGE, http::header::CACHE_CONTROL, http::header::VARY, LOCATION, CONTENT_LOCATION, http::header::CONTENT_TYPE,
                 http::header::PRAGMA, IF_MATCH, TRAILER];
            let (mut request, mut response) = (request(&method, &[]), response(status, &[]));
            for (name, value) in values {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    request.headers.append(&NAMES[name], value.clone());
                    response.headers.append(&NAMES[name], value);
                }
            }
            match asks(&request, flags.0) {
                Asks::Lookup(lookup) => {
                    let is_kept = matches!(lookup.verdict(&response, MINUTE.filter(|_| flags.1)), Verdict::Keep(_));
                    prop_assert!(!is_kept || [200, 203, 301, 308, 404, 410].contains(&status));
                }
                Asks::Changes => {
                    let key = CacheKey::of(&Whose::Everybodys, Side::Client, &request.uri, &request.headers).expect("a key");
                    prop_assert!(changed(&key, &response).all(|key| key.uri().starts_with("http://a/")));
                }
                Asks::Bypass => {}
            }
        }
    }
}
