//! Requests for an answer only if it is another one than their sender has (RFC 9110, section 13; RFC 9111, section 4.3.2).

use http::HeaderMap;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderName,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};

use super::freshness::date;

/// Those that a cache may answer. The others compare with what the origin has.
pub(super) const OF_CACHES: [HeaderName; 2] = [IF_NONE_MATCH, IF_MODIFIED_SINCE];

/// Whether the sender of `request` has the answer with the headers `kept` already.
pub(super) fn has_it_already(request: &HeaderMap, kept: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let own = kept.get(ETAG).and_then(|tag| Tags(tag.as_bytes()).next());
        let mut lines = request.get_all(IF_NONE_MATCH).iter().map(http::HeaderValue::as_bytes);
        return lines.any(|line| line.trim_ascii() == b"*" || own.is_some_and(|own| Tags(line).any(|tag| tag == own)));
    }
    let modified = date(kept, &LAST_MODIFIED).or_else(|| date(kept, &DATE));
    date(request, &IF_MODIFIED_SINCE).zip(modified).is_some_and(|(since, modified)| modified <= since)
}

/// Leaves of the headers of an answer those that are told to somebody who has it (RFC 9110, section 15.4.5).
pub(super) fn without_content(headers: &mut HeaderMap) {
    for name in [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE] {
        headers.remove(name);
    }
    if headers.contains_key(ETAG) {
        headers.remove(LAST_MODIFIED);
    }
}

/// The entity-tags of a line, up to the first thing that is none. Each without the mark of a weak one: those are the same here.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let tag = &self.0[start..];
        let quoted = tag.strip_prefix(b"W/").unwrap_or(tag).strip_prefix(b"\"")?;
        let end = quoted.iter().position(|byte| *byte == b'"')?;
        self.0 = &quoted[end + 1..];
        Some(&quoted[..end])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers<V: AsRef<[u8]>>(lines: &[(HeaderName, V)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, http::HeaderValue::from_bytes(value.as_ref()).expect("a value"));
        }
        headers
    }

    fn matches(condition: &str, tag: &str) -> bool {
        has_it_already(&headers(&[(IF_NONE_MATCH, condition)]), &headers(&[(ETAG, tag)]))
    }

    #[test]
    fn whoever_has_the_same_entity_tag_has_it() {
        for (condition, tag) in [
            (r#""a""#, r#""a""#),
            (r#"W/"a""#, r#""a""#),
            (r#""a""#, r#"W/"a""#),
            (r#""x", W/"y" ,"a""#, r#""a""#),
            (r#""x,y""#, r#""x,y""#),
            (r#""""#, r#""""#),
            (r#", "a""#, r#""a""#),
            ("*", r#""a""#),
            (" * ", "none"),
        ] {
            assert!(matches(condition, tag), "{condition} {tag}");
        }
        for (condition, tag) in [
            (r#""b""#, r#""a""#),
            (r#""A""#, r#""a""#),
            (r#""a"#, r#""a""#),
            ("a", r#""a""#),
            (r#"w/"a""#, r#""a""#),
            (r#""x,a""#, r#""a""#),
            (r#""x" y "a""#, r#""a""#),
            ("", r#""a""#),
            (r#""*""#, r#""a""#),
            (r#""a""#, "a"),
        ] {
            assert!(!matches(condition, tag), "{condition} {tag}");
        }
        let two = headers(&[(IF_NONE_MATCH, r#""x""#), (IF_NONE_MATCH, r#""a""#)]);
        assert!(has_it_already(&two, &headers(&[(ETAG, r#""a""#)])), "in all lines");
        let any = headers(&[(IF_NONE_MATCH, "*")]);
        assert!(has_it_already(&any, &HeaderMap::new()), "there is one");
    }

    #[test]
    fn whoever_has_it_of_that_date_or_a_later_one_has_it() {
        let has = |since: &str, kept: &[(HeaderName, &str)]| {
            has_it_already(&headers(&[(IF_MODIFIED_SINCE, since)]), &headers(kept))
        };
        for (since, expected) in [(BEFORE, false), (THEN, true), (LATER, true), ("soon", false), ("", false)] {
            assert_eq!(has(since, &[(LAST_MODIFIED, THEN)]), expected, "{since}");
            assert_eq!(has(since, &[(DATE, THEN)]), expected, "it is no younger than that: {since}");
        }
        assert!(has(THEN, &[(LAST_MODIFIED, THEN), (DATE, LATER)]));
        assert!(!has(THEN, &[]), "nobody knows");
    }

    #[test]
    fn a_tag_says_more_than_a_date() {
        let request = headers(&[(IF_NONE_MATCH, r#""b""#), (IF_MODIFIED_SINCE, LATER)]);
        assert!(!has_it_already(&request, &headers(&[(ETAG, r#""a""#), (LAST_MODIFIED, THEN)])));
        assert!(!has_it_already(&request, &headers(&[(LAST_MODIFIED, THEN)])));
    }

    #[test]
    fn who_asks_for_it_in_any_case_does_not_have_it() {
        assert!(!has_it_already(&HeaderMap::new(), &headers(&[(ETAG, r#""a""#), (LAST_MODIFIED, THEN)])));
        let of_origins = headers(&[(http::header::IF_MATCH, r#""a""#), (http::header::IF_UNMODIFIED_SINCE, THEN)]);
        assert!(!has_it_already(&of_origins, &headers(&[(ETAG, r#""a""#), (LAST_MODIFIED, THEN)])));
    }

    #[test]
    fn who_has_it_is_told_what_is_new_about_it_and_nothing_of_its_content() {
        let mut kept = headers(&[
            (CONTENT_TYPE, "text/plain"),
            (CONTENT_LENGTH, "4"),
            (CONTENT_ENCODING, "gzip"),
            (CONTENT_LANGUAGE, "de"),
            (LAST_MODIFIED, THEN),
        ]);
        let stays = [
            (ETAG, "\"a\""),
            (DATE, LATER),
            (http::header::VARY, "accept"),
            (http::header::CACHE_CONTROL, "max-age=5"),
            (http::header::EXPIRES, LATER),
            (http::header::CONTENT_LOCATION, "/tea.de"),
            (http::header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ];
        kept.extend(headers(&stays));
        without_content(&mut kept);
        assert_eq!(kept, headers(&stays));
        let mut undated = headers(&[(LAST_MODIFIED, THEN)]);
        without_content(&mut undated);
        assert_eq!(undated, headers(&[(LAST_MODIFIED, THEN)]), "there is nothing else to know it by");
    }

    proptest! {
        #[test]
        fn a_tag_among_others_is_found(before in tags(), after in tags(), tag in "[!#-~]{0,6}") {
            let line = [before, vec![format!("\"{tag}\"")], after].concat().join(", ");
            let weak = format!("W/\"{tag}\"");
            prop_assert!(matches(&line, &weak));
            let unknown = format!("\"{tag}~\"");
            let is_there = line.contains(&unknown);
            prop_assert_eq!(matches(&line, &unknown), is_there);
        }

        #[test]
        fn no_condition_can_panic(
            conditions in proptest::collection::vec((0..2_usize, proptest::collection::vec(any::<u8>(), 0..20)), 0..4),
            tag in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let value = |value: &[u8]| http::HeaderValue::from_bytes(value).ok();
            let conditions = conditions.iter().filter_map(|(name, line)| Some((OF_CACHES[*name].clone(), value(line)?)));
            let kept = value(&tag).into_iter().flat_map(|tag| [(ETAG, tag.clone()), (LAST_MODIFIED, tag)]);
            has_it_already(&conditions.collect(), &kept.collect());
        }
    }

    fn tags() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec(r#"(W/)?"[!#-~]{0,6}""#, 0..4)
    }
}
