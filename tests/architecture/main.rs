//! Holds the house together: which module may import which, what each room may know, and where
//! features may be asked.
//!
//! Each rule reads the tokens of `src/` and names what breaks it. Its tests stand beside it: a sound
//! tree with one change, and the one sentence that must come of it.

mod features;
mod fixtures;
mod http_crates;
mod imports;
mod named_tests;
mod one_clock;
mod paths;
mod purity;
mod rooms;
mod tree;

use tree::{File, Tree};

#[test]
fn the_sources_keep_every_rule() {
    let found = violations(&Tree::read());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_sources_are_really_read() {
    let tree = Tree::read();
    assert!(tree.has("src/lib.rs"), "no src/lib.rs was read");
    let complete = |pattern: &&str| rooms::missing(&tree.files(), pattern).is_empty();
    assert!(imports::PATTERNS.iter().any(complete), "no pattern with its rooms was read");
}

#[test]
fn a_sound_tree_breaks_no_rule() {
    assert_eq!(violations(&fixtures::sound()), Vec::<String>::new());
}

type Rule = fn(&[File]) -> Vec<String>;

/// What breaks the rules, a sentence each.
fn violations(tree: &Tree) -> Vec<String> {
    let files = tree.files();
    let rules: [Rule; 6] = [
        imports::violations,
        rooms::violations,
        purity::violations,
        features::violations,
        http_crates::violations,
        one_clock::violations,
    ];
    rules.iter().flat_map(|rule| rule(&files)).collect()
}

/// Exactly this is wrong with the tree.
#[track_caller]
fn assert_only(tree: &Tree, sentence: &str) {
    assert_eq!(violations(tree), [sentence]);
}
