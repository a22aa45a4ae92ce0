use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, ETAG, LAST_MODIFIED, LINK,
    LOCATION, VARY,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, Response};

use super::Effect;
use crate::http::AsResponse;
use crate::http::content_type::is_event_stream;
use crate::http::idempotency::REPLAYED;
use crate::idempotency::Execution;
use crate::rejection::Rejection;
use crate::superseded;

/// What becomes of which response.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) max_body: usize,
    pub(super) read_within: Duration,
    pub(super) headers: Vec<HeaderName>,
    pub(super) server_errors_are_final: bool,
    /// What a response that is told again is marked with.
    pub(super) replayed: HeaderName,
    pub(super) refuse: AsResponse,
}

impl Rules {
    pub(super) fn new() -> Self {
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
            // Without a status no client of gRPC takes an answer for one.
            HeaderName::from_static("grpc-encoding"),
            HeaderName::from_static("grpc-message"),
            HeaderName::from_static("grpc-status"),
            HeaderName::from_static("grpc-status-details-bin"),
        ];
        Self {
            max_body: 256 << 10,
            read_within: Duration::from_secs(10),
            headers,
            server_errors_are_final: true,
            replayed: REPLAYED,
            refuse: AsResponse::new(),
        }
    }

    pub(super) fn effect<B>(&self, response: &Response<B>) -> Effect {
        if let Some(effect) = response.extensions().get() {
            return *effect;
        }
        match response.extensions().get() {
            Some(rejection) if was_not_called(rejection) => return self.nothing_came_of_it(),
            // The service was cut off in the midst of it, whatever status says so.
            Some(Rejection::Elapsed(_)) => return self.server_error(),
            _ => {}
        }
        match response.status().as_u16() {
            401 | 403 | 407 | 408 | 413 | 415 | 425 | 429 => self.nothing_came_of_it(),
            500.. => self.server_error(),
            _ => Effect::Final,
        }
    }

    /// Nothing, unless this was answered after another call, of which something may have come.
    fn nothing_came_of_it(&self) -> Effect {
        if superseded::any() { self.server_error() } else { Effect::None }
    }

    /// What was done in a transaction is undone then.
    pub(super) fn server_error(&self) -> Effect {
        if self.server_errors_are_final && !Execution::current_is_in_transaction() {
            Effect::Final
        } else {
            Effect::None
        }
    }

    pub(super) fn kept(&self, headers: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for (name, value) in headers.iter().filter(|(name, _)| self.headers.contains(name)) {
            // Several values of one name stay, and stay in their order.
            kept.append(name.clone(), value.clone());
        }
        kept
    }
}

/// Whether a layer further in kept the call from the service.
pub(super) const fn was_not_called(rejection: &Rejection) -> bool {
    match rejection {
        Rejection::Elapsed(elapsed) => !elapsed.was_called(),
        Rejection::CircuitOpen(_) | Rejection::RateLimited(_) => true,
        Rejection::Idempotency(refused) => !refused.reason().was_run(),
    }
}

/// Whether what follows has no end, as far as the head says: a switch of protocols is followed by no body.
pub(super) fn is_endless(head: &Parts) -> bool {
    head.status.is_informational() || is_event_stream(&head.headers)
}

/// The names of headers that are never told again, or how they begin, each with whom or what it speaks of.
const NEVER: [(&str, About); 34] = [
    ("access-control-", About::Client),
    ("authentication-info", About::Client),
    ("authorization", About::Client),
    ("cookie", About::Client),
    ("proxy-authenticate", About::Client),
    ("proxy-authentication-info", About::Client),
    ("proxy-authorization", About::Client),
    ("set-cookie", About::Client),
    ("set-cookie2", About::Client),
    ("timing-allow-origin", About::Client),
    ("www-authenticate", About::Client),
    ("connection", About::Connection),
    ("content-length", About::Connection),
    ("keep-alive", About::Connection),
    ("proxy-connection", About::Connection),
    ("te", About::Connection),
    ("trailer", About::Connection),
    ("transfer-encoding", About::Connection),
    ("upgrade", About::Connection),
    ("age", About::Moment),
    ("b3", About::Moment),
    ("baggage", About::Moment),
    ("date", About::Moment),
    ("ratelimit", About::Moment),
    ("ratelimit-", About::Moment),
    ("server-timing", About::Moment),
    ("traceparent", About::Moment),
    ("traceresponse", About::Moment),
    ("tracestate", About::Moment),
    ("x-b3-", About::Moment),
    ("x-correlation-id", About::Moment),
    ("x-rate-limit-", About::Moment),
    ("x-ratelimit-", About::Moment),
    ("x-request-id", About::Moment),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Client,
    Connection,
    Moment,
}

/// Whether a header may be told again at all.
pub(super) fn check(name: &HeaderName) -> Result<(), InvalidKeptHeader> {
    let is_meant = |never: &str| name == never || (never.ends_with('-') && name.as_str().starts_with(never));
    match NEVER.iter().find(|(never, _)| is_meant(never)) {
        Some((_, about)) => Err(InvalidKeptHeader { name: name.clone(), about: *about }),
        None => Ok(()),
    }
}

/// A header that cannot be kept of a response, since told again it would be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidKeptHeader {
    name: HeaderName,
    about: About,
}

impl InvalidKeptHeader {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }
}

impl fmt::Display for InvalidKeptHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_what = match self.about {
            About::Client => "concerns one client",
            About::Connection => "concerns one connection",
            About::Moment => "concerns the moment at which it is sent",
        };
        write!(f, "the header `{}` {of_what}, and cannot be kept of a response", self.name)
    }
}

impl Error for InvalidKeptHeader {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_by_default_may_be_kept() {
        assert_eq!(Rules::new().headers.iter().map(check).collect::<Vec<_>>(), [const { Ok(()) }; 14]);
    }

    #[test]
    fn what_is_of_one_client_one_connection_or_one_moment_is_not_kept() {
        for (name, why) in [
            ("set-cookie", "the header `set-cookie` concerns one client, and cannot be kept of a response"),
            (
                "access-control-allow-origin",
                "the header `access-control-allow-origin` concerns one client, and cannot be kept of a response",
            ),
            ("te", "the header `te` concerns one connection, and cannot be kept of a response"),
            (
                "x-ratelimit-remaining",
                "the header `x-ratelimit-remaining` concerns the moment at which it is sent, and cannot be kept of a response",
            ),
        ] {
            let invalid = check(&HeaderName::from_static(name)).expect_err(name);
            assert_eq!((invalid.name().as_str(), &*invalid.to_string()), (name, why));
        }
        for name in ["retry-after", "x-checksum", "date-of-birth", "b3-b3", "ratelimited", "tea"] {
            assert_eq!(check(&HeaderName::from_static(name)), Ok(()), "{name}");
        }
    }
}
