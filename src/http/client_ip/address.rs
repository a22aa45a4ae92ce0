//! One address, and lists of them as in `X-Forwarded-For`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535` is shorter, and leaves room for a port that hides.
pub(super) const LONGEST: usize = 64;

/// The entries of one line, last first; `None` is one that is no address.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    line.rsplit(|byte| *byte == b',').map(|entry| read(entry.trim_ascii()))
}

/// An address with or without a port, the node of RFC 7239, section 6. IPv6 may do without its brackets where it has no port.
pub(super) fn read(text: &[u8]) -> Option<IpAddr> {
    if text.len() > LONGEST {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let is_sound = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return is_sound.then(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::from))?;
    }
    match text.split_once(':') {
        Some((address, port)) if !port.contains(':') => {
            is_port(port).then(|| address.parse::<Ipv4Addr>().ok().map(IpAddr::from))?
        }
        _ => text.parse().ok(),
    }
}

/// A number, or a name that hides it (`_x`).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(hidden) => {
            let may_hide = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !hidden.is_empty() && hidden.bytes().all(may_hide)
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        read(text.as_bytes()).map(|address| address.to_string())
    }

    #[test]
    fn an_address_is_read_with_or_without_its_port() {
        for (written, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:1", "192.0.2.1"),
            ("192.0.2.1:65535", "192.0.2.1"),
            ("192.0.2.1:_https.0-1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[::ffff:192.0.2.1]:4711", "::ffff:192.0.2.1"),
            ("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::", "::"),
        ] {
            assert_eq!(text(written).as_deref(), Some(address), "{written}");
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_none() {
        for written in [
            "",
            " ",
            "unknown",
            "_hidden",
            "localhost",
            "192.0.2",
            "192.0.2.256",
            "192.0.2.01",
            "0xc0.0.2.1",
            "3221225985",
            "192.0.2.1:",
            "192.0.2.1:123456",
            "192.0.2.1:+1",
            "192.0.2.1:_",
            "192.0.2.1:_a b",
            "192.0.2.1:1:2",
            "192.0.2.1 192.0.2.2",
            "192.0.2.0/24",
            "[192.0.2.1]",
            "[2001:db8::1",
            "[2001:db8::1]4711",
            "[2001:db8::1]:",
            "[2001:db8::1%eth0]",
            "2001:db8::1%eth0",
            "2001:db8::1]",
            "\"192.0.2.1\"",
            "http://192.0.2.1",
            "١٩٢.0.2.1",
        ] {
            assert_eq!(text(written), None, "{written:?}");
        }
        assert_eq!(read(b"\xff"), None);
        let as_long_as = |length: usize| format!("{:a<length$}", "192.0.2.1:_");
        assert!(text(&as_long_as(LONGEST)).is_some());
        assert_eq!(text(&as_long_as(LONGEST + 1)), None, "no address is so long");
    }

    #[test]
    fn a_list_is_read_from_its_end() {
        let list: Vec<_> = from_the_right(b"192.0.2.1 ,\t[2001:db8::1]:2,, x").collect();
        let address = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(list, [None, None, address("2001:db8::1"), address("192.0.2.1")]);
        assert_eq!(from_the_right(b"").collect::<Vec<_>>(), [None]);
    }
}
