use std::future::Future;

use http::header::{CACHE_CONTROL, PRAGMA};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;

use super::condition;
use super::copied::CopiedBody;
use super::remember::AskedOfCache;
use super::responses::CachedResponses;
use super::scope::CacheScope;
use super::stored::StoredResponse;
use crate::cache_fallback::Share;
use crate::deadline::Deadline;
use crate::http::partly_read::{PartlyRead, Read, read};

/// Of a response, in its extensions, of which a copy is being made for those who wait for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather {
    pub(super) max_body: usize,
}

impl<S, F, B, R> Share<Request<R>, Response<B>> for CachedResponses<S, F>
where
    S: CacheScope<Request<R>> + Sync,
    F: Fn(CopiedBody<B>) -> B + Sync,
    B: Body<Data: Send, Error: Send> + Send,
{
    fn variant(&self, asked: &AskedOfCache, known: &StoredResponse) -> u64 {
        known.variant(asked.lookup().1)
    }

    fn for_all(&self, request: &mut Request<R>, asked: &mut AskedOfCache, known: Option<&StoredResponse>) {
        let of_sender = condition::OF_CACHES.iter().chain(&[CACHE_CONTROL, PRAGMA]);
        of_sender.for_each(|name| _ = request.headers_mut().remove(name));
        let known = known.filter(|known| known.answers(asked.lookup().1));
        let conditions = known.map_or_else(Vec::new, |known| self.rules.policy.conditions(known.headers()));
        asked.make_for_all(known.filter(|_| !conditions.is_empty()));
        request.headers_mut().extend(conditions);
        // Whoever has but the head has nothing to tell another one.
        if *request.method() == Method::HEAD {
            *request.method_mut() = Method::GET;
        }
        // The others may wait for longer than whoever came first.
        request.extensions_mut().remove::<Deadline>();
    }

    fn gather(&self, mut response: Response<B>) -> impl Future<Output = Response<B>> + Send {
        let gather = response.extensions_mut().remove::<Gather>();
        async move {
            let Some(Gather { max_body }) = gather else { return response };
            let (head, body) = response.into_parts();
            let body = match read(body, max_body, self.rules.gather_within).await {
                Read::Whole { body, trailers } => PartlyRead::whole(body, trailers),
                Read::More(body) | Read::Slow(body) | Read::Cut(body) => body,
            };
            Response::from_parts(head, (self.into_body)(CopiedBody::gathered(body)))
        }
    }

    fn nothing_remembered(&self, _: &AskedOfCache) -> Option<Response<B>> {
        let mut response = Response::new((self.into_body)(CopiedBody::recalled(bytes::Bytes::new())));
        *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        Some(response)
    }
}
