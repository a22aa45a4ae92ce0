//! The room `state` decides and does nothing else: it is told the time, and returns what changed.

use crate::paths::Mention;
use crate::rooms;
use crate::tree::File;

const TOLD_THE_TIME: &str = "state is told the time, and of clock it knows Moment alone";
const NO_RUNTIME: &str = "state runs without a runtime";
const NO_THREADS: &str = "state runs without threads";
const NOT_SHARED: &str = "state is not shared; locks and atomics belong into handle";
const RETURNS: &str = "state returns what changed and its caller reports it";
const NO_WAITING: &str = "state answers at once";

pub(crate) fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| rooms::room(file) == Some("state")) {
        for mention in &file.mentions {
            if let Some(reason) = reason_against(mention) {
                let (path, line, name) = (&file.path, mention.line, mention.path.join("::"));
                let mark = if mention.is_macro { "!" } else { "" };
                found.push(format!("{path}:{line} names {name}{mark}: {reason}"));
            }
        }
    }
    found
}

fn reason_against(mention: &Mention) -> Option<&'static str> {
    match mention.names()[..] {
        _ if mention.reaches("tokio") => Some(NO_RUNTIME),
        _ if mention.reaches("tracing") => Some(RETURNS),
        ["crate", "telemetry", ..] => Some(RETURNS),
        ["print" | "println" | "eprint" | "eprintln" | "dbg"] if mention.is_macro => Some(RETURNS),
        ["async" | "await"] => Some(NO_WAITING),
        ["std", "thread", ..] => Some(NO_THREADS),
        // A value behind an `Arc` is still a value.
        ["std" | "core" | "alloc", "sync", "Arc" | "Weak", ..] => None,
        ["std" | "core" | "alloc", "sync", ..] => Some(NOT_SHARED),
        [_, .., "now"] => Some(TOLD_THE_TIME),
        ["crate", "clock", "Moment", ..] => None,
        ["crate", "clock", ..] => Some(TOLD_THE_TIME),
        // A trait of somebody else may call its own kind of time that; std's is not meant without a path or a `use`.
        ["Instant"] if !mention.imported => None,
        ref names if names.contains(&"Instant") || names.contains(&"SystemTime") => Some(TOLD_THE_TIME),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{NO_RUNTIME, NO_THREADS, NO_WAITING, NOT_SHARED, RETURNS, TOLD_THE_TIME};
    use crate::fixtures::sound;
    use crate::{assert_only, violations};

    #[test]
    fn state_does_nothing_but_decide() {
        for (name, text, reason) in [
            ("tokio::time::sleep", "use @;", NO_RUNTIME),
            ("tokio", "use @ as runtime;", NO_RUNTIME),
            ("tracing::warn!", "fn f() { @(1) }", RETURNS),
            ("crate::telemetry::opened", "fn f() { @() }", RETURNS),
            ("crate::telemetry", "use @;", RETURNS),
            ("print!", "fn f() { @(1) }", RETURNS),
            ("println!", "fn f() { @(1) }", RETURNS),
            ("eprint!", "fn f() { @(1) }", RETURNS),
            ("eprintln!", "fn f() { @(1) }", RETURNS),
            ("dbg!", "fn f() { @(1) }", RETURNS),
            ("async", "@ fn f() {}", NO_WAITING),
            ("await", "fn f() { g().@ }", NO_WAITING),
            ("std::thread", "use @;", NO_THREADS),
            ("std::thread::sleep", "fn f() { @(1) }", NO_THREADS),
            ("std::sync::Mutex", "use @;", NOT_SHARED),
            ("std::sync::RwLock", "use @ as Lock;", NOT_SHARED),
            ("std::sync", "use @;", NOT_SHARED),
            ("std::sync::*", "use @;", NOT_SHARED),
            ("std::sync::atomic::AtomicU64", "use @;", NOT_SHARED),
            ("core::sync::atomic::AtomicU8", "struct S(::@);", NOT_SHARED),
            ("std::time::Instant", "use @;", TOLD_THE_TIME),
            ("std::time::SystemTime", "use @;", TOLD_THE_TIME),
            ("time::Instant", "use std::time; struct S(@);", TOLD_THE_TIME),
            ("SystemTime", "use std::time::*; struct S(@);", TOLD_THE_TIME),
            ("Moment::now", "fn f() { @() }", TOLD_THE_TIME),
            ("Anything::now", "fn f() { @() }", TOLD_THE_TIME),
            ("crate::clock::Moment::now", "fn f() { @() }", TOLD_THE_TIME),
            ("crate::clock::now", "use @;", TOLD_THE_TIME),
            ("crate::clock::sleep_until", "use @;", TOLD_THE_TIME),
            ("crate::clock", "use @;", TOLD_THE_TIME),
        ] {
            for file in ["src/timeout/state.rs", "src/circuit_breaker/state/windows.rs"] {
                assert_only(&sound().with(file, &text.replace('@', name)), &format!("{file}:1 names {name}: {reason}"));
            }
        }
    }

    #[test]
    fn state_may_hold_values_and_moments() {
        let text = "
            use std::sync::{Arc, Weak};
            use std::time::Duration;
            use crate::clock::Moment;
            /// Not at `Instant::now`.
            fn admit(now: Moment, tokio: bool) -> bool { dbg != (tokio) }
            impl Clock for Told { type Instant = Nanos; }
        ";
        assert_eq!(violations(&sound().with("src/timeout/state.rs", text)), [""; 0]);
    }

    #[test]
    fn the_other_rooms_may_do_what_state_may_not() {
        let text = "
            use std::sync::atomic::AtomicU64;
            use crate::{clock, telemetry};
            async fn f() { tokio::task::yield_now().await; clock::now(); }
        ";
        assert_eq!(violations(&sound().with("src/timeout/handle.rs", text)), [""; 0]);
    }

    #[test]
    fn the_tests_of_state_may_stand_in_a_file_of_their_own() {
        let tree = sound()
            .with("src/timeout/state.rs", "#[cfg(test)] mod tests;")
            .with("src/timeout/state/tests.rs", "use tokio::time::Instant;");
        assert_eq!(violations(&tree), [""; 0]);
        assert_only(
            &tree.with("src/timeout/state.rs", "mod tests;"),
            "src/timeout/state/tests.rs:1 names tokio::time::Instant: state runs without a runtime",
        );
    }
}
