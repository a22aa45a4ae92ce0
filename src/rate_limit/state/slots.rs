use crate::clock::Moment;

/// Of so many places ...
const OF: usize = 5;
/// ... so many are taken before there are more; beyond that, looking for a key that is not there takes long.
const TAKEN: usize = 4;

/// As many places as a table begins with.
const FIRST: usize = 16;

/// Up to here it doubles; a large one grows by an eighth, so that little of it is ever empty.
const FAST: usize = 512;

/// How many places are looked at for some that are free again before there are more, or none for a new key.
const SWEPT: usize = 64;

/// The buckets of many keys, 16 bytes each.
///
/// A key is known by its fingerprint, which must be as good as random. A bucket that is full again has nothing to tell:
/// its place is free for whoever comes by, and so no task ever sweeps. Places are looked for one after the other from where
/// the fingerprint says, up to one that is not taken (linear probing; Knuth, The Art of Computer Programming, 6.4).
#[derive(Debug)]
pub(in super::super) struct Slots {
    slots: Vec<Slot>,
    /// Places that are taken, if only by a bucket that is full again.
    taken: usize,
    max_keys: usize,
    /// Where the next sweep begins.
    hand: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Zero where it is not taken.
    fingerprint: u64,
    full_at: Moment,
}

const NOT_TAKEN: Slot = Slot { fingerprint: 0, full_at: Moment::EPOCH };

/// Where a key's bucket is, or may be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Position(usize);

impl Slots {
    pub(in super::super) const fn new(max_keys: usize) -> Self {
        Self { slots: Vec::new(), taken: 0, max_keys, hand: 0 }
    }

    /// When the bucket of a key is full, to be changed; none if the key has no place.
    #[inline]
    pub(in super::super) fn find_mut(&mut self, fingerprint: u64) -> Option<&mut Moment> {
        let fingerprint = fingerprint.max(1);
        let home = home(fingerprint, self.slots.len());
        let (before, from) = self.slots.split_at_mut(home);
        for slots in [from, before] {
            for slot in slots {
                if slot.fingerprint == fingerprint {
                    return Some(&mut slot.full_at);
                }
                if slot.fingerprint == 0 {
                    return None;
                }
            }
        }
        None
    }

    /// The place of a key, or one that is free for it; none if all are taken by buckets that are not full.
    #[inline]
    pub(in super::super) fn place(&mut self, fingerprint: u64, now: Moment) -> Option<Position> {
        let fingerprint = fingerprint.max(1);
        self.find(fingerprint).or_else(|| self.place_new(fingerprint, now))
    }

    fn place_new(&mut self, fingerprint: u64, now: Moment) -> Option<Position> {
        loop {
            match self.find_free(fingerprint, now) {
                Some(position) if self.is_taken(position) || self.taken < self.may_take() => return Some(position),
                _ if self.sweep(now) || self.grow(now) => {}
                _ => return None,
            }
        }
    }

    /// When the bucket at this place, which is that of `fingerprint` or free for it, is full.
    #[inline]
    pub(in super::super) fn full_at(&self, position: Position, fingerprint: u64) -> Moment {
        let slot = self.slots[position.0];
        if slot.fingerprint == fingerprint.max(1) { slot.full_at } else { Moment::EPOCH }
    }

    /// The same for a key that has to come although the table is full, which then grows beyond what it may.
    pub(in super::super) fn place_anyway(&mut self, fingerprint: u64, now: Moment) -> Position {
        let fingerprint = fingerprint.max(1);
        if let Some(position) = self.place(fingerprint, now) {
            return position;
        }
        // One place stays free, or whoever looks for a key that is not there would look for ever.
        if self.taken + 1 >= self.slots.len() {
            self.grow_to(self.slots.len() + (self.slots.len() / 8).max(FIRST), now);
        }
        self.find_free(fingerprint, now).expect("there are places, and one is free")
    }

    #[inline]
    pub(in super::super) fn put(&mut self, position: Position, fingerprint: u64, full_at: Moment) {
        let slot = &mut self.slots[position.0];
        self.taken += usize::from(slot.fingerprint == 0);
        *slot = Slot { fingerprint: fingerprint.max(1), full_at };
    }

    /// When the bucket of a key is full, without making a place for it.
    pub(in super::super) fn get(&self, fingerprint: u64) -> Moment {
        let fingerprint = fingerprint.max(1);
        self.find(fingerprint).map_or(Moment::EPOCH, |position| self.full_at(position, fingerprint))
    }

    /// How many buckets are not full.
    pub(in super::super) fn len(&self, now: Moment) -> usize {
        self.slots.iter().filter(|slot| slot.full_at > now).count()
    }

    /// The bytes of all places, taken or not.
    pub(in super::super) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    pub(in super::super) fn change_each(&mut self, change: impl Fn(Moment) -> Moment) {
        for slot in &mut self.slots {
            slot.full_at = change(slot.full_at);
        }
    }

    /// Where the key is.
    #[inline]
    fn find(&self, fingerprint: u64) -> Option<Position> {
        let mut at = home(fingerprint, self.slots.len());
        loop {
            match self.slots.get(at)?.fingerprint {
                0 => return None,
                found if found == fingerprint => return Some(Position(at)),
                _ => at = self.after(at),
            }
        }
    }

    /// The first place on the key's way that is free.
    fn find_free(&self, fingerprint: u64, now: Moment) -> Option<Position> {
        let mut at = home(fingerprint, self.slots.len());
        // One that is not taken is full since the beginning of time.
        while self.slots.get(at)?.full_at > now {
            at = self.after(at);
        }
        Some(Position(at))
    }

    fn is_taken(&self, position: Position) -> bool {
        self.slots[position.0].fingerprint != 0
    }

    fn may_take(&self) -> usize {
        (self.slots.len() / OF * TAKEN + self.slots.len() % OF).min(self.max_keys)
    }

    /// As many places as there may ever be.
    fn most(&self) -> usize {
        self.max_keys.div_ceil(TAKEN).saturating_mul(OF)
    }

    /// Clears a few places of buckets that are full again; says whether there were any.
    #[cold]
    fn sweep(&mut self, now: Moment) -> bool {
        let before = self.taken;
        for _ in 0..SWEPT.min(self.slots.len()) {
            let slot = self.slots[self.hand];
            if slot.fingerprint != 0 && slot.full_at <= now {
                self.clear(self.hand);
            } else {
                self.hand = self.after(self.hand);
            }
        }
        self.taken < before
    }

    /// Clears a place, and moves up those behind it who stand there because it was taken.
    fn clear(&mut self, mut hole: usize) {
        let places = self.slots.len();
        let steps = |from: usize, to: usize| if to >= from { to - from } else { to + places - from };
        let mut at = self.after(hole);
        while self.slots[at].fingerprint != 0 {
            let slot = self.slots[at];
            if steps(home(slot.fingerprint, places), at) >= steps(hole, at) {
                self.slots[hole] = slot;
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = NOT_TAKEN;
        self.taken -= 1;
    }

    /// Makes more places; says no if there may be none.
    #[cold]
    fn grow(&mut self, now: Moment) -> bool {
        let places = self.slots.len();
        let grown = (places + (places / 8).max(places.min(FAST)).max(FIRST)).min(self.most());
        if grown <= places {
            return false;
        }
        self.grow_to(grown, now);
        true
    }

    /// Puts the buckets that are not full into a larger table.
    fn grow_to(&mut self, grown: usize, now: Moment) {
        let mut slots = Vec::with_capacity(grown);
        slots.resize(grown, NOT_TAKEN);
        let old = std::mem::replace(&mut self.slots, slots);
        (self.taken, self.hand) = (0, 0);
        for slot in old.into_iter().filter(|slot| slot.full_at > now) {
            let mut at = home(slot.fingerprint, grown);
            while self.slots[at].fingerprint != 0 {
                at = self.after(at);
            }
            self.slots[at] = slot;
            self.taken += 1;
        }
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

/// Spreads fingerprints over the places by their upper bits; a table is chosen by their lower ones.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "it is less than `places`")]
const fn home(fingerprint: u64, places: usize) -> usize {
    ((fingerprint as u128 * places as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;

    const T0: Moment = Moment::from_nanos(1_000_000_000_000);
    const SEC: Duration = Duration::from_secs(1);

    /// As good as random, and the same each time.
    fn fingerprint(key: u64) -> u64 {
        let mixed = (key ^ key >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    fn put(slots: &mut Slots, key: u64, full_at: Moment, now: Moment) -> bool {
        let position = slots.place(fingerprint(key), now);
        if let Some(position) = position {
            slots.put(position, fingerprint(key), full_at);
        }
        position.is_some()
    }

    #[test]
    fn as_many_keys_find_a_place_as_may_and_not_one_more() {
        for max_keys in [1, 2, 3, 4, 5, 12, 13, 100, 1000, 1025] {
            let mut slots = Slots::new(max_keys);
            let placed = (0..10 * max_keys as u64).filter(|key| put(&mut slots, *key, T0 + SEC, T0)).count();
            assert_eq!((placed, slots.len(T0)), (max_keys, max_keys));
            for key in 0..max_keys as u64 {
                assert_eq!(slots.get(fingerprint(key)), T0 + SEC, "the first to come stay");
            }
            for key in 1 << 40..(1 << 40) + (max_keys as u64 * 9).div_ceil(10) {
                assert!(put(&mut slots, key, T0 + 2 * SEC, T0 + SEC), "whoever is full again has left its place");
            }
        }
    }

    #[test]
    fn a_million_keys_take_no_more_than_24_bytes_each_on_the_way_there() {
        let mut slots = Slots::new(usize::MAX / 32);
        for key in 1..=1_000_000_u64 {
            assert!(put(&mut slots, key, T0 + SEC, T0));
            if key >= 10_000 {
                let (bytes, keys) = (slots.bytes() as u64, key);
                assert!(bytes <= 24 * keys, "{bytes} bytes for {keys} keys");
            }
        }
    }

    #[test]
    fn keys_that_come_and_go_need_no_more_places() {
        let mut slots = Slots::new(1_000_000);
        let mut most = 0;
        for key in 0..200_000_u64 {
            let now = T0 + Duration::from_millis(key);
            assert!(put(&mut slots, key, now + SEC, now));
            most = most.max(slots.slots.len());
        }
        assert!(most <= 4096, "{most} places for the thousand keys that are live at a time");
    }

    #[test]
    fn a_key_of_fingerprint_zero_is_like_any_other() {
        let mut slots = Slots::new(10);
        let position = slots.place(0, T0).expect("an empty table");
        slots.put(position, 0, T0 + SEC);
        assert_eq!((slots.get(0), slots.len(T0)), (T0 + SEC, 1));
        let again = slots.place(0, T0).expect("there it is");
        assert_eq!(slots.full_at(again, 0), T0 + SEC);
    }

    /// The small numbers make every run of places wrap around the end, and all keys stand in each other's way.
    #[test]
    fn it_agrees_with_a_map_that_forgets_what_is_full() {
        let crowded = |key: u64| ((key % 4) << 62) | (fingerprint(key) >> 5) | 1;
        for max_keys in [1, 3, 4, 5, 12, 40, 100] {
            let mut random = fastrand::Rng::with_seed(max_keys as u64);
            for _ in 0..400 {
                let (mut slots, mut map, mut now) = (Slots::new(max_keys), HashMap::new(), T0);
                for _ in 0..300 {
                    now = now + Duration::from_millis(random.u64(0..400));
                    let print = crowded(random.u64(0..2 * max_keys as u64));
                    let before = slots.get(print).max(now);
                    let until = before + Duration::from_millis(random.u64(0..3000));
                    let position = match random.u8(0..9) {
                        0 => Some(slots.place_anyway(print, now)),
                        _ => slots.place(print, now),
                    };
                    if let Some(position) = position {
                        assert_eq!(slots.full_at(position, print).max(now), before);
                        slots.put(position, print, until);
                        map.insert(print, until);
                    }
                    for (print, until) in &map {
                        assert_eq!(slots.get(*print).max(now), (*until).max(now));
                    }
                    assert_eq!(slots.len(now), map.values().filter(|until| **until > now).count());
                    assert_eq!(slots.taken, slots.slots.iter().filter(|slot| slot.fingerprint != 0).count());
                    assert!(slots.taken < slots.slots.len());
                }
            }
        }
    }

    #[test]
    fn whoever_has_to_come_comes_and_the_others_are_turned_away_as_before() {
        let mut slots = Slots::new(4);
        for key in 0..100 {
            let position = slots.place_anyway(fingerprint(key), T0);
            slots.put(position, fingerprint(key), T0 + SEC);
        }
        assert_eq!(slots.len(T0), 100);
        assert!((0..100).all(|key| slots.get(fingerprint(key)) == T0 + SEC));
        assert!(!put(&mut slots, 100, T0 + SEC, T0));
        assert!(put(&mut slots, 100, T0 + 2 * SEC, T0 + SEC));
    }
}
