//! The header `Vary` (RFC 9110, section 12.5.5; RFC 9111, section 4.1).

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::VARY;
use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

/// What a request had of the headers that its response varies by. Another request is answered by a copy of that response if
/// it has the same.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Selection(Box<[(HeaderName, Value)]>);

/// `None` where a request has no line of that name.
type Value = Option<Box<[u8]>>;

impl Selection {
    /// None if no other request is answered by the response: it varies by more than headers, or by what is no header.
    pub(super) fn of(response: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let names = names(response)?;
        Some(Self(names.into_iter().map(|name| (name.clone(), normalized(request, &name))).collect()))
    }

    pub(super) fn contains(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, value)| normalized(request, name) == *value)
    }

    /// Tells requests apart by what they have of the same names, as a number that is theirs in this process.
    pub(super) fn variant(&self, request: &HeaderMap) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.iter().for_each(|(name, _)| normalized(request, name).hash(&mut hasher));
        hasher.finish()
    }

    /// How many bytes of memory the names and the values take.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.as_str().len() + value.as_ref().map_or(0, |value| value.len())).sum()
    }

    /// How many there are, and each by its name and its value, or that there is none. `None` if one is longer than a length can
    /// tell.
    pub(super) fn encode(&self, bytes: &mut BytesMut) -> Option<()> {
        bytes.put_u16_le(u16::try_from(self.0.len()).ok()?);
        for (name, value) in &self.0 {
            bytes.put_u16_le(u16::try_from(name.as_str().len()).ok()?);
            bytes.put_slice(name.as_str().as_bytes());
            bytes.put_u8(u8::from(value.is_some()));
            if let Some(value) = value {
                bytes.put_u32_le(u32::try_from(value.len()).ok()?);
                bytes.put_slice(value);
            }
        }
        Some(())
    }

    /// What was encoded, if it was.
    pub(super) fn decode(bytes: &mut Bytes) -> Option<Self> {
        let mut lines = Vec::new();
        for _ in 0..bytes.try_get_u16_le().ok()? {
            let length = bytes.try_get_u16_le().ok()?;
            let name = HeaderName::from_bytes(&taken(bytes, length.into())?).ok()?;
            let value = match bytes.try_get_u8().ok()? {
                0 => None,
                1 => {
                    let length = bytes.try_get_u32_le().ok()?;
                    Some((*taken(bytes, usize::try_from(length).ok()?)?).into())
                }
                _ => return None,
            };
            lines.push((name, value));
        }
        Some(Self(lines.into()))
    }

    /// The same for the same names and values, in all processes and versions (SHA-256, its first eight bytes).
    pub(super) fn fingerprint(&self) -> u64 {
        let mut bytes = BytesMut::new();
        // What is too long to be written is put nowhere.
        let _ = self.encode(&mut bytes);
        Sha256::digest(&bytes).first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

fn taken(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

// The values may be a password or a cookie.
impl fmt::Debug for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Whether no other request is answered by a response with these headers.
pub(super) fn is_unique(response: &HeaderMap) -> bool {
    names(response).is_none()
}

/// What a response varies by, in one order whatever its own.
fn names(response: &HeaderMap) -> Option<Vec<HeaderName>> {
    let members = response.get_all(VARY).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let members = members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty());
    // An asterisk would be a name as well.
    let names = members.map(|member| if member == b"*" { None } else { HeaderName::from_bytes(member).ok() });
    let mut names = names.collect::<Option<Vec<_>>>()?;
    names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup();
    Some(names)
}

/// All lines of a header as one, without the white space that says nothing. None if there is no line, which is not the same
/// as an empty one.
fn normalized(request: &HeaderMap, name: &HeaderName) -> Value {
    let mut lines = request.get_all(name).iter();
    let mut all = Vec::new();
    normalize(&mut all, lines.next()?.as_bytes());
    for line in lines {
        all.push(b',');
        normalize(&mut all, line.as_bytes());
    }
    Some(all.into())
}

/// White space beside a comma says nothing, and more of it elsewhere no more than a space. In quotes it is data.
fn normalize(all: &mut Vec<u8>, line: &[u8]) {
    let (mut is_quoted, mut is_escaped, mut has_space) = (false, false, false);
    for byte in line.trim_ascii() {
        if !is_quoted && byte.is_ascii_whitespace() {
            has_space = true;
            continue;
        }
        let is_beside_comma = *byte == b',' || all.ends_with(b",");
        if std::mem::take(&mut has_space) && !is_beside_comma {
            all.push(b' ');
        }
        all.push(*byte);
        if *byte == b'"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = is_quoted && *byte == b'\\' && !is_escaped;
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers<N: AsRef<str>, V: AsRef<[u8]>>(lines: &[(N, V)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_ref().as_bytes()).expect("a name");
            headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a value"));
        }
        headers
    }

    fn varying(lines: &[&str]) -> HeaderMap {
        headers(&lines.iter().map(|line| ("vary", line)).collect::<Vec<_>>())
    }

    fn selects(vary: &[&str], first: &[(&str, &str)], second: &[(&str, &str)]) -> bool {
        Selection::of(&varying(vary), &headers(first)).expect("names").contains(&headers(second))
    }

    #[test]
    fn a_response_that_varies_by_nothing_answers_everybody() {
        assert!(selects(&[], &[("accept", "a")], &[("accept", "b")]));
        assert!(selects(&["", " , "], &[("accept", "a")], &[]));
    }

    #[test]
    fn each_header_that_is_named_counts_and_no_other() {
        let request = [("accept-language", "de"), ("accept-encoding", "gzip"), ("accept", "a")];
        let vary = ["Accept-Encoding,", "ACCEPT-LANGUAGE, accept-encoding"];
        assert!(selects(&vary, &request, &request));
        assert!(selects(&vary, &request, &[("accept-encoding", "gzip"), ("accept-language", "de"), ("accept", "b")]));
        assert!(!selects(&vary, &request, &[("accept-encoding", "br"), ("accept-language", "de")]));
        assert!(!selects(&vary, &request, &[("accept-encoding", "gzip"), ("accept-language", "en")]));
        assert!(!selects(&vary, &request, &[("accept-encoding", "gzip")]));
        assert!(selects(&["accept"], &[], &[("cookie", "x")]), "both have none");
        assert!(!selects(&["accept"], &[], &[("accept", "")]), "an empty one is one");
    }

    #[test]
    fn two_that_say_the_same_have_the_same_selection() {
        let request = headers(&[("a", "1"), ("b", "2")]);
        let of = |lines: &[&str]| Selection::of(&varying(lines), &request);
        assert_eq!(of(&["B, a, A"]), of(&["a", "b"]));
        assert_ne!(of(&["a"]), of(&["a, b"]));
    }

    #[test]
    fn what_varies_by_more_than_headers_answers_nobody() {
        for vary in [&["*"][..], &["accept, *"], &["accept", " * "], &["two words"], &["caf\u{e9}"], &["a=\"b\""]] {
            assert_eq!(Selection::of(&varying(vary), &HeaderMap::new()), None, "{vary:?}");
            assert!(is_unique(&varying(vary)), "{vary:?}");
        }
        assert!(!is_unique(&varying(&["accept"])));
        assert!(!is_unique(&HeaderMap::new()));
    }

    #[test]
    fn white_space_that_says_nothing_makes_no_difference() {
        let same = |one: &[&str], other: &[&str]| {
            let lines = |values: &[&str]| headers(&values.iter().map(|value| ("a", *value)).collect::<Vec<_>>());
            Selection::of(&varying(&["a"]), &lines(one)).expect("names").contains(&lines(other))
        };
        assert!(same(&["x, y;q=1"], &["  x ,\ty;q=1 "]));
        assert!(same(&["x, y"], &["x", "y"]));
        assert!(same(&["x y"], &["x \t y"]));
        assert!(!same(&["x y"], &["xy"]));
        assert!(!same(&["x, y"], &["y, x"]), "the order may say something");
        assert!(!same(&["x"], &["X"]));
        assert!(!same(&[r#""x, y""#], &[r#""x,y""#]), "it is data");
        assert!(!same(&[r#""x  y""#], &[r#""x y""#]));
        assert!(!same(&[r#""\"  x""#], &[r#""\" x""#]), "the quote is escaped");
        assert!(same(&[r#""\\" , x"#], &[r#""\\",x"#]), "the backslash is escaped");
        assert!(!same(&[r#"\"x  y""#], &[r#"\"x y""#]), "nothing is escaped outside of quotes");
        assert!(same(&[r#"x="1" , y"#], &[r#"x="1",y"#]));
        assert!(!same(&[""], &["", ""]));
    }

    #[test]
    fn what_is_kept_of_a_request_is_counted_and_not_written_down() {
        let request = headers(&[("cookie", "secret"), ("accept", "much")]);
        let selection = Selection::of(&varying(&["cookie, x"]), &request).expect("names");
        assert_eq!(selection.bytes(), "cookie".len() + "secret".len() + "x".len());
        assert_eq!(format!("{selection:?}"), r#"["cookie", "x"]"#);
    }

    fn requests() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let value = prop_oneof![
            3 => r#"[a-b, "\\]{0,8}"#.prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ];
        let value = value.prop_filter("a value", |value| HeaderValue::from_bytes(value).is_ok());
        proptest::collection::vec(("[a-c]", value), 0..5)
    }

    proptest! {
        #[test]
        fn a_request_is_answered_by_what_it_was_answered_with(
            (vary, shuffled) in proptest::collection::vec("[a-c]( ?, ?[a-c])?", 0..4)
                .prop_flat_map(|vary| (Just(vary.clone()), Just(vary).prop_shuffle())),
            one in requests(),
            other in requests(),
        ) {
            let response = |lines: &[String]| varying(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            let (one, other) = (headers(&one), headers(&other));
            let of = |request| Selection::of(&response(&vary), request).expect("names");
            prop_assert!(of(&one).contains(&one));
            prop_assert_eq!(of(&one).contains(&other), of(&one) == of(&other));
            let variant = |request| of(&one).variant(request);
            prop_assert_eq!(variant(&one) == variant(&other), of(&one) == of(&other));
            prop_assert_eq!(variant(&one), of(&other).variant(&one), "whoever was answered before");
            prop_assert_eq!(of(&one), Selection::of(&response(&shuffled), &one).expect("names"));
            for (name, value) in &of(&one).0 {
                prop_assert_eq!(value.is_some(), one.contains_key(name));
            }
        }

        #[test]
        fn white_space_around_commas_makes_no_difference(
            members in proptest::collection::vec(r#"[ab;=1]{0,3}|"[ab ,]{0,3}""#, 1..5),
            spaces in proptest::collection::vec("[ \t]{0,2}", 10),
        ) {
            let spaced = members.iter().zip(spaces.chunks(2)).map(|(member, spaces)| format!("{}{member}{}", spaces[0], spaces[1]));
            let spaced = spaced.collect::<Vec<_>>().join(",");
            let lines = members.iter().map(|member| ("a", member)).collect::<Vec<_>>();
            let selection = Selection::of(&varying(&["a"]), &headers(&lines)).expect("names");
            prop_assert!(selection.contains(&headers(&[("a", spaced)])));
        }
    }
}
