use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK,
    LOCATION, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;

use super::read::{PartlyRead, Read, read};
use super::record::{Recorded, encode};
use super::{REPLAYED, essence};
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
/// [`Effect`] in the response's extensions says otherwise. Of the headers and the trailers those are kept that speak of the
/// answer and not of the connection, the client or the moment; `Set-Cookie` never.
///
/// A body is read to its end before anything is sent, if that comes within 256 KiB and ten seconds. One that is longer or takes
/// longer goes to whoever sent the request as it comes, and so does at once what has no end, a `text/event-stream` or another
/// protocol; a repeated request is told that the answer was not kept. It is not run again.
#[derive(Clone, Debug)]
pub struct KeptResponses<F = NotSaid> {
    rules: Arc<Rules>,
    into_body: F,
}

#[derive(Clone, Debug)]
struct Rules {
    max_body: usize,
    read_within: Duration,
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
            GRPC_STATUS,
            GRPC_MESSAGE,
            GRPC_STATUS_DETAILS,
            GRPC_ENCODING,
        ];
        let rules =
            Rules { max_body: 256 << 10, read_within: Duration::from_secs(10), headers, server_errors_are_final: true };
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

    /// Reads a body for so long before it is handed on as it comes; 10 s by default. That is longer than it takes to write down
    /// an answer that is there, and shorter than most clients wait for its beginning.
    #[must_use]
    pub fn read_within(mut self, time: Duration) -> Self {
        Arc::make_mut(&mut self.rules).read_within = time;
        self
    }

    /// Keeps this header too, or this trailer. What speaks of the connection, of one client or of the moment is not kept all the same:
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

/// Without it no client of gRPC takes an answer for one.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

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
        verdict(encode(head.status, &head.headers, &HeaderMap::new(), Some(&body.into())))
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

fn verdict(recorded: Option<Bytes>) -> Verdict {
    recorded.map_or_else(|| Verdict::Unknown("it cannot be written down".into()), Verdict::Final)
}

/// Whether what follows has no end, as far as the head says: a switch of protocols is followed by no body.
fn is_endless(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).map(|kind| essence(kind.as_bytes()));
    head.status.is_informational() || kind.is_some_and(|kind| kind == b"text/event-stream")
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
            let read = if is_endless(&head) {
                Read::More(PartlyRead::unread(body))
            } else {
                read(body, rules.max_body, rules.read_within).await
            };
            let headers = rules.kept(&head.headers);
            let (body, verdict) = match read {
                Read::Whole { body, trailers } => {
                    match encode(head.status, &headers, &rules.kept(&trailers), Some(&body)) {
                        // The record has the body at its end; there need not be two of it.
                        Some(recorded) => {
                            let body = recorded.slice(recorded.len() - body.len()..);
                            (PartlyRead::whole(body, trailers), Verdict::Final(recorded))
                        }
                        None => (PartlyRead::whole(body, trailers), verdict(None)),
                    }
                }
                Read::More(body) | Read::Slow(body) => {
                    (body, verdict(encode(head.status, &headers, &HeaderMap::new(), None)))
                }
                // Something was done, and who sent the request has seen what there was of the answer.
                Read::Cut(body) => (body, rules.server_error()),
            };
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
