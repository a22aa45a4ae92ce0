use std::fmt;
use std::sync::Arc;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

use super::scope::Whose;

/// What is longer is not remembered: it costs memory whether it is asked for again or not.
const LONGEST: usize = 4096;

/// Where requests are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// As they come in. Some say by which scheme, and some do not.
    Server,
    /// As they go out.
    Client,
}

/// What the answers to an HTTP request are remembered under: whose they are, and the request's URI.
///
/// `GET` and `HEAD` of one URI have the same key. The host is that of the URI, or of the header `Host`; both count if they
/// differ. The scheme counts with a client. A server is not always told it, and shows the same page by either.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(Arc<str>);

impl CacheKey {
    /// None for what is nobody's, for a key of more than 4 KiB, for a host that cannot be read, and for a URI with a password, which is somebody's.
    pub(super) fn of(whose: &Whose, side: Side, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let scheme = uri.scheme_str().filter(|_| side == Side::Client);
        let authority = uri.authority().map_or("", Authority::as_str);
        // Both count if they differ: the one may say where the request goes, and the other what is asked for there.
        let host = host(headers)?.filter(|host| !host.eq_ignore_ascii_case(authority));
        if authority.contains('@') {
            return None;
        }
        let mut key = String::with_capacity(128);
        match whose {
            Whose::Everybodys => {}
            Whose::EverybodysAt(site) => key.extend([&*site.len().to_string(), "@", site]),
            Whose::Of(scope) => key.extend([&*scope.len().to_string(), ":", scope]),
            Whose::Nobodys => return None,
        }
        if let Some(scheme) = scheme {
            key.extend([scheme, ":"]);
        }
        key.push_str("//");
        let origin = key.len();
        key.push_str(host.unwrap_or_default());
        if host.is_some() && !authority.is_empty() {
            key.push('@');
        }
        key.push_str(authority);
        key[origin..].make_ascii_lowercase();
        Self::with_path(key, uri)
    }

    /// The key of what `reference` refers to, in the same scope: a URI of the same origin, or a path from its root.
    pub(super) fn of_reference(&self, reference: &HeaderValue) -> Option<Self> {
        // Another authority without a scheme would be taken for a path.
        if reference.as_bytes().starts_with(b"//") {
            return None;
        }
        let uri = Uri::try_from(reference.as_bytes()).ok()?;
        let (before, origin) = self.split_at_path();
        let is_of_origin = match (uri.scheme_str(), uri.authority()) {
            (None, None) => true,
            (Some(scheme), Some(authority)) => {
                let (own_scheme, own) = origin.split_once("//").expect("every key has an authority");
                own_scheme.strip_suffix(':').is_none_or(|own| own == scheme)
                    && own.split('@').any(|own| own.eq_ignore_ascii_case(authority.as_str()))
            }
            _ => false,
        };
        if is_of_origin { Self::with_path(before.to_owned(), &uri) } else { None }
    }

    fn with_path(mut key: String, uri: &Uri) -> Option<Self> {
        match uri.path() {
            "" => key.push('/'),
            path if path.starts_with('/') => key.push_str(path),
            _ => return None,
        }
        if let Some(query) = uri.query() {
            key.extend(["?", query]);
        }
        (key.len() <= LONGEST).then(|| Self(key.into()))
    }

    /// The key as text: the length of the scope or the site and its name, if there is one, and then the [URI](Self::uri).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes after the scope or the site: `https://shop.example/products/7?size=m`, of a server without the scheme (`//shop.example/..`),
    /// and `https://HOST@shop.example/..` if its header `Host` says another one than its URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        // A URI begins with a letter or a slash; only the length of a scope begins with a digit.
        let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
        self.0[..digits].parse::<usize>().map_or(&*self.0, |scope| &self.0[digits + 1 + scope..])
    }

    /// What comes before the path, with the scope and without it.
    fn split_at_path(&self) -> (&str, &str) {
        let uri = self.uri();
        let authority = uri.find("//").expect("every key has an authority") + 2;
        let path = authority + uri[authority..].find('/').expect("every key has a path");
        (&self.0[..self.0.len() - uri.len() + path], &uri[..path])
    }
}

/// What the header says, if it is there. None if nobody can tell what it says.
fn host(headers: &HeaderMap) -> Option<Option<&str>> {
    let mut lines = headers.get_all(HOST).iter();
    let Some(line) = lines.next() else {
        return Some(None);
    };
    let host = line.to_str().ok()?;
    let is_one = lines.next().is_none() && !host.contains('@') && Authority::try_from(host).is_ok();
    is_one.then_some(Some(host))
}

/// The [URI](CacheKey::uri): what a [prefix](crate::cache_fallback::Memory::forget_prefix) is of, whosever the answers are.
impl AsRef<str> for CacheKey {
    fn as_ref(&self) -> &str {
        self.uri()
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use http::{Method, Request};
    use proptest::prelude::*;

    use super::*;

    fn head(uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::get(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn of(scope: Option<&str>, head: &Parts) -> Option<CacheKey> {
        CacheKey::of(
            &scope.map_or(Whose::Everybodys, |scope| Whose::Of(scope.to_owned())),
            Side::Client,
            &head.uri,
            &head.headers,
        )
    }

    fn key(uri: &str, hosts: &[&str]) -> Option<String> {
        of(None, &head(uri, hosts)).map(|key| key.to_string())
    }

    fn at(scope: Option<&str>, uri: &str) -> CacheKey {
        of(scope, &head(uri, &[])).expect("a key")
    }

    #[test]
    fn the_uri_says_the_host_and_otherwise_the_header_does() {
        let key = |uri, hosts| key(uri, hosts).expect("a key");
        assert_eq!(key("HTTPS://Shop.Example:8443/A?B=c", &[]), "https://shop.example:8443/A?B=c");
        assert_eq!(key("/A?B=c", &["Shop.Example"]), "//shop.example/A?B=c");
        assert_eq!(key("https://a/x", &["A"]), "https://a/x", "they say the same");
        assert_eq!(key("https://a", &[]), "https://a/");
        assert_eq!(key("https://a?x", &[]), "https://a/?x");
        assert_eq!(key("/x#part", &["a"]), "//a/x");
        assert_ne!(key("/x?", &["a"]), key("/x", &["a"]));
        assert_eq!(key("/x", &[]), "///x", "of a test, or of HTTP/1.0");
    }

    /// HTTP/2 tells a server the whole URI, and HTTP/1 the path and the host.
    #[test]
    fn to_a_server_it_is_the_same_page_however_it_is_asked_for() {
        let key = |uri, hosts| {
            let head = head(uri, hosts);
            CacheKey::of(&Whose::Everybodys, Side::Server, &head.uri, &head.headers).expect("a key")
        };
        let by_path = key("/A?B=c", &["Shop.Example"]);
        assert_eq!(by_path.as_str(), "//shop.example/A?B=c");
        assert_eq!(key("https://shop.example/A?B=c", &[]), by_path);
        assert_eq!(key("http://shop.example/A?B=c", &["shop.example"]), by_path);
    }

    /// A gateway sends what it was asked to an address of its own, and leaves the `Host`: it is another site's page.
    #[test]
    fn a_host_that_is_not_that_of_the_uri_counts_as_well() {
        assert_eq!(key("http://10.0.0.1/", &["Shop.example"]).as_deref(), Some("http://shop.example@10.0.0.1/"));
        assert_ne!(key("http://10.0.0.1/", &["a"]), key("http://10.0.0.1/", &["b"]));
        assert_ne!(key("http://10.0.0.1/", &["a"]), key("http://10.0.0.2/", &["a"]));
    }

    #[test]
    fn get_and_head_have_the_same_key() {
        let mut head = head("/x", &["a"]);
        let get = of(Some("7"), &head);
        head.method = Method::HEAD;
        assert_eq!(of(Some("7"), &head), get);
    }

    #[test]
    fn what_cannot_be_read_or_is_somebodys_has_no_key() {
        for hosts in [&["a", "a"][..], &[""], &["a/x"], &["a b"], &["user:word@a"], &["a?x"]] {
            assert_eq!(key("/x", hosts), None, "{hosts:?}");
            assert_eq!(key("http://a/x", hosts), None, "{hosts:?}");
        }
        assert_eq!(key("http://user:word@a/x", &[]), None);
        assert_eq!(key("*", &["a"]), None);
    }

    #[test]
    fn a_key_has_an_end() {
        let path = |length: usize| format!("/{}", "x".repeat(length - 1));
        assert_eq!(key(&path(4093), &["a"]).map(|key| key.len()), Some(4096));
        assert_eq!(key(&path(4094), &["a"]), None);
        let scope = "s".repeat(4000);
        assert!(of(Some(&scope), &head("/x", &["a"])).is_some());
        assert_eq!(of(Some(&scope), &head(&path(100), &["a"])), None);
        let key = at(None, "http://a/");
        assert!(key.of_reference(&path(4088).parse().expect("a value")).is_some());
        assert_eq!(key.of_reference(&path(4089).parse().expect("a value")), None);
    }

    #[test]
    fn the_scope_is_told_from_the_rest() {
        let key = at(Some("12:3 http://"), "http://a/x");
        assert_eq!(key.as_str(), "12:12:3 http://http://a/x");
        assert_eq!(key.uri(), "http://a/x");
        assert_eq!(at(None, "http://a/x").uri(), "http://a/x");
        assert_eq!(at(Some(""), "http://a/x").uri(), "http://a/x");
        assert_ne!(at(Some(""), "http://a/x"), at(None, "http://a/x"), "nobody's is not everybody's");
        assert_eq!((key.as_ref(), key.as_str()), (key.uri(), &*key.to_string()));
        assert_eq!(format!("{key:?}"), r#""12:12:3 http://http://a/x""#);
    }

    #[test]
    fn what_an_answer_refers_to_has_a_key_if_it_is_of_the_same_origin() {
        let reference = |key: &CacheKey, reference: &str| {
            key.of_reference(&reference.parse().expect("a value")).map(|key| key.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        let key = at(Some("u"), "http://a:80/x/y?z");
        assert_eq!(reference(&key, "/7?b=c#part"), some("1:uhttp://a:80/7?b=c"));
        assert_eq!(reference(&key, "HTTP://A:80"), some("1:uhttp://a:80/"));
        assert_eq!(reference(&key, "http://a:80/B"), some("1:uhttp://a:80/B"));
        for foreign in ["http://b/7", "https://a:80/7", "http://a/7", "//b/7", "7", "../7", "?z", "", "*", "a:80", "%"]
        {
            assert_eq!(reference(&key, foreign), None, "{foreign:?}");
        }
        let by_header = of(None, &head("/x", &["a"])).expect("a key");
        assert_eq!(reference(&by_header, "https://A/7"), some("//a/7"), "nobody knows its scheme");
        assert_eq!(reference(&by_header, "https://b/7"), None);
        let gateway = of(None, &head("http://10.0.0.1/x", &["a"])).expect("a key");
        for own in ["http://a/7", "http://10.0.0.1/7", "/7"] {
            assert_eq!(reference(&gateway, own), some("http://a@10.0.0.1/7"));
        }
        let none = at(None, "/x");
        assert_eq!(reference(&none, "/7"), some("///7"));
        assert_eq!(reference(&none, "http://a/7"), None);
    }

    fn uris() -> impl Strategy<Value = (String, Vec<String>)> {
        let origin = "((http|https)://[a-c1:]{1,3})?";
        let path = r"(/[a-c1:/@*]{0,4})?(\?[a-c1:/?]{0,3})?";
        let uri = proptest::string::string_regex(&format!("{origin}{path}")).expect("an expression");
        let uri = uri.prop_filter("a URI", |uri| Uri::try_from(uri.as_str()).is_ok());
        (uri, proptest::collection::vec("[a-c1:*]{1,3}", 0..2))
    }

    fn scopes() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("([0-9]:)?(http)?[a-c1:/]{0,4}")
    }

    proptest! {
        /// What the key is made of, told apart in a way that cannot be wrong.
        #[test]
        fn two_that_differ_in_scope_or_uri_never_have_the_same_key(
            one in (scopes(), uris()), other in (scopes(), uris()),
        ) {
            let parts = |(scope, (uri, hosts)): &(Option<String>, (String, Vec<String>))| {
                let head = head(uri, &hosts.iter().map(String::as_str).collect::<Vec<_>>());
                let uri = &head.uri;
                let authority = uri.authority().map(ToString::to_string);
                let host = hosts.first().filter(|host| Some(*host) != authority.as_ref()).cloned();
                let origin = match (host, authority) {
                    (Some(host), Some(authority)) => (Some(host), Some(authority)),
                    (host, authority) => (None, host.or(authority)),
                };
                let path = if uri.path().is_empty() { "/" } else { uri.path() };
                let rest = (path.to_owned(), uri.query().map(str::to_owned));
                (of(scope.as_deref(), &head), (scope.clone(), uri.scheme_str().map(str::to_owned), origin, rest))
            };
            let ((one, one_is), (other, other_is)) = (parts(&one), parts(&other));
            if one.is_some() || other.is_some() {
                prop_assert_eq!(one == other, one_is == other_is);
            }
        }

        #[test]
        fn the_path_of_a_key_refers_to_itself(scope in scopes(), (uri, hosts) in uris()) {
            let head = head(&uri, &hosts.iter().map(String::as_str).collect::<Vec<_>>());
            if let Some(key) = of(scope.as_deref(), &head)
                && !head.uri.path().starts_with("//")
            {
                let path = format!("{}{}", head.uri.path(), head.uri.query().map_or(String::new(), |query| format!("?{query}")));
                let path = if path.starts_with('/') { path } else { format!("/{path}") };
                prop_assert_eq!(key.of_reference(&path.parse().expect("a value")), Some(key));
            }
        }

        #[test]
        fn no_reference_can_panic(scope in scopes(), (uri, _) in uris(), reference in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let (Some(key), Ok(reference)) = (of(scope.as_deref(), &head(&uri, &[])), HeaderValue::from_bytes(&reference)) {
                key.of_reference(&reference);
            }
        }
    }
}
