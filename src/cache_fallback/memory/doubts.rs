use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Moment;

/// What is forgotten of one key counts for all that share one of these. So many take 8 KiB.
const PLACES: usize = 1024;

/// What was asked for before something was forgotten, and may still be found elsewhere, where that has not been forgotten yet, or
/// could not be: so much is not believed.
pub(super) struct Doubts {
    of_keys: Box<[AtomicU64]>,
    of_all: AtomicU64,
}

/// Which keys there are doubts about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Those that share this place.
    Keys(usize),
    All,
}

/// That something is not believed, until it is settled; for ever if it never is.
#[must_use]
#[derive(Debug)]
pub(super) struct Doubt {
    about: About,
    before: u64,
    raised: u64,
}

impl Doubts {
    pub(super) fn none() -> Self {
        Self { of_keys: (0..PLACES).map(|_| AtomicU64::default()).collect(), of_all: AtomicU64::default() }
    }

    pub(super) fn place(&self, hash: u64) -> usize {
        usize::try_from(hash >> 32).unwrap_or_default() % self.of_keys.len()
    }

    fn at(&self, about: About) -> &AtomicU64 {
        match about {
            About::Keys(place) => &self.of_keys[place],
            About::All => &self.of_all,
        }
    }

    /// Nothing is believed any more that was asked for by then.
    pub(super) fn raise(&self, about: About, asked_by: Moment) -> Doubt {
        // Later than any other, so that each is told from the others.
        let later = |before: u64| before.max(asked_by.to_nanos()).saturating_add(1);
        let raised = self.at(about).fetch_update(Ordering::SeqCst, Ordering::SeqCst, |before| Some(later(before)));
        let before = raised.unwrap_or_else(|before| before);
        Doubt { about, before, raised: later(before) }
    }

    /// It has been forgotten elsewhere as well. What others doubt stays as it is.
    pub(super) fn settle(&self, doubt: &Doubt) {
        let Doubt { about, before, raised } = *doubt;
        let _ = self.at(about).compare_exchange(raised, before, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// From when on it must have been asked for to be believed.
    pub(super) fn believed_since(&self, place: usize) -> Moment {
        let [key, all] = [About::Keys(place), About::All].map(|about| self.at(about).load(Ordering::SeqCst));
        Moment::from_nanos(key.max(all))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PLACE: usize = 7;

    fn at(seconds: u64) -> Moment {
        Moment::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_asked_for_by_then_is_not_believed_until_it_is_settled() {
        let doubts = Doubts::none();
        assert_eq!(doubts.believed_since(PLACE), Moment::EPOCH, "all is believed");
        let doubt = doubts.raise(About::Keys(PLACE), at(5));
        assert!(doubts.believed_since(PLACE) > at(5));
        assert_eq!(doubts.believed_since(PLACE + 1), Moment::EPOCH, "of another key");
        doubts.settle(&doubt);
        assert_eq!(doubts.believed_since(PLACE), Moment::EPOCH);
    }

    #[test]
    fn what_is_doubted_of_all_is_doubted_of_each() {
        let doubts = Doubts::none();
        let doubt = doubts.raise(About::All, at(5));
        assert!(doubts.believed_since(PLACE) > at(5) && doubts.believed_since(PLACE + 1) > at(5));
        doubts.settle(&doubt);
        assert_eq!(doubts.believed_since(PLACE), Moment::EPOCH);
    }

    /// The first one was not carried out, the second one was, in either order; and the other way round.
    #[test]
    fn who_has_forgotten_settles_nobody_elses_doubt() {
        for same_moment in [false, true] {
            let doubts = Doubts::none();
            let _fails = doubts.raise(About::Keys(PLACE), at(5));
            let second = doubts.raise(About::Keys(PLACE), at(if same_moment { 5 } else { 6 }));
            doubts.settle(&second);
            assert!(doubts.believed_since(PLACE) > at(5));
            assert!(doubts.believed_since(PLACE) < at(6));

            let doubts = Doubts::none();
            let first = doubts.raise(About::Keys(PLACE), at(5));
            let _fails = doubts.raise(About::Keys(PLACE), at(if same_moment { 5 } else { 6 }));
            doubts.settle(&first);
            assert!(doubts.believed_since(PLACE) > at(if same_moment { 5 } else { 6 }));
        }
    }

    #[test]
    fn an_older_doubt_does_not_end_a_younger_one() {
        let doubts = Doubts::none();
        let _fails = doubts.raise(About::Keys(PLACE), at(9));
        let older = doubts.raise(About::Keys(PLACE), at(3));
        assert!(doubts.believed_since(PLACE) > at(9));
        doubts.settle(&older);
        assert!(doubts.believed_since(PLACE) > at(9));
    }
}
