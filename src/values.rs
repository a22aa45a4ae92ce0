//! Answers that serde can write down.

use std::future::{Ready, ready};

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::idempotency::{Execution, Keep, Kept, Unreadable, Verdict};
use crate::outcome::FailureKind;
use crate::rejection::{MayCarryRejection, Rejection};
use crate::superseded;

/// Keeps the answers of a service that are plain values, for an [`IdempotencyLayer`](crate::idempotency::IdempotencyLayer).
///
/// They are written as MessagePack, with the names of their fields: a field that is added later with a default does not make
/// older records unreadable, and bytes stay bytes (`serde_bytes`).
///
/// An error cannot be told again. After one, a repeated request is told that nobody knows what came of the first; but not if
/// the error is a refusal by a breaker or a limiter inside, or by a timeout that came too late to call, which kept the call from
/// the service (unless another one was made before it, by a retry of this crate inside; of what the service has done by itself
/// before it calls something that refuses, nothing is known: map that error to one of your own), and not if [errors have no effect](Self::errors_have_no_effect).
///
/// ```
/// use std::num::NonZeroUsize;
/// use buttress::idempotency::{IdempotencyConfig, IdempotencyLayer, MemoryStore, RunOnce};
/// use buttress::values::Values;
/// use tower::{BoxError, Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let once = RunOnce::new()
///     .scope(|_: &(u32, u64)| Some("charge"))
///     .key(|(order, _): &(u32, u64)| Some(*order))
///     .fingerprint(|(_, cents): &(u32, u64)| *cents);
/// let store = MemoryStore::new(NonZeroUsize::new(1000).expect("not zero"));
/// let layer = IdempotencyLayer::new(IdempotencyConfig::new(), store)?.identify(once).keep(Values::new());
///
/// let mut receipts = 0;
/// let mut charge = layer.layer(service_fn(move |(order, _): (u32, u64)| {
///     receipts += 1;
///     std::future::ready(Ok::<_, BoxError>(format!("order {order}, receipt {receipts}")))
/// }));
/// assert_eq!(charge.call((7, 100)).await?, "order 7, receipt 1");
/// assert_eq!(charge.call((7, 100)).await?, "order 7, receipt 1", "and it was charged once");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    errors_have_no_effect: bool,
}

/// Of what is written.
const VERSION: u8 = 1;

impl Values {
    /// Keeps values.
    #[must_use]
    pub const fn new() -> Self {
        Self { errors_have_no_effect: false }
    }

    /// Runs a request again that ended in an error. Only for services that go on where they stopped, or did nothing.
    #[must_use]
    pub const fn errors_have_no_effect(mut self) -> Self {
        self.errors_have_no_effect = true;
        self
    }
}

impl<T, E> Keep<T, E> for Values
where
    T: Serialize + DeserializeOwned + Send,
    E: MayCarryRejection + Send,
{
    type Future = Ready<Kept<T, E>>;

    fn keep(&self, result: Result<T, E>) -> Self::Future {
        let verdict = match &result {
            Ok(value) => {
                let mut bytes = BytesMut::new();
                bytes.put_u8(VERSION);
                let mut writer = bytes.writer();
                match value.serialize(&mut rmp_serde::Serializer::new(&mut writer).with_struct_map()) {
                    Ok(()) => Verdict::Final(writer.into_inner().freeze()),
                    Err(error) => Verdict::Unknown(format!("its answer cannot be written down: {error}")),
                }
            }
            Err(_) if self.errors_have_no_effect || Execution::current_is_in_transaction() => Verdict::NoEffect,
            Err(error) if error.rejection().is_some_and(kept_from_the_service) && !superseded::any() => {
                Verdict::NoEffect
            }
            Err(_) => Verdict::Unknown("it failed".into()),
        };
        ready(Kept { result, verdict })
    }

    fn replay(&self, kept: Bytes) -> Result<T, Unreadable> {
        match kept.split_first() {
            Some((&VERSION, value)) => rmp_serde::from_slice(value).map_err(|error| Unreadable::new(error.to_string())),
            _ => Err(Unreadable::new("it is of another version")),
        }
    }
}

fn kept_from_the_service(rejection: Rejection) -> bool {
    match &rejection {
        Rejection::Idempotency(refused) => !refused.reason().was_run(),
        _ => matches!(crate::outcome::Failure::from(rejection).kind(), FailureKind::Refused | FailureKind::Expired),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde::Deserialize;

    use super::*;
    use crate::circuit_breaker::{Open, TripReason};
    use crate::rejection::{Elapsed, Error};

    type Failure = Error<&'static str>;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Receipt {
        number: u64,
        #[serde(default)]
        note: Option<String>,
    }

    #[derive(Serialize, Deserialize)]
    struct OlderReceipt {
        number: u64,
    }

    fn verdict<T: Serialize + DeserializeOwned + Send>(values: Values, result: Result<T, Failure>) -> Verdict {
        values.keep(result).into_inner().verdict
    }

    fn kept<T: Serialize + DeserializeOwned + Send>(value: T) -> Bytes {
        match verdict(Values::new(), Ok(value)) {
            Verdict::Final(kept) => kept,
            other => panic!("not kept: {other:?}"),
        }
    }

    fn replayed<T: Serialize + DeserializeOwned + Send>(kept: Bytes) -> Result<T, Unreadable> {
        <Values as Keep<T, Failure>>::replay(&Values::new(), kept)
    }

    #[test]
    fn a_value_comes_back_as_it_was_also_to_a_program_that_has_learned_more() {
        let receipt = Receipt { number: 7, note: Some("paid".into()) };
        assert_eq!(replayed(kept(receipt.clone())), Ok(receipt));
        assert_eq!(replayed(kept(OlderReceipt { number: 7 })), Ok(Receipt { number: 7, note: None }));
    }

    /// As `serde_bytes` writes them.
    #[derive(Clone, Debug, PartialEq)]
    struct Raw(Vec<u8>);

    impl Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Raw {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Read;
            impl serde::de::Visitor<'_> for Read {
                type Value = Raw;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }

                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                    Ok(Raw(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(Read)
        }
    }

    #[test]
    fn bytes_stay_bytes() {
        let raw = Raw((0..=255).collect());
        let bytes = kept(raw.clone());
        assert!(bytes.ends_with(&raw.0), "as they are, and not as text");
        assert_eq!(bytes.len(), raw.0.len() + 4, "our version, a kind, a length of two bytes");
        assert_eq!(replayed(bytes), Ok(raw));
        // A `Vec<u8>` is a list of numbers to serde, here as everywhere.
        assert!(kept(vec![255_u8; 256]).len() > 256 + 4);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_other_value() {
        assert!(replayed::<Receipt>(Bytes::new()).is_err());
        assert!(replayed::<Receipt>(Bytes::from_static(&[2, 7])).is_err(), "another version");
        assert!(replayed::<Receipt>(kept("text".to_owned())).is_err());
    }

    #[test]
    fn an_error_is_not_told_again_and_nobody_knows_what_it_did_unless_it_did_nothing() {
        let failed = || Err::<(), _>(Error::Inner("down"));
        assert_eq!(verdict(Values::new(), failed()), Verdict::Unknown("it failed".into()));
        assert_eq!(verdict(Values::new().errors_have_no_effect(), failed()), Verdict::NoEffect);
        let open = Rejection::from(Open::new("bank".into(), TripReason::ForcedOpen));
        assert_eq!(verdict(Values::new(), Err::<(), _>(Error::Rejected(open))), Verdict::NoEffect);
        let late = Rejection::from(Elapsed::before_call("bank".into()));
        assert_eq!(verdict(Values::new(), Err::<(), _>(Error::Rejected(late))), Verdict::NoEffect);
        let cut = Rejection::from(Elapsed::limit("bank".into(), Duration::from_secs(1)));
        let cut = verdict(Values::new(), Err::<(), _>(Error::Rejected(cut)));
        assert_eq!(cut, Verdict::Unknown("it failed".into()));
    }

    #[tokio::test]
    async fn a_refusal_after_another_call_does_not_say_that_nothing_was_done() {
        let refused = || Err::<u32, Failure>(Error::Rejected(Open::new("bank".into(), TripReason::ForcedOpen).into()));
        let after = superseded::scope(async {
            superseded::by_another(&crate::outcome::Failure::new(FailureKind::Error));
            verdict(Values::new(), refused())
        });
        assert_eq!(after.await, Verdict::Unknown("it failed".into()));
        assert_eq!(superseded::scope(async { verdict(Values::new(), refused()) }).await, Verdict::NoEffect);
    }
}
