//! The sources: read from disk or written in a test, and what the rules see of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::TokenStream;

use crate::features::{self, Switch};
use crate::paths::{self, Mention};

/// Source text by path, such as `src/timeout/state.rs`.
#[derive(Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// The sources of this crate.
    pub(crate) fn read() -> Self {
        let mut tree = Self::default();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        tree.read_folder(&root.join("src"), "src");
        tree
    }

    fn read_folder(&mut self, folder: &Path, name: &str) {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the entry is readable").path();
            let file = path.file_name().expect("an entry has a name");
            let name = format!("{name}/{}", file.to_string_lossy());
            if path.is_dir() {
                self.read_folder(&path, &name);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source is readable text");
                self.0.insert(name, text);
            }
        }
    }

    /// The same tree, where the file holds this text.
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.0.insert(path.to_owned(), text.to_owned());
        self
    }

    /// The same tree without the file.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.0.remove(path).expect("the tree has this file");
        self
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(crate) fn files(&self) -> Vec<File> {
        let mut tests = Vec::new();
        let mut files: Vec<File> = self
            .0
            .iter()
            .map(|(path, text)| {
                let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
                let module = module(path);
                let found = paths::read(tokens.clone(), &module);
                tests.extend(found.tests);
                File { path: path.clone(), module, mentions: found.mentions, switches: features::read(tokens) }
            })
            .collect();
        for file in &mut files {
            if tests.iter().any(|test| file.module.starts_with(test)) {
                file.mentions.clear();
            }
        }
        files
    }
}

/// What the rules see of one file.
pub(crate) struct File {
    pub(crate) path: String,
    /// Where it hangs in the crate: `["timeout", "state"]`, nothing for `lib.rs`.
    pub(crate) module: Vec<String>,
    /// Outside of unit tests, which may name what they like.
    pub(crate) mentions: Vec<Mention>,
    pub(crate) switches: Vec<Switch>,
}

impl File {
    /// The module of `src/` that the file belongs to.
    pub(crate) fn top(&self) -> &str {
        self.module.first().map_or("lib", String::as_str)
    }
}

fn module(path: &str) -> Vec<String> {
    let path = path.strip_prefix("src/").expect("a source is in src");
    let path = path.strip_suffix(".rs").expect("a source ends with .rs");
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if path == "lib" || path.ends_with("/mod") {
        module.pop();
    }
    module
}

#[test]
fn a_file_hangs_where_rust_puts_it() {
    assert_eq!(module("src/lib.rs"), [""; 0]);
    assert_eq!(module("src/clock.rs"), ["clock"]);
    assert_eq!(module("src/timeout/mod.rs"), ["timeout"]);
    assert_eq!(module("src/timeout/state/windows.rs"), ["timeout", "state", "windows"]);
}
