use std::error::Error;
use std::fmt;

use http::HeaderValue;

/// A reference as it can stand between the angle brackets of a `Link` (RFC 8288).
pub(super) fn checked(uri: &'static str) -> Result<&'static str, InvalidLink> {
    let is_of_a_uri = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
    if !uri.is_empty() && uri.bytes().all(is_of_a_uri) { Ok(uri) } else { Err(InvalidLink(uri)) }
}

/// What was checked is a header, and so never none.
pub(super) fn describedby(uri: &'static str) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(format!("<{uri}>; rel=\"describedby\"")).ok()
}

/// What is no reference that a link could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLink(&'static str);

impl fmt::Display for InvalidLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no reference that a link could have", self.0.escape_debug())
    }
}

impl Error for InvalidLink {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_link_or_the_header_is_none() {
        for uri in ["", "a b", "/a>; rel=next", "/a\r\nset-cookie: a=b", "/\u{e9}", "\"/a\""] {
            assert_eq!(checked(uri), Err(InvalidLink(uri)));
        }
        assert_eq!(InvalidLink("a\r").to_string(), "`a\\r` is no reference that a link could have");
        let uri = checked("https://docs.example/a?b=c#d").expect("a reference");
        assert_eq!(describedby(uri).expect("a header"), "<https://docs.example/a?b=c#d>; rel=\"describedby\"");
    }
}
