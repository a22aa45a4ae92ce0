use super::report::Counts;

/// How each of exactly the last calls ended, a bit for "failed" and a bit for "slow".
#[derive(Clone, Debug)]
pub(super) struct Ring {
    failed: Box<[u64]>,
    slow: Box<[u64]>,
    capacity: u32,
    next: u32,
    counts: Counts,
    /// So many places from the next one on are of good calls.
    ahead: u32,
}

impl Ring {
    pub(super) fn new(capacity: u32) -> Self {
        let words = || vec![0; capacity.div_ceil(64) as usize].into_boxed_slice();
        Self { failed: words(), slow: words(), capacity, next: 0, counts: Counts::default(), ahead: 0 }
    }

    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether another good call would change nothing.
    pub(super) const fn is_full_of_good(&self) -> bool {
        self.counts.calls == self.capacity && self.counts.failures == 0 && self.counts.slow == 0
    }

    /// How many good calls would change no count, as far as anybody has looked.
    pub(super) const fn ahead(&self) -> u32 {
        self.ahead
    }

    /// Takes in so many good calls that change no count.
    pub(super) const fn pass_good(&mut self, calls: u32) {
        (self.ahead, self.next) = (self.ahead - calls, self.next + calls);
    }

    pub(super) fn record(&mut self, call: Counts) {
        let (word, bit) = (self.next as usize / 64, self.next % 64);
        self.counts.calls = (self.counts.calls + 1).min(self.capacity);
        replace(&mut self.failed[word], bit, call.failures, &mut self.counts.failures);
        replace(&mut self.slow[word], bit, call.slow, &mut self.counts.slow);
        self.next += 1;
        if self.next == self.capacity {
            self.next = 0;
        }
        self.look_ahead();
    }

    /// Not beyond the word, nor to the last place, after which it is the first one's turn again.
    fn look_ahead(&mut self) {
        let (word, bit) = (self.next as usize / 64, self.next % 64);
        let good = ((self.failed[word] | self.slow[word]) >> bit).trailing_zeros().min(64 - bit);
        let is_full = self.counts.calls == self.capacity;
        self.ahead = if is_full { good.min(self.capacity - 1 - self.next) } else { 0 };
    }

    /// The latest of these calls in a ring for so many.
    pub(super) fn resized(&self, capacity: u32) -> Self {
        let mut ring = Self::new(capacity);
        for back in (0..self.counts.calls).rev() {
            let at = (self.next + self.capacity - 1 - back) % self.capacity;
            let (word, bit) = (at as usize / 64, at % 64);
            let is_set = |words: &[u64]| words[word] >> bit & 1 == 1;
            ring.record(Counts::of(is_set(&self.failed), is_set(&self.slow)));
        }
        ring
    }

    pub(super) fn clear(&mut self) {
        self.failed.fill(0);
        self.slow.fill(0);
        (self.next, self.counts, self.ahead) = (0, Counts::default(), 0);
    }
}

/// Puts `new` (0 or 1) in the place of an old bit, and keeps the number of bits that are set.
const fn replace(word: &mut u64, bit: u32, new: u32, set: &mut u32) {
    let old = (*word >> bit & 1) as u32;
    *word = *word & !(1 << bit) | (new as u64) << bit;
    *set = *set + new - old;
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::model;

    #[derive(Clone, Debug)]
    enum Op {
        Record(bool, bool),
        Resize(u32),
        Clear,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            30 => any::<(bool, bool)>().prop_map(|(failed, slow)| Op::Record(failed, slow)),
            10 => Just(Op::Record(false, false)),
            2 => (1..200_u32).prop_map(Op::Resize),
            1 => Just(Op::Clear),
        ]
    }

    fn subject() -> impl FnMut(std::time::Duration, &Op) -> (Counts, bool) {
        let mut ring = Ring::new(7);
        move |_, op| {
            match *op {
                Op::Record(false, false) if ring.ahead() > 0 => ring.pass_good(1),
                Op::Record(failed, slow) => ring.record(Counts::of(failed, slow)),
                Op::Resize(capacity) => ring = ring.resized(capacity),
                Op::Clear => ring.clear(),
            }
            (ring.counts(), ring.is_full_of_good())
        }
    }

    /// Keeps every call in a list and counts them each time.
    fn obvious() -> impl FnMut(std::time::Duration, &Op) -> (Counts, bool) {
        let (mut calls, mut capacity) = (VecDeque::new(), 7);
        move |_, op| {
            match *op {
                Op::Record(failed, slow) => calls.push_back(Counts::of(failed, slow)),
                Op::Resize(new) => capacity = new,
                Op::Clear => calls.clear(),
            }
            while calls.len() > capacity as usize {
                calls.pop_front();
            }
            let mut counts = Counts::default();
            calls.iter().for_each(|call| counts.add(*call));
            (counts, calls.len() == capacity as usize && calls.iter().all(|call| call.failures + call.slow == 0))
        }
    }

    #[test]
    fn it_agrees_with_a_list_of_all_calls() {
        model::agree(op(), subject, obvious);
    }

    #[test]
    fn a_good_call_in_a_full_ring_of_good_calls_changes_nothing() {
        let mut ring = Ring::new(100);
        (0..250).for_each(|_| ring.record(Counts::of(false, false)));
        let (before, skipped) = (ring.counts(), ring.clone());
        ring.record(Counts::of(false, false));
        assert_eq!((ring.counts(), &ring.failed, &ring.slow), (before, &skipped.failed, &skipped.slow));
    }
}
