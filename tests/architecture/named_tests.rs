//! The tests that `tests/peers.md` and `tests/engines.md` name are there.

use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("text")
}

/// All code in these folders.
fn code(folders: &[&str]) -> String {
    let mut code = String::new();
    folders.iter().for_each(|folder| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut code));
    code
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

/// The cells of all rows.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter_map(|line| Some(line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect()))
}

/// The names in a cell; a file's name has a dot or a slash.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2).filter(|name| !name.contains(['.', '/']))
}

fn missing<'a>(named: impl IntoIterator<Item = &'a str>, code: &str) -> Vec<&'a str> {
    named.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect()
}

#[test]
fn every_defect_of_others_has_a_test_that_exists() {
    let text = read("tests/peers.md");
    let named: Vec<_> = rows(&text).filter_map(|cells| cells.last().copied()).flat_map(named).collect();
    assert!(named.len() > 30, "{} tests are named", named.len());
    assert_eq!(missing(named, &code(&["src", "tests"])), Vec::<&str>::new());
}

/// In the folder of that engine; and the rows are those of the README.
#[test]
fn every_guarantee_of_an_engine_has_a_test_that_exists() {
    let (text, readme) = (read("tests/engines.md"), read("README.md"));
    let rows: Vec<_> = rows(&text).skip(2).collect();
    assert!(rows.len() > 5, "{} rows", rows.len());
    let folders = ["tests/idempotency", "tests/sqlite", "tests/postgres", "tests/redis"];
    for row in rows {
        assert!(readme.contains(&format!("\n| {} | ", row[0])), "the README has no row `{}`", row[0]);
        for (cell, folder) in row[1..].iter().zip(folders) {
            assert_eq!(missing(named(cell), &code(&[folder])), Vec::<&str>::new(), "in {folder}");
        }
        assert!(row.len() == 5 && row[2..].iter().any(|cell| named(cell).next().is_some()), "{row:?}");
    }
}

#[test]
fn every_guarantee_of_a_second_level_has_a_test_that_exists() {
    let text = read("tests/engines.md");
    let (_, text) = text.split_once("# What a second level").expect("a section");
    let named: Vec<_> = named(text).collect();
    assert!(named.len() > 5, "{} tests are named", named.len());
    assert_eq!(missing(named, &code(&["tests/redis", "tests/second_level"])), Vec::<&str>::new());
}

#[test]
fn names_are_read_out_of_a_row() {
    let text = "# `x`\n| `a` | state: `b_c`, `d`; `f.rs`: `e` |\n";
    let rows: Vec<_> = rows(text).collect();
    assert_eq!(rows, [["`a`", "state: `b_c`, `d`; `f.rs`: `e`"]]);
    assert_eq!(named(rows[0][1]).collect::<Vec<_>>(), ["b_c", "d", "e"]);
    assert_eq!(missing(["b_c", "d"], "fn b_c() {}"), ["d"]);
}
