use tower::Layer;
use tower_resilience_fallback::FallbackLayer;

use super::super::Rows;
use super::{TOWER_RESILIENCE, good};
use crate::calls::{always, through};
use crate::inner::{Bare, Failed};

pub(super) fn resilience<E>() -> FallbackLayer<u64, u64, E> {
    FallbackLayer::value_fn(|| 7)
}

pub(super) fn add(rows: &mut Rows) {
    rows.peer(TOWER_RESILIENCE, &["fallback"], || through(resilience::<Failed>().layer(Bare), always(2), good));
    rows.peer(TOWER_RESILIENCE, &["fallback, substitute"], || {
        through(resilience::<Failed>().layer(Bare), always(1), |answer| matches!(answer, Ok(7)))
    });
}
