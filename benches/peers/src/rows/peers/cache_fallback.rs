use std::sync::Arc;

use moka::sync::Cache as Moka;
use quick_cache::sync::Cache as QuickCache;
use tower::{Layer, Service, ServiceExt};
use tower_resilience_cache::CacheLayer;

use super::super::{HOUR, Rows};
use super::{TOWER_RESILIENCE, good};
use crate::calls::{always, now, of, through};
use crate::inner::Bare;

const FRESH: &str = "cache fallback, fresh";

const SIZE: usize = 1024;

pub(super) fn add(rows: &mut Rows) {
    rows.peer("quick_cache", &[FRESH], || {
        let cache = QuickCache::new(SIZE);
        cache.insert(7_u64, 2_u64);
        of(move |number| cache.get(&number), always(7), |answer| *answer == Some(2))
    });
    rows.peer("quick_cache, in an Arc", &[FRESH], || {
        let cache = QuickCache::new(SIZE);
        cache.insert(7_u64, Arc::new(2_u64));
        of(move |number| cache.get(&number), always(7), |answer| answer.as_deref() == Some(&2))
    });
    rows.peer("moka", &[FRESH], || {
        let cache = Moka::builder().max_capacity(SIZE as u64).time_to_live(HOUR).build();
        cache.insert(7_u64, 2_u64);
        of(move |number| cache.get(&number), always(7), |answer| *answer == Some(2))
    });
    rows.peer(TOWER_RESILIENCE, &[FRESH], || {
        let layer = CacheLayer::builder().max_size(SIZE).ttl(HOUR).key_extractor(|_: &u64| 7_u64).build();
        let mut service = layer.expect("valid").layer(Bare);
        now(async { service.ready().await.expect("ready").call(2).await }).expect("a good answer");
        through(service, always(1), good)
    });
}
