//! The folder of every pattern has the same rooms, and imports between them go one way.

use crate::imports::PATTERNS;
use crate::tree::File;

/// From top to bottom. A room may import from the rooms below it.
const ROOMS: [&str; 9] = ["mod", "layer", "service", "future", "handle", "memory", "store", "state", "config"];

const REQUIRED: [&str; 5] = ["mod", "config", "layer", "service", "future"];

pub(crate) fn violations(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for pattern in PATTERNS {
        if files.iter().any(|file| file.top() == *pattern) {
            found.extend(missing(files, pattern).iter().map(|room| {
                let required = REQUIRED.join(", ");
                format!("src/{pattern} lacks the room {room}: every pattern has {required}")
            }));
        }
    }
    for file in files {
        if let Some(room) = room(file) {
            found.extend(violations_in(file, room));
        }
    }
    found
}

/// The rooms that this pattern should have and has not.
pub(crate) fn missing(files: &[File], pattern: &str) -> Vec<&'static str> {
    let has = |name: &str| {
        let mut files = files.iter().filter(|file| file.top() == pattern);
        files.any(|file| room(file) == Some(name))
    };
    REQUIRED.into_iter().filter(|name| !has(name)).collect()
}

/// The room of a pattern that the file belongs to. Folders of a room belong to it.
pub(crate) fn room(file: &File) -> Option<&str> {
    PATTERNS.contains(&file.top()).then(|| file.module.get(1).map_or("mod", String::as_str))
}

fn violations_in(file: &File, room: &str) -> Vec<String> {
    let path = &file.path;
    let Some(own) = height(room) else {
        let rooms = ROOMS.join(", ");
        return vec![format!("{path}:1 belongs to the unknown room {room}: a pattern has no rooms but {rooms}")];
    };
    let mut found = Vec::new();
    for mention in &file.mentions {
        let target = match mention.names()[..] {
            ["crate", top] if top == file.top() && mention.imported => "mod",
            // What is no room is a name of `mod.rs`.
            ["crate", top, name, ..] if top == file.top() => height(name).map_or("mod", |height| ROOMS[height]),
            _ => continue,
        };
        if height(target) < Some(own) {
            let (line, name) = (mention.line, mention.path.join("::"));
            found.push(format!("{path}:{line} imports {name}: {room} stands below {target}, and imports only go down"));
        }
    }
    found
}

fn height(room: &str) -> Option<usize> {
    ROOMS.iter().position(|name| *name == room)
}

#[cfg(test)]
mod tests {
    use super::{REQUIRED, ROOMS};
    use crate::fixtures::sound;
    use crate::{assert_only, violations};

    #[test]
    fn a_pattern_has_no_other_rooms() {
        for file in ["src/timeout/helpers.rs", "src/timeout/helpers/all.rs"] {
            assert_only(
                &sound().with(file, "use super::config::Anything;"),
                &format!(
                    "{file}:1 belongs to the unknown room helpers: a pattern has no rooms but mod, layer, service, future, handle, memory, store, state, config"
                ),
            );
        }
    }

    #[test]
    fn every_pattern_has_the_rooms_that_none_does_without() {
        for room in REQUIRED {
            assert_only(
                &sound().without(&format!("src/timeout/{room}.rs")),
                &format!("src/timeout lacks the room {room}: every pattern has mod, config, layer, service, future"),
            );
        }
    }

    #[test]
    fn no_room_imports_from_a_room_above() {
        assert_only(
            &sound().with("src/timeout/future.rs", "\nuse super::{state::Limit, service::Timeout};"),
            "src/timeout/future.rs:2 imports crate::timeout::service::Timeout: future stands below service, and imports only go down",
        );
        for rooms in ROOMS.windows(2).skip(1) {
            let (above, below) = (rooms[0], rooms[1]);
            let (file, import) = (format!("src/timeout/{below}.rs"), format!("use super::{above}::X;"));
            let found = violations(&sound().with(&file, &import));
            assert_eq!(
                found,
                [format!(
                    "{file}:1 imports crate::timeout::{above}::X: {below} stands below {above}, and imports only go down"
                )]
            );
            let (file, import) = (format!("src/timeout/{above}.rs"), format!("use super::{below}::X;"));
            assert_eq!(violations(&sound().with(&file, &import)), [""; 0]);
        }
    }

    #[test]
    fn a_folder_is_bound_like_its_room_and_free_inside() {
        let windows = "src/circuit_breaker/state/windows.rs";
        assert_only(
            &sound().with(windows, "use super::super::handle::Shared;"),
            "src/circuit_breaker/state/windows.rs:1 imports crate::circuit_breaker::handle::Shared: state stands below handle, and imports only go down",
        );
        let tree = sound().with(windows, "use super::{Phase, buckets::Buckets, super::config::Rates};");
        assert_eq!(violations(&tree), [""; 0]);
    }

    #[test]
    fn no_room_imports_what_its_mod_re_exports() {
        for (text, name) in [
            ("use super::TimeoutLayer;", "crate::timeout::TimeoutLayer"),
            ("use crate::timeout::*;", "crate::timeout::*"),
            ("use super::{self as timeout};", "crate::timeout"),
        ] {
            assert_only(
                &sound().with("src/timeout/service.rs", text),
                &format!("src/timeout/service.rs:1 imports {name}: service stands below mod, and imports only go down"),
            );
        }
        let tree = sound().with("src/timeout/service.rs", "pub(in super::super::timeout) struct S;");
        assert_eq!(violations(&tree), [""; 0]);
    }
}
