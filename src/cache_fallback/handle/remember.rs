use std::fmt;
use std::future::{Future, ready};
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
    /// For the answer under a key.
    For {
        /// The key.
        key: K,
        /// What has to be known of the request once it is sent.
        asked: A,
        /// Which answers of old do for its sender.
        accepts: Accepts,
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

/// Which answers of old do for the sender of a request; whichever the layer tells, by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// How old an answer may be that is told without asking the service, if the sender has said so; zero if it is to be asked.
    pub unasked: Option<Duration>,
    /// How old an answer may be that stands in for a failure, if the sender has said so.
    pub stand_in: Option<Duration>,
    /// Whether one call may be made for this request and others that are made at the same time.
    pub shared: bool,
    /// Whether the service is not to be asked at all.
    pub only_remembered: bool,
}

impl Default for Accepts {
    fn default() -> Self {
        Self { unasked: None, stand_in: None, shared: true, only_remembered: false }
    }
}

/// How an answer of old is told.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Recalled<'a> {
    /// How old it is.
    pub age: Duration,
    /// Why it is told.
    pub because: Because<'a>,
    /// What the layer is called.
    pub name: Name,
}

/// Why an answer of old is told.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub enum Because<'a> {
    /// It is fresh.
    Fresh {
        /// For so long yet.
        ttl: Duration,
    },
    /// It is fresh no more, and another one is being asked for.
    Refreshing {
        /// So long ago it was fresh.
        stale_for: Duration,
    },
    /// It is the answer to another request, which was under way when this one came.
    Shared,
    /// It stands in for this failure.
    Failed(&'a Failure),
}

/// Knows which requests have the same answer, and how it is remembered.
///
/// Ready-made are [`Clones`], for plain values, by a closure for the key
/// ([`key`](crate::cache_fallback::CacheFallbackLayer::key)), and the presets for HTTP.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how the answer `{Res}` to a `{Req}` is remembered",
    label = "this cache fallback does not know which requests have the same answer, or cannot keep one",
    note = "over HTTP, choose `.http_server(..)` or `.http_client(..)`",
    note = "elsewhere `.key(|request: &{Req}| Some(..))`, where `{Res}` must be `Clone` and the key that of the `MemoryStore`"
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

/// Knows of requests and answers what it takes to ask once for all who ask at the same time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how the answer `{Res}` to a `{Req}` is shared",
    label = "read-through asks once for all who ask at the same time",
    note = "`.key(..)`, `.http_server(..)` and `.http_client(..)` do"
)]
pub trait Share<Req, Res>: Remember<Req, Res> {
    /// Tells requests with the same key apart that have different answers, as far as an answer that is `known` under the key
    /// shows. Those of the same number are answered by one call; each is asked then whether the answer
    /// [does for it](Remember::does_for). All are of one number, unless said otherwise.
    fn variant(&self, asked: &Self::Asked, known: &Self::Kept) -> u64 {
        let _ = (asked, known);
        0
    }

    /// Makes of a request one whose answer is for all who ask: without what its sender has said for themselves. `known` is the
    /// answer of old that it is to replace. Nothing is changed, unless said otherwise.
    fn for_all(&self, request: &mut Req, asked: &mut Self::Asked, known: Option<&Self::Kept>) {
        let _ = (request, asked, known);
    }

    /// Takes in an answer that was [learned](Remember::learn), until it is kept or it is clear that it will not be.
    fn gather(&self, response: Res) -> impl Future<Output = Res> + Send;

    /// What a sender is told who wants [nothing but an answer of old](Accepts::only_remembered) where there is none. `None` has
    /// the service asked all the same.
    fn nothing_remembered(&self, asked: &Self::Asked) -> Option<Res> {
        let _ = asked;
        None
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

#[diagnostic::do_not_recommend]
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
            Some(key) => Asks::For { key, asked: (), accepts: Accepts::default() },
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

#[diagnostic::do_not_recommend]
impl<K, Z, Req, Res> Share<Req, Res> for Clones<K, Z>
where
    K: KeyOf<Req, Key: Eq + Hash + Clone>,
    Z: SizeOf<Res>,
    Res: Clone + Send,
{
    fn gather(&self, response: Res) -> impl Future<Output = Res> + Send {
        ready(response)
    }
}

impl<K, Z> fmt::Debug for Clones<K, Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clones").finish_non_exhaustive()
    }
}
