//! What is kept of numbers, for requests that are run once.

use std::future::{Ready, ready};

use buttress::idempotency::{Keep, Kept, Unreadable, Verdict};
use bytes::Bytes;

/// Keeps numbers; an error has had no effect.
pub(crate) struct Numbers;

impl<E: Send> Keep<u32, E> for Numbers {
    type Future = Ready<Kept<u32, E>>;

    fn keep(&self, result: Result<u32, E>) -> Self::Future {
        let verdict = match &result {
            Ok(number) => Verdict::Final(Bytes::copy_from_slice(&number.to_le_bytes())),
            Err(_) => Verdict::NoEffect,
        };
        ready(Kept { result, verdict })
    }

    fn replay(&self, kept: Bytes) -> Result<u32, Unreadable> {
        let bytes = kept.as_ref().try_into().map_err(|_| Unreadable::new("not four bytes"))?;
        Ok(u32::from_le_bytes(bytes))
    }
}
