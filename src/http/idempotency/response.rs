use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK,
    LOCATION, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;

use super::REPLAYED;
use super::read::{PartlyRead, Read, read};
use super::record::Recorded;
use crate::idempotency::{Keep, Kept, NotSaid, Unreadable, Verdict};
use crate::rejection::{MayCarryRejection, Rejection};

/// What a handler says of its response, in its extensions, where the status does not say it: whether it is the answer to
/// repeated requests as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is.
    Final,
    /// It is not, for nothing was done: a repeated request is run.
    None,
    /// Nobody knows whether anything was done: a repeated request is told so.
    Unknown,
}

/// What is kept of an HTTP response, and told again to repeated requests.
///
/// | response | a repeated request |
/// |---|---|
/// | 401, 403, 407, 408, 413, 415, 425, 429 | is run |
/// | a refusal by a breaker, a limiter or this layer inside | is run |
/// | any other, 500 and the like as well | is told it again |
///
/// [`Effect`] in the response's extensions says otherwise. Of the headers those are kept that speak of the answer and not of the
/// connection, the client or the moment; `Set-Cookie` never. Bodies are kept up to 256 KiB: a longer one goes to whoever sent the
/// request, and a repeated one is told that the answer was not kept; it is not run again.
#[derive(Clone, Debug)]
pub struct KeptResponses<F = NotSaid> {
    rules: Arc<Rules>,
    into_body: F,
}

#[derive(Clone, Debug)]
struct Rules {
    max_body: usize,
    headers: Vec<HeaderName>,
    server_errors_are_final: bool,
}

impl KeptResponses {
    /// As the table has it. It has yet to be told how to make a [body](Self::into_body) of one that was read.
    #[must_use]
    pub fn new() -> Self {
        let headers = vec![
            CACHE_CONTROL,
            CONTENT_ENCODING,
            CONTENT_LANGUAGE,
            CONTENT_LOCATION,
            CONTENT_TYPE,
            ETAG,
            LAST_MODIFIED,
            LINK,
            LOCATION,
            VARY,
        ];
        let rules = Rules { max_body: 256 << 10, headers, server_errors_are_final: true };
        Self { rules: Arc::new(rules), into_body: NotSaid }
    }
}

impl Default for KeptResponses {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> KeptResponses<F> {
    /// Makes the service's body of one that was read, such as axum's `Body::new`.
    #[must_use]
    pub fn into_body<F2>(self, into_body: F2) -> KeptResponses<F2> {
        KeptResponses { rules: self.rules, into_body }
    }

    /// Keeps bodies of up to so many bytes; 256 KiB by default.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.rules).max_body = bytes;
        self
    }

    /// Keeps this header too. What speaks of the connection, of one client or of the moment is not kept all the same:
    /// `Set-Cookie`, `Date`, `Connection` and their like.
    #[must_use]
    pub fn header(mut self, name: HeaderName) -> Self {
        if !NEVER.contains(&name.as_str()) {
            Arc::make_mut(&mut self.rules).headers.push(name);
        }
        self
    }

    /// Runs a request again that was answered with 500 and the like. Only for handlers that go on where they stopped.
    #[must_use]
    pub fn server_errors_have_no_effect(mut self) -> Self {
        Arc::make_mut(&mut self.rules).server_errors_are_final = false;
        self
    }
}

const NEVER: [&str; 14] = [
    "age",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Rules {
    fn effect<B>(&self, response: &Response<B>) -> Effect {
        if let Some(effect) = response.extensions().get() {
            return *effect;
        }
        if response.extensions().get().is_some_and(is_a_refusal) {
            return Effect::None;
        }
        match response.status().as_u16() {
            401 | 403 | 407 | 408 | 413 | 415 | 425 | 429 => Effect::None,
            500.. if !self.server_errors_are_final => Effect::None,
            _ => Effect::Final,
        }
    }

    /// Of a request that something was done about, and that has no answer to be told again.
    fn server_error(&self) -> Verdict {
        if !self.server_errors_are_final {
            return Verdict::NoEffect;
        }
        let (head, body) = failed().into_parts();
        let recorded =
            Recorded { status: head.status, headers: head.headers, trailers: HeaderMap::new(), body: Some(body) };
        recorded.encode().map_or(Verdict::Unknown("it cannot be written down".into()), Verdict::Final)
    }

    fn kept(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| self.headers.contains(name)) {
            // Several values of one name stay, and stay in their order.
            kept.append(name.clone(), value.clone());
        }
        kept
    }
}

/// The answer of a service that failed in the midst of it.
fn failed() -> Response<Bytes> {
    let text = r#"{"type":"urn:problem-type:buttress:idempotency-failed","title":"Failed","status":500,"detail":"The request was begun, and failed. It is not processed again."}"#;
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// Whether a layer further in kept the call from the service. What timed out did not.
fn is_a_refusal(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::CircuitOpen(_) | Rejection::RateLimited(_) | Rejection::Idempotency(_))
}

impl<F, B, E> Keep<Response<B>, E> for KeptResponses<F>
where
    F: Fn(PartlyRead<B>) -> B + Clone + Send + Sync + 'static,
    B: Body<Data: Send, Error: Send> + Send + 'static,
    E: MayCarryRejection + Send + 'static,
{
    type Future = Pin<Box<dyn Future<Output = Kept<Response<B>, E>> + Send>>;

    fn keep(&self, result: Result<Response<B>, E>) -> Self::Future {
        let Self { rules, into_body } = self.clone();
        Box::pin(async move {
            let response = match result {
                Ok(response) => response,
                Err(error) => {
                    let verdict = match error.rejection() {
                        Some(rejection) if is_a_refusal(&rejection) => Verdict::NoEffect,
                        _ => Verdict::Unknown("it failed".into()),
                    };
                    return Kept { result: Err(error), verdict };
                }
            };
            let effect = rules.effect(&response);
            if effect != Effect::Final {
                let verdict = match effect {
                    Effect::None => Verdict::NoEffect,
                    _ => Verdict::Unknown("its handler says so".into()),
                };
                return Kept { result: Ok(response), verdict };
            }
            let (head, body) = response.into_parts();
            // What follows a switch of protocols is no body, and has no end.
            let limit = if head.status.is_informational() { 0 } else { rules.max_body };
            let (body, kept, trailers) = match read(body, limit).await {
                Read::Whole { body, trailers } => {
                    (PartlyRead::whole(body.clone(), trailers.clone()), Some(body), trailers)
                }
                Read::More(body) => (body, None, HeaderMap::new()),
                Read::Cut(body) => {
                    // Something was done, and who sent the request has seen what there was of the answer.
                    let verdict = rules.server_error();
                    return Kept { result: Ok(Response::from_parts(head, into_body(body))), verdict };
                }
            };
            let recorded = Recorded { status: head.status, headers: rules.kept(&head.headers), trailers, body: kept };
            let verdict =
                recorded.encode().map_or(Verdict::Unknown("it cannot be written down".into()), Verdict::Final);
            Kept { result: Ok(Response::from_parts(head, into_body(body))), verdict }
        })
    }

    fn panicked(&self) -> Option<Kept<Response<B>, E>> {
        let (mut response, body) = failed().map(|body| PartlyRead::whole(body, HeaderMap::new())).into_parts();
        response.extensions.insert(Effect::Final);
        let result = Ok(Response::from_parts(response, (self.into_body)(body)));
        Some(Kept { result, verdict: self.rules.server_error() })
    }

    fn replay(&self, kept: Bytes) -> Result<Response<B>, Unreadable> {
        let Recorded { status, headers, trailers, body } = Recorded::decode(kept).map_err(Unreadable::new)?;
        let body = body.ok_or_else(|| Unreadable::new("it was too large to be kept"))?;
        let mut response = Response::new((self.into_body)(PartlyRead::whole(body, trailers)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}
