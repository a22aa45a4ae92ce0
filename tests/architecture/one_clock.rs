//! Time comes from one place, so that the whole stack stops when tokio's time is paused.

use crate::tree::File;

const CLOCK: &str = "src/clock.rs";

pub(crate) fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    // A `state` names nothing of a runtime at all, which is a rule of its own.
    let is_state = |file: &File| file.path.ends_with("/state.rs") || file.path.contains("/state/");
    let is_clock = |file: &File| file.path == CLOCK || file.path.starts_with("src/clock/");
    for file in files.iter().filter(|file| !is_clock(file) && !is_state(file)) {
        for mention in &file.mentions {
            if matches!(mention.names()[..], ["tokio", "time", ..] | ["std", "time", "Instant", ..]) {
                let (path, line, name) = (&file.path, mention.line, mention.path.join("::"));
                found.push(format!("{path}:{line} names {name}: clocks and timers come from {CLOCK}"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::assert_only;
    use crate::fixtures::sound;

    #[test]
    fn nobody_else_names_a_clock_or_a_timer() {
        for (name, text) in [
            ("tokio::time::sleep", "async fn f() { @(d).await }"),
            ("tokio::time::Instant", "use @;"),
            ("tokio::time::timeout", "use tokio::{time::timeout, task};"),
            ("std::time::Instant", "use std::time::{Duration, Instant};"),
        ] {
            assert_only(
                &sound().with("src/retry/future.rs", &text.replace('@', name)),
                &format!("src/retry/future.rs:1 names {name}: clocks and timers come from src/clock.rs"),
            );
        }
    }
}
