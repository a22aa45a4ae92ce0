use std::collections::HashMap;
use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::cache_fallback::state::{Allowed, Life};
use crate::clock::Moment;

type Store = MemoryStore<u32, (u8, u32)>;

fn bytes(number: u64) -> NonZeroU64 {
    NonZeroU64::new(number).expect("not zero")
}

fn store() -> Store {
    MemoryStore::new(bytes(1 << 20))
}

/// Of a variant, asked for in that second.
fn answer(variant: u8, second: u32, bytes: u64) -> Answer<(u8, u32)> {
    let asked_at = Moment::EPOCH + Duration::from_secs(second.into());
    let life = Life::begin(asked_at, Duration::from_secs(1), Allowed::default());
    Answer::new((variant, second), life, asked_at, bytes)
}

fn keep(store: &Store, key: u32, answer: Answer<(u8, u32)>) -> Fate {
    keep_since(store, key, store.version(&key), answer)
}

fn keep_since(store: &Store, key: u32, version: Version, answer: Answer<(u8, u32)>) -> Fate {
    let variant = answer.value.0;
    store.keep(&key, version, answer, |other| other.0 == variant)
}

fn known(store: &Store, key: u32, variant: u8) -> Option<u32> {
    store.get(&key, |kept| kept.0 == variant).map(|answer| answer.value.1)
}

#[test]
fn a_younger_answer_replaces_the_one_before_and_an_older_one_does_not() {
    let store = store();
    assert_eq!(keep(&store, 7, answer(0, 5, 10)), Fate::Kept);
    assert_eq!(keep(&store, 7, answer(0, 6, 10)), Fate::Kept);
    assert_eq!(keep(&store, 7, answer(0, 4, 10)), Fate::Outdated);
    assert_eq!(known(&store, 7, 0), Some(6));
    assert_eq!((store.len(), store.bytes()), (1, 10 + 256));
    assert_eq!(keep(&store, 7, answer(0, 6, 20)), Fate::Kept, "as young, and the last to come");
    assert_eq!(store.bytes(), 20 + 256);
}

#[test]
fn what_was_asked_for_before_something_was_forgotten_is_not_kept_afterwards() {
    let store = store();
    let before = store.version(&7);
    assert!(!store.forget(&7), "nothing was known");
    assert_eq!(keep_since(&store, 7, before, answer(0, 5, 10)), Fate::Outdated);
    assert_eq!(keep(&store, 7, answer(0, 5, 10)), Fate::Kept);
    let before = store.version(&7);
    assert!(store.forget(&7));
    assert_eq!(keep_since(&store, 7, before, answer(0, 6, 10)), Fate::Outdated);
    assert_eq!(known(&store, 7, 0), None);
    let before = store.version(&7);
    assert_eq!(store.forget_where(|_| false), 0);
    assert_eq!(keep_since(&store, 7, before, answer(0, 6, 10)), Fate::Outdated);
}

#[test]
fn what_is_forgotten_of_one_variant_is_not_forgotten_of_another() {
    let store = store();
    keep(&store, 7, answer(0, 5, 10));
    keep(&store, 7, answer(1, 6, 10));
    let before = store.version(&7);
    assert!(!store.forget_some(&7, |answer| answer.value.0 == 2));
    assert!(store.forget_some(&7, |answer| answer.value.0 == 0));
    assert_eq!((known(&store, 7, 0), known(&store, 7, 1)), (None, Some(6)));
    assert_eq!(keep_since(&store, 7, before, answer(0, 6, 10)), Fate::Outdated);
    assert!(store.forget_some(&7, |_| true));
    assert!(store.is_empty());
    assert!(!store.forget_some(&7, |_| true), "nothing is left");
}

#[test]
fn keys_are_forgotten_by_what_they_are() {
    let store = store();
    (0..10).for_each(|key| assert_eq!(keep(&store, key, answer(0, 5, 10)), Fate::Kept));
    assert_eq!(store.forget_where(|key| key % 2 == 0), 5);
    assert_eq!((known(&store, 4, 0), known(&store, 5, 0), store.len()), (None, Some(5), 5));
    assert_eq!(store.forget_where(|_| true), 5);
    assert!(store.is_empty());
}

#[test]
fn of_more_variants_than_may_be_the_youngest_are_kept() {
    let store = store();
    for variant in 0..12 {
        // The first two are asked for last.
        assert_eq!(keep(&store, 7, answer(variant, 100 - u32::from(variant.min(2)), 10)), Fate::Kept);
    }
    let kept: Vec<u8> = (0..12).filter(|variant| known(&store, 7, *variant).is_some()).collect();
    assert_eq!(kept.len(), MOST_VARIANTS);
    assert!(kept.contains(&0) && kept.contains(&1) && kept.contains(&11), "{kept:?}");
}

#[test]
fn variants_that_are_too_large_together_make_room_for_the_last() {
    let store = MemoryStore::with_max_entry(bytes(100_000), bytes(1000)).expect("small enough");
    assert_eq!(keep(&store, 7, answer(0, 1, 200)), Fate::Kept);
    assert_eq!(keep(&store, 7, answer(1, 2, 200)), Fate::Kept);
    assert_eq!(keep(&store, 7, answer(2, 3, 200)), Fate::Kept);
    let kept = [0, 1, 2].map(|variant| known(&store, 7, variant));
    assert_eq!(kept, [None, Some(2), Some(3)], "two of 456 bytes each fit into 1000");
    assert_eq!(keep(&store, 7, answer(3, 4, 744)), Fate::Kept, "exactly as large as may be");
    assert_eq!(keep(&store, 7, answer(4, 5, 745)), Fate::TooLarge);
    assert_eq!((known(&store, 7, 3), store.bytes()), (Some(4), 1000));
}

/// A small one that is older does not stay in the place of a large one that is younger.
#[test]
fn of_what_does_not_fit_the_oldest_go_first() {
    let store = MemoryStore::with_max_entry(bytes(100_000), bytes(1000)).expect("small enough");
    keep(&store, 7, answer(0, 1, 0));
    keep(&store, 7, answer(1, 2, 300));
    keep(&store, 7, answer(2, 3, 300));
    assert_eq!([0, 1, 2].map(|variant| known(&store, 7, variant)), [None, None, Some(3)]);
}

/// It was asked for later; the other one came later.
#[test]
fn of_two_that_do_the_younger_is_told() {
    let store = store();
    keep(&store, 7, answer(1, 5, 10));
    keep(&store, 7, answer(0, 4, 10));
    assert_eq!(store.get(&7, |_| true).map(|answer| answer.value), Some((1, 5)));
    keep(&store, 7, answer(0, 6, 10));
    assert_eq!(store.get(&7, |_| true).map(|answer| answer.value), Some((0, 6)));
}

#[test]
fn a_limit_that_would_let_one_entry_drive_out_the_others_is_refused() {
    let refused = Store::with_max_entry(bytes(1000), bytes(501)).expect_err("more than half");
    assert_eq!(refused, InvalidMemory::EntryTooLarge { max_entry: 501, max_bytes: 1000 });
    assert_eq!(refused.to_string(), "an entry of 501 bytes is more than half of the 1000 bytes that all have together");
    assert!(Store::with_max_entry(bytes(1000), bytes(500)).is_ok());
    let refused = Store::with_max_entry(bytes(1000), bytes(256)).expect_err("too little");
    assert_eq!(refused.to_string(), "an entry of 256 bytes holds nothing: it takes 257 at least");
    let small = MemoryStore::new(bytes(40_000));
    assert_eq!(keep(&small, 7, answer(0, 1, 16_384 - 256)), Fate::Kept);
    assert_eq!(keep(&small, 7, answer(0, 1, 16_384 - 255)), Fate::TooLarge);
}

/// The cache beneath divides its bytes among shards, of which it makes four for each processor, and refuses without a word what
/// does not fit into one: of 64 MiB, an answer of 8 MiB on two processors, and one of 1 MiB on sixteen.
#[test]
fn an_entry_within_the_limit_is_let_in_however_large_it_is_and_however_full_the_store() {
    for (max_bytes, max_entry) in [(1 << 26, 1 << 23), (1 << 26, 1 << 25), (1 << 20, 1 << 10), (1000, 500), (514, 257)]
    {
        let store = MemoryStore::with_max_entry(bytes(max_bytes), bytes(max_entry)).expect("half at most");
        let most = max_entry - 256;
        for key in 0..200 {
            assert_eq!(keep(&store, key, answer(0, 1, most)), Fate::Kept);
            assert_eq!(known(&store, key, 0), Some(1), "{key} of {max_entry} in {max_bytes}");
            assert!(store.bytes() <= max_bytes);
        }
    }
}

#[test]
fn a_flood_of_keys_stays_under_the_limit_and_the_newest_is_known() {
    let store = MemoryStore::new(bytes(100_000));
    for key in 0..50_000 {
        assert_eq!(keep(&store, key, answer(0, 1, 100)), Fate::Kept);
        assert_eq!(known(&store, key, 0), Some(1));
        assert!(store.bytes() <= 100_000);
    }
    assert!(store.len() > 100, "and it is made use of: {}", store.len());
}

/// Its last owner may use the store.
struct Nosy(Option<MemoryStore<u32, Self>>);

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(store) = &self.0 {
            store.forget(&7);
            assert!(store.get(&7, |_| true).is_none());
        }
    }
}

#[test]
fn what_goes_may_use_the_store_as_it_is_dropped() {
    let store = MemoryStore::new(bytes(10_000));
    let nosy = |of: Option<&MemoryStore<u32, Nosy>>| {
        let Answer { life, asked_at, .. } = answer(0, 1, 0);
        Answer::new(Nosy(of.cloned()), life, asked_at, 300)
    };
    for key in 0..100 {
        assert_eq!(store.keep(&key, store.version(&key), nosy(Some(&store)), |_| true), Fate::Kept);
        assert_eq!(store.keep(&key, store.version(&key), nosy(Some(&store)), |_| true), Fate::Kept);
    }
    assert!(store.forget_some(&99, |_| true));
    assert!(store.forget_where(|_| true) > 0);
    assert_eq!(store.keep(&7, store.version(&7), nosy(None), |_| true), Fate::Kept);
}

/// A key whose clones do something, if they are told to.
#[derive(Default)]
struct Busy(Option<Arc<dyn Fn() + Send + Sync>>);

impl PartialEq for Busy {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Busy {}

impl Hash for Busy {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        if let Some(what) = &self.0 {
            what();
        }
        Self(None)
    }
}

/// The entry was replaced by one with an answer of old, which had been looked at before it was forgotten.
#[test]
fn what_is_forgotten_while_another_variant_is_kept_does_not_come_back() {
    type Forgets = fn(&MemoryStore<Busy, (u8, u32)>);
    let all: [Forgets; 3] = [
        |store| assert_eq!(store.forget_where(|_| true), 1),
        |store| assert!(store.forget_some(&Busy::default(), |_| true)),
        |store| assert!(store.forget(&Busy::default())),
    ];
    for forgets in all {
        let store = MemoryStore::new(bytes(1 << 20));
        let quiet = Busy::default();
        assert_eq!(store.keep(&quiet, store.version(&quiet), answer(0, 1, 10), |_| false), Fate::Kept);
        let has_forgotten = Arc::new(std::sync::Once::new());
        let hook = {
            let (store, has_forgotten) = (store.clone(), has_forgotten.clone());
            move || has_forgotten.call_once(|| forgets(&store))
        };
        let busy = Busy(Some(Arc::new(hook)));
        let kept = store.keep(&busy, store.version(&quiet), answer(1, 2, 10), |other| other.0 == 1);
        assert!(has_forgotten.is_completed());
        assert_eq!(kept, Fate::Outdated);
        assert!(store.is_empty());
    }
}

/// Whoever forgets has the last word over those who keep at the same time what they asked for before.
#[test]
fn many_who_keep_and_one_who_forgets() {
    const KEEPERS: u32 = 4;
    for round in 0..200 {
        let store = store();
        let version = store.version(&7);
        let barrier = Barrier::new(KEEPERS as usize + 1);
        std::thread::scope(|scope| {
            for keeper in 0..KEEPERS {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    keep_since(store, 7, version, answer((keeper % 2) as u8, keeper, 10))
                });
            }
            barrier.wait();
            match round % 3 {
                0 => _ = store.forget(&7),
                1 => _ = store.forget_where(|_| true),
                _ => _ = store.forget_some(&7, |_| true),
            }
        });
        assert!(store.get(&7, |_| true).is_none(), "round {round}");
    }
}

#[test]
fn of_many_who_keep_at_once_each_variant_has_its_youngest() {
    const KEEPERS: u32 = 8;
    for _ in 0..200 {
        let store = store();
        let version = store.version(&7);
        let barrier = Barrier::new(KEEPERS as usize);
        std::thread::scope(|scope| {
            for keeper in 0..KEEPERS {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    keep_since(store, 7, version, answer((keeper % 2) as u8, keeper, 10))
                });
            }
        });
        assert_eq!((known(&store, 7, 0), known(&store, 7, 1)), (Some(KEEPERS - 2), Some(KEEPERS - 1)));
    }
}

/// What may be done with a store.
#[derive(Clone, Debug)]
enum Do {
    Keep {
        key: u32,
        variant: u8,
        second: u32,
    },
    /// What was asked for so many steps before.
    KeepLate {
        key: u32,
        variant: u8,
        second: u32,
        steps: usize,
    },
    Forget(u32),
    ForgetVariant(u32, u8),
    ForgetWhere(u32),
}

fn what_is_done() -> impl Strategy<Value = Do> {
    let (key, variant, second) = (0..4_u32, 0..3_u8, 0..20_u32);
    prop_oneof![
        (key.clone(), variant.clone(), second.clone()).prop_map(|(key, variant, second)| Do::Keep {
            key,
            variant,
            second
        }),
        (key.clone(), variant.clone(), second, 1..8_usize).prop_map(|(key, variant, second, steps)| Do::KeepLate {
            key,
            variant,
            second,
            steps
        }),
        key.clone().prop_map(Do::Forget),
        (key.clone(), variant).prop_map(|(key, variant)| Do::ForgetVariant(key, variant)),
        key.prop_map(Do::ForgetWhere),
    ]
}

proptest! {
    /// A store that is not full holds what a map would, but for what it may leave out, since keys that share a stripe count as
    /// one: that is never more.
    #[test]
    fn a_store_holds_nothing_but_what_a_map_would(steps in proptest::collection::vec(what_is_done(), 0..60)) {
        let store = store();
        let mut map: HashMap<(u32, u8), u32> = HashMap::new();
        let mut forgotten_at: HashMap<u32, usize> = HashMap::new();
        let mut versions: Vec<[Version; 4]> = Vec::new();
        for (step, what) in steps.iter().enumerate() {
            versions.push([0, 1, 2, 3].map(|key| store.version(&key)));
            match *what {
                Do::Keep { key, variant, second } => {
                    let kept = keep(&store, key, answer(variant, second, 10));
                    let known = map.entry((key, variant)).or_insert(second);
                    prop_assert_eq!(kept == Fate::Kept, *known <= second);
                    *known = second.max(*known);
                }
                Do::KeepLate { key, variant, second, steps } => {
                    let asked = step.saturating_sub(steps);
                    let kept = keep_since(&store, key, versions[asked][key as usize], answer(variant, second, 10));
                    if forgotten_at.get(&key).is_some_and(|forgotten| *forgotten >= asked) {
                        prop_assert_eq!(kept, Fate::Outdated);
                    }
                    if kept == Fate::Kept {
                        let known = map.insert((key, variant), second);
                        prop_assert!(known.is_none_or(|known| known <= second));
                    }
                }
                Do::Forget(key) => {
                    let was_known = map.keys().any(|(known, _)| *known == key);
                    prop_assert_eq!(store.forget(&key), was_known);
                    map.retain(|(known, _), _| *known != key);
                    forgotten_at.insert(key, step);
                }
                Do::ForgetVariant(key, variant) => {
                    let was_known = map.remove(&(key, variant)).is_some();
                    prop_assert_eq!(store.forget_some(&key, |answer| answer.value.0 == variant), was_known);
                    forgotten_at.insert(key, step);
                }
                Do::ForgetWhere(key) => {
                    store.forget_where(|other| *other == key);
                    map.retain(|(known, _), _| *known != key);
                    (0..4).for_each(|key| _ = forgotten_at.insert(key, step));
                }
            }
            for key in 0..4 {
                for variant in 0..3 {
                    prop_assert_eq!(known(&store, key, variant), map.get(&(key, variant)).copied());
                }
            }
        }
    }
}
