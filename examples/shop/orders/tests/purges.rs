//! What is not remembered any more is forgotten.

use buttress::idempotency::{Claim, Fingerprint, Owner, RecordKey};

use super::*;

#[tokio::test(start_paused = true)]
async fn records_whose_time_is_over_are_purged_now_and_then() {
    for (is_purged, left) in [(true, 0), (false, 1)] {
        let store = MemoryStore::new(RECORDS);
        let claim =
            Claim { fingerprint: Fingerprint::of(&1), owner: Owner::random(), lease: LEASE, retention: 2 * LEASE };
        store.begin(&RecordKey::of(&"shop", &1), claim).await.expect("there is room");
        let purging = is_purged.then(|| tokio::spawn(purge(store.clone())));
        sleep(PURGED_EACH + LEASE).await;
        assert_eq!(store.purge(PURGED_AT_ONCE).await.expect("it is there"), left);
        drop(purging);
    }
}
