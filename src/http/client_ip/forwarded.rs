//! The header `Forwarded`, RFC 7239, section 4.
//!
//! Only what stands at the right was written by a proxy that is trusted, and a quote that a client left open would swallow
//! it for whoever reads from the left. So a line is taken apart from its end: there, what a proxy wrote is taken as it was
//! meant, whatever comes before.

use std::iter;
use std::net::IpAddr;

use super::address;

/// The `for` of each element of one line, last first; `None` is one without a `for` that is an address.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    iter::from_fn(move || {
        let line = rest?;
        let (before, element) = match last_comma(line) {
            Some(comma) => (Some(&line[..comma]), &line[comma + 1..]),
            None => (None, line),
        };
        rest = before;
        Some(read(element))
    })
}

/// The last comma that is not in quotes.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b',' if !is_quoted => return Some(at),
            b'"' if !is_quoted => is_quoted = true,
            b'"' if !ends_in_escape(&line[..at]) => is_quoted = false,
            _ => {}
        }
    }
    None
}

/// Whether what comes next is escaped: two backslashes are one that is meant.
fn ends_in_escape(text: &[u8]) -> bool {
    text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The address in an element's one `for`.
fn read(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(text) = rest {
        let (pair, after) = first_pair(text)?;
        rest = after;
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            // The grammar allows an empty pair.
            if pair.is_empty() { continue } else { return None }
        };
        if pair[..equals].eq_ignore_ascii_case(b"for") && found.replace(&pair[equals + 1..]).is_some() {
            return None;
        }
    }
    value(found?)
}

/// What comes before the first semicolon that is not in quotes, and what comes after; nothing if a quote is left open.
fn first_pair(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b';' if !is_quoted => return Some((text[..at].trim_ascii(), Some(&text[at + 1..]))),
            _ => {}
        }
    }
    (!is_quoted).then(|| (text.trim_ascii(), None))
}

/// An address, in quotes or not.
fn value(text: &[u8]) -> Option<IpAddr> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return address::read(text);
    };
    let mut unquoted = [0; address::LONGEST];
    let mut length = 0;
    let mut bytes = quoted.strip_suffix(b"\"")?.iter();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'"' => return None,
            b'\\' => bytes.next()?,
            byte => byte,
        };
        *unquoted.get_mut(length)? = *byte;
        length += 1;
    }
    address::read(&unquoted[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of a line, last first, `-` for one that cannot be read.
    fn line(line: &str) -> String {
        let text = |found: Option<IpAddr>| found.map_or("-".to_owned(), |address| address.to_string());
        from_the_right(line.as_bytes()).map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        assert_eq!(line(r#"for="_gazonk""#), "-");
        assert_eq!(line(r#"For="[2001:db8:cafe::17]:4711""#), "2001:db8:cafe::17");
        assert_eq!(line("for=192.0.2.60;proto=http;by=203.0.113.43"), "192.0.2.60");
        assert_eq!(line("for=192.0.2.43, for=198.51.100.17"), "198.51.100.17 192.0.2.43");
        assert_eq!(line(r#"for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown"#), "- 2001:db8:cafe::17 192.0.2.43");
        assert_eq!(line("for=_hidden, for=_SEVKISEK"), "- -");
        assert_eq!(line("for=192.0.2.43:47011"), "192.0.2.43", "it should be quoted, and who does not is understood");
    }

    #[test]
    fn only_for_counts_wherever_it_stands_and_however_it_is_written() {
        assert_eq!(line("by=10.0.0.1;FOR=192.0.2.1"), "192.0.2.1");
        assert_eq!(line("; for=192.0.2.1 ;; proto=https;"), "192.0.2.1");
        assert_eq!(line("by=10.0.0.1;proto=http"), "-");
        assert_eq!(line("xfor=192.0.2.1"), "-");
        assert_eq!(line("for =192.0.2.1"), "-", "the grammar has no space there");
        assert_eq!(line("for= 192.0.2.1"), "-");
        assert_eq!(line("for=192.0.2.1;for=192.0.2.2"), "-", "once an element");
        assert_eq!(line(", ,for=192.0.2.1,"), "- 192.0.2.1 - -");
        assert_eq!(line(""), "-");
    }

    #[test]
    fn commas_semicolons_and_quotes_in_quotes_are_text() {
        assert_eq!(line(r#"for=192.0.2.1;by="a,b;for=10.0.0.1",for=192.0.2.2"#), "192.0.2.2 192.0.2.1");
        assert_eq!(line(r#"for=192.0.2.1;by="\",\\\";\\", for=192.0.2.2"#), "192.0.2.2 192.0.2.1");
        assert_eq!(line(r#"for="\1\9\2.0.2.1""#), "192.0.2.1");
    }

    #[test]
    fn a_value_in_quotes_that_are_not_sound_is_none() {
        for element in [r#"for=""#, r#"for="192.0.2.1"#, r#"for=192.0.2.1""#, r#"for="192.0.2.1\""#] {
            assert_eq!(line(element), "-", "{element}");
        }
        assert_eq!(line(r#"for="""#), "-");
        assert_eq!(line(r#"for="192.0.2.1"x"#), "-");
        assert_eq!(line(r#"for="192.0.2.1" "192.0.2.2""#), "-");
        assert_eq!(line(r#"for=192.0.2.1;by="x"#), "-");
        assert_eq!(line("for=192.0.2.1;by"), "-");
        assert_eq!(line(&format!(r#"for="{}""#, "1".repeat(1000))), "-");
    }

    #[test]
    fn a_quote_left_open_before_it_does_not_swallow_what_a_proxy_wrote() {
        for forged in [r#"""#, r#"for=""#, r#"for=10.0.0.1;by=""#, r#"for="\"#, r"\", r#"x="\\"#, r#"a="b",c=""#] {
            for (written, read) in [
                ("for=192.0.2.1", "192.0.2.1"),
                (r#"for="[2001:db8::1]:80";by="\"""#, "2001:db8::1"),
                (r#"by=",";for="192.0.2.1""#, "192.0.2.1"),
            ] {
                let text = format!("{forged}, {written}");
                assert_eq!(line(&text).split(' ').next(), Some(read), "{text}");
            }
        }
    }
}
