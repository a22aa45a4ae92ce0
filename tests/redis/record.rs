//! A record as it is in the server.

use buttress::idempotency::{Claim, Fingerprint, Owner, RecordKey};

use crate::server::Redis;
use crate::world::name;

/// In the year 2255.
const FAR: u64 = 9_000_000_000_000_000;

pub(crate) struct Record {
    pub(crate) phase: u8,
    pub(crate) owner: Owner,
    pub(crate) request: Fingerprint,
    pub(crate) attempt: u32,
    pub(crate) fence: u64,
    pub(crate) forgotten: u64,
}

impl Record {
    /// Of a first run whose lease has ended, and which is not forgotten.
    pub(crate) fn of(claim: &Claim) -> Self {
        let Claim { fingerprint: request, owner, .. } = *claim;
        Self { phase: b'r', owner, request, attempt: 1, fence: 1, forgotten: FAR }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let ends = 0;
        let mut bytes = vec![self.phase];
        bytes.extend(self.owner.as_bytes());
        bytes.extend(self.request.as_bytes());
        bytes.extend(self.attempt.to_be_bytes());
        bytes.extend([self.fence, ends, self.forgotten].map(u64::to_be_bytes).as_flattened());
        bytes
    }
}

pub(crate) async fn put(redis: &Redis, key: &RecordKey, value: &[u8]) {
    let mut set = redis::cmd("SET");
    set.arg(name(key)).arg(value).exec_async(&mut redis.connection().await).await.expect("it is written");
}

pub(crate) async fn fence(redis: &Redis, key: &RecordKey) -> u64 {
    let mut get = redis::cmd("GET");
    let bytes: Vec<u8> = get.arg(name(key)).query_async(&mut redis.connection().await).await.expect("it is there");
    u64::from_be_bytes(bytes[53..61].try_into().expect("eight bytes"))
}
