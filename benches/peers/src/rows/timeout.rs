use buttress::Deadline;
use buttress::timeout::{TimeoutConfig, TimeoutLayer};
use tower::Layer;

use super::{BARE, HOUR, Rows, WAITS_ONCE, good};
use crate::calls::{always, through};
use crate::inner::{Bare, WaitsOnce};

pub(super) fn layer() -> TimeoutLayer {
    TimeoutLayer::new(TimeoutConfig::new(HOUR)).expect("a limit")
}

pub(super) fn add(rows: &mut Rows) {
    rows.ours("timeout", BARE, || through(layer().layer(Bare), always(2), good));
    rows.ours("timeout, waits once", WAITS_ONCE, || through(layer().layer(WaitsOnce), always(2), good));
    rows.ours("timeout, deadline", BARE, || {
        let tomorrow = Deadline::within(24 * HOUR);
        through(layer().deadline_of(move |_: &u64| Some(tomorrow)).layer(Bare), always(2), good)
    });
}
