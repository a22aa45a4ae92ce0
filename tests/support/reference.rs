//! Stores that are asked the same say the same.

use std::num::NonZeroUsize;
use std::time::Duration;

use buttress::idempotency::{
    Acquired, Begin, Claim, Commit, Fingerprint, MemoryStore, Owner, RecordKey, Store, StoreError,
};
use bytes::Bytes;

const HOUR: Duration = Duration::from_secs(3600);

/// Nothing here ends while it is looked at, or all of it at once: then no clock makes a difference.
const TIMES: [Duration; 2] = [Duration::ZERO, HOUR];

#[derive(Clone, Debug)]
enum Asked {
    Begin(Claim),
    Complete(Claim, Bytes),
    Renew(Owner, Duration),
    Release(Owner),
    Park(Claim),
    Look(Fingerprint),
    Resolve(Option<Bytes>),
}

#[derive(Debug, PartialEq)]
enum Said {
    Begin(Option<Begin>),
    Commit(Commit),
    Did(bool),
}

/// Asks one and the other for what is drawn by lot, of three owners and two requests under a key.
///
/// # Panics
///
/// They say different things.
pub(crate) async fn says_what_memory_says(store: &impl Store, seeds: std::ops::Range<u64>) {
    let memory = MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"));
    let owners: [Owner; 3] = std::array::from_fn(|_| Owner::random());
    let mut counts = [0_u32; 8];
    for seed in seeds {
        let mut rng = fastrand::Rng::with_seed(seed);
        let key = RecordKey::of(&"reference", Owner::random().as_bytes());
        let (mut ours, mut theirs) = (Fences::default(), Fences::default());
        let mut history = Vec::new();
        for _ in 0..20 {
            let asked = draw(&mut rng, &owners);
            history.push(asked.clone());
            let said = ours.rank(ask(store, &key, asked.clone()).await.expect("a store that is reached"));
            let expected = theirs.rank(ask(&memory, &key, asked).await.expect("memory is reached"));
            assert_eq!(said, expected, "seed {seed}: {history:#?}");
            counts[kind(&said)] += 1;
        }
    }
    assert!(counts.iter().all(|count| *count > 0), "the control: whatever there is to say is said: {counts:?}");
}

fn draw(rng: &mut fastrand::Rng, owners: &[Owner; 3]) -> Asked {
    let owner = owners[rng.usize(..3)];
    let fingerprint = Fingerprint::of(&u8::from(rng.u8(..8) == 0));
    let mut time = || TIMES[rng.usize(..2)];
    // Mostly something is remembered.
    let claim = Claim { fingerprint, owner, lease: time(), retention: time().max(time()).max(time()) };
    let answer = || Bytes::from_static(b"tea\0\xff");
    match rng.u8(..16) {
        0..6 => Asked::Begin(claim),
        6..8 => Asked::Complete(claim, answer()),
        8..9 => Asked::Renew(owner, claim.lease),
        9..12 => Asked::Release(owner),
        12..13 => Asked::Park(claim),
        13..14 => Asked::Look(fingerprint),
        14..15 => Asked::Resolve(Some(answer())),
        _ => Asked::Resolve(None),
    }
}

async fn ask(store: &impl Store, key: &RecordKey, asked: Asked) -> Result<Said, StoreError> {
    Ok(match asked {
        Asked::Begin(claim) => Said::Begin(Some(store.begin(key, claim).await?)),
        Asked::Complete(claim, answer) => Said::Commit(store.complete(key, claim, answer).await?),
        Asked::Renew(owner, lease) => Said::Did(store.renew(key, owner, lease).await?),
        Asked::Release(owner) => Said::Did(store.release(key, owner).await?),
        Asked::Park(claim) => Said::Did(store.park(key, claim, "why\0").await?),
        Asked::Look(fingerprint) => Said::Begin(store.look(key, fingerprint).await?),
        Asked::Resolve(answer) => Said::Did(store.resolve(key, answer).await?),
    })
}

/// Two stores have not the same fences, nor the same moment.
#[derive(Default)]
struct Fences(Vec<u64>);

impl Fences {
    /// A fence becomes its place among those that there were, and what is left of a lease one hour.
    fn rank(&mut self, said: Said) -> Said {
        match said {
            Said::Begin(Some(Begin::Acquired(Acquired { fence, attempt }))) => {
                if self.0.last().is_none_or(|last| *last < fence) {
                    self.0.push(fence);
                }
                let place = self.0.iter().position(|known| *known == fence).expect("fences grow");
                Said::Begin(Some(Begin::Acquired(Acquired { fence: place as u64, attempt })))
            }
            Said::Begin(Some(Begin::Running { left })) => {
                assert!(left > HOUR / 2 && left <= HOUR, "{left:?} are left");
                Said::Begin(Some(Begin::Running { left: HOUR }))
            }
            said => said,
        }
    }
}

fn kind(said: &Said) -> usize {
    match said {
        Said::Begin(Some(Begin::Acquired(Acquired { attempt: 1, .. }))) => 0,
        Said::Begin(Some(Begin::Acquired(_))) => 1,
        Said::Begin(Some(Begin::Running { .. })) => 2,
        Said::Begin(Some(Begin::Done(_))) => 3,
        Said::Begin(Some(Begin::Mismatch)) => 4,
        Said::Begin(_) => 5,
        Said::Commit(_) => 6,
        Said::Did(_) => 7,
    }
}
