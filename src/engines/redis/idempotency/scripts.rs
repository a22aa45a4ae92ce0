//! One for each operation, that begins with what they share.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("record.lua"), include_str!($file))))
    };
}

pub(super) static BEGIN: LazyLock<Script> = script!("begin.lua");
pub(super) static COMPLETE: LazyLock<Script> = script!("complete.lua");
pub(super) static RENEW: LazyLock<Script> = script!("renew.lua");
pub(super) static RELEASE: LazyLock<Script> = script!("release.lua");
pub(super) static PARK: LazyLock<Script> = script!("park.lua");
pub(super) static LOOK: LazyLock<Script> = script!("look.lua");
pub(super) static RESOLVE: LazyLock<Script> = script!("resolve.lua");
