//! The header `Idempotency-Key`, after draft-ietf-httpapi-idempotency-key-header.

use std::fmt;

use http::{HeaderMap, HeaderName};

/// As the draft has it; published APIs allow between 32 and 255.
const LONGEST: usize = 255;

/// What is wrong with the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    MoreThanOne,
    Empty,
    TooLong,
    /// Neither a string of structured fields, nor a token, where that will do.
    Syntax,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MoreThanOne => "more than one key",
            Self::Empty => "an empty key",
            Self::TooLong => "a key of more than 255 characters",
            Self::Syntax => "neither a quoted string nor a plain token",
        })
    }
}

/// The key of a request, if it has one. A quoted string and a bare token of the same characters are the same key, since
/// clients send either; the draft, and so `strict`, has only the string.
pub(super) fn key_of(headers: &HeaderMap, name: &HeaderName, strict: bool) -> Result<Option<String>, Malformed> {
    let mut lines = headers.get_all(name).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Malformed::MoreThanOne);
    }
    let text = line.as_bytes().trim_ascii();
    let key = match text {
        [b'"', quoted @ ..] => unquoted(quoted)?,
        token if !strict && token.iter().all(|byte| is_of_token(*byte)) => token.to_vec(),
        _ => return Err(Malformed::Syntax),
    };
    match key.len() {
        0 => Err(Malformed::Empty),
        1..=LONGEST => String::from_utf8(key).map(Some).map_err(|_| Malformed::Syntax),
        _ => Err(Malformed::TooLong),
    }
}

/// Whether it can be sent as a key.
pub(super) fn is_key(key: &str) -> bool {
    (1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a key can be sent without quotes.
pub(super) fn is_token(key: &str) -> bool {
    key.bytes().all(is_of_token)
}

/// A key as a string of structured fields.
pub(super) fn quoted(key: &str) -> String {
    let escaped = key.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

const fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'~' | b'+' | b'/' | b'=' | b'-')
}

/// What is in a string (RFC 9651, section 3.3.3) whose first quote is read already, and after which nothing may come.
fn unquoted(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut key = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    loop {
        match bytes.next() {
            Some(b'"') => return if bytes.next().is_none() { Ok(key) } else { Err(Malformed::Syntax) },
            Some(b'\\') => match bytes.next() {
                Some(escaped @ (b'"' | b'\\')) => key.push(escaped),
                _ => return Err(Malformed::Syntax),
            },
            Some(byte @ b' '..=b'~') => key.push(byte),
            _ => return Err(Malformed::Syntax),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    type Key = Result<Option<String>, Malformed>;

    const NAME: HeaderName = HeaderName::from_static("idempotency-key");

    fn of(lines: &[&[u8]], strict: bool) -> Result<Option<String>, Malformed> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_bytes(line).expect("a value"));
        }
        key_of(&headers, &NAME, strict)
    }

    #[test]
    fn a_quoted_string_and_a_bare_token_are_the_same_key() {
        let uuid = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        let (quoted, bare) = (format!("\"{uuid}\""), format!("  {uuid} "));
        assert_eq!(of(&[quoted.as_bytes()], false), Ok(Some(uuid.into())));
        assert_eq!(of(&[bare.as_bytes()], false), Ok(Some(uuid.into())));
        assert_eq!(of(&[quoted.as_bytes()], true), Ok(Some(uuid.into())));
        assert_eq!(of(&[bare.as_bytes()], true), Err(Malformed::Syntax));
        assert_eq!(of(&[], true), Ok(None));
    }

    #[test]
    fn what_is_no_key_is_refused_and_what_is_a_strange_one_is_not() {
        let long = "x".repeat(256);
        let cases: [(&[&[u8]], Key); 16] = [
            (&[b""], Err(Malformed::Empty)),
            (&[b"\"\""], Err(Malformed::Empty)),
            (&[b"a", b"a"], Err(Malformed::MoreThanOne)),
            (&[b"a, b"], Err(Malformed::Syntax)),
            (&[b"\"a\", \"b\""], Err(Malformed::Syntax)),
            (&[b"\"a\";p=1"], Err(Malformed::Syntax)),
            (&[b"\"a"], Err(Malformed::Syntax)),
            (&[b"\"a\\n\""], Err(Malformed::Syntax)),
            (&[b"\"a\\"], Err(Malformed::Syntax)),
            (&[b"\"a\tb\""], Err(Malformed::Syntax)),
            (&["\"k\u{e9}y\"".as_bytes()], Err(Malformed::Syntax)),
            (&[b"{tag}"], Err(Malformed::Syntax)),
            (&[b"*"], Err(Malformed::Syntax)),
            (&[long.as_bytes()], Err(Malformed::TooLong)),
            (&[b"\"{tag} * '; DROP TABLE\""], Ok(Some("{tag} * '; DROP TABLE".into()))),
            (&[br#""a \"b\" \\ c""#], Ok(Some(r#"a "b" \ c"#.into()))),
        ];
        for (lines, expected) in cases {
            assert_eq!(of(lines, false), expected, "{lines:?}");
        }
        assert_eq!(of(&[&long.as_bytes()[..255]], false), Ok(Some(long[..255].into())));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_there_is_a_key_or_a_reason(line in proptest::collection::vec(any::<u8>(), 0..300), strict: bool) {
            let Ok(value) = HeaderValue::from_bytes(&line) else {
                return Ok(());
            };
            let mut headers = HeaderMap::new();
            headers.append(NAME, value);
            if let Ok(Some(key)) = key_of(&headers, &NAME, strict) {
                prop_assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            }
        }

        #[test]
        fn any_text_can_be_a_key_if_it_is_quoted(key in "[ -~]{1,255}") {
            prop_assert!(is_key(&key));
            prop_assert_eq!(of(&[quoted(&key).as_bytes()], true), Ok(Some(key.clone())));
            if is_token(&key) {
                prop_assert_eq!(of(&[key.as_bytes()], false), Ok(Some(key)));
            }
        }
    }
}
