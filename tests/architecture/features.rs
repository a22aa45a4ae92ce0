//! Features choose modules and what settings derive, never what a function does.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::paths::is_punct;
use crate::tree::File;

/// Where features choose modules.
const LISTS: [&str; 3] = ["src/lib.rs", "src/engines/mod.rs", "src/http/mod.rs"];
/// Settings are made of types that stand here, besides those in a pattern's `config`.
const PARTS_OF_SETTINGS: [&str; 2] = ["src/name.rs", "src/outcome.rs"];
/// Where they choose what is told.
const FREE: &str = "src/telemetry.rs";

/// A place where a feature is asked.
pub(crate) struct Switch {
    text: String,
    line: usize,
    role: Role,
}

enum Role {
    /// `cfg` on a `mod` or `use` of the file's list.
    Item,
    /// `cfg_attr` on a type or its parts.
    Type,
    Other,
}

pub(crate) fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let path = file.path.as_str();
        let is_config = path.ends_with("/config.rs") || path.contains("/config/") || PARTS_OF_SETTINGS.contains(&path);
        for Switch { text, line, role } in &file.switches {
            let is_allowed = match role {
                Role::Item => LISTS.contains(&path),
                Role::Type => is_config,
                Role::Other => false,
            };
            if !is_allowed && path != FREE {
                found.push(format!(
                    "{path}:{line} asks {text}: features are asked only by cfg on mod and use in {}, by cfg_attr on the types of settings, and in {FREE}",
                    LISTS.join(", ")
                ));
            }
        }
    }
    found
}

/// The features that these tokens of a file ask for.
pub(crate) fn read(tokens: TokenStream) -> Vec<Switch> {
    let mut switches = Vec::new();
    walk(tokens, Inside::Module, &mut switches);
    switches
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Module,
    Type,
    Code,
}

fn walk(tokens: TokenStream, inside: Inside, switches: &mut Vec<Switch>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let within = |word: &str| match word {
        "mod" => inside,
        "struct" | "enum" => Inside::Type,
        _ if inside == Inside::Type => Inside::Type,
        _ => Inside::Code,
    };
    let mut next = within("");
    let mut rest = tokens.as_slice();
    while let [token, after @ ..] = rest {
        rest = after;
        match (token, after) {
            (hash, [TokenTree::Group(group), after @ ..]) if is_punct(hash, '#') => {
                rest = after;
                if let Some(name) = asking(group) {
                    let role = match (name, target(after).as_str()) {
                        ("cfg", "mod" | "use") if inside == Inside::Module => Role::Item,
                        ("cfg_attr", "struct" | "enum") => Role::Type,
                        ("cfg_attr", _) if inside == Inside::Type => Role::Type,
                        _ => Role::Other,
                    };
                    switches.push(switch("#", group, role));
                }
            }
            (hash, [bang, TokenTree::Group(group), after @ ..]) if is_punct(hash, '#') && is_punct(bang, '!') => {
                rest = after;
                if asking(group).is_some() {
                    switches.push(switch("#!", group, Role::Other));
                }
            }
            (TokenTree::Ident(word), [bang, TokenTree::Group(group), after @ ..])
                if word == "cfg" && is_punct(bang, '!') =>
            {
                rest = after;
                if names_feature(group.stream()) {
                    switches.push(switch("cfg!", group, Role::Other));
                }
            }
            (TokenTree::Ident(word), _) if word == "mod" || word == "struct" || word == "enum" => {
                next = within(&word.to_string());
            }
            (TokenTree::Group(group), _) => {
                walk(group.stream(), next, switches);
                if group.delimiter() == Delimiter::Brace {
                    next = within("");
                }
            }
            (end, _) if is_punct(end, ';') => next = within(""),
            _ => {}
        }
    }
}

fn switch(before: &str, group: &Group, role: Role) -> Switch {
    let span = group.span();
    let text = span.source_text().unwrap_or_else(|| group.to_string());
    let text: Vec<&str> = text.split_whitespace().collect();
    Switch { text: format!("{before}{}", text.join(" ")), line: span.start().line, role }
}

/// Which attribute asks for a feature between these brackets. What `cfg_attr` adds is not asked for.
fn asking(attribute: &Group) -> Option<&'static str> {
    let tokens: Vec<TokenTree> = attribute.stream().into_iter().collect();
    let [TokenTree::Ident(name), TokenTree::Group(group)] = tokens.as_slice() else {
        return None;
    };
    let name = ["cfg", "cfg_attr"].into_iter().find(|known| name == known)?;
    let condition = group.stream().into_iter();
    let condition = condition.take_while(|token| !is_punct(token, ','));
    names_feature(condition.collect()).then_some(name)
}

fn names_feature(condition: TokenStream) -> bool {
    condition.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "feature",
        TokenTree::Group(group) => names_feature(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The first word of the item, past its other attributes and its visibility.
fn target(mut rest: &[TokenTree]) -> String {
    loop {
        rest = match rest {
            [hash, TokenTree::Group(_), after @ ..] if is_punct(hash, '#') => after,
            [TokenTree::Ident(word), TokenTree::Group(group), after @ ..]
                if word == "pub" && group.delimiter() == Delimiter::Parenthesis =>
            {
                after
            }
            [TokenTree::Ident(word), after @ ..] if word == "pub" => after,
            _ => return rest.first().map(ToString::to_string).unwrap_or_default(),
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::sound;
    use crate::{assert_only, violations};

    const WHERE: &str = "features are asked only by cfg on mod and use in src/lib.rs, src/engines/mod.rs, src/http/mod.rs, by cfg_attr on the types of settings, and in src/telemetry.rs";

    const CFG: &str = r#"#[cfg(feature = "x")]"#;
    const NOT: &str = r#"#[cfg(not(all(unix, feature = "x")))]"#;
    const INNER: &str = r#"#![cfg(feature = "x")]"#;
    const ATTR: &str = r#"#[cfg_attr(feature = "x", inline)]"#;
    const INNER_ATTR: &str = r#"#![cfg_attr(not(feature = "x"), no_std)]"#;
    const MACRO: &str = r#"cfg!(any(unix, feature = "x"))"#;

    #[test]
    fn features_are_asked_nowhere_else() {
        for (file, asked, text) in [
            ("src/clock.rs", CFG, "@ mod wheel;"),
            ("src/clock.rs", CFG, "@ pub use std::fmt;"),
            ("src/http/status.rs", CFG, "@ mod late;"),
            ("src/timeout/mod.rs", CFG, "@ mod memory;"),
            ("src/lib.rs", CFG, "@ pub fn f() {}"),
            ("src/lib.rs", CFG, "fn f() { @ use g::h; }"),
            ("src/lib.rs", ATTR, "@ mod clock;"),
            ("src/lib.rs", INNER_ATTR, "@"),
            ("src/http/mod.rs", INNER, "@ mod status;"),
            ("src/http/mod.rs", NOT, "@ impl A for B {}"),
            ("src/engines/mod.rs", MACRO, "const X: bool = @;"),
            ("src/retry/service.rs", MACRO, "fn f() { if @ {} }"),
            ("src/retry/service.rs", NOT, "fn f() { @ g(); }"),
            ("src/retry/service.rs", CFG, "struct S { @ a: u8 }"),
            ("src/retry/service.rs", CFG, "macro_rules! m { () => { @ mod a; } }"),
            ("src/retry/service.rs", CFG, "#[cfg(test)] mod tests { @ fn f() {} }"),
            ("src/retry/service.rs", ATTR, "@ struct S;"),
            ("src/retry/config.rs", CFG, "@ struct S;"),
            ("src/retry/config.rs", NOT, "struct S { @ a: u8 }"),
            ("src/retry/config.rs", ATTR, "@ fn f() {}"),
            ("src/retry/config.rs", ATTR, "struct S; impl S { @ fn f() {} }"),
            ("src/retry/config.rs", ATTR, "enum S {} impl S { @ fn f() {} }"),
            ("src/outcome.rs", ATTR, "@ fn f() {}"),
            ("src/retry/config.rs", MACRO, "impl S { const X: bool = @; }"),
        ] {
            assert_only(&sound().with(file, &text.replace('@', asked)), &format!("{file}:1 asks {asked}: {WHERE}"));
        }
    }

    #[test]
    fn an_attribute_over_several_lines_is_told_in_one() {
        assert_only(
            &sound().with("src/key.rs", "\n/// A key.\n#[cfg(any(\n    feature = \"x\",\n    unix\n))]\nstruct Key;"),
            &format!("src/key.rs:3 asks #[cfg(any( feature = \"x\", unix ))]: {WHERE}"),
        );
    }

    #[test]
    fn what_is_no_feature_is_asked_anywhere() {
        let text = "
            #![cfg_attr(docsrs, feature(doc_cfg))]
            #[cfg(test)] use std::fmt;
            #[cfg(doctest)] struct Readme;
            #[cfg_attr(docsrs, doc(cfg(feature = \"http\")))]
            fn f() { if cfg!(debug_assertions) {} }
        ";
        assert_eq!(violations(&sound().with("src/key.rs", text)), [""; 0]);
    }
}
