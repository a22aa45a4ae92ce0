use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use super::MOST_VARIANTS;
use crate::clock::Moment;

/// For so long after an answer was asked for that was put, none is put in its place.
const EVERY: Duration = Duration::from_secs(1);

/// Of so many keys at most it is known what was put last. They take 80 KiB, and 256 KiB if all of them have many variants.
const PLACES: usize = 1024;

/// What was put last, and is not put again at once: of the key that was last at each place.
pub(super) struct LastPuts(Box<[Mutex<Place>]>);

/// An answer as far as it is told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct What {
    pub(super) key: u64,
    pub(super) variant: Option<u64>,
    /// What it is allowed. Another one that is allowed something else is put.
    pub(super) terms: u64,
    pub(super) asked_at: Moment,
}

#[derive(Debug, Default)]
struct Place {
    key: u64,
    /// What was asked for by then is put no more.
    forgotten: Option<Moment>,
    put: SmallVec<[(Option<u64>, u64, Moment); 1]>,
}

impl Place {
    /// Whether it is to be put, which it is from then on.
    fn begin(&mut self, what: What) -> bool {
        let What { key, variant, terms, asked_at } = what;
        if self.key != key {
            *self = Self { key, ..Self::default() };
        }
        let is_there = |(other, its_terms, at): &(Option<u64>, u64, Moment)| {
            *other == variant && (asked_at < *at || (*its_terms == terms && asked_at.since(*at) < EVERY))
        };
        if self.forgotten.is_some_and(|by| asked_at <= by) || self.put.iter().any(is_there) {
            return false;
        }
        // What is alone takes the place of all others, and they its own.
        self.put.retain(|(other, ..)| variant.is_some() && other.is_some() && *other != variant);
        if self.put.len() == MOST_VARIANTS {
            self.put.remove(0);
        }
        self.put.push((variant, terms, asked_at));
        true
    }

    fn withdraw(&mut self, what: What) {
        if self.key == what.key {
            self.put.retain(|put| *put != (what.variant, what.terms, what.asked_at));
        }
    }

    fn forget(&mut self, asked_by: Moment) {
        self.forgotten = self.forgotten.max(Some(asked_by));
        self.put.retain(|(.., at)| *at > asked_by);
    }
}

impl LastPuts {
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self((0..PLACES).map(|_| Mutex::default()).collect()))
    }

    fn place(&self, key: u64) -> MutexGuard<'_, Place> {
        let place = usize::try_from(key >> 32).unwrap_or_default() % self.0.len();
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to put an answer, unless one like it has just been put.
    pub(super) fn begin(self: &Arc<Self>, what: What) -> Option<Putting> {
        let is_begun = self.place(what.key).begin(what);
        is_begun.then(|| Putting { puts: self.clone(), what, is_done: false })
    }

    /// What was asked for by then is not there any more.
    pub(super) fn forget(&self, key: u64, asked_by: Moment) {
        let mut place = self.place(key);
        if place.key != key {
            *place = Place { key, ..Place::default() };
        }
        place.forget(asked_by);
    }

    /// The same of all keys.
    pub(super) fn forget_all(&self, asked_by: Moment) {
        for place in &self.0 {
            place.lock().unwrap_or_else(PoisonError::into_inner).forget(asked_by);
        }
    }
}

/// An answer that is being put. Dropped before that is done, it was not, and the next one is.
#[must_use]
pub(super) struct Putting {
    puts: Arc<LastPuts>,
    what: What,
    is_done: bool,
}

impl Putting {
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Putting {
    fn drop(&mut self) {
        if !self.is_done {
            self.puts.place(self.what.key).withdraw(self.what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::EPOCH + Duration::from_millis(5000 + millis)
    }

    fn what(variant: Option<u64>, millis: u64) -> What {
        What { key: 7, variant, terms: 1, asked_at: at(millis) }
    }

    fn puts(puts: &Arc<LastPuts>, what: What) -> bool {
        puts.begin(what).map(Putting::done).is_some()
    }

    #[test]
    fn one_that_was_asked_for_a_second_later_is_put_and_none_before() {
        let last = LastPuts::none();
        let due = [0, 0, 500, 999, 1000, 1999, 1500, 2000].map(|millis| puts(&last, what(Some(1), millis)));
        assert_eq!(due, [true, false, false, false, true, false, false, true]);
        assert!(!puts(&last, what(Some(1), 100)), "it is older");
        assert!(!puts(&last, What { terms: 2, ..what(Some(1), 1999) }), "it is older");
        assert!(puts(&last, What { terms: 2, ..what(Some(1), 2001) }), "it is allowed something else");
        assert!(puts(&last, What { key: 8, ..what(Some(1), 2001) }), "it is another key, in the same place");
        assert!(puts(&last, what(Some(1), 2002)), "of which nothing is known any more");
    }

    #[test]
    fn each_variant_is_put_for_itself_and_one_that_is_alone_takes_the_place_of_all() {
        let last = LastPuts::none();
        assert!(puts(&last, what(Some(1), 0)) && puts(&last, what(Some(2), 1)));
        assert!(!puts(&last, what(Some(1), 2)) && !puts(&last, what(Some(2), 3)));
        assert!(puts(&last, what(None, 4)));
        assert!(!puts(&last, what(None, 5)));
        assert!(puts(&last, what(Some(1), 6)) && puts(&last, what(Some(2), 7)));
        assert!(puts(&last, what(None, 8)), "nor is it alone any more");
    }

    #[test]
    fn so_many_variants_are_known_as_there_can_be() {
        let last = LastPuts::none();
        for variant in 0..=8 {
            assert!(puts(&last, what(Some(variant), variant)));
        }
        assert!(!puts(&last, what(Some(1), 20)));
        assert!(puts(&last, what(Some(0), 20)));
        assert!(last.place(7).put.len() <= MOST_VARIANTS);
    }

    #[test]
    fn what_was_forgotten_is_put_as_soon_as_it_is_asked_for_again_and_not_before() {
        let forgets: [fn(&LastPuts, Moment); 2] = [|last, by| last.forget(7, by), LastPuts::forget_all];
        for forgets in forgets {
            let last = LastPuts::none();
            assert!(puts(&last, what(Some(1), 0)) && puts(&last, what(Some(2), 20)));
            forgets(&last, at(10));
            assert!(!puts(&last, what(Some(1), 10)), "it was asked for by then");
            assert!(puts(&last, what(Some(1), 11)));
            assert!(!puts(&last, what(Some(2), 21)), "it was asked for later, and is there");
            forgets(&last, at(5));
            assert!(!puts(&last, what(Some(3), 10)), "who forgets late makes nothing known again");
        }
        let last = LastPuts::none();
        last.forget(7, at(10));
        assert!(!puts(&last, what(Some(1), 10)), "also of what nobody knew");
    }

    #[test]
    fn what_was_not_put_after_all_is_put_at_the_next_time() {
        let last = LastPuts::none();
        let putting = last.begin(what(Some(1), 0)).expect("it is the first");
        assert!(last.begin(what(Some(1), 1)).is_none(), "it is on its way");
        drop(putting);
        let putting = last.begin(what(Some(1), 2)).expect("it was not put");
        last.forget(7, at(3));
        assert!(puts(&last, what(Some(1), 4)));
        drop(putting);
        assert!(!puts(&last, what(Some(1), 5)), "that was another one");
    }

    #[test]
    fn it_takes_as_much_as_is_said() {
        assert!(size_of::<Mutex<Place>>() * PLACES <= 80 << 10, "{}", size_of::<Mutex<Place>>());
        let spilled = size_of::<(Option<u64>, u64, Moment)>() * MOST_VARIANTS * PLACES;
        assert!(spilled <= 256 << 10, "{spilled}");
    }
}
