//! Between the modules of `src/`, imports go one way.

use crate::paths::Mention;
use crate::tree::File;

/// What never meets but through the modules below.
pub(crate) const PATTERNS: &[&str] =
    &["timeout", "circuit_breaker", "rate_limit", "retry", "idempotency", "fallback", "cache_fallback"];

/// From top to bottom. A module may import from the lines below its own.
const ORDER: &[&[&str]] = &[
    &["lib"],
    &["dashboard"],
    &["registry"],
    &["engines"],
    &["conformance"],
    &["http"],
    &["values"],
    PATTERNS,
    &["telemetry"],
    &["jitter"],
    &["key"],
    &["attempt"],
    &["superseded"],
    &["deadline"],
    &["outcome"],
    &["rejection"],
    &["check"],
    &["human_duration"],
    &["name"],
    &["clock"],
    &["striped"],
    &["serving"],
    &["placement"],
    &["sync"],
];

pub(crate) fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let (path, top) = (&file.path, file.top());
        let Some(own) = line(top) else {
            found.push(format!(
                "{path}:1 belongs to the unknown module {top}: each module of src has its place in the order of imports"
            ));
            continue;
        };
        for mention in &file.mentions {
            let Some(target) = target(mention, files) else {
                continue;
            };
            let Some(other) = line(target) else {
                continue;
            };
            let reason = if own < other || top == target {
                continue;
            } else if own == other {
                "patterns never import each other; what two need belongs into a module below them".to_owned()
            } else {
                format!("{top} stands below {target}, and imports only go down")
            };
            let (line, name) = (mention.line, mention.path.join("::"));
            found.push(format!("{path}:{line} imports {name}: {reason}"));
        }
    }
    found
}

fn line(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&module))
}

/// The module that the path leads into. What is no module is a name of `lib.rs`, but for macros,
/// which live at the root wherever they are written.
fn target<'m>(mention: &'m Mention, files: &[File]) -> Option<&'m str> {
    match mention.names()[..] {
        ["crate"] => mention.imported.then_some("lib"),
        ["crate", name, ..] if line(name).is_some() => Some(name),
        ["crate", name, ..] if files.iter().any(|file| file.top() == name) => Some(name),
        ["crate", _] if mention.is_macro => None,
        ["crate", ..] => Some("lib"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ORDER, PATTERNS};
    use crate::fixtures::sound;
    use crate::{assert_only, violations};

    #[test]
    fn nothing_imports_from_above() {
        assert_only(
            &sound().with("src/clock.rs", "\nuse crate::telemetry::Event;"),
            "src/clock.rs:2 imports crate::telemetry::Event: clock stands below telemetry, and imports only go down",
        );
        assert_only(
            &sound().with("src/timeout/service.rs", "fn f() { super::super::http::refuse() }"),
            "src/timeout/service.rs:1 imports crate::http::refuse: timeout stands below http, and imports only go down",
        );
    }

    #[test]
    fn every_neighbour_in_the_order_is_held_apart() {
        for lines in ORDER.windows(2).skip(1) {
            let (above, below) = (lines[0][0], lines[1][0]);
            let (file, import) = (format!("src/{below}.rs"), format!("use crate::{above}::X;"));
            let found = violations(&sound().with(&file, &import));
            assert_eq!(
                found,
                [format!("{file}:1 imports crate::{above}::X: {below} stands below {above}, and imports only go down")]
            );
            let (file, import) = (format!("src/{above}.rs"), format!("use crate::{below}::X;"));
            assert_eq!(violations(&sound().with(&file, &import)), [""; 0]);
        }
    }

    #[test]
    fn nothing_but_a_macro_is_imported_from_the_root() {
        for (text, name) in [
            ("use crate::Rejection;", "crate::Rejection"),
            ("use crate::*;", "crate::*"),
            ("use crate as root;", "crate"),
        ] {
            assert_only(
                &sound().with("src/outcome.rs", text),
                &format!("src/outcome.rs:1 imports {name}: outcome stands below lib, and imports only go down"),
            );
        }
        let tree = sound().with("src/outcome.rs", "pub(crate) fn f() { crate::told!() }");
        assert_eq!(violations(&tree), [""; 0]);
    }

    #[test]
    fn patterns_never_import_each_other() {
        assert_only(
            &sound().with("src/timeout/future.rs", "\n\nuse crate::fallback::Fallback;"),
            "src/timeout/future.rs:3 imports crate::fallback::Fallback: patterns never import each other; what two need belongs into a module below them",
        );
        for (pattern, other) in PATTERNS.iter().zip(PATTERNS.iter().cycle().skip(1)) {
            let text = format!("use crate::{{clock, {other}::X}};");
            let file = format!("src/{pattern}/service.rs");
            assert_only(
                &sound().with(&file, &text),
                &format!(
                    "{file}:1 imports crate::{other}::X: patterns never import each other; what two need belongs into a module below them"
                ),
            );
        }
    }

    #[test]
    fn every_module_has_its_place() {
        let tree = sound().with("src/key.rs", "use crate::queue::Queue;");
        assert_only(
            &tree.with("src/queue.rs", "use crate::timeout::Timeout;"),
            "src/queue.rs:1 belongs to the unknown module queue: each module of src has its place in the order of imports",
        );
    }
}
