mod written;

use std::borrow::Cow;
use std::error::Error;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

pub(super) use self::written::Written;

/// Where several processes keep answers for each other: the second level behind a [`MemoryStore`](super::MemoryStore).
///
/// It is asked when the memory has nothing, and told what the memory keeps and forgets. All of it may fail, and costs nothing then
/// but the second level.
///
/// Each operation is atomic. All time is the store's own: it is told how long ago something was asked for, and whoever tells it
/// late must not seem to have asked later. What was asked for before something was forgotten is not kept after that.
pub trait Store: Send + Sync + 'static {
    /// Why it could not be asked or told.
    type Error: Error + Send + Sync + 'static;

    /// The answers under a key.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Vec<Found>, Self::Error>> + Send;

    /// Keeps an answer, unless something that it would replace was asked for later, or forgotten since it was asked for.
    fn put(&self, key: &[u8], entry: Entry) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Forgets all answers under a key that were asked for so long ago or longer, also those that are put later.
    fn forget(&self, key: &[u8], age: Duration) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Forgets all answers that have been asked for by now, under every key.
    fn forget_all(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// An answer that a [`Store`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How long ago it was asked for, or longer.
    pub age: Duration,
    /// What was put.
    pub bytes: Bytes,
}

/// An answer that a [`Store`] is to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Tells it from other answers under its key, which stay; it takes the place of one with the same number. `None`: it takes the
    /// place of all others, and the next one takes its own.
    pub variant: Option<u64>,
    /// What is to be found.
    pub bytes: Bytes,
    /// How long ago it was asked for.
    pub age: Duration,
    /// For how long it is of use from now on.
    pub keep_for: Duration,
}

/// Writes keys and answers down for a [`Store`].
///
/// What has been written by another version of the program is read by this one, or is not there: let what is written begin with a
/// number that changes with it.
pub trait Codec<K, V>: Send + Sync + 'static {
    /// What tells a key from all others, in all processes that share the store.
    fn key<'k>(&self, key: &'k K) -> Cow<'k, [u8]>;

    /// Tells an answer from others under its key, the same in all processes. There is one at a time, unless said otherwise.
    fn variant(&self, value: &V) -> Option<u64> {
        let _ = value;
        None
    }

    /// An answer as it is written; `None` if it cannot be.
    fn encode(&self, value: &V) -> Option<Bytes>;

    /// What was written; `None` if it cannot be read.
    fn decode(&self, bytes: Bytes) -> Option<V>;
}
