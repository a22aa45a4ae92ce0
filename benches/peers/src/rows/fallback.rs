use buttress::fallback::{Failed, FallbackLayer, Function};
use tower::Layer;

use super::{BARE, Rows, good};
use crate::calls::{always, through};
use crate::inner::{self, Answer, Bare};

pub(super) fn layer()
-> FallbackLayer<Function<impl Fn(Failed<u64, inner::Failed>) -> Answer + Clone + Send + Sync + 'static>> {
    FallbackLayer::default().with(|_: Failed<_, _>| Ok(7))
}

pub(super) fn add(rows: &mut Rows) {
    rows.ours("fallback", BARE, || through(layer().layer(Bare), always(2), good));
    rows.ours("fallback, substitute", BARE, || {
        through(layer().layer(Bare), always(1), |answer| matches!(answer, Ok(7)))
    });
}
