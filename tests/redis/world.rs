//! Requests, and the layer that has each of them run once.

use std::time::Duration;

use buttress::idempotency::{
    Claim, Fingerprint, IdempotencyConfig, IdempotencyLayer, Identify, Owner, RecordKey, RunOnce, Store,
};

use crate::support::numbers::Numbers;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// For how long a store that notices outages waits for an answer: several times longer than we recommend, for a machine that
/// is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// The record's name in the server.
pub(crate) fn name(key: &RecordKey) -> String {
    format!("buttress:idempotency:{key}")
}

pub(crate) fn key(number: u32) -> RecordKey {
    RecordKey::of(&"shop", &number)
}

/// Somebody's who was not there before.
pub(crate) fn claim() -> Claim {
    Claim { fingerprint: Fingerprint::of(&1_u8), owner: Owner::random(), lease: HOUR, retention: HOUR }
}

/// A layer whose requests are their own keys, of the [scope](key) that they are recorded in here.
pub(crate) fn layer<St: Store>(
    store: St,
) -> IdempotencyLayer<St, impl Identify<u32, Request = u32, Future: 'static>, Numbers> {
    let once =
        RunOnce::new().scope(|_: &u32| Some("shop")).key(|number: &u32| Some(*number)).fingerprint(|_: &u32| 1_u8);
    let config = IdempotencyConfig::new().store_timeout(2 * PATIENCE);
    IdempotencyLayer::new(config, store).expect("valid").identify(once).keep(Numbers)
}
