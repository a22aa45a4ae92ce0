//! What a [`Store`] of idempotency records has to hold.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::clock::sleep;
use crate::idempotency::{Acquired, Begin, Claim, Commit, Fingerprint, Owner, RecordKey, Store};

/// Short, since a store with a clock of its own is waited for; long enough for a machine that is busy.
const LEASE: Duration = Duration::from_secs(1);

/// No store forgets anything while it is looked at.
const RETENTION: Duration = Duration::from_secs(3600);

/// Goes through all that a store has to hold. It takes a few seconds, most of which it waits for leases to end; it may use a
/// store that holds other records, and leaves its own behind.
///
/// # Panics
///
/// The first thing that does not hold is a panic that names it.
pub async fn check(store: &impl Store) {
    // Each has requests of its own, and they wait together for leases to end.
    let all: [Pin<Box<dyn Future<Output = ()> + Send + '_>>; 15] = [
        Box::pin(one_is_told_that_it_is_its_own_and_others_how_long_until_they_may(store)),
        Box::pin(who_asks_again_is_told_the_same(store)),
        Box::pin(of_many_at_once_one_acquires(store)),
        Box::pin(what_came_of_it_is_told_byte_by_byte(store)),
        Box::pin(another_request_is_told_so_whatever_the_state(store)),
        Box::pin(a_lease_that_ends_is_taken_over_from_by_a_larger_fence(store)),
        Box::pin(a_lease_that_is_renewed_does_not_end(store)),
        Box::pin(who_was_taken_over_from_changes_nothing(store)),
        Box::pin(what_is_released_is_new_but_for_its_fence(store)),
        Box::pin(what_is_released_is_not_the_one_befores_any_more(store)),
        Box::pin(a_run_that_comes_to_nothing_does_not_make_the_one_before_it_forgotten(store)),
        Box::pin(what_happened_is_recorded_though_it_was_forgotten_that_it_was_begun(store)),
        Box::pin(what_is_parked_stays_so_until_somebody_knows(store)),
        Box::pin(who_looks_changes_nothing(store)),
        Box::pin(what_is_over_is_forgotten(store)),
    ];
    join_all(all).await;
}

/// A request that no test has had before.
struct Asked<'a, S> {
    store: &'a S,
    key: RecordKey,
    retention: Duration,
}

impl<'a, S: Store> Asked<'a, S> {
    fn new(store: &'a S) -> Self {
        let key = RecordKey::of(&"buttress conformance", Owner::random().as_bytes());
        Self { store, key, retention: RETENTION }
    }

    fn claim(&self, owner: Owner) -> Claim {
        Claim { fingerprint: Fingerprint::of(&1_u8), owner, lease: LEASE, retention: self.retention }
    }

    async fn begin(&self, owner: Owner) -> Begin {
        self.begin_as(self.claim(owner)).await
    }

    async fn begin_as(&self, claim: Claim) -> Begin {
        self.store.begin(&self.key, claim).await.expect("a store that is reached begins")
    }

    /// Begins, and is told that the request is its own.
    #[track_caller]
    fn acquire(&self, owner: Owner) -> impl Future<Output = Acquired> {
        let caller = std::panic::Location::caller();
        async move {
            match self.begin(owner).await {
                Begin::Acquired(acquired) => acquired,
                other => panic!("{caller}: it is to be acquired, and the store says {other:?}"),
            }
        }
    }

    async fn complete(&self, owner: Owner, answer: &'static str) -> Commit {
        let answer = Bytes::from_static(answer.as_bytes());
        self.store.complete(&self.key, self.claim(owner), answer).await.expect("a store that is reached completes")
    }

    async fn renew(&self, owner: Owner) -> bool {
        self.store.renew(&self.key, owner, LEASE).await.expect("a store that is reached renews")
    }

    async fn release(&self, owner: Owner) -> bool {
        self.store.release(&self.key, owner).await.expect("a store that is reached releases")
    }

    async fn park(&self, owner: Owner) -> bool {
        self.store.park(&self.key, self.claim(owner), "why").await.expect("a store that is reached parks")
    }

    async fn resolve(&self, answer: Option<&'static str>) -> bool {
        let answer = answer.map(|answer| Bytes::from_static(answer.as_bytes()));
        self.store.resolve(&self.key, answer).await.expect("a store that is reached resolves")
    }

    async fn look(&self) -> Option<Begin> {
        self.look_as(1).await
    }

    async fn look_as(&self, request: u8) -> Option<Begin> {
        self.store.look(&self.key, Fingerprint::of(&request)).await.expect("a store that is reached looks")
    }
}

fn done(answer: &'static str) -> Begin {
    Begin::Done(Bytes::from_static(answer.as_bytes()))
}

fn owners<const N: usize>() -> [Owner; N] {
    std::array::from_fn(|_| Owner::random())
}

/// Longer than a lease.
async fn lease_ends() {
    sleep(LEASE + LEASE / 4).await;
}

async fn one_is_told_that_it_is_its_own_and_others_how_long_until_they_may(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    let acquired = asked.acquire(one).await;
    assert!(acquired.attempt == 1 && acquired.fence > 0, "the first run is the first: {acquired:?}");
    match asked.begin(other).await {
        Begin::Running { left } => assert!(!left.is_zero() && left <= LEASE, "{left:?} of {LEASE:?} are left"),
        begin => panic!("somebody else runs it, and the store says {begin:?}"),
    }
}

async fn who_asks_again_is_told_the_same(store: &impl Store) {
    let (asked, [one]) = (Asked::new(store), owners());
    let acquired = asked.acquire(one).await;
    assert_eq!(asked.acquire(one).await, acquired, "an answer may be lost on its way");
    assert_eq!(asked.complete(one, "tea").await, Commit::Stored, "the owner completes");
    assert_eq!(asked.complete(one, "tea").await, Commit::Stored, "the owner completes again");
    let (asked, [one]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    assert!(asked.release(one).await && asked.release(one).await, "the owner releases, and again");
    let (asked, [one]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    assert!(asked.park(one).await && asked.park(one).await, "the owner parks, and again");
}

async fn of_many_at_once_one_acquires(store: &impl Store) {
    let asked = Asked::new(store);
    let all = join_all((0..32).map(|_| asked.begin(Owner::random()))).await;
    let won = all.iter().filter(|begin| matches!(begin, Begin::Acquired(_))).count();
    assert_eq!(won, 1, "of 32 at once one acquires: {all:?}");
    lease_ends().await;
    let all = join_all((0..32).map(|_| asked.begin(Owner::random()))).await;
    let won = all.iter().filter(|begin| matches!(begin, Begin::Acquired(acquired) if acquired.attempt == 2)).count();
    assert_eq!(won, 1, "of 32 at once one takes over: {all:?}");
}

async fn what_came_of_it_is_told_byte_by_byte(store: &impl Store) {
    let every_byte: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for answer in [Bytes::new(), Bytes::from_static(b"\0\xff\r\n'\"$"), Bytes::from(every_byte)] {
        let (asked, [one, other]) = (Asked::new(store), owners());
        asked.acquire(one).await;
        let commit = store.complete(&asked.key, asked.claim(one), answer.clone()).await;
        assert_eq!(commit.expect("a store that is reached completes"), Commit::Stored);
        assert!(asked.begin(other).await == Begin::Done(answer.clone()), "{} bytes are told again", answer.len());
        assert!(asked.begin(one).await == Begin::Done(answer), "to the owner as well");
    }
}

async fn another_request_is_told_so_whatever_the_state(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    let another = Claim { fingerprint: Fingerprint::of(&2_u8), ..asked.claim(other) };
    asked.acquire(one).await;
    assert_eq!(asked.begin_as(another).await, Begin::Mismatch, "while it runs");
    lease_ends().await;
    assert_eq!(asked.begin_as(another).await, Begin::Mismatch, "nor does it take over");
    assert_eq!(asked.complete(one, "tea").await, Commit::Stored, "it was the owner's all the time");
    assert_eq!(asked.begin_as(another).await, Begin::Mismatch, "when it is done");
    let asked = Asked::new(store);
    asked.acquire(one).await;
    asked.park(one).await;
    assert_eq!(asked.begin_as(another).await, Begin::Mismatch, "when it is parked");
}

async fn a_lease_that_ends_is_taken_over_from_by_a_larger_fence(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    let first = asked.acquire(one).await;
    lease_ends().await;
    let second = asked.acquire(other).await;
    assert!(second.attempt == 2 && second.fence > first.fence, "{first:?}, then {second:?}");
    assert!(second.is_recovered());
}

async fn a_lease_that_is_renewed_does_not_end(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    for _ in 0..4 {
        sleep(LEASE / 2).await;
        assert!(asked.renew(one).await, "the owner renews");
    }
    assert!(matches!(asked.begin(other).await, Begin::Running { .. }), "it is still the owner's");
    lease_ends().await;
    assert!(asked.renew(one).await, "also after its end, while nobody has taken over");
    assert!(matches!(asked.begin(other).await, Begin::Running { .. }), "and then it is the owner's anew");
}

async fn who_was_taken_over_from_changes_nothing(store: &impl Store) {
    let (asked, [one, other, third]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    lease_ends().await;
    asked.acquire(other).await;
    assert!(!asked.renew(one).await && !asked.release(one).await && !asked.park(one).await, "it is not its own");
    assert_eq!(asked.complete(one, "coffee").await, Commit::Lost, "nor does it say what came of it");
    assert!(matches!(asked.begin(third).await, Begin::Running { .. }), "the other still runs it");
    assert_eq!(asked.complete(other, "tea").await, Commit::Stored);
    assert_eq!(asked.complete(one, "coffee").await, Commit::Lost, "afterwards neither");
    assert!(!asked.renew(one).await && !asked.release(one).await && !asked.park(one).await, "it is done");
    assert_eq!(asked.begin(third).await, done("tea"));
}

async fn what_is_released_is_new_but_for_its_fence(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    let first = asked.acquire(one).await;
    assert!(asked.release(one).await, "the owner releases");
    assert_eq!(asked.look().await, None, "nothing is known of it");
    let second = asked.acquire(other).await;
    assert!(second.attempt == 1 && second.fence > first.fence, "{first:?}, then {second:?}");
}

async fn what_is_released_is_not_the_one_befores_any_more(store: &impl Store) {
    let (asked, [one, other, third]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    asked.release(one).await;
    asked.acquire(other).await;
    assert!(!asked.renew(one).await && !asked.release(one).await && !asked.park(one).await, "it is another's");
    assert_eq!(asked.complete(one, "coffee").await, Commit::Lost);
    assert!(matches!(asked.begin(third).await, Begin::Running { .. }));
}

async fn a_run_that_comes_to_nothing_does_not_make_the_one_before_it_forgotten(store: &impl Store) {
    let (asked, [one, other, third]) = (Asked::new(store), owners());
    let first = asked.acquire(one).await;
    lease_ends().await;
    let second = asked.acquire(other).await;
    assert!(asked.release(other).await && asked.release(other).await, "the owner releases, and again");
    assert!(!asked.renew(other).await, "it is nobody's");
    assert_eq!(asked.look_as(2).await, Some(Begin::Mismatch), "and still known");
    let third = asked.acquire(third).await;
    assert!(third.attempt == 2 && third.fence > second.fence, "{first:?}, {second:?}, then {third:?}");
}

async fn what_happened_is_recorded_though_it_was_forgotten_that_it_was_begun(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    assert_eq!(asked.complete(one, "tea").await, Commit::Recreated, "nothing is known of it");
    assert_eq!(asked.complete(one, "tea").await, Commit::Stored, "said again");
    assert_eq!(asked.begin(other).await, done("tea"));
    let (asked, [one, other, third]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    lease_ends().await;
    asked.acquire(other).await;
    asked.release(other).await;
    assert_eq!(asked.complete(one, "tea").await, Commit::Recreated, "it is nobody's");
    assert_eq!(asked.begin(third).await, done("tea"));
}

async fn what_is_parked_stays_so_until_somebody_knows(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    asked.acquire(one).await;
    assert!(!asked.resolve(None).await, "it runs");
    assert!(asked.park(one).await, "the owner parks");
    lease_ends().await;
    assert_eq!(asked.begin(other).await, Begin::Parked("why".into()), "nobody takes over");
    assert!(!asked.renew(one).await && !asked.release(one).await && !asked.park(other).await);
    assert_eq!(asked.complete(one, "coffee").await, Commit::Lost, "it is not the owner's any more");
    assert!(asked.resolve(Some("tea")).await, "somebody knows");
    assert_eq!(asked.begin(other).await, done("tea"));
    assert!(!asked.resolve(None).await, "it is done");
    let asked = Asked::new(store);
    assert!(asked.park(one).await, "nothing is known of it, and it is parked all the same");
    assert_eq!(asked.begin(other).await, Begin::Parked("why".into()));
    assert!(asked.resolve(None).await, "nothing came of it");
    assert_eq!(asked.acquire(other).await.attempt, 1, "and it is run anew");
}

async fn who_looks_changes_nothing(store: &impl Store) {
    let (asked, [one, other]) = (Asked::new(store), owners());
    assert_eq!(asked.look().await, None);
    assert_eq!(asked.acquire(one).await.attempt, 1, "to look was no claim");
    assert!(matches!(asked.look().await, Some(Begin::Running { left }) if left <= LEASE));
    assert_eq!(asked.look_as(2).await, Some(Begin::Mismatch));
    lease_ends().await;
    assert_eq!(asked.look().await, None, "it could be taken over");
    assert_eq!(asked.acquire(other).await.attempt, 2, "by the next one, and no other");
    asked.complete(other, "tea").await;
    assert_eq!(asked.look().await, Some(done("tea")));
    let asked = Asked::new(store);
    asked.park(one).await;
    assert_eq!(asked.look().await, Some(Begin::Parked("why".into())));
}

async fn what_is_over_is_forgotten(store: &impl Store) {
    let ([one, other, third, fourth], retention) = (owners(), 3 * LEASE);
    let records: [Asked<'_, _>; 3] = std::array::from_fn(|_| Asked { retention, ..Asked::new(store) });
    let [is_done, is_parked, runs] = &records;
    let first = is_done.acquire(one).await;
    is_done.complete(one, "tea").await;
    is_parked.acquire(other).await;
    is_parked.park(other).await;
    runs.acquire(third).await;
    for _ in 0..4 {
        sleep(LEASE / 2).await;
        assert!(runs.renew(third).await, "the owner renews");
    }
    assert_eq!(is_done.look().await, Some(done("tea")), "the control: it is not over yet");
    for _ in 0..4 {
        sleep(LEASE / 2).await;
        assert!(runs.renew(third).await, "what runs is known for as long as it does");
    }
    assert!(matches!(runs.begin(fourth).await, Begin::Running { .. }));
    store.purge(u32::MAX).await.expect("a store that is reached purges");
    assert_eq!((is_done.look().await, is_parked.look().await), (None, None), "both are over");
    let again = is_done.acquire(fourth).await;
    assert!(again.attempt == 1 && again.fence > first.fence, "{first:?}, then {again:?}");
    assert_eq!(is_parked.acquire(fourth).await.attempt, 1);
}
