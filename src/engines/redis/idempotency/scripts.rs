//! One for each operation, of parts that they share.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!($part)),+)))
    };
}

pub(super) static BEGIN: LazyLock<Script> =
    script!("time.lua", "layout.lua", "claim.lua", "get.lua", "record.lua", "write.lua", "begin.lua");
pub(super) static COMPLETE: LazyLock<Script> = script!("layout.lua", "getex.lua", "record.lua", "complete.lua");
pub(super) static RENEW: LazyLock<Script> =
    script!("time.lua", "layout.lua", "getex.lua", "record.lua", "write.lua", "renew.lua");
pub(super) static RELEASE: LazyLock<Script> =
    script!("layout.lua", "getex.lua", "record.lua", "write.lua", "release.lua");
pub(super) static PARK: LazyLock<Script> = script!("layout.lua", "getex.lua", "record.lua", "park.lua");
pub(super) static LOOK: LazyLock<Script> = script!("time.lua", "layout.lua", "get.lua", "record.lua", "look.lua");
pub(super) static RESOLVE: LazyLock<Script> = script!("layout.lua", "getex.lua", "record.lua", "resolve.lua");
