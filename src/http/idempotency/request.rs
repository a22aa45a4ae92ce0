use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method, Request};
use http_body::Body;

use super::key::key_of;
use super::{IDEMPOTENCY_KEY, REPLAYED};
use crate::deadline::Deadline;
use crate::http::content_type::essence;
use crate::http::partly_read::{Read, read};
use crate::idempotency::{
    Fingerprint, Global, Identified, Identify, NotSaid, RecordKey, RefusalReason, ScopeOf, ToParts,
};

/// What an HTTP request is recorded under: its key, by default that of the header `Idempotency-Key`, within its scope.
///
/// A request is known by its method, path and query, the type of its content and its body. The body is read first: by default
/// up to 1 MiB, and what is larger is refused with 413, and for 30 s, and what takes longer is refused with 408; nothing is
/// recorded of either. Trailers of a request are not handed on, and its body is made anew of what was read (`From<Bytes>`). Only requests of `POST` and `PATCH` are run once, by default;
/// the others may be repeated as they are.
///
/// Hosts are not told apart, which the scope may do. The path is the one that the layer sees. A router that takes away what it has matched, as axum's `nest` does, hides the rest
/// from layers inside: put the layer outside of it, or what is hidden (axum's `OriginalUri`) into the scope.
///
/// ```
/// use buttress::http::IdempotencyKeys;
/// use http::request::Parts;
///
/// #[derive(Clone)]
/// struct Tenant(u32);
///
/// let keys = IdempotencyKeys::new()
///     // Of an authenticated request; a token that is renewed is no tenant.
///     .scope(|head: &Parts| Some((head.extensions.get::<Tenant>()?.0, "order.create")));
/// # let _ = keys;
/// ```
#[derive(Clone, Debug)]
pub struct IdempotencyKeys<S = NotSaid, K = InHeader, P = WholeRequest> {
    scope: Arc<S>,
    key: Arc<K>,
    fingerprint: Arc<P>,
    methods: Vec<Method>,
    max_body: usize,
    read_within: Duration,
    needs_key: bool,
}

/// The key is that of a header.
#[derive(Clone, Debug)]
pub struct InHeader {
    name: HeaderName,
    strict: bool,
}

/// A request is known by its method, path and query, the type of its content and its body, byte by byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct WholeRequest;

impl IdempotencyKeys {
    /// Requests have the key of their header; whose it is has yet to be [said](Self::scope).
    #[must_use]
    pub fn new() -> Self {
        Self {
            scope: Arc::new(NotSaid),
            key: Arc::new(InHeader { name: IDEMPOTENCY_KEY, strict: false }),
            fingerprint: Arc::new(WholeRequest),
            methods: vec![Method::POST, Method::PATCH],
            max_body: 1 << 20,
            read_within: Duration::from_secs(30),
            needs_key: true,
        }
    }
}

impl Default for IdempotencyKeys {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, P> IdempotencyKeys<S, InHeader, P> {
    /// Takes the key of a header of this name instead, such as `PayPal-Request-Id`.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        self.key = Arc::new(InHeader { name, strict: self.key.strict });
        self
    }

    /// Takes a quoted string only, as the draft has it. By default a bare token is the same key, since clients send either.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.key = Arc::new(InHeader { name: self.key.name.clone(), strict: true });
        self
    }
}

impl<S, K, P> IdempotencyKeys<S, K, P> {
    /// Within what keys are told apart: the tenant and the operation. Without the tenant one could be answered with what is
    /// another's; without the operation an order number is used up by the first thing that is done to the order.
    #[must_use]
    pub fn scope<S2>(self, scope: S2) -> IdempotencyKeys<S2, K, P> {
        let Self { key, fingerprint, methods, max_body, read_within, needs_key, .. } = self;
        IdempotencyKeys { scope: Arc::new(scope), key, fingerprint, methods, max_body, read_within, needs_key }
    }

    /// There is one tenant and one operation, and one host.
    #[must_use]
    pub fn global_scope(self) -> IdempotencyKeys<Global, K, P> {
        self.scope(Global)
    }

    /// Takes what `key` finds in a request, such as the number of an order: `|head: &Parts, body: &Bytes| Some(..)`.
    #[must_use]
    pub fn key<K2>(self, key: K2) -> IdempotencyKeys<S, K2, P> {
        let Self { scope, fingerprint, methods, max_body, read_within, needs_key, .. } = self;
        IdempotencyKeys { scope, key: Arc::new(key), fingerprint, methods, max_body, read_within, needs_key }
    }

    /// Knows a request by what `fingerprint` makes of it, and by nothing else: `|head: &Parts, body: &Bytes| (..)`. For bodies
    /// that say the same in other bytes, such as JSON whose fields have no order or a form whose boundary is drawn each time.
    ///
    /// What it leaves out a repeated request may have changed, and is answered with what came of the first one all the same.
    /// The method, the path and the query belong to it unless they are in the scope.
    ///
    /// ```
    /// use buttress::http::IdempotencyKeys;
    /// use bytes::Bytes;
    /// use http::request::Parts;
    ///
    /// let keys = IdempotencyKeys::new()
    ///     .scope(|_: &Parts| Some("order.create"))
    ///     // Maps of `serde_json` are sorted. What is no JSON is its own bytes.
    ///     .fingerprint(|head: &Parts, body: &Bytes| {
    ///         let canonical = serde_json::from_slice(body).map(|json: serde_json::Value| json.to_string().into_bytes());
    ///         (head.method.as_str().to_owned(), head.uri.to_string(), canonical.unwrap_or_else(|_| body.to_vec()))
    ///     });
    /// # let _ = keys;
    /// ```
    #[must_use]
    pub fn fingerprint<P2>(self, fingerprint: P2) -> IdempotencyKeys<S, K, P2> {
        let Self { scope, key, methods, max_body, read_within, needs_key, .. } = self;
        IdempotencyKeys { scope, key, fingerprint: Arc::new(fingerprint), methods, max_body, read_within, needs_key }
    }

    /// Runs requests of these methods once; those of others as often as they are sent. So is `CONNECT` in any case: it opens a
    /// tunnel, and there is no answer to be told again.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().filter(|method| method != Method::CONNECT).collect();
        self
    }

    /// Reads bodies of up to so many bytes; 1 MiB by default.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Reads a body for so long; 30 s by default, which is a megabyte over a slow mobile network. Who sends longer holds
    /// nothing but its connection meanwhile: a request is claimed when it is whole.
    #[must_use]
    pub const fn read_within(mut self, time: Duration) -> Self {
        self.read_within = time;
        self
    }

    /// Runs a request that has no key as often as it is sent. By default it is refused.
    #[must_use]
    pub const fn key_optional(mut self) -> Self {
        self.needs_key = false;
        self
    }
}

/// Where the key of an HTTP request is. A closure `Fn(&Parts, &Bytes) -> Option<Key>` serves.
pub trait KeyIn: Send + Sync + 'static {
    /// Made of parts.
    type Key: ToParts + Send;

    /// Whether the body has to be read for it.
    const IN_BODY: bool = true;

    /// The key of a request, if it has one.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    fn key_in(&self, head: &Parts, body: &Bytes) -> Result<Option<Self::Key>, RefusalReason>;
}

impl KeyIn for InHeader {
    type Key = String;

    const IN_BODY: bool = false;

    fn key_in(&self, head: &Parts, _: &Bytes) -> Result<Option<String>, RefusalReason> {
        key_of(&head.headers, &self.name, self.strict).map_err(|_| RefusalReason::MalformedKey)
    }
}

impl<F, K> KeyIn for F
where
    F: Fn(&Parts, &Bytes) -> Option<K> + Send + Sync + 'static,
    K: ToParts + Send,
{
    type Key = K;

    fn key_in(&self, head: &Parts, body: &Bytes) -> Result<Option<K>, RefusalReason> {
        Ok(self(head, body))
    }
}

/// What an HTTP request is known by when it is repeated. A closure `Fn(&Parts, &Bytes) -> impl ToParts` serves.
pub trait FingerprintIn: Send + Sync + 'static {
    /// A hash of all that a repeated request has in common with the first one.
    fn fingerprint_in(&self, head: &Parts, body: &Bytes) -> Fingerprint;
}

impl FingerprintIn for WholeRequest {
    fn fingerprint_in(&self, head: &Parts, body: &Bytes) -> Fingerprint {
        let essence = essence(&head.headers).map(<[u8]>::to_ascii_lowercase);
        Fingerprint::of(&(head.method.as_str(), head.uri.path(), head.uri.query(), essence.as_deref(), &**body))
    }
}

impl<F, T> FingerprintIn for F
where
    F: Fn(&Parts, &Bytes) -> T + Send + Sync + 'static,
    T: ToParts,
{
    fn fingerprint_in(&self, head: &Parts, body: &Bytes) -> Fingerprint {
        Fingerprint::of(&self(head, body))
    }
}

impl<S, K, P, B> Identify<Request<B>> for IdempotencyKeys<S, K, P>
where
    S: ScopeOf<Parts> + Send + Sync + 'static,
    K: KeyIn,
    P: FingerprintIn,
    B: Body<Data: Send, Error: Send> + From<Bytes> + Send + 'static,
{
    type Request = Request<B>;
    type Future = Pin<Box<dyn Future<Output = Result<Identified<Request<B>>, RefusalReason>> + Send>>;

    fn identify(&self, request: Request<B>) -> Self::Future {
        if !self.methods.contains(request.method()) {
            return Box::pin(std::future::ready(Ok(Identified::Free(request))));
        }
        let (scope, key, fingerprint) = (self.scope.clone(), self.key.clone(), self.fingerprint.clone());
        let keys = Self { scope, key, fingerprint, methods: Vec::new(), ..*self };
        Box::pin(async move { keys.identify_now(request).await })
    }
}

impl<S, K, P> IdempotencyKeys<S, K, P> {
    async fn identify_now<B>(self, request: Request<B>) -> Result<Identified<Request<B>>, RefusalReason>
    where
        S: ScopeOf<Parts>,
        K: KeyIn,
        P: FingerprintIn,
        B: Body + From<Bytes>,
    {
        let (mut head, body) = request.into_parts();
        // Only we say so.
        head.headers.remove(REPLAYED);
        let key = if K::IN_BODY { None } else { self.key.key_in(&head, &Bytes::new())? };
        if !K::IN_BODY && key.is_none() {
            return if self.needs_key {
                Err(RefusalReason::WithoutKey)
            } else {
                Ok(Identified::Free(Request::from_parts(head, body)))
            };
        }
        let body = match read(body, self.max_body, self.read_within).await {
            // A body that is made of bytes has no place for trailers, and a request is not known by them.
            Read::Whole { body, .. } => body.joined(),
            Read::More(_) => return Err(RefusalReason::TooLarge),
            Read::Slow(_) => return Err(RefusalReason::TooSlow),
            Read::Cut(_) => return Err(RefusalReason::Cut),
        };
        let key = match key {
            Some(key) => Some(key),
            None => self.key.key_in(&head, &body)?,
        };
        let Some(key) = key else {
            return if self.needs_key {
                Err(RefusalReason::WithoutKey)
            } else {
                Ok(Identified::Free(Request::from_parts(head, B::from(body))))
            };
        };
        let scope = self.scope.scope_of(&head).ok_or(RefusalReason::WithoutScope)?;
        let (key, fingerprint) = (RecordKey::of(&scope, &key), self.fingerprint.fingerprint_in(&head, &body));
        // What was begun is done, whatever the deadline of who asked for it.
        head.extensions.remove::<Deadline>();
        Ok(Identified::Once { request: Request::from_parts(head, B::from(body)), key, fingerprint })
    }
}
