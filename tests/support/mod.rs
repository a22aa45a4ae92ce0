//! What proves a layer right: inner services that complain, futures that are dropped at every point, allocations
//! that are counted, state machines that are compared with an obvious reference, stores that are cut off, processes
//! that are killed, histories that are judged.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod allocations;
pub(crate) mod app;
pub(crate) mod book;
pub(crate) mod books;
pub(crate) mod careless;
pub(crate) mod chaos;
pub(crate) mod crash;
pub(crate) mod drops;
pub(crate) mod far;
pub(crate) mod history;
pub(crate) mod model;
pub(crate) mod numbers;
pub(crate) mod orders;
pub(crate) mod outage;
pub(crate) mod readiness;
pub(crate) mod reference;
pub(crate) mod server;
