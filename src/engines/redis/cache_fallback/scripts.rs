//! One for each operation, of parts that they share.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($($part:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!($part)),+)))
    };
}

pub(super) static GET: LazyLock<Script> = script!("layout.lua", "get.lua");
pub(super) static PUT: LazyLock<Script> = script!("layout.lua", "put.lua");
pub(super) static FORGET: LazyLock<Script> = script!("layout.lua", "forget.lua");
pub(super) static FORGET_ALL: LazyLock<Script> = script!("layout.lua", "forget_all.lua");
