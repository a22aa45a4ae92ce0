//! What goes wrong, as an `application/problem+json` answer (RFC 9457).

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use buttress::http::Effect;
use buttress::{BoxError, Rejection};
use serde_json::json;

use crate::client::ClientError;

#[derive(Debug)]
pub(crate) enum Problem {
    /// The request made no sense.
    BadRequest(String),
    /// The idempotency key was used before, for something else.
    KeyReused,
    NoSuchOrder,
    NoSuchProduct,
    /// Another run of the order has it now.
    TakenOver,
    /// Somebody we depend on failed.
    BadGateway(String),
    /// The order book is not reached, and nobody knows what it says.
    BookClosed(BoxError),
    /// A layer of ours said no; `buttress` knows what to answer.
    Refused(Rejection),
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let effect = match self {
            // Nothing was done: put right, it may have the number that it had.
            Self::BadRequest(_) => Some(Effect::None),
            Self::BookClosed(_) | Self::TakenOver => Some(Effect::Unknown),
            _ => None,
        };
        let (status, title, detail) = match self {
            Self::BadRequest(detail) => (StatusCode::BAD_REQUEST, "Bad request", detail),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "Key reused",
                "The idempotency key belongs to another charge.".into(),
            ),
            Self::NoSuchOrder => (StatusCode::NOT_FOUND, "No such order", "It was never placed here.".into()),
            Self::NoSuchProduct => (StatusCode::NOT_FOUND, "No such product", "It is not sold here.".into()),
            Self::TakenOver => (StatusCode::CONFLICT, "Taken over", "It took too long, and is run again.".into()),
            Self::BadGateway(detail) => (StatusCode::BAD_GATEWAY, "Bad gateway", detail),
            Self::BookClosed(error) => (StatusCode::INTERNAL_SERVER_ERROR, "No order book", error.to_string()),
            Self::Refused(rejection) => return buttress::http::response(rejection).map(Body::from),
        };
        let body = json!({ "title": title, "status": status.as_u16(), "detail": detail });
        let mut response = (status, body.to_string()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(effect) = effect {
            response.extensions_mut().insert(effect);
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        match error {
            buttress::Error::Rejected(rejection) => Self::Refused(rejection),
            buttress::Error::Inner(_) => {
                Self::BadGateway("A server that the shop depends on cannot be reached.".into())
            }
        }
    }
}
