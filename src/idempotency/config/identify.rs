use std::future::{Future, Ready, ready};

use super::parts::{Fingerprint, RecordKey, ToParts};
use crate::key::KeyOf;
use crate::rejection::RefusalReason;

/// Says of a request what it is recorded under, and how it is told from another one under the same key.
///
/// Closures that it is told by are given a reference, whose type has to be written (`|request: &Job| ..`), and give back what is
/// owned.
///
/// Ready-made are [`RunOnce`], for requests of any type, and over HTTP what `http_server()` chooses. A request may have to be
/// read to be known, and so the one that is run is not always the one that came.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what a `{Req}` is recorded under",
    note = "`.identify(RunOnce::new().scope(..).key(..).fingerprint(..))` does, each of them said, and over HTTP `.http_server(IdempotencyKeys::new().scope(..), ..)`",
    note = "over HTTP the request's body must be `From<Bytes>` too, as axum's is"
)]
pub trait Identify<Req>: Send + Sync + 'static {
    /// What the wrapped service is given.
    type Request: Send + 'static;

    /// The answer to be.
    type Future: Future<Output = Result<Identified<Self::Request>, RefusalReason>> + Send;

    /// Identifies a request, or says why it is not run.
    fn identify(&self, request: Req) -> Self::Future;
}

/// A request, and what it is recorded under.
#[derive(Clone, Debug)]
pub enum Identified<Req> {
    /// It may be run as often as it is sent.
    Free(Req),
    /// It is run once.
    Once {
        /// What is run.
        request: Req,
        /// What it is recorded under.
        key: RecordKey,
        /// What it has in common with a repeated one.
        fingerprint: Fingerprint,
    },
}

/// Requests of any type, by what closures say of them.
///
/// ```
/// use buttress::idempotency::RunOnce;
///
/// struct Charge {
///     tenant: u32,
///     order: String,
///     cents: u64,
/// }
/// let once = RunOnce::new()
///     // Whose keys these are, and of which operation: others may use the same ones.
///     .scope(|charge: &Charge| Some((charge.tenant, "charge")))
///     .key(|charge: &Charge| Some(charge.order.clone()))
///     // What a repeated request must not have changed.
///     .fingerprint(|charge: &Charge| charge.cents);
/// # let _ = once;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RunOnce<S = NotSaid, K = NotSaid, F = NotSaid> {
    scope: S,
    key: K,
    fingerprint: F,
    needs_key: bool,
}

/// What has yet to be said before requests can be identified.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotSaid;

/// All requests have one scope; see [`RunOnce::global_scope`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Global;

impl RunOnce {
    /// Nothing is said yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { scope: NotSaid, key: NotSaid, fingerprint: NotSaid, needs_key: true }
    }
}

impl Default for RunOnce {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, K, F> RunOnce<S, K, F> {
    /// Within what keys are told apart: the tenant and the operation, such as `(tenant, "order.create")`. Without the tenant
    /// one could be answered with what is another's; without the operation an order number is used up by the first thing that
    /// is done to the order. A token that is renewed is no tenant.
    #[must_use]
    pub fn scope<S2>(self, scope: S2) -> RunOnce<S2, K, F> {
        RunOnce { scope, key: self.key, fingerprint: self.fingerprint, needs_key: self.needs_key }
    }

    /// There is one tenant and one operation.
    #[must_use]
    pub fn global_scope(self) -> RunOnce<Global, K, F> {
        self.scope(Global)
    }

    /// What makes two requests the same one, by a [`KeyOf`] or a closure; `None` of a request that has no key.
    #[must_use]
    pub fn key<K2>(self, key: K2) -> RunOnce<S, K2, F> {
        RunOnce { scope: self.scope, key, fingerprint: self.fingerprint, needs_key: self.needs_key }
    }

    /// What a repeated request has in common with the first one, which is all of it that matters. Another request under the
    /// same key is a mistake of who sent it, and is refused.
    #[must_use]
    pub fn fingerprint<F2>(self, fingerprint: F2) -> RunOnce<S, K, F2> {
        RunOnce { scope: self.scope, key: self.key, fingerprint, needs_key: self.needs_key }
    }

    /// Runs a request that has no key as often as it is sent. By default it is refused.
    #[must_use]
    pub const fn key_optional(mut self) -> Self {
        self.needs_key = false;
        self
    }
}

/// Within what the keys of a request are told apart. A closure `Fn(&Req) -> Option<Scope>` serves; write the type of what it
/// is given, and give back what is owned.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose keys those of a `{Req}` are",
    note = "`.scope(|request: &{Req}| Some((tenant, operation)))` does, of texts and numbers that are owned, or `.global_scope()`"
)]
pub trait ScopeOf<Req> {
    /// Made of parts.
    type Scope: ToParts;

    /// The scope of a request. One of which there is no saying whose it is is refused
    /// ([`WithoutScope`](RefusalReason::WithoutScope)): all such requests together would have one scope, and be answered with
    /// what is another's.
    fn scope_of(&self, request: &Req) -> Option<Self::Scope>;
}

impl<Req> ScopeOf<Req> for Global {
    type Scope = ();

    fn scope_of(&self, _: &Req) -> Option<()> {
        Some(())
    }
}

impl<F, Req, S> ScopeOf<Req> for F
where
    F: Fn(&Req) -> Option<S>,
    S: ToParts,
{
    type Scope = S;

    fn scope_of(&self, request: &Req) -> Option<S> {
        self(request)
    }
}

impl<Req, S, K, F, Print> Identify<Req> for RunOnce<S, K, F>
where
    Req: Send + 'static,
    S: ScopeOf<Req> + Send + Sync + 'static,
    K: KeyOf<Req, Key: ToParts> + Send + Sync + 'static,
    F: Fn(&Req) -> Print + Send + Sync + 'static,
    Print: ToParts,
{
    type Request = Req;
    type Future = Ready<Result<Identified<Req>, RefusalReason>>;

    fn identify(&self, request: Req) -> Self::Future {
        ready(match self.key.key_of(&request) {
            Some(key) => {
                let Some(scope) = self.scope.scope_of(&request) else {
                    return ready(Err(RefusalReason::WithoutScope));
                };
                let key = RecordKey::of(&scope, &key);
                let fingerprint = Fingerprint::of(&(self.fingerprint)(&request));
                Ok(Identified::Once { request, key, fingerprint })
            }
            None if self.needs_key => Err(RefusalReason::WithoutKey),
            None => Ok(Identified::Free(request)),
        })
    }
}
