mod rules;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body;

pub use self::rules::InvalidKeptHeader;
use self::rules::{Rules, check, is_endless, was_not_called};
use super::record::{Recorded, encode};
use crate::http::AsResponse;
use crate::http::partly_read::{PartlyRead, Read, read};
use crate::idempotency::{Execution, Keep, Kept, NotSaid, Unreadable, Verdict};
use crate::rejection::MayCarryRejection;
use crate::superseded;

/// What a handler says of its response, in its extensions, where the status does not say it: whether it is the answer to
/// repeated requests as well.
///
/// A customer who is told that a form is wrong corrects it, and sends it under the same key: that is another request then, and
/// refused. Let such an answer have no effect.
///
/// ```
/// use axum::Extension;
/// use axum::http::StatusCode;
/// use axum::response::IntoResponse;
/// use buttress::http::Effect;
///
/// async fn order(form: String) -> impl IntoResponse {
///     match form.parse::<u32>() {
///         Ok(pieces) => (StatusCode::CREATED, Extension(Effect::Final), format!("{pieces} pieces")),
///         Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, Extension(Effect::None), error.to_string()),
///     }
/// }
/// # let _ = order;
/// ```
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
/// | a refusal by a breaker, a limiter or this layer inside, or by a timeout that came too late to call | is run |
/// | one of these after a retry or a fallback inside has made another call, also one that only reads | is told it again |
/// | 500 in the place of a panic, since it is not known to have done nothing | is told it again |
/// | an error of the service, instead of a response | is told that nobody knows what came of it |
/// | any other, 500 and the like as well, and that of a timeout inside which cut a call off, whatever its status | is told it again |
///
/// [`Effect`] in the response's extensions says otherwise, and must, where a handler has done something already and then passes
/// on such a refusal of something that it called. Of the headers and the trailers those are kept that speak of the
/// answer and not of the connection, the client or the moment; `Set-Cookie` never.
///
/// A body is read to its end before anything is sent, if that comes within 256 KiB and ten seconds. One that is longer or takes
/// longer goes to whoever sent the request as it comes, and so does at once what has no end, a `text/event-stream` or another
/// protocol. A repeated request is told then that the answer was not kept, with the `Location` it had. It is not run again.
#[derive(Clone, Debug)]
pub struct KeptResponses<F = NotSaid> {
    rules: Arc<Rules>,
    into_body: F,
}

impl KeptResponses {
    /// As the table has it. It has yet to be told how to make a [body](Self::into_body) of one that was read.
    #[must_use]
    pub fn new() -> Self {
        Self { rules: Arc::new(Rules::new()), into_body: NotSaid }
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

    /// Keeps this header too, or this trailer.
    ///
    /// # Errors
    ///
    /// [`InvalidKeptHeader`] for one that speaks of the connection, of one client or of the moment: `Set-Cookie`, `Date`,
    /// `Connection`, `RateLimit` and their like.
    pub fn header(mut self, name: HeaderName) -> Result<Self, InvalidKeptHeader> {
        check(&name)?;
        Arc::make_mut(&mut self.rules).headers.push(name);
        Ok(self)
    }

    /// Marks a response that is told again by a header of this name; `idempotency-replayed` by default, and `true` in any case.
    /// A handler's own header of that name is taken away.
    #[must_use]
    pub fn replayed_header(mut self, name: HeaderName) -> Self {
        Arc::make_mut(&mut self.rules).replayed = name;
        self
    }

    /// Says what became of a request in a response that `refuse` makes, where there is none of its own: its answer was not
    /// kept, or its handler panicked or broke off.
    #[must_use]
    pub fn refuse_with(mut self, refuse: AsResponse) -> Self {
        Arc::make_mut(&mut self.rules).refuse = refuse;
        self
    }

    /// Runs a request again that was answered with 500 and the like. Only for handlers that go on where they stopped.
    #[must_use]
    pub fn server_errors_have_no_effect(mut self) -> Self {
        Arc::make_mut(&mut self.rules).server_errors_are_final = false;
        self
    }
}

fn verdict(recorded: Option<Bytes>) -> Verdict {
    recorded.map_or_else(|| Verdict::Unknown("it cannot be written down".into()), Verdict::Final)
}

impl Rules {
    /// Of a request that something was done about, and that has no answer to be told again.
    fn failed(&self, effect: Effect) -> Verdict {
        if effect != Effect::Final {
            return Verdict::NoEffect;
        }
        let (head, body) = self.refuse.failed::<Bytes>(effect == Effect::Final).into_parts();
        verdict(encode(head.status, &head.headers, &HeaderMap::new(), Some(&body.into())))
    }
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
            let mut response = match result {
                Ok(response) => response,
                Err(error) => {
                    let verdict = match error.rejection() {
                        Some(rejection) if was_not_called(&rejection) && !superseded::any() => Verdict::NoEffect,
                        _ if Execution::current_is_in_transaction() => Verdict::NoEffect,
                        _ => Verdict::Unknown("it failed".into()),
                    };
                    return Kept { result: Err(error), verdict };
                }
            };
            // Only we say so.
            response.headers_mut().remove(&rules.replayed);
            let effect = rules.effect(&response);
            if effect != Effect::Final {
                let verdict = match effect {
                    Effect::None => Verdict::NoEffect,
                    _ => Verdict::Unknown("its handler says so".into()),
                };
                return Kept { result: Ok(response), verdict };
            }
            if response.status().is_server_error() {
                Execution::roll_back_current();
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
                Read::Cut(body) => {
                    Execution::roll_back_current();
                    let effect = head.extensions.get().copied().unwrap_or_else(|| rules.server_error());
                    (body, rules.failed(effect))
                }
            };
            Kept { result: Ok(Response::from_parts(head, into_body(body))), verdict }
        })
    }

    fn panicked(&self) -> Option<Kept<Response<B>, E>> {
        let Self { rules, into_body } = self;
        let effect = rules.server_error();
        let mut response = rules
            .refuse
            .failed::<Bytes>(effect == Effect::Final)
            .map(|body| into_body(PartlyRead::whole(body, HeaderMap::new())));
        response.extensions_mut().insert(effect);
        Some(Kept { result: Ok(response), verdict: rules.failed(effect) })
    }

    fn replay(&self, kept: Bytes) -> Result<Response<B>, Unreadable> {
        let Self { rules, into_body } = self;
        let Recorded { status, mut headers, trailers, body } = Recorded::decode(kept).map_err(Unreadable::new)?;
        let Some(body) = body else {
            let mut response = rules.refuse.not_replayable::<Bytes>();
            if let Some(location) = headers.remove(LOCATION) {
                response.headers_mut().insert(LOCATION, location);
            }
            return Ok(response.map(|body| into_body(PartlyRead::whole(body, HeaderMap::new()))));
        };
        let mut response = Response::new(into_body(PartlyRead::whole(body, trailers)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().insert(rules.replayed.clone(), HeaderValue::from_static("true"));
        Ok(response)
    }
}
