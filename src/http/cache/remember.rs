use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body::Body;

use super::condition;
use super::copied::{CopiedBody, Sink};
use super::key::{CacheKey, Side};
use super::responses::CachedResponses;
use super::rules::{self, Lookup, Verdict};
use super::scope::{CacheScope, Whose};
use super::share::Gather;
use super::stored::{StoredHead, StoredResponse};
use crate::cache_fallback::{Allowed, Asks, Recalled, Remember, Slot};

/// What has to be known of a request once it is sent.
pub struct AskedOfCache(Asked);

enum Asked {
    For {
        lookup: Lookup,
        headers: HeaderMap,
        is_for_all: bool,
        /// Of which it is asked whether it is still good.
        known: Option<Box<StoredResponse>>,
    },
    ToForget {
        key: CacheKey,
    },
}

impl AskedOfCache {
    pub(super) fn lookup(&self) -> (&Lookup, &HeaderMap) {
        match &self.0 {
            Asked::For { lookup, headers, .. } => (lookup, headers),
            Asked::ToForget { .. } => unreachable!("only who asks for an answer of old is told one"),
        }
    }

    /// From now on it asks for all who ask; if there is one, whether that is `still_good`.
    pub(super) fn make_for_all(&mut self, still_good: Option<&StoredResponse>) {
        if let Asked::For { lookup, is_for_all, known, .. } = &mut self.0 {
            *lookup = lookup.for_all();
            *is_for_all = true;
            *known = still_good.cloned().map(Box::new);
        }
    }

    fn take_known(&mut self) -> Option<Box<StoredResponse>> {
        match &mut self.0 {
            Asked::For { known, .. } => known.take(),
            Asked::ToForget { .. } => None,
        }
    }

    const fn is_for_all(&self) -> bool {
        matches!(self.0, Asked::For { is_for_all: true, .. })
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
        let asks = rules::asks(
            request.method(),
            headers,
            matches!(whose, Whose::Of(_)),
            self.rules.policy.is_for_authorized(),
        );
        if asks == rules::Asks::Bypass {
            return Asks::Nothing;
        }
        let Some(key) = CacheKey::of(&whose, self.rules.side, request.uri(), headers) else {
            return Asks::Nothing;
        };
        match asks {
            rules::Asks::Bypass => Asks::Nothing,
            rules::Asks::Lookup(lookup) => {
                let asked =
                    AskedOfCache(Asked::For { lookup, headers: headers.clone(), is_for_all: false, known: None });
                Asks::For { key, asked, accepts: lookup.accepts }
            }
            rules::Asks::Changes => Asks::ToForget { key: key.clone(), asked: AskedOfCache(Asked::ToForget { key }) },
        }
    }

    fn learn(
        &self,
        mut asked: AskedOfCache,
        response: Response<B>,
        slot: Slot<CacheKey, StoredResponse>,
    ) -> Response<B> {
        let known = asked.take_known();
        let (mut head, body) = response.into_parts();
        if let Some(known) = known.filter(|_| head.status == StatusCode::NOT_MODIFIED) {
            let body = CopiedBody::recalled(self.validated(&asked, &known, &mut head, slot));
            return Response::from_parts(head, (self.into_body)(body));
        }
        let (lookup, headers) = asked.lookup();
        let is_for_all = asked.is_for_all();
        let allowed = match self.rules.policy.verdict(*lookup, &head, self.rules.absence) {
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
        let body = CopiedBody::passing(&head.headers, body, max_body, copying);
        if is_for_all && body.is_being_copied() {
            head.extensions.insert(Gather { max_body });
        }
        Response::from_parts(head, (self.into_body)(body))
    }

    fn does_for(&self, asked: &AskedOfCache, kept: &StoredResponse) -> bool {
        let (lookup, headers) = asked.lookup();
        kept.answers(headers) && (!lookup.is_authorized || self.rules.policy.may_answer_authorized(kept.headers()))
    }

    fn recall(&self, asked: &AskedOfCache, kept: &StoredResponse, recalled: Recalled<'_>) -> Response<B> {
        let (lookup, headers) = asked.lookup();
        let response = kept.recall(lookup.is_head, headers, recalled);
        response.map(|body| (self.into_body)(CopiedBody::recalled(body)))
    }

    fn changed(&self, asked: &AskedOfCache, response: &Response<B>, forget: &mut dyn FnMut(&CacheKey)) {
        if let Asked::ToForget { key } = &asked.0 {
            rules::changed(key, response.status(), response.headers()).for_each(|key| forget(&key));
        }
    }
}

impl<S, F> CachedResponses<S, F> {
    /// Makes of a 304 the answer that it says is still good, and keeps that, as new as the 304 is; returns its body.
    fn validated(
        &self,
        asked: &AskedOfCache,
        known: &StoredResponse,
        head: &mut Parts,
        slot: Slot<CacheKey, StoredResponse>,
    ) -> Bytes {
        let (lookup, headers) = asked.lookup();
        if !self.rules.policy.is_still_good(known.status(), known.headers(), &head.headers) {
            // It says that what was asked about is still good, and speaks of another answer, as servers do that compress: told
            // once, and asked for anew the next time.
            (head.status, head.headers) = (known.status(), known.headers().clone());
            slot.forget(|other| other.answers(headers));
            return known.body();
        }
        head.status = known.status();
        head.headers = known.refreshed(&head.headers);
        match (self.rules.policy.verdict(*lookup, head, self.rules.absence), StoredHead::of(head, headers)) {
            (Verdict::Keep(allowed), Some(stored)) => {
                let stored = stored.with_body(known.body());
                let bytes = slot.key().as_str().len() + stored.bytes();
                slot.keep(stored, bytes, allowed, |other| other.answers(headers));
            }
            (Verdict::Leave, _) => {}
            _ => slot.forget(|_| true),
        }
        if head.status.is_success() && condition::has_it_already(headers, &head.headers) {
            head.status = StatusCode::NOT_MODIFIED;
            condition::without_content(&mut head.headers);
            return Bytes::new();
        }
        known.body()
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
