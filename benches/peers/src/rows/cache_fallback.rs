use std::num::NonZeroU64;

use buttress::cache_fallback::{CacheFallbackConfig, CacheFallbackLayer, MemoryStore, ReadThroughConfig};
use tower::{Layer, Service};

use super::{BARE, HOUR, Rows, good};
use crate::calls::{always, now, through};
use crate::inner::Bare;

fn layer() -> CacheFallbackLayer<u64, u64> {
    let store = MemoryStore::new(NonZeroU64::new(1 << 20).expect("not zero"));
    CacheFallbackLayer::new(CacheFallbackConfig::new(HOUR), store).expect("valid")
}

pub(super) fn add(rows: &mut Rows) {
    rows.ours("cache fallback, nothing to remember", BARE, || {
        through(layer().key(|number: &u64| (number % 2 == 1).then_some(7)).layer(Bare), always(2), good)
    });
    rows.ours("cache fallback", BARE, || through(layer().key(|_: &u64| Some(7)).layer(Bare), always(2), good));
    rows.ours("cache fallback, from memory", BARE, || {
        let mut service = layer().key(|_: &u64| Some(7)).layer(Bare);
        now(service.call(2)).expect("a good answer");
        through(service, always(1), good)
    });
    rows.ours("cache fallback, fresh", BARE, || {
        let layer = layer().key(|_: &u64| Some(7));
        now(layer.layer(Bare).call(2)).expect("a good answer");
        through(layer.read_through(ReadThroughConfig::new(HOUR)).expect("valid").layer(Bare), always(1), good)
    });
}
