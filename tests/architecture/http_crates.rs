//! The crates that speak HTTP are named where HTTP is spoken, so that the patterns know nothing of it.

use crate::tree::File;

const CRATES: [&str; 4] = ["http", "http_body", "httpdate", "ipnet"];
const SPEAKERS: [&str; 3] = ["http", "engines", "dashboard"];

pub(crate) fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !SPEAKERS.contains(&file.top())) {
        for mention in &file.mentions {
            if CRATES.iter().any(|krate| mention.reaches(krate)) {
                let (path, line, name) = (&file.path, mention.line, mention.path.join("::"));
                found.push(format!(
                    "{path}:{line} names {name}: the crates of HTTP are named only in src/http, src/engines and src/dashboard"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::SPEAKERS;
    use crate::fixtures::sound;
    use crate::{assert_only, violations};

    #[test]
    fn only_http_engines_and_dashboard_name_the_crates_of_http() {
        for (name, text) in [
            ("http", "use @;"),
            ("http::Request", "use @;"),
            ("http::Method", "fn f(method: @) {}"),
            ("http::StatusCode", "fn f() -> ::@ { g() }"),
            ("http::Version", "macro_rules! m { () => { @ } }"),
            ("http_body::Body", "impl @ for S {}"),
            ("httpdate::parse_http_date", "fn f() { @(1) }"),
            ("ipnet::IpNet", "struct S(@);"),
        ] {
            let text = text.replace('@', name);
            for file in ["src/lib.rs", "src/registry.rs", "src/retry/service.rs"] {
                assert_only(
                    &sound().with(file, &text),
                    &format!(
                        "{file}:1 names {name}: the crates of HTTP are named only in src/http, src/engines and src/dashboard"
                    ),
                );
            }
            for speaker in SPEAKERS {
                let tree = sound().with(&format!("src/{speaker}/wire.rs"), &text);
                assert_eq!(violations(&tree), [""; 0]);
            }
        }
    }

    #[test]
    fn our_own_module_of_that_name_is_no_such_crate() {
        for text in ["use crate::http::AsResponse;", "pub use self::http::AsResponse;", "pub mod http;"] {
            assert_eq!(violations(&sound().with("src/lib.rs", text)), [""; 0]);
        }
    }
}
