//! Responses that are remembered as RFC 9111 has it.

use std::time::Duration;

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, DATE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, response};
use http_cache_semantics::{AfterResponse, CacheOptions, CachePolicy};

use super::cache::CachedResponses;
use super::cache::control::ResponseControl;
use super::cache::freshness::{self, date};
use super::cache::policy::Policy;
use super::cache::rules::{self, Lookup, Verdict};
use crate::cache_fallback::Allowed;
use crate::clock;

impl<S, F> CachedResponses<S, F> {
    /// Lets [RFC 9111](https://www.rfc-editor.org/rfc/rfc9111) decide, as for a shared cache, where by itself only what an origin says
    /// explicitly counts. The settings of the layer are the most that is done all the same.
    ///
    /// | | |
    /// |---|---|
    /// | kept | whatever may be stored: 300, 302, 303, 307, 404, 405, 410, 414 and 501 too, the redirections if they say for how long |
    /// | fresh | for as long as the origin says; if it does not, for a tenth of the time since `Last-Modified`; and otherwise not at all |
    /// | `no-cache`, `must-revalidate`, `proxy-revalidate`, `s-maxage` | are kept, and told while they are fresh; once they are stale never, not even in the place of a failure (section 4.2.4) |
    /// | `Authorization` | is answered from memory, and its response kept for everybody, where that says `public`, `s-maxage` or `must-revalidate` (section 3.5); one call is never made for whoever sends it and others |
    /// | stale | is asked for with `If-None-Match` and `If-Modified-Since`; a 304 makes it fresh again, and whoever asked is told all of it |
    ///
    /// `Set-Cookie`, `Cookie`, `Vary`, parts and bodies are as without it, and so is what a request takes. A 404, a 410 and any other
    /// error that is kept is told while it is fresh only; one that never is leaves what is remembered as it is, or, as a 404 and a
    /// 410, has it forgotten.
    #[must_use]
    pub fn rfc9111(mut self) -> Self {
        self.rules.policy = &Rfc9111;
        self
    }
}

/// As the RFC has it.
#[derive(Debug)]
struct Rfc9111;

impl Policy for Rfc9111 {
    fn verdict(&self, lookup: Lookup, response: &response::Parts, absence: Option<Duration>) -> Verdict {
        if rules::is_substitute(response) {
            return Verdict::Leave;
        }
        let (status, headers) = (response.status, &response.headers);
        let control = ResponseControl::of(headers);
        let is_nobody_elses = rules::is_nobody_elses(headers);
        let now = clock::wall_time();
        let answer = normalized(status, headers, &control);
        let policy = CachePolicy::new_options(&request(lookup.is_authorized), &answer, now, CacheOptions::default());
        // What has no content is told with a length that it must not have.
        let is_kept =
            lookup.is_full(status) && status != StatusCode::NO_CONTENT && !is_nobody_elses && policy.is_storable();
        let fresh = policy.time_to_live(now);
        // An error is told while it is fresh only: one that never is would just take the place of what may stand in.
        let is_of_use = !rules::is_failure(status) || !fresh.is_zero();
        if is_kept && is_of_use {
            let allowed = allowed(status, headers, &control, fresh);
            let absence = absence.filter(|_| rules::is_absence(status));
            return Verdict::Keep(absence.map_or(allowed, |most| freshness::until(most, allowed)));
        }
        // Whether somebody may have it says nothing about what everybody may have.
        if lookup.is_authorized {
            return Verdict::Leave;
        }
        let is_to_be_no_copy = control.no_store || control.private || (is_nobody_elses && lookup.is_full(status));
        if rules::is_withdrawn(status) || (is_to_be_no_copy && !rules::is_failure(status)) {
            Verdict::Forget
        } else {
            Verdict::Leave
        }
    }

    fn is_for_authorized(&self) -> bool {
        true
    }

    fn may_answer_authorized(&self, kept: &HeaderMap) -> bool {
        let control = ResponseControl::of(kept);
        control.public || control.must_revalidate || control.s_maxage.is_some()
    }

    fn conditions(&self, known: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
        let tag = known.get(ETAG).map(|tag| (IF_NONE_MATCH, tag.clone()));
        let modified = known.get(LAST_MODIFIED).filter(|_| date(known, &LAST_MODIFIED).is_some());
        tag.into_iter().chain(modified.map(|date| (IF_MODIFIED_SINCE, date.clone()))).collect()
    }

    fn is_still_good(&self, status: StatusCode, known: &HeaderMap, response: &HeaderMap) -> bool {
        let now = clock::wall_time();
        let kept = normalized(status, known, &ResponseControl::of(known));
        let mut response = normalized(StatusCode::NOT_MODIFIED, response, &ResponseControl::of(response));
        // It was asked about one, and where it says no other, it speaks of that.
        if !response.headers().contains_key(ETAG) && !response.headers().contains_key(LAST_MODIFIED) {
            let validators = [ETAG, LAST_MODIFIED].into_iter();
            let validators = validators.filter_map(|name| Some((name.clone(), kept.headers().get(name)?.clone())));
            response.headers_mut().extend(validators);
        }
        let kept = CachePolicy::new_options(&request(false), &kept, now, CacheOptions::default());
        matches!(kept.after_response(&request(false), &response, now), AfterResponse::NotModified(..))
    }
}

/// For how long an answer may be used that is `fresh` for so long (RFC 5861; RFC 9111, section 4.2.4).
fn allowed(status: StatusCode, headers: &HeaderMap, control: &ResponseControl, fresh: Duration) -> Allowed {
    let is_never_stale = control.no_cache
        || control.must_revalidate
        || control.proxy_revalidate
        || control.s_maxage.is_some()
        || rules::is_failure(status);
    let (stale_while_revalidate, stale_if_error) = if is_never_stale {
        (Some(Duration::ZERO), Some(fresh))
    } else {
        (control.stale_while_revalidate, control.stale_if_error.map(|stale| fresh.saturating_add(stale)))
    };
    Allowed { fresh: Some(fresh), stale_while_revalidate, stale_if_error, ..freshness::allowed(headers, control) }
}

/// What of a request tells whether its answer may be kept.
fn request(is_authorized: bool) -> Request<()> {
    let mut request = Request::new(());
    if is_authorized {
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("given"));
    }
    request
}

/// What of an answer tells how long it is fresh, as it came: without its `Age`, which we count ourselves, in the words that
/// `http-cache-semantics` reads, which are those of one case, and numbers and dates that it can add up.
fn normalized(status: StatusCode, headers: &HeaderMap, control: &ResponseControl) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    let mut directives = Vec::new();
    for (is_said, directive) in [
        (control.no_store, "no-store"),
        (control.no_cache, "no-cache"),
        (control.private, "private"),
        (control.must_revalidate, "must-revalidate"),
        (control.public, "public"),
    ] {
        directives.extend(is_said.then(|| directive.to_owned()));
    }
    let max_age = control.max_age.or_else(|| freshness::until_expiry(headers));
    directives.extend(max_age.map(|age| format!("max-age={}", age.as_secs())));
    directives.extend(control.s_maxage.map(|age| format!("s-maxage={}", age.as_secs())));
    if !directives.is_empty() {
        let directives = HeaderValue::try_from(directives.join(", ")).expect("they are text");
        response.headers_mut().insert(CACHE_CONTROL, directives);
    }
    for name in [DATE, LAST_MODIFIED] {
        if let Some(date) = date(headers, &name) {
            response.headers_mut().insert(name, http_date(date));
        }
    }
    if let Some(tag) = headers.get(ETAG) {
        response.headers_mut().insert(ETAG, tag.clone());
    }
    response
}

fn http_date(date: std::time::SystemTime) -> HeaderValue {
    HeaderValue::try_from(httpdate::fmt_http_date(date)).expect("a date is text")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::{Degraded, Failure, FailureKind};

    const SEC: Duration = Duration::from_secs(1);
    const DATED: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

    fn lookup(method: &str, headers: &[(&str, &str)]) -> Lookup {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        match rules::asks(&head.method, &head.headers, false, true) {
            rules::Asks::Lookup(lookup) => lookup,
            other => panic!("{other:?}"),
        }
    }

    fn response(status: u16, headers: &[(&str, &str)]) -> response::Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response").into_parts().0
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        response(200, lines).headers
    }

    fn verdict(status: u16, headers: &[(&str, &str)]) -> Verdict {
        Rfc9111.verdict(lookup("GET", &[]), &response(status, headers), None)
    }

    /// Fresh, told while another one is asked for, stands in.
    fn times(status: u16, headers: &[(&str, &str)]) -> Option<[Option<u64>; 3]> {
        match verdict(status, headers) {
            Verdict::Keep(Allowed { fresh, stale_while_revalidate, stale_if_error, .. }) => {
                Some([fresh, stale_while_revalidate, stale_if_error].map(|time| time.map(|time| time.as_secs())))
            }
            _ => None,
        }
    }

    fn saying(control: &str) -> Option<[Option<u64>; 3]> {
        times(200, &[DATED, ("cache-control", control)])
    }

    #[test]
    fn an_answer_is_fresh_for_as_long_as_its_origin_says() {
        for (control, fresh) in [
            ("max-age=60", 60),
            ("Max-Age=60", 60),
            ("max-age=\"60\"", 60),
            ("max-age=60, max-age=30", 30),
            ("max-age=99999999999999999999", 1 << 31),
            ("max-age=x", 0),
            ("private-ish, max-age=60", 60),
        ] {
            assert_eq!(saying(control), Some([Some(fresh), None, None]), "{control}");
        }
        let expires = |expires| times(200, &[DATED, ("expires", expires)]);
        assert_eq!(expires("Sun, 06 Nov 1994 08:50:37 GMT"), Some([Some(60), None, None]));
        assert_eq!(expires("Sunday, 06-Nov-94 08:50:37 GMT"), Some([Some(60), None, None]), "an older form");
        assert_eq!(expires("0"), Some([Some(0), None, None]));
    }

    #[test]
    fn who_does_not_say_how_long_is_taken_to_change_as_seldom_as_before() {
        let since = |modified| times(200, &[DATED, ("last-modified", modified)]);
        assert_eq!(since("Sat, 05 Nov 1994 08:49:37 GMT"), Some([Some(8640), None, None]), "a tenth of a day");
        assert_eq!(since("Mon, 07 Nov 1994 08:49:37 GMT"), Some([Some(0), None, None]), "it is to be changed tomorrow");
        assert_eq!(times(200, &[DATED]), Some([Some(0), None, None]));
        let both = [DATED, ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"), ("cache-control", "max-age=5")];
        assert_eq!(times(200, &both), Some([Some(5), None, None]));
    }

    #[test]
    fn what_is_not_to_be_told_stale_is_told_while_it_is_fresh() {
        for control in ["must-revalidate", "proxy-revalidate", "s-maxage=60"] {
            let control = format!("max-age=60, {control}, stale-while-revalidate=9, stale-if-error=9");
            assert_eq!(saying(&control), Some([Some(60), Some(0), Some(60)]), "{control}");
        }
        for control in ["no-cache", "no-cache=\"x\""] {
            assert_eq!(saying(&format!("max-age=60, {control}")), Some([Some(0), Some(0), Some(0)]), "{control}");
        }
        let allowed = "max-age=60, stale-while-revalidate=9, stale-if-error=30";
        assert_eq!(saying(allowed), Some([Some(60), Some(9), Some(90)]), "the control");
    }

    #[test]
    fn each_status_is_kept_as_it_may_be() {
        let fresh = |status, control| times(status, &[("cache-control", control)]).map(|times| times[0]);
        for status in [200, 203, 300, 301, 308] {
            assert_eq!(fresh(status, "x"), Some(Some(0)), "{status}");
            assert_eq!(fresh(status, "max-age=5"), Some(Some(5)), "{status}");
        }
        for (status, unsaid) in [
            (404, Verdict::Forget),
            (410, Verdict::Forget),
            (405, Verdict::Leave),
            (414, Verdict::Leave),
            (501, Verdict::Leave),
        ] {
            assert_eq!(fresh(status, "max-age=5"), Some(Some(5)), "{status}");
            for control in ["x", "max-age=0", "max-age=5, no-cache"] {
                assert_eq!(verdict(status, &[("cache-control", control)]), unsaid, "{status} {control}");
            }
        }
        for status in [302, 303, 307] {
            assert_eq!(fresh(status, "x"), None, "{status}");
            assert_eq!(fresh(status, "max-age=5"), Some(Some(5)), "{status}");
        }
        for status in [201, 202, 206, 304, 400, 402, 429] {
            assert_eq!(verdict(status, &[("cache-control", "max-age=5")]), Verdict::Leave, "{status}");
        }
        for status in [204, 401, 403, 451] {
            assert_eq!(verdict(status, &[("cache-control", "max-age=5")]), Verdict::Forget, "{status}");
        }
        assert_eq!(times(404, &[("cache-control", "max-age=5, stale-if-error=9")]), Some([Some(5), Some(0), Some(5)]));
    }

    #[test]
    fn that_there_is_nothing_is_kept_for_no_longer_than_is_said() {
        let times = |status| match Rfc9111.verdict(
            lookup("GET", &[]),
            &response(status, &[("cache-control", "max-age=60")]),
            Some(5 * SEC),
        ) {
            Verdict::Keep(allowed) => (allowed.fresh, allowed.stale_if_error),
            other => panic!("{other:?}"),
        };
        assert_eq!(times(404), (Some(5 * SEC), Some(5 * SEC)));
        assert_eq!(times(200), (Some(60 * SEC), None), "there is something");
    }

    #[test]
    fn what_may_not_be_kept_takes_the_older_copy_with_it() {
        for header in [
            ("cache-control", "no-store, max-age=5"),
            ("cache-control", "Private"),
            ("cache-control", "private=\"x, y\", max-age=5"),
            ("set-cookie", "a=b"),
            ("vary", "*"),
            ("trailer", "digest"),
            ("content-type", "text/event-stream"),
        ] {
            assert_eq!(verdict(200, &[header]), Verdict::Forget, "{header:?}");
            assert_eq!(verdict(503, &[header]), Verdict::Leave, "{header:?}");
        }
        for status in [204, 401] {
            assert_eq!(verdict(status, &[]), Verdict::Forget);
        }
        let mut substitute = response(200, &[]);
        substitute.extensions.insert(Degraded::new("fallback", "other".into(), Failure::new(FailureKind::Error)));
        assert_eq!(Rfc9111.verdict(lookup("GET", &[]), &substitute, None), Verdict::Leave);
    }

    #[test]
    fn what_is_not_all_of_it_leaves_what_is_remembered() {
        let of = |lookup: Lookup, status| {
            Rfc9111.verdict(lookup, &response(status, &[("cache-control", "max-age=5")]), None)
        };
        assert_eq!(of(lookup("HEAD", &[]), 200), Verdict::Leave);
        assert_eq!(of(lookup("GET", &[("if-none-match", "\"1\"")]), 304), Verdict::Leave);
        assert!(matches!(of(lookup("GET", &[("if-none-match", "\"1\"")]), 200), Verdict::Keep(_)));
    }

    #[test]
    fn what_was_said_to_one_is_for_all_only_if_its_origin_says_so() {
        let lookup = lookup("GET", &[("authorization", "Bearer a")]);
        for (control, expected) in [
            ("max-age=5", false),
            ("private, max-age=5", false),
            ("no-store", false),
            ("public", true),
            ("Public, max-age=5", true),
            ("s-maxage=5", true),
            ("max-age=5, must-revalidate", true),
        ] {
            let verdict = Rfc9111.verdict(lookup, &response(200, &[("cache-control", control)]), None);
            assert_eq!(matches!(verdict, Verdict::Keep(_)), expected, "{control}");
            assert_ne!(verdict, Verdict::Forget, "{control} is about one user");
            let kept = headers(&[("cache-control", control)]);
            assert_eq!(Rfc9111.may_answer_authorized(&kept), expected, "{control}");
        }
        for status in [401, 403, 404] {
            assert_eq!(Rfc9111.verdict(lookup, &response(status, &[]), None), Verdict::Leave, "{status}");
        }
    }

    #[test]
    fn an_answer_is_asked_for_by_what_it_is_known_by() {
        let conditions = |lines: &[(&str, &str)]| {
            let conditions = Rfc9111.conditions(&headers(lines)).into_iter();
            conditions.map(|(name, value)| format!("{name}: {}", value.to_str().expect("text"))).collect::<Vec<_>>()
        };
        let both = conditions(&[("etag", "W/\"1\""), ("last-modified", DATED.1)]);
        assert_eq!(both, ["if-none-match: W/\"1\"".to_owned(), format!("if-modified-since: {}", DATED.1)]);
        assert_eq!(conditions(&[("last-modified", "yesterday")]), [""; 0]);
        assert_eq!(conditions(&[DATED]), [""; 0]);
    }

    #[test]
    fn a_304_speaks_of_the_answer_that_was_asked_about_unless_it_says_another() {
        let is_good = |known: &[(&str, &str)], newer: &[(&str, &str)]| {
            Rfc9111.is_still_good(StatusCode::OK, &headers(known), &headers(newer))
        };
        let (tagged, dated) = (("etag", "\"1\""), ("last-modified", DATED.1));
        for known in [&[tagged][..], &[dated], &[tagged, dated]] {
            assert!(is_good(known, known), "{known:?}");
            assert!(is_good(known, &[]), "{known:?}");
            assert!(!is_good(known, &[("etag", "\"2\"")]), "{known:?}");
        }
        assert!(is_good(&[("etag", "W/\"1\"")], &[("etag", "W/\"1\"")]));
        assert!(!is_good(&[dated], &[("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT")]));
        assert!(is_good(&[("last-modified", "Sunday, 06-Nov-94 08:49:37 GMT")], &[dated]), "it is the same date");
    }

    /// `http-cache-semantics` adds up what it reads.
    #[test]
    fn no_number_is_too_large() {
        for age in ["18446744073709551615", "99999999999999999999999"] {
            let headers =
                [("age", age), ("cache-control", "max-age=18446744073709551615, s-maxage=18446744073709551615")];
            assert!(matches!(verdict(200, &headers), Verdict::Keep(_)));
            assert!(Rfc9111.is_still_good(
                StatusCode::OK,
                &super::tests::headers(&headers),
                &super::tests::headers(&headers)
            ));
        }
        assert!(matches!(
            verdict(
                200,
                &[("last-modified", "Fri, 31 Dec 9999 23:59:59 GMT"), ("expires", "Fri, 31 Dec 9999 23:59:59 GMT")]
            ),
            Verdict::Keep(_)
        ));
    }

    fn lines() -> impl Strategy<Value = HeaderMap> {
        let names =
            [CACHE_CONTROL, DATE, LAST_MODIFIED, ETAG, http::header::EXPIRES, http::header::AGE, http::header::VARY];
        let date = "(Sun, 06 Nov 1994|Fri, 31 Dec 9999|Thu, 01 Jan 1970) (00:00:00|23:59:59) GMT";
        let control = r#"((?i)(max-age|s-maxage|public|private|no-cache|must-revalidate)(="?[0-9]{0,21}"?)?,? ?){0,4}"#;
        let value = prop_oneof![
            proptest::string::string_regex(date).expect("an expression").prop_map(String::into_bytes),
            proptest::string::string_regex(control).expect("an expression").prop_map(String::into_bytes),
            proptest::string::string_regex("[0-9]{0,21}").expect("an expression").prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec((0..names.len(), value), 0..8).prop_map(move |lines| {
            let lines = lines.into_iter();
            lines
                .filter_map(|(name, value)| Some((names[name].clone(), HeaderValue::from_bytes(&value).ok()?)))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn no_headers_can_panic(status in 100..1000_u16, known in lines(), newer in lines()) {
            let status = StatusCode::from_u16(status).expect("a status");
            Rfc9111.is_still_good(status, &known, &newer);
            Rfc9111.conditions(&known);
            let mut answer = response(200, &[]);
            (answer.status, answer.headers) = (status, known);
            let is_forbidden = ResponseControl::of(&answer.headers);
            let verdict = Rfc9111.verdict(lookup("GET", &[]), &answer, None);
            if is_forbidden.private || is_forbidden.no_store {
                prop_assert!(!matches!(verdict, Verdict::Keep(_)));
            }
            if let Verdict::Keep(Allowed { fresh, .. }) = verdict {
                prop_assert!(!is_forbidden.no_cache || fresh == Some(Duration::ZERO));
            }
        }
    }
}
