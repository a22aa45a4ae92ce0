//! The header `Cache-Control` (RFC 9111, section 5.2; RFC 5861).

use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};
use smallvec::SmallVec;

/// Longer is not told apart from this, which is 68 years (RFC 9111, section 1.2.2).
const LONGEST: u64 = 1 << 31;

/// What an origin says of a response. Said more than once, the most restrictive counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct ResponseControl {
    pub(in crate::http) no_store: bool,
    /// Also of some headers only.
    pub(in crate::http) no_cache: bool,
    /// Also of some headers only.
    pub(in crate::http) private: bool,
    pub(in crate::http) must_revalidate: bool,
    pub(in crate::http) proxy_revalidate: bool,
    pub(in crate::http) public: bool,
    pub(in crate::http) max_age: Option<Duration>,
    pub(in crate::http) s_maxage: Option<Duration>,
    pub(in crate::http) stale_while_revalidate: Option<Duration>,
    pub(in crate::http) stale_if_error: Option<Duration>,
}

impl ResponseControl {
    pub(in crate::http) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for Directive { name, argument } in directives(headers) {
            match &*name {
                b"no-store" => control.no_store = true,
                b"no-cache" => control.no_cache = true,
                b"private" => control.private = true,
                b"must-revalidate" => control.must_revalidate = true,
                b"public" => control.public = true,
                b"proxy-revalidate" => control.proxy_revalidate = true,
                b"max-age" => shorten(&mut control.max_age, seconds(argument)),
                b"s-maxage" => shorten(&mut control.s_maxage, seconds(argument)),
                b"stale-while-revalidate" => shorten(&mut control.stale_while_revalidate, seconds(argument)),
                b"stale-if-error" => shorten(&mut control.stale_if_error, seconds(argument)),
                _ => {}
            }
        }
        control
    }
}

/// What the sender of a request says it takes. Said more than once, the most restrictive counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestControl {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<Duration>,
    /// Of two, the longer.
    pub(super) min_fresh: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
    /// `Duration::MAX` if it says no number, which takes any.
    pub(super) max_stale: Option<Duration>,
}

impl RequestControl {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        if !headers.contains_key(CACHE_CONTROL) {
            // Clients of HTTP/1.0 know no other way to say so (RFC 9111, section 5.4).
            let mut pragmas = headers.get_all(PRAGMA).iter().flat_map(|line| Directives(line.as_bytes()));
            control.no_cache = pragmas.any(|pragma| *pragma.name == *b"no-cache");
            return control;
        }
        for Directive { name, argument } in directives(headers) {
            match &*name {
                b"no-store" => control.no_store = true,
                b"no-cache" => control.no_cache = true,
                b"only-if-cached" => control.only_if_cached = true,
                b"max-age" => shorten(&mut control.max_age, seconds(argument)),
                b"min-fresh" => control.min_fresh = control.min_fresh.max(Some(seconds(argument))),
                b"stale-if-error" => shorten(&mut control.stale_if_error, seconds(argument)),
                b"max-stale" => {
                    let most = if argument.is_none() { Duration::MAX } else { seconds(argument) };
                    shorten(&mut control.max_stale, most);
                }
                _ => {}
            }
        }
        control
    }
}

fn shorten(shortest: &mut Option<Duration>, said: Duration) {
    *shortest = Some(shortest.map_or(said, |shortest| shortest.min(said)));
}

/// What is no number of seconds is none: whoever says so wanted to say something, and the shortest time does no harm.
fn seconds(argument: Option<&[u8]>) -> Duration {
    argument.and_then(delta_seconds).unwrap_or_default()
}

/// A number of seconds (RFC 9111, section 1.2.2).
pub(super) fn delta_seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |all: u64, digit: &u8| (all * 10 + u64::from(digit - b'0')).min(LONGEST);
    Some(Duration::from_secs(text.iter().fold(0, add)))
}

fn directives(headers: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    headers.get_all(CACHE_CONTROL).iter().flat_map(|line| Directives(line.as_bytes()))
}

struct Directive<'a> {
    /// In lower case, and on the stack: all that we know are short enough.
    name: SmallVec<[u8; 24]>,
    /// Without the quotes, if it is in quotes.
    argument: Option<&'a [u8]>,
}

/// Those that are left of a line.
struct Directives<'a>(&'a [u8]);

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let (name, rest) = split_before(self.0, |byte| matches!(byte, b',' | b'='));
        let (argument, rest) = match rest {
            [b'=', rest @ ..] => {
                let (argument, rest) = argument(rest.trim_ascii_start());
                (Some(argument), rest)
            }
            _ => (None, rest),
        };
        let (_, rest) = split_before(rest, |byte| byte == b',');
        self.0 = rest.get(1..).unwrap_or_default();
        let mut name = SmallVec::from_slice(name.trim_ascii());
        name.make_ascii_lowercase();
        Some(Directive { name, argument })
    }
}

/// The argument that `text` begins with, and what comes after it. A quote that is never closed hides nothing: it is a
/// character like any other.
fn argument(text: &[u8]) -> (&[u8], &[u8]) {
    if let [b'"', quoted @ ..] = text
        && let Some(end) = closing_quote(quoted)
    {
        return (quoted[..end].trim_ascii(), &quoted[end + 1..]);
    }
    let (argument, rest) = split_before(text, |byte| byte == b',');
    (argument.trim_ascii(), rest)
}

fn closing_quote(quoted: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    quoted.iter().position(|byte| {
        let closes = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        closes
    })
}

fn split_before(text: &[u8], end: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| end(*byte)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn headers<T: AsRef<[u8]>>(name: &HeaderName, lines: &[T]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_ref()).expect("a value"));
        }
        headers
    }

    fn response(lines: &[&str]) -> ResponseControl {
        ResponseControl::of(&headers(&CACHE_CONTROL, lines))
    }

    fn request(lines: &[&str]) -> RequestControl {
        RequestControl::of(&headers(&CACHE_CONTROL, lines))
    }

    const fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_not_said_is_not_so() {
        assert_eq!(response(&[]), ResponseControl::default());
        assert_eq!(response(&["publics, immutable, x-no-store, no-storex", ""]), ResponseControl::default());
        assert_eq!(request(&["x-max-age=0, immutable, s-maxage=3"]), RequestControl::default());
    }

    #[test]
    fn all_that_a_response_says_is_read_whatever_its_case_in_all_lines() {
        let expected = ResponseControl {
            no_store: true,
            no_cache: true,
            private: true,
            must_revalidate: true,
            proxy_revalidate: true,
            public: true,
            max_age: secs(5),
            s_maxage: secs(6),
            stale_while_revalidate: secs(8),
            stale_if_error: secs(7),
        };
        let lines = [
            "No-Store,no-cache , private,,\tmust-revalidate",
            "PROXY-REVALIDATE, Public, Max-Age=5, s-maxage = 6",
            "stale-if-error=\"7\", Stale-While-Revalidate=8",
        ];
        assert_eq!(response(&lines), expected);
        assert_eq!(response(&[&lines.join(", ")]), expected);
    }

    #[test]
    fn all_that_a_request_says_is_read() {
        let said =
            request(&["no-store, NO-CACHE", "stale-if-error=3, max-stale=4", "Only-If-Cached,max-age=5,min-fresh=6"]);
        let expected = RequestControl {
            no_store: true,
            no_cache: true,
            only_if_cached: true,
            max_age: secs(5),
            min_fresh: secs(6),
            stale_if_error: secs(3),
            max_stale: secs(4),
        };
        assert_eq!(said, expected);
        assert_eq!(request(&["max-stale"]).max_stale, Some(Duration::MAX));
        assert_eq!(request(&["max-stale, max-stale=9"]).max_stale, secs(9));
        assert_eq!(request(&["max-stale="]).max_stale, secs(0));
    }

    #[test]
    fn what_holds_for_some_headers_holds_for_all() {
        assert!(response(&[r#"private="x-user, x-name""#]).private);
        assert!(response(&["no-cache=Set-Cookie"]).no_cache);
        assert_eq!(response(&[r#"private="a, no-store", max-age=1"#]).max_age, secs(1));
        assert!(!response(&[r#"private="a, no-store""#]).no_store, "that is the name of a header");
        assert!(!response(&[r#"private="a\", no-store""#]).no_store, "the quote is escaped");
        assert!(response(&[r#"private="a\\", no-store"#]).no_store, "the backslash is escaped");
        assert_eq!(response(&[r#"private="a\\", max-age="3""#]).max_age, secs(3), "and this quote is another's");
    }

    #[test]
    fn a_quote_that_is_never_closed_hides_nothing() {
        let said = response(&[r#"private="x-user, no-store"#, "max-age=3"]);
        assert!(said.private && said.no_store);
        assert_eq!(said.max_age, secs(3));
    }

    #[test]
    fn a_time_that_cannot_be_read_is_none_at_all() {
        for text in ["-1", "", "soon", "1.5", "+3", "0x10", "1 2", "\"\"", "\"-3\""] {
            assert_eq!(response(&[&format!("max-age={text}, no-store")]).max_age, secs(0), "{text:?}");
        }
        assert_eq!(response(&["stale-if-error"]).stale_if_error, secs(0));
        assert_eq!(response(&["max-age=2147483648"]).max_age, secs(LONGEST));
        assert_eq!(response(&["max-age=2147483649"]).max_age, secs(LONGEST));
        assert_eq!(response(&["max-age=99999999999999999999999999"]).max_age, secs(LONGEST));
        assert_eq!(response(&["max-age=0000000000000000000000000000060"]).max_age, secs(60));
    }

    #[test]
    fn of_two_times_the_shorter_counts() {
        assert_eq!(response(&["max-age=9, max-age=3", "max-age=5"]).max_age, secs(3));
        assert_eq!(response(&["stale-if-error=9, stale-if-error=x"]).stale_if_error, secs(0));
        assert_eq!(request(&["max-age=9, max-age=3"]).max_age, secs(3));
        assert_eq!(request(&["min-fresh=3, min-fresh=9", "min-fresh=x"]).min_fresh, secs(9), "that asks for more");
    }

    #[test]
    fn an_old_client_says_no_cache_in_its_own_words() {
        assert!(RequestControl::of(&headers(&PRAGMA, &["x=1, No-Cache"])).no_cache);
        assert!(!RequestControl::of(&headers(&PRAGMA, &["x"])).no_cache);
        let mut both = headers(&PRAGMA, &["no-cache"]);
        both.insert(CACHE_CONTROL, HeaderValue::from_static("max-stale=5"));
        assert!(!RequestControl::of(&both).no_cache);
        let pragma = headers(&PRAGMA, &["no-cache"]);
        assert_eq!(ResponseControl::of(&pragma), ResponseControl::default(), "of a response it means nothing");
    }

    /// Lines that look like those of `Cache-Control`, and others.
    fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let name = "(?i)(no-store|no-cache|private|must-revalidate|proxy-revalidate|only-if-cached|max-age|s-maxage|\
                    stale-if-error|stale-while-revalidate|max-stale|[a-z-]{0,4})";
        let argument = r#"( ?= ?(-?[0-9]{0,20}|"[a-z0-9 ,\\]{0,6}"?))?"#;
        let line = format!(r"(({name}){argument}[ ,]{{0,3}}){{0,4}}");
        let line = prop_oneof![
            4 => proptest::string::string_regex(&line).expect("an expression").prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..40),
        ];
        let line = line.prop_filter("a value", |line| HeaderValue::from_bytes(line).is_ok());
        proptest::collection::vec(line, 0..5)
    }

    proptest! {
        #[test]
        fn the_order_of_lines_is_irrelevant((lines, shuffled) in lines().prop_flat_map(|lines| {
            (Just(lines.clone()), Just(lines).prop_shuffle())
        })) {
            let (lines, shuffled) = (headers(&CACHE_CONTROL, &lines), headers(&CACHE_CONTROL, &shuffled));
            prop_assert_eq!(ResponseControl::of(&lines), ResponseControl::of(&shuffled));
            prop_assert_eq!(RequestControl::of(&lines), RequestControl::of(&shuffled));
        }

        #[test]
        fn one_line_more_never_allows_more(lines in lines(), more in lines()) {
            let fewer = ResponseControl::of(&headers(&CACHE_CONTROL, &lines));
            let all = ResponseControl::of(&headers(&CACHE_CONTROL, &[lines, more].concat()));
            let flags = |control: ResponseControl| {
                let ResponseControl { no_store, no_cache, private, must_revalidate, proxy_revalidate, .. } = control;
                [no_store, no_cache, private, must_revalidate, proxy_revalidate]
            };
            prop_assert!(flags(fewer).iter().zip(flags(all)).all(|(fewer, all)| *fewer <= all));
            let times = |control: ResponseControl| {
                let ResponseControl { max_age, s_maxage, stale_while_revalidate, stale_if_error, .. } = control;
                [max_age, s_maxage, stale_while_revalidate, stale_if_error].map(|time| time.unwrap_or(Duration::MAX))
            };
            prop_assert!(times(fewer).iter().zip(times(all)).all(|(fewer, all)| *fewer >= all));
        }

        #[test]
        fn no_pragma_can_panic(lines in lines()) {
            RequestControl::of(&headers(&PRAGMA, &lines));
        }
    }
}
