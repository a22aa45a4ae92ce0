//! Where a line is forgotten, the compiler names it in a sentence of ours.
//!
//! Each case of `tests/compile_cases` is built twice: as it is, when it must fail with our sentence, and with the line
//! that was forgotten, when it must compile. Only our own sentences are looked at; the rest is the compiler's.

use std::process::Command;

/// What the compiler says to `case`; `None` if it compiles.
fn complaint(case: &str, is_fixed: bool) -> Option<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // As `scripts/test` builds the tests, so that nothing but the case is compiled.
    cargo.args(["rustc", "--quiet", "--offline", "--all-features", "--profile", "test", "--test", "compile_cases"]);
    cargo.args(["--", "--cfg", "case", "--cfg", &format!("case=\"{case}\"")]);
    if is_fixed {
        cargo.args(["--cfg", "fixed"]);
    }
    let output = cargo.output().expect("cargo runs, since it runs this test");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(said)
}

fn names(case: &str, sentences: &[&str]) {
    if let Some(said) = complaint(case, true) {
        panic!("`{case}` does not compile with the line it is about:\n{said}");
    }
    let said = complaint(case, false).unwrap_or_else(|| panic!("`{case}` compiles without the line it is about"));
    for sentence in sentences {
        assert!(said.contains(sentence), "`{case}` does not say {sentence:?} but:\n{said}");
    }
}

const CANNOT_REFUSE: &str = "`AsError` cannot turn a refusal of a buttress layer into `Result<";
const ADD_MAP_ERR: &str = "if `hyper_util::client::legacy::Error` is a foreign client's error, add `.map_err(buttress::Error::inner)` innermost";

#[test]
fn a_router_is_told_of_http_server() {
    names("router", &[CANNOT_REFUSE, "as in axum, choose `.http_server()` on the layer"]);
}

#[test]
fn a_boxed_client_is_told_of_map_err() {
    names("boxed", &[CANNOT_REFUSE, ADD_MAP_ERR]);
}

#[test]
fn a_checked_client_is_told_of_map_err() {
    names("check", &[CANNOT_REFUSE, ADD_MAP_ERR]);
}

#[test]
fn a_classifier_is_told_of_map_err() {
    names("classifier", &["`StatusClassifier` cannot tell what a `Result<", ADD_MAP_ERR]);
}

#[test]
fn a_fallback_with_nothing_to_answer_is_told_of_its_setters() {
    names("substitute", &["this fallback has no answer of the right type", "say what to answer with `.value(..)`"]);
}

#[test]
fn a_body_that_cannot_be_made_is_told_of_from_bytes() {
    names("body", &["`AsResponse` cannot turn a refusal", "needs a response body that is `From<bytes::Bytes>`"]);
}

#[test]
fn presets_over_requests_of_another_kind_say_what_they_need() {
    names(
        "deadline",
        &[
            "`InExtensions` cannot find the deadline of a `reqwest::Request`",
            "`InScope` finds the one that any request is made under",
        ],
    );
    names("outcome", &["`StatusClassifier` cannot tell what a `Result<", "needs an `http::Response`"]);
}

#[test]
fn a_fallback_that_would_never_see_a_failure_is_told_of_http_server() {
    names("inert", &["this service cannot fail", "choose `.http_server()`"]);
}

#[test]
fn a_retry_of_a_body_that_cannot_be_cloned_is_told_of_replay() {
    names(
        "replay",
        &[
            "`buttress::retry::Cloned` cannot send a `http::Request<axum::body::Body>` again",
            "choose `.replay(buttress::http::ReplayBodies::new())`",
        ],
    );
}

#[test]
fn a_stack_over_a_body_that_streams_is_told_of_replay() {
    names("copied", &["cannot send a `http::Request<hyper::body::Incoming>` again", "choose `.replay("]);
}

const OVER_HTTP: &str = "over HTTP, choose `.http_server(..)` or `.http_client(..)`";

#[test]
fn a_cache_fallback_that_is_not_told_what_to_remember_is_told_of_its_presets() {
    names("unsaid", &["`Unsaid` does not say how the answer `", OVER_HTTP]);
}

#[test]
fn a_cache_fallback_whose_answers_cannot_be_cloned_is_told_so() {
    names("unclonable", &["does not say how the answer `", "is remembered", OVER_HTTP]);
    names("unclonable_through", &["is remembered", "where `unclonable_through::Product` must be `Clone`"]);
}
