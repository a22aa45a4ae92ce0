use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::cache_fallback::state::Allowed;
use crate::clock::nanos;

const VERSION: u8 = 1;

/// For what is not said.
const NONE: u64 = u64::MAX;

/// An answer as a second level has it: what it may be used for, and itself as its codec has written it.
///
/// A byte for the version; how old it was when it came, what of [`Allowed`] it is allowed, in nanoseconds, and what it weighs in
/// memory, eight bytes each; then the rest. Numbers are little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Written {
    pub(in super::super) allowed: Allowed,
    pub(in super::super) weight: u64,
    pub(in super::super) answer: Bytes,
}

impl Written {
    pub(in super::super) fn encode(&self) -> Bytes {
        let Allowed { age, fresh, stale_while_revalidate, stale_if_error } = self.allowed;
        let mut bytes = BytesMut::with_capacity(1 + 5 * size_of::<u64>() + self.answer.len());
        bytes.put_u8(VERSION);
        for duration in [Some(age), fresh, stale_while_revalidate, stale_if_error] {
            bytes.put_u64_le(duration.map_or(NONE, |duration| nanos(duration).min(NONE - 1)));
        }
        bytes.put_u64_le(self.weight);
        bytes.put_slice(&self.answer);
        bytes.freeze()
    }

    /// None if it was not written by this version.
    pub(in super::super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.try_get_u8().ok()? != VERSION {
            return None;
        }
        let mut durations = [None; 4];
        for duration in &mut durations {
            let nanos = bytes.try_get_u64_le().ok()?;
            *duration = (nanos != NONE).then_some(Duration::from_nanos(nanos));
        }
        let weight = bytes.try_get_u64_le().ok()?;
        let [age, fresh, stale_while_revalidate, stale_if_error] = durations;
        let allowed = Allowed { age: age?, fresh, stale_while_revalidate, stale_if_error };
        Some(Self { allowed, weight, answer: bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written() -> impl Strategy<Value = Written> {
        let duration = || (0..NONE).prop_map(Duration::from_nanos);
        let allowed = (duration(), proptest::option::of(duration()), proptest::option::of(duration()));
        let answer = proptest::collection::vec(any::<u8>(), 0..40);
        (allowed, proptest::option::of(duration()), any::<u64>(), answer).prop_map(
            |((age, fresh, stale_while_revalidate), stale_if_error, weight, answer)| {
                let allowed = Allowed { age, fresh, stale_while_revalidate, stale_if_error };
                Written { allowed, weight, answer: answer.into() }
            },
        )
    }

    /// It outlives programs.
    #[test]
    fn it_looks_the_same_in_every_version_of_the_program() {
        let allowed = Allowed { age: Duration::from_nanos(258), ..Allowed::default() };
        let written = Written { allowed, weight: 7, answer: "tea".into() };
        let none = [0xff; 24];
        let expected = [&b"\x01\x02\x01\0\0\0\0\0\0"[..], &none, b"\x07\0\0\0\0\0\0\0tea"].concat();
        assert_eq!(written.encode(), expected);
    }

    #[test]
    fn what_another_version_has_written_or_cut_is_not_there() {
        let written = Written { allowed: Allowed::default(), weight: 7, answer: Bytes::new() }.encode();
        assert!(Written::decode(written.clone()).is_some());
        assert_eq!(Written::decode(written.slice(..written.len() - 1)), None);
        let mut other = written.to_vec();
        other[0] = 2;
        assert_eq!(Written::decode(other.into()), None);
        assert_eq!(Written::decode([&[1][..], &[0xff; 40]].concat().into()), None, "it has no age");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(written in written()) {
            prop_assert_eq!(Written::decode(written.encode()), Some(written));
        }

        #[test]
        fn nothing_that_is_read_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), is_ours: bool) {
            let bytes = if is_ours { [&[VERSION][..], &bytes].concat() } else { bytes };
            let _ = Written::decode(bytes.into());
        }

        #[test]
        fn a_duration_that_is_longer_than_can_be_written_stays_long(seconds in (u64::MAX / 1_000_000_000)..) {
            let allowed = Allowed { age: Duration::from_secs(seconds), ..Allowed::default() };
            let read = Written::decode(Written { allowed, weight: 0, answer: Bytes::new() }.encode()).expect("ours");
            prop_assert!(read.allowed.age >= Duration::from_nanos(u64::MAX - 1_000_000_000));
        }
    }
}
