use std::fmt;
use std::time::Duration;

use http::Request;

use super::key::{CacheKey, Side};
use super::policy::{Explicit, Policy};
use super::scope::{CacheScope, Everybody, Site};
use crate::idempotency::NotSaid;
use crate::key::KeyOf;

/// Responses that are remembered, as HTTP has it: they stand in for a failure and, where the layer reads through, are told as
/// long as they are fresh.
///
/// | request | |
/// |---|---|
/// | `GET`, `HEAD` | is answered from memory; `HEAD` without the body |
/// | the same with `Cache-Control: max-age` | without asking, by a response that is no older; with 0, by none |
/// | with `min-fresh` | by none without asking |
/// | with `no-cache`, `If-Match` or `If-Unmodified-Since` | is answered by the service alone, also if it fails, and the response is remembered |
/// | with `If-None-Match` or `If-Modified-Since` | is answered from memory with 304, if that is what its sender has |
/// | with `only-if-cached`, [read through](crate::cache_fallback#read-through) | is answered from memory, or else with 504 |
/// | with `no-store`, with `Range`, with a body, or with `Authorization` or `Cookie` unless there is a [scope](Self::scope) | has nothing to do with the memory |
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
/// `s-maxage`, else `max-age` in the response's `Cache-Control`, or else its `Expires`, shortens how long it is fresh,
/// `stale-while-revalidate` how long it is told after that, and `stale-if-error` how long it may stand in, counted from the end of
/// the time that it is fresh. `stale-if-error` and `max-stale` of a request say how old a response may be that stands in for its
/// sender. `s-maxage` by itself says nothing about failures. Up to eight responses that
/// [`Vary`](https://www.rfc-editor.org/rfc/rfc9111#section-4.1) are remembered for one URI.
///
/// A response is as old as its `Age` says when it comes; without one that can be read, as its `Date` says, unless that is within
/// five seconds of our own clock, or more than a day off, as with a clock that is not set.
///
/// Where one call is made for all who ask at the same time, it is made with the headers of whoever came first, without their
/// condition and their deadline, as a `GET`. Requests with `max-age=0` and those that are answered by the service alone are made by themselves, and
/// so is `HEAD`.
///
/// A body streams through while it is copied. It is remembered if it is no longer than 512 KiB, and than the store takes of one
/// key, as long as its `Content-Length` says, and has been sent to its end; one that breaks off is not, nor one whose receiver
/// has gone, nor, with a client, one whose end is that of the connection.
///
/// A response from memory has an `Age`, its original `Date`, and a `Cache-Status` that says why it is told
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
    pub(super) scope: S,
    pub(super) into_body: F,
    pub(in crate::http) rules: Rules,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Rules {
    pub(in crate::http) policy: &'static dyn Policy,
    pub(super) side: Side,
    pub(super) max_body: usize,
    pub(super) gather_within: Duration,
    /// For how long it is remembered that there is nothing, if it is.
    pub(super) absence: Option<Duration>,
}

impl CachedResponses {
    /// As the tables have it, for everybody.
    #[must_use]
    pub const fn new() -> Self {
        let rules = Rules {
            policy: &Explicit,
            side: Side::Client,
            max_body: 512 * 1024,
            gather_within: Duration::from_secs(2),
            absence: None,
        };
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

    /// Remembers that there is nothing as well (404, 410), until that is `for_so_long` old: it is told no longer, whether it is
    /// fresh or stands in for a failure.
    #[must_use]
    pub const fn remember_absence(mut self, for_so_long: Duration) -> Self {
        self.rules.absence = Some(for_so_long);
        self
    }

    /// Has those who wait for one response wait for its body for `limit` at most; 2 s by default. After that, each asks for
    /// themselves.
    #[must_use]
    pub const fn gather_within(mut self, limit: Duration) -> Self {
        self.rules.gather_within = limit;
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
