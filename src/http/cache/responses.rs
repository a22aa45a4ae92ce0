use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Request, Response, Version};
use http_body::Body;

use super::copied::{CopiedBody, Sink};
use super::key::{CacheKey, Side};
use super::rules::{self, Lookup, Verdict};
use super::scope::{CacheScope, Everybody, Site, Whose};
use super::stored::{StoredHead, StoredResponse};
use crate::cache_fallback::{Accepts, Allowed, Asks, Recalled, Remember, Slot};
use crate::idempotency::NotSaid;
use crate::key::KeyOf;

/// Responses that stand in for a failure, as HTTP has it.
///
/// | request | |
/// |---|---|
/// | `GET`, `HEAD` | is answered from memory if it fails; `HEAD` without the body |
/// | the same with `Cache-Control: no-store` or `no-cache`, with `Range`, with a body, or with `Authorization` or `Cookie` unless there is a [scope](Self::scope) | has nothing to do with the memory |
/// | `OPTIONS`, `TRACE`, `CONNECT` | have nothing to do with it either |
/// | any other, answered with 2xx or 3xx | has the responses for its URI forgotten, and for that of its `Location` and `Content-Location`, within its scope |
/// | any other that is given up, times out or fails without an answer | may have changed something, and has the responses for its URI forgotten |
///
/// | response to a `GET` | |
/// |---|---|
/// | 200, 203, 301, 308 | is remembered, once all of its body has passed |
/// | 404, 410 | has what was remembered forgotten; or is [remembered](Self::remember_absence) in its place |
/// | 204, 401, 403, 451 | has what was remembered forgotten: it is not there any more, or not for everybody |
/// | any 2xx or 3xx with `Cache-Control: no-store`, `private`, `no-cache`, `must-revalidate` or `proxy-revalidate` | has what was remembered forgotten: there is to be no copy |
/// | 200, 203, 301 or 308 with `Set-Cookie`, `Vary: *` or trailers, and an event stream | likewise: it is no other one's |
/// | any other, 206 and 304 too | leaves what is remembered as it is |
///
/// `stale-if-error` in the response's `Cache-Control` shortens how long it may stand in, counted from the end of its
/// `max-age`; in the request's, and `max-stale`, how old a response it may be given. `max-age` of a request and `s-maxage` by
/// itself say nothing about failures. Up to eight responses that [`Vary`](https://www.rfc-editor.org/rfc/rfc9111#section-4.1)
/// are remembered for one URI.
///
/// A body streams through while it is copied. It is remembered if it is no longer than 512 KiB, and than the store takes of one
/// key, as long as its `Content-Length` says, and has been sent to its end; one that breaks off is not, nor one whose receiver
/// has gone, nor, with a client, one whose end is that of the connection.
///
/// A response from memory has an `Age`, its original `Date`, and a `Cache-Status` that says what it stands in for
/// ([RFC 9211](https://www.rfc-editor.org/rfc/rfc9211)); no `Set-Cookie` and nothing that speaks of the connection.
///
/// # What is not seen
///
/// Two requests have the same response if they have the same method, host, path and query, and the same of what the response
/// says that it varies by. Whatever else the service answers by (`X-Forwarded-Proto`, an API key in a header of its own, a
/// token that is added further in) it has to name in `Vary`, or it has to be part of the [scope](Self::scope) or the
/// [site](Self::site); or else one is told what was said to another.
///
/// The path is the one that the layer sees. A router that takes away what it has matched, as axum's `nest` does, hides the rest
/// from layers inside: put the layer outside of it, or what is hidden (axum's `OriginalUri`) into the site. A client whose
/// requests name no host needs a layer for each server.
#[derive(Clone)]
pub struct CachedResponses<S = Everybody, F = NotSaid> {
    scope: S,
    into_body: F,
    rules: Rules,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    side: Side,
    max_body: usize,
    remembers_absence: bool,
}

impl CachedResponses {
    /// As the tables have it, for everybody.
    #[must_use]
    pub const fn new() -> Self {
        let rules = Rules { side: Side::Client, max_body: 512 * 1024, remembers_absence: false };
        Self { scope: Everybody, into_body: NotSaid, rules }
    }
}

impl Default for CachedResponses {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, F> CachedResponses<S, F> {
    /// Remembers each response for whom `scope` says alone, also where the request has `Authorization` or a `Cookie`:
    /// `|request: &Request<_>| -> Option<String>`, such as the number of the account. `None` has nothing to do with the memory.
    ///
    /// Who is asked for it must have been authenticated further out. A token is no scope: it changes.
    #[must_use]
    pub fn scope<S2>(self, scope: S2) -> CachedResponses<S2, F> {
        let Self { into_body, rules, .. } = self;
        CachedResponses { scope, into_body, rules }
    }

    /// Tells sites apart by more than host and path: `|request: &Request<_>| -> String`, such as the address that a router has
    /// matched. The responses are for everybody all the same.
    #[must_use]
    pub fn site<S2>(self, site: S2) -> CachedResponses<Site<S2>, F> {
        self.scope(Site(site))
    }

    /// Remembers bodies of up to so many bytes; 512 KiB by default.
    #[must_use]
    pub const fn max_body(mut self, bytes: usize) -> Self {
        self.rules.max_body = bytes;
        self
    }

    /// Remembers that there is nothing as well (404, 410), and says so in the place of a failure.
    #[must_use]
    pub const fn remember_absence(mut self) -> Self {
        self.rules.remembers_absence = true;
        self
    }

    /// Makes the service's body of one that is copied, such as axum's `Body::new`.
    #[must_use]
    pub fn into_body<F2>(self, into_body: F2) -> CachedResponses<S, F2> {
        let Self { scope, rules, .. } = self;
        CachedResponses { scope, into_body, rules }
    }

    /// Looks at requests as they come in to a server, which is not always told by which scheme; by itself as they go out from a
    /// client. The presets know.
    #[must_use]
    pub const fn of_server(mut self) -> Self {
        self.rules.side = Side::Server;
        self
    }
}

/// What has to be known of a request once it is sent.
pub struct AskedOfCache(Asked);

enum Asked {
    For { lookup: Lookup, headers: HeaderMap },
    ToForget { key: CacheKey },
}

impl AskedOfCache {
    fn lookup(&self) -> (&Lookup, &HeaderMap) {
        match &self.0 {
            Asked::For { lookup, headers } => (lookup, headers),
            Asked::ToForget { .. } => unreachable!("only who asks for an answer of old is told one"),
        }
    }
}

impl<S, F, B, R> Remember<Request<R>, Response<B>> for CachedResponses<S, F>
where
    S: CacheScope<Request<R>>,
    F: Fn(CopiedBody<B>) -> B,
    B: Body,
{
    type Key = CacheKey;
    type Asked = AskedOfCache;
    type Kept = StoredResponse;

    fn asks(&self, request: &Request<R>) -> Asks<CacheKey, AskedOfCache> {
        let (whose, headers) = (self.scope.scope_of(request), request.headers());
        let asks = rules::asks(request.method(), headers, matches!(whose, Whose::Of(_)));
        if asks == rules::Asks::Bypass {
            return Asks::Nothing;
        }
        let Some(key) = CacheKey::of(&whose, self.rules.side, request.uri(), headers) else {
            return Asks::Nothing;
        };
        match asks {
            rules::Asks::Bypass => Asks::Nothing,
            rules::Asks::Lookup(lookup) => {
                let asked = AskedOfCache(Asked::For { lookup, headers: headers.clone() });
                let accepts = Accepts { stand_in: lookup.most_age, ..Accepts::default() };
                Asks::For { key, asked, accepts }
            }
            rules::Asks::Changes => Asks::ToForget { key: key.clone(), asked: AskedOfCache(Asked::ToForget { key }) },
        }
    }

    fn learn(&self, asked: AskedOfCache, response: Response<B>, slot: Slot<CacheKey, StoredResponse>) -> Response<B> {
        let (lookup, headers) = asked.lookup();
        let (head, body) = response.into_parts();
        let allowed = match lookup.verdict(&head, self.rules.remembers_absence) {
            Verdict::Leave => return Response::from_parts(head, body),
            Verdict::Forget => {
                // Whatever a request had that the answer may vary by: it is not there, or not to be kept.
                slot.forget(|_| true);
                return Response::from_parts(head, body);
            }
            // A body that ends with the connection may have broken off, and a client cannot tell.
            Verdict::Keep(_) if self.rules.side == Side::Client && ends_with_connection(&head, &body) => {
                return Response::from_parts(head, body);
            }
            Verdict::Keep(allowed) => allowed,
        };
        let Some(stored) = StoredHead::of(&head, headers) else {
            return Response::from_parts(head, body);
        };
        let replaces_all = rules::is_absence(head.status);
        let max_body = slot.max_bytes().saturating_sub(slot.key().as_str().len() + stored.bytes());
        let max_body = max_body.min(self.rules.max_body);
        let copying = Copying { slot, stored, allowed, asked, replaces_all };
        let body = (self.into_body)(CopiedBody::passing(&head.headers, body, max_body, copying));
        Response::from_parts(head, body)
    }

    fn does_for(&self, asked: &AskedOfCache, kept: &StoredResponse) -> bool {
        kept.answers(asked.lookup().1)
    }

    fn recall(&self, asked: &AskedOfCache, kept: &StoredResponse, recalled: Recalled<'_>) -> Response<B> {
        let Recalled { age, because, name } = recalled;
        let response = kept.recall(asked.lookup().0.is_head, age, name.as_str(), because);
        response.map(|body| (self.into_body)(CopiedBody::recalled(body)))
    }

    fn changed(&self, asked: &AskedOfCache, response: &Response<B>, forget: &mut dyn FnMut(&CacheKey)) {
        if let Asked::ToForget { key } = &asked.0 {
            rules::changed(key, response.status(), response.headers()).for_each(|key| forget(&key));
        }
    }
}

/// A response of which the body is being copied.
pub struct Copying {
    slot: Slot<CacheKey, StoredResponse>,
    stored: StoredHead,
    allowed: Allowed,
    asked: AskedOfCache,
    replaces_all: bool,
}

impl Sink for Copying {
    fn keep(self, body: Bytes) {
        let Self { slot, stored, allowed, asked, replaces_all } = self;
        let (stored, (_, headers)) = (stored.with_body(body), asked.lookup());
        let bytes = slot.key().as_str().len() + stored.bytes();
        slot.keep(stored, bytes, allowed, |other| replaces_all || other.answers(headers));
    }

    fn too_large(self) {
        self.slot.too_large();
    }
}

fn ends_with_connection<B: Body>(head: &Parts, body: &B) -> bool {
    head.version <= Version::HTTP_11
        && !head.headers.contains_key(CONTENT_LENGTH)
        && !head.headers.contains_key(TRANSFER_ENCODING)
        && body.size_hint().exact().is_none()
}

/// Under what the responses to a request are remembered, to [forget](crate::cache_fallback::Memory::forget) them by.
impl<S, F, R> KeyOf<Request<R>> for CachedResponses<S, F>
where
    S: CacheScope<Request<R>>,
{
    type Key = CacheKey;

    fn key_of(&self, request: &Request<R>) -> Option<CacheKey> {
        CacheKey::of(&self.scope.scope_of(request), self.rules.side, request.uri(), request.headers())
    }
}

impl<S, F> fmt::Debug for CachedResponses<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedResponses").field("rules", &self.rules).finish_non_exhaustive()
    }
}
