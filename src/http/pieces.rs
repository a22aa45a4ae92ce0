use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A piece that is as large is kept as it came. What keeping one costs, and what it may be a small part of, is little beside
/// it.
const LARGE: usize = 4096;

/// So many are kept as they came whatever they are: most bodies come in few pieces, and need not be copied.
const FEW: usize = 16;

/// Data in the order in which it came, in as much memory as there is data.
#[derive(Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    /// Small ones, put together. They come after all others.
    small: BytesMut,
    length: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, data: Bytes) {
        self.length += data.len();
        if data.is_empty() {
            return;
        }
        if self.small.len() + data.len() > LARGE {
            self.close();
        }
        if data.len() >= LARGE || (self.pieces.len() < FEW && self.small.is_empty()) {
            self.pieces.push_back(data);
        } else {
            self.small.extend_from_slice(&data);
        }
    }

    /// Nothing more is put to what is together. A copy, since a buffer that grew is larger than what is in it.
    fn close(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(Bytes::copy_from_slice(&self.small));
            self.small.clear();
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.pieces.is_empty() {
            self.close();
        }
        let data = self.pieces.pop_front()?;
        self.length -= data.len();
        Some(data)
    }

    pub(super) const fn len(&self) -> usize {
        self.length
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &**piece).chain([&*self.small])
    }

    /// In one piece, which is not copied if it is one.
    pub(super) fn joined(mut self) -> Bytes {
        if self.pieces.len() == 1 && self.small.is_empty() {
            return self.pieces.pop_front().unwrap_or_default();
        }
        self.copied()
    }

    /// In one piece of its own, in as much memory as there is data: what came may be a small part of a large buffer.
    pub(super) fn copied(&self) -> Bytes {
        let mut joined = BytesMut::with_capacity(self.length);
        self.iter().for_each(|piece| joined.extend_from_slice(piece));
        joined.freeze()
    }
}

impl From<Bytes> for Pieces {
    fn from(data: Bytes) -> Self {
        let mut pieces = Self::default();
        pieces.push(data);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lengths of pieces: of all kinds, and so many small ones that they are put together.
    fn lengths() -> impl Strategy<Value = Vec<usize>> {
        let length = prop_oneof![4 => 0..3_usize, 2 => 1..LARGE, 1 => LARGE - 1..LARGE + 2, 1 => LARGE..3 * LARGE];
        proptest::collection::vec(length, 0..80)
    }

    fn pieces(lengths: &[usize]) -> (Pieces, Vec<u8>) {
        let (mut pieces, mut all) = (Pieces::default(), Vec::new());
        for (number, length) in lengths.iter().enumerate() {
            let data = vec![u8::try_from(number).expect("few"); *length];
            all.extend_from_slice(&data);
            pieces.push(data.into());
        }
        (pieces, all)
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out_in_its_order(lengths in lengths()) {
            let (joined, all) = pieces(&lengths);
            prop_assert_eq!((joined.len(), joined.is_empty()), (all.len(), all.is_empty()));
            prop_assert_eq!(joined.iter().collect::<Vec<_>>().concat(), &all[..]);
            prop_assert_eq!(&joined.copied()[..], &all[..]);
            prop_assert_eq!(&joined.joined()[..], &all[..]);
            let (mut popped, _) = pieces(&lengths);
            let mut out = Vec::new();
            while let Some(data) = popped.pop() {
                prop_assert!(!data.is_empty());
                out.extend_from_slice(&data);
                prop_assert_eq!(popped.len(), all.len() - out.len());
            }
            prop_assert_eq!(out, all);
        }

        #[test]
        fn there_are_few_pieces_for_what_is_in_them(lengths in lengths()) {
            let (kept, all) = pieces(&lengths);
            // Of two that lie beside each other, one at least was full.
            prop_assert!(kept.pieces.len() <= FEW + 1 + 2 * all.len() / LARGE);
        }
    }
}
