use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Under what a request is recorded: a hash of its scope and its key, so that a store sees neither of them.
///
/// It is written in hexadecimal digits, in events too, and can be read back from them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey([u8; 32]);

/// A hash of all that two requests have in common if one repeats the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// What a request is told from others by, in parts none of which can be mistaken for another or for a piece of one.
///
/// Only a hash of them is kept (SHA-256 of each part after its length, and of how many there are), which tells neither of them
/// and is of one size.
#[derive(Debug)]
pub struct Parts {
    hash: Sha256,
    count: u64,
}

impl Parts {
    /// None yet, of what `kind` tells from all other kinds.
    fn new(kind: [u8; 4]) -> Self {
        Self { hash: Sha256::new_with_prefix(kind), count: 0 }
    }

    /// Adds a part.
    pub fn push(&mut self, part: &[u8]) {
        self.hash.update((part.len() as u64).to_le_bytes());
        self.hash.update(part);
        self.count += 1;
    }

    fn finish(mut self) -> [u8; 32] {
        self.hash.update(self.count.to_le_bytes());
        self.hash.finalize().into()
    }
}

/// What is made of parts: texts, bytes, whole numbers, and tuples, options and references of these.
///
/// The same value has the same parts in every process, on every machine and in every version of a program, which
/// [`Hash`](std::hash::Hash) does not promise: records outlive programs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of parts that are the same everywhere",
    note = "texts, bytes, whole numbers and tuples of them are; for a type of yours, implement `ToParts` by `parts.push(..)`, and of one that is not yours give the text or the bytes"
)]
pub trait ToParts {
    /// Adds them, as many and in the same order for all values of the type, or with something before them that tells how
    /// many there are.
    fn add_to(&self, parts: &mut Parts);
}

impl RecordKey {
    /// Of a key within a scope.
    #[must_use]
    pub fn of(scope: &impl ToParts, key: &impl ToParts) -> Self {
        let mut parts = Parts::new(*b"bik1");
        scope.add_to(&mut parts);
        let of_scope = parts.count;
        key.add_to(&mut parts);
        // Read from its end it tells how many parts are the key's and how many the scope's.
        parts.hash.update(of_scope.to_le_bytes());
        Self(parts.finish())
    }
}

impl Fingerprint {
    /// Of all that a repeated request has in common with the first one.
    #[must_use]
    pub fn of(request: &impl ToParts) -> Self {
        let mut parts = Parts::new(*b"bif1");
        request.add_to(&mut parts);
        Self(parts.finish())
    }
}

impl RecordKey {
    /// As a store keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Fingerprint {
    /// As a store keeps it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What [`as_bytes`](Self::as_bytes) gave.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// The beginning of a hash tells one from the other.
pub(in crate::idempotency) fn hex(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "{name}(")?;
    bytes.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))?;
    f.write_str("..)")
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "RecordKey", &self.0)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.map(|byte| [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        f.write_str(str::from_utf8(digits.as_flattened()).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for RecordKey {
    type Err = InvalidRecordKey;

    fn from_str(text: &str) -> Result<Self, InvalidRecordKey> {
        let mut bytes = [0; 32];
        let mut digits = text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
        for byte in &mut bytes {
            let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
                return Err(InvalidRecordKey);
            };
            *byte = high << 4 | low;
        }
        if digits.next().is_some() { Err(InvalidRecordKey) } else { Ok(Self(bytes)) }
    }
}

/// A text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRecordKey;

impl fmt::Display for InvalidRecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record key is 64 hexadecimal digits")
    }
}

impl Error for InvalidRecordKey {}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, "Fingerprint", &self.0)
    }
}

impl ToParts for () {
    fn add_to(&self, _: &mut Parts) {}
}

impl ToParts for str {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(self.as_bytes());
    }
}

impl ToParts for String {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(self.as_bytes());
    }
}

impl ToParts for [u8] {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(self);
    }
}

impl<const N: usize> ToParts for [u8; N] {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(self);
    }
}

impl ToParts for Vec<u8> {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(self);
    }
}

impl ToParts for Bytes {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(self);
    }
}

impl ToParts for bool {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(&[u8::from(*self)]);
    }
}

impl<T: ToParts + ?Sized> ToParts for Box<T> {
    fn add_to(&self, parts: &mut Parts) {
        (**self).add_to(parts);
    }
}

impl<T: ToParts + ?Sized> ToParts for Arc<T> {
    fn add_to(&self, parts: &mut Parts) {
        (**self).add_to(parts);
    }
}

impl<T: ToParts + ?Sized> ToParts for &T {
    fn add_to(&self, parts: &mut Parts) {
        (**self).add_to(parts);
    }
}

impl<T: ToParts> ToParts for Option<T> {
    fn add_to(&self, parts: &mut Parts) {
        parts.push(&[u8::from(self.is_some())]);
        if let Some(some) = self {
            some.add_to(parts);
        }
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl ToParts for $number {
            fn add_to(&self, parts: &mut Parts) {
                parts.push(&self.to_le_bytes());
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! tuples {
    ($(($($part:ident)*))*) => {$(
        impl<$($part: ToParts),*> ToParts for ($($part,)*) {
            #[allow(non_snake_case, reason = "a macro has no other names for the parts")]
            fn add_to(&self, parts: &mut Parts) {
                let ($($part,)*) = self;
                $($part.add_to(parts);)*
            }
        }
    )*};
}

tuples!((A)(A B)(A B C)(A B C D)(A B C D E)(A B C D E F));

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_requests_are_taken_for_one_however_their_parts_are_cut() {
        let keys = [
            RecordKey::of(&"a", &"b"),
            RecordKey::of(&"ab", &""),
            RecordKey::of(&"", &"ab"),
            RecordKey::of(&("a", ""), &"b"),
            RecordKey::of(&("", "a"), &"b"),
            RecordKey::of(&"a", &("b", "")),
            RecordKey::of(&("a", "b"), &""),
            RecordKey::of(&Some("a"), &"b"),
            RecordKey::of(&None::<&str>, &"b"),
            RecordKey::of(&"a", &1_u8),
            RecordKey::of(&"a", &1_u16),
            RecordKey::from_bytes(*Fingerprint::of(&("a", "b")).as_bytes()),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(RecordKey::of(&"a", &String::from("b")), keys[0], "the same text is the same part");
        assert_eq!(RecordKey::of(&"a", &b"b"), keys[0]);
    }

    /// Records outlive programs: a hash that changes is a request that is run twice.
    #[test]
    fn a_key_is_the_same_in_every_version() {
        let key = RecordKey::of(&("shop", "order.create"), &17_u64);
        let written = "dbf05c91de34d8a7c3c2000ad94541f1da970c76962d84f9891a7dced556fee9";
        assert_eq!(key.to_string(), written);
        assert_eq!(written.parse(), Ok(key));
    }

    #[test]
    fn what_is_not_64_digits_is_no_key() {
        let (short, long) = ("e".repeat(63), "e".repeat(65));
        let odd = format!("{short}g");
        for text in ["", &short, &long, &odd, &format!("{short}\u{e9}")] {
            assert_eq!(text.parse::<RecordKey>(), Err(InvalidRecordKey), "{text}");
        }
    }
}
