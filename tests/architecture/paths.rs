//! Every path that a file names, seen from the root of the crate.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path as it stands in a file; a lone word is one too.
pub(crate) struct Mention {
    /// Starts with `crate` if it leads into this crate, however that was written.
    /// Ends with `*` if it names everything there.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether a `use` brings it in.
    pub(crate) imported: bool,
    /// Whether a `!` follows.
    pub(crate) is_macro: bool,
}

impl Mention {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// Whether it reaches into the other crate, not merely uses a word that is also its name.
    pub(crate) fn reaches(&self, krate: &str) -> bool {
        self.path[0] == krate && (self.path.len() > 1 || self.imported)
    }
}

/// What was found in one file.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) mentions: Vec<Mention>,
    /// The modules in files of their own that are compiled only for tests.
    pub(crate) tests: Vec<Vec<String>>,
}

/// Reads the tokens of the file that is this module. The insides of test modules are left out.
pub(crate) fn read(tokens: TokenStream, module: &[String]) -> Found {
    let mut found = Found::default();
    let scope = Scope { module: module.to_vec(), ..Scope::default() };
    found.walk(tokens, &scope);
    found
}

#[derive(Clone, Default)]
struct Scope {
    module: Vec<String>,
    imported: bool,
    /// What stands before the braces of a `use`.
    prefix: Vec<String>,
}

impl Found {
    fn walk(&mut self, tokens: TokenStream, scope: &Scope) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut scope = scope.clone();
        let mut for_tests = false;
        let mut rest = tokens.as_slice();
        while let [token, after @ ..] = rest {
            rest = after;
            match token {
                TokenTree::Group(group) => {
                    for_tests |= is_for_tests(group);
                    for_tests &= group.delimiter() != Delimiter::Brace;
                    self.walk(group.stream(), &scope);
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    scope.imported = false;
                    for_tests = false;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    let [TokenTree::Ident(name), after @ ..] = rest else {
                        continue;
                    };
                    rest = after;
                    let mut inner = scope.clone();
                    inner.module.push(name.to_string());
                    match after {
                        [TokenTree::Group(body), after @ ..] => {
                            rest = after;
                            if !for_tests {
                                self.walk(body.stream(), &inner);
                            }
                        }
                        _ if for_tests => self.tests.push(inner.module),
                        _ => {}
                    }
                    for_tests = false;
                }
                // `impl Trait + use<..>` imports nothing.
                TokenTree::Ident(word) if word == "use" => {
                    scope.imported = !after.first().is_some_and(|next| is_punct(next, '<'));
                }
                TokenTree::Ident(word) if word == "as" && scope.imported => {
                    rest = after.get(1..).unwrap_or_default();
                }
                TokenTree::Ident(_) => rest = self.path(rest, token, &scope),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Takes the path that starts with this word; what follows it is left.
    fn path<'t>(&mut self, mut rest: &'t [TokenTree], start: &TokenTree, scope: &Scope) -> &'t [TokenTree] {
        let mut path = scope.prefix.clone();
        path.push(start.to_string());
        while let [first, second, next, after @ ..] = rest
            && is_punct(first, ':')
            && is_punct(second, ':')
        {
            match next {
                TokenTree::Ident(name) => path.push(name.to_string()),
                star if is_punct(star, '*') => path.push("*".to_owned()),
                TokenTree::Group(group) => {
                    let inside = Scope { prefix: path, ..scope.clone() };
                    self.walk(group.stream(), &inside);
                    return after;
                }
                _ => break,
            }
            rest = after;
        }
        self.mentions.push(Mention {
            path: from_the_root(path, &scope.module),
            line: start.span().start().line,
            imported: scope.imported,
            is_macro: matches!(rest, [bang, TokenTree::Group(_), ..] if is_punct(bang, '!')),
        });
        rest
    }
}

/// Follows `crate`, `self` and `super`.
fn from_the_root(mut path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut place = match path[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => {
            path.retain(|name| name != "self");
            return path;
        }
    };
    for name in path {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(place.pop()),
            _ => place.push(name),
        }
    }
    place.insert(0, "crate".to_owned());
    place
}

/// Whether these are the brackets of `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
fn is_for_tests(attribute: &Group) -> bool {
    let mut text = attribute.stream().to_string();
    text.retain(|c| !c.is_whitespace());
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

pub(crate) fn is_punct(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of more than one name in `timeout/state.rs`.
    fn paths(text: &str) -> Vec<String> {
        let module = ["timeout".to_owned(), "state".to_owned()];
        let found = read(text.parse().expect("the text is Rust"), &module);
        let paths = found.mentions.iter().filter(|found| found.path.len() > 1);
        paths.map(|found| found.path.join("::")).collect()
    }

    #[test]
    fn a_path_is_followed_from_where_it_stands() {
        for (text, path) in [
            ("use crate::clock::Moment;", "crate::clock::Moment"),
            ("pub use self::windows::Ring;", "crate::timeout::state::windows::Ring"),
            ("fn f(now: super::config::Limit) {}", "crate::timeout::config::Limit"),
            ("use super::super::retry;", "crate::retry"),
            ("mod inner { use super::Limit; }", "crate::timeout::state::Limit"),
            ("mod a { mod b { fn f() { super::super::super::g() } } }", "crate::timeout::g"),
            ("macro_rules! m { () => { $crate::retry::Budget }; }", "crate::retry::Budget"),
            ("use ::http::Request as Asked;", "http::Request"),
            ("use super::*;", "crate::timeout::*"),
            ("use http::body::{self as b};", "http::body"),
            ("fn f() { assert_eq!(1, http::one()); }", "http::one"),
            ("fn f() -> impl Fn() + use<> { http::one }", "http::one"),
            ("fn f() { <u8 as http::One>::one() }", "http::One"),
            ("#[http::one] fn f() {}", "http::one"),
        ] {
            assert_eq!(paths(text), [path], "{text}");
        }
    }

    #[test]
    fn braces_share_what_stands_before_them() {
        let text = "use {std::fmt, crate::{clock::{self, Moment as At}, retry, deadline::*}};";
        let expected = ["std::fmt", "crate::clock", "crate::clock::Moment", "crate::retry", "crate::deadline::*"];
        assert_eq!(paths(text), expected);
    }

    #[test]
    fn words_that_are_no_code_name_nothing() {
        let text = "//! As http::Request.\n/// As crate::retry.\nfn f() { /* crate::retry */ g(\"http::one\") }";
        assert_eq!(paths(text), [""; 0]);
    }

    #[test]
    fn test_modules_are_left_out_and_code_beside_them_is_not() {
        for (text, expected) in [
            ("#[cfg(test)] mod tests { use http::One; }", &[][..]),
            ("#[cfg(test)] #[rustfmt::skip] pub(crate) mod tests { use http::One; }", &["rustfmt::skip"]),
            ("#[cfg(all(test, unix))] mod tests { use http::One; }", &[]),
            ("#[cfg(any(test, unix))] mod tests { use http::One; }", &["http::One"]),
            ("#[cfg(test)] use std::fmt; mod inner { use http::One; }", &["std::fmt", "http::One"]),
            ("#[cfg(test)] fn f() {} mod inner { use http::One; }", &["http::One"]),
            ("#[cfg(test)] mod tests {} mod inner { use http::One; }", &["http::One"]),
        ] {
            assert_eq!(paths(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_is_no_crate_until_something_is_taken_from_it() {
        let reaches = |text: &str| {
            let found = read(text.parse().expect("the text is Rust"), &[]);
            found.mentions.iter().any(|found| found.reaches("http"))
        };
        assert!(!reaches("fn http(http: bool) { self.http.http::<u8>() }"));
        assert!(!reaches("fn f() -> impl Fn() + use<> { http }"));
        assert!(reaches("fn f() { http::one() }"));
        assert!(reaches("use http as h;"));
        assert!(reaches("use {std::fmt, http};"));
    }
}
