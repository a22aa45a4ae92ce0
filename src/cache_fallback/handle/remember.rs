use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use super::Slot;
use crate::cache_fallback::state::Allowed;
use crate::key::KeyOf;
use crate::name::Name;
use crate::outcome::Failure;

/// What a request asks of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks<K, A> {
    /// Nothing: no answer of old will do for it, and the answer to it will do for no other.
    Nothing,
    /// For the answer under a key, in case it fails.
    For {
        /// The key.
        key: K,
        /// What has to be known of the request once it is sent.
        asked: A,
        /// How old the answer may be, if its sender has said.
        most: Option<Duration>,
    },
    /// That something be forgotten, since it changes it: once it has succeeded what [`Remember::changed`] says, and what is
    /// remembered under this key if nobody can know whether it has, since it was given up,
    /// timed out or failed without an answer.
    ToForget {
        /// The key.
        key: K,
        /// What has to be known of the request once it is sent.
        asked: A,
    },
}

/// How an answer of old is told.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Recalled<'a> {
    /// How old it is.
    pub age: Duration,
    /// What it stands in for.
    pub failure: &'a Failure,
    /// What the layer is called.
    pub name: Name,
}

/// Knows which requests have the same answer, and how it is remembered.
///
/// Ready-made are [`Clones`], for plain values, by a closure for the key
/// ([`key`](crate::cache_fallback::CacheFallbackLayer::key)), and the presets for HTTP.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how the answer `{Res}` to a `{Req}` is remembered",
    label = "this cache fallback does not know which requests have the same answer",
    note = "say it with `.key(|request: &{Req}| Some(..))` where answers are `Clone`, or `.http_server(..)`, `.http_client(..)`",
    note = "the key must be that of the `MemoryStore`"
)]
pub trait Remember<Req, Res> {
    /// What answers are remembered under.
    type Key;
    /// What has to be known of a request once it is sent.
    type Asked;
    /// An answer as it is remembered.
    type Kept;

    /// What a request asks of the memory, before it is sent.
    fn asks(&self, request: &Req) -> Asks<Self::Key, Self::Asked>;

    /// Hands on an answer that is no failure, and keeps it, or forgets what was kept, or neither; also later, as its body ends.
    fn learn(&self, asked: Self::Asked, response: Res, slot: Slot<Self::Key, Self::Kept>) -> Res;

    /// Whether an answer of old does for a request with the same key. It always does, unless said otherwise.
    fn does_for(&self, asked: &Self::Asked, kept: &Self::Kept) -> bool {
        let _ = (asked, kept);
        true
    }

    /// Tells an answer of old.
    fn recall(&self, asked: &Self::Asked, kept: &Self::Kept, recalled: Recalled<'_>) -> Res;

    /// Says of which keys the answers must be forgotten, as [`Asks::ToForget`] asked; of none, unless said otherwise.
    fn changed(&self, asked: &Self::Asked, response: &Res, forget: &mut dyn FnMut(&Self::Key)) {
        let _ = (asked, response, forget);
    }
}

/// Nobody has said yet which requests have the same answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsaid;

/// Remembers clones of answers, each under the key of its request.
#[derive(Clone)]
pub struct Clones<K, Z = TypeSize> {
    pub(in super::super) key: K,
    pub(in super::super) size: Z,
}

/// Says how many bytes an answer takes, with what it points to.
///
/// A closure `Fn(&Res) -> usize` does.
pub trait SizeOf<Res> {
    /// How many bytes `response` takes.
    fn size_of(&self, response: &Res) -> usize;
}

/// An answer is as large as its type, and points to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct TypeSize;

impl<Res> SizeOf<Res> for TypeSize {
    fn size_of(&self, _: &Res) -> usize {
        size_of::<Res>()
    }
}

#[diagnostic::do_not_recommend]
impl<F, Res> SizeOf<Res> for F
where
    F: Fn(&Res) -> usize,
{
    fn size_of(&self, response: &Res) -> usize {
        self(response)
    }
}

impl<K, Z, Req, Res> Remember<Req, Res> for Clones<K, Z>
where
    K: KeyOf<Req, Key: Eq + Hash + Clone>,
    Z: SizeOf<Res>,
    Res: Clone,
{
    type Key = K::Key;
    type Asked = ();
    type Kept = Res;

    fn asks(&self, request: &Req) -> Asks<Self::Key, ()> {
        match self.key.key_of(request) {
            Some(key) => Asks::For { key, asked: (), most: None },
            None => Asks::Nothing,
        }
    }

    fn learn(&self, (): (), response: Res, slot: Slot<Self::Key, Res>) -> Res {
        slot.keep(response.clone(), self.size.size_of(&response), Allowed::default(), |_| true);
        response
    }

    fn recall(&self, (): &(), kept: &Res, _: Recalled<'_>) -> Res {
        kept.clone()
    }
}

impl<K, Z> fmt::Debug for Clones<K, Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clones").finish_non_exhaustive()
    }
}
