//! `tests/peers.md` names tests that are there.

use std::fs;
use std::path::Path;

/// The names in the last column of its tables; a file's name has a dot or a slash.
fn named(text: &str) -> Vec<&str> {
    let cells = text.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.rsplit('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|name| !name.contains(['.', '/'])).collect()
}

fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn every_defect_of_others_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/peers.md")).expect("text");
    let mut code = String::new();
    ["src", "tests"].iter().for_each(|folder| sources(&root.join(folder), &mut code));
    let named = named(&text);
    assert!(named.len() > 30, "{} tests are named", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_last_column_is_read() {
    let text = "# `x`\n| `a` | state: `b_c`, `d`; `f.rs`: `e` |\n";
    assert_eq!(named(text), ["b_c", "d", "e"]);
}
