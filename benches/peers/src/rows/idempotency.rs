use std::future::{Ready, ready};
use std::num::NonZeroUsize;

use axum::body::Bytes;
use buttress::idempotency::{
    Claim, Fingerprint, IdempotencyConfig, IdempotencyLayer, Keep, Kept, MemoryStore, Owner, RecordKey, RunOnce, Store,
    Unreadable, Verdict,
};
use tower::Layer;

use super::{BARE, HOUR, Rows, good};
use crate::calls::{always, now, through};
use crate::inner::{Answer, Bare, Failed};

pub(super) fn add(rows: &mut Rows) {
    rows.ours("idempotency, replayed", BARE, || {
        let store = MemoryStore::new(NonZeroUsize::MIN);
        let claim =
            Claim { fingerprint: Fingerprint::of(&2_u64), owner: Owner::random(), lease: HOUR, retention: HOUR };
        let answer = Bytes::copy_from_slice(&2_u64.to_le_bytes());
        now(store.complete(&RecordKey::of(&(), &2_u64), claim, answer)).expect("in memory");
        let once = RunOnce::new().global_scope().key(|number: &u64| Some(*number)).fingerprint(|number: &u64| *number);
        let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store).expect("valid");
        through(layer.identify(once).keep(Numbers).layer(Bare), always(2), good)
    });
}

struct Numbers;

impl Keep<u64, Failed> for Numbers {
    type Future = Ready<Kept<u64, Failed>>;

    fn keep(&self, result: Answer) -> Self::Future {
        ready(Kept { result, verdict: Verdict::NoEffect })
    }

    fn replay(&self, kept: Bytes) -> Result<u64, Unreadable> {
        kept.as_ref().try_into().map(u64::from_le_bytes).map_err(|_| Unreadable::new("not eight bytes"))
    }
}
