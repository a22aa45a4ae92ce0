//! One for each operation, that begins with what they share.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($read:literal, $file:literal) => {
        LazyLock::new(|| {
            Script::new(concat!("local READ = '", $read, "'\n", include_str!("record.lua"), include_str!($file)))
        })
    };
}

pub(super) static BEGIN: LazyLock<Script> = script!("GET", "begin.lua");
pub(super) static COMPLETE: LazyLock<Script> = script!("GETEX", "complete.lua");
pub(super) static RENEW: LazyLock<Script> = script!("GETEX", "renew.lua");
pub(super) static RELEASE: LazyLock<Script> = script!("GETEX", "release.lua");
pub(super) static PARK: LazyLock<Script> = script!("GETEX", "park.lua");
pub(super) static LOOK: LazyLock<Script> = script!("GET", "look.lua");
pub(super) static RESOLVE: LazyLock<Script> = script!("GETEX", "resolve.lua");
