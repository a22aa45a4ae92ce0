//! A customer's HTTP client.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AGE, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER};
use hyper::http::request;
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tower::BoxError;

use crate::catalogue::Product;
use crate::record::{Heard, Log, Said, Shown};

/// It keeps its connection from one order to the next, unless something went wrong.
pub(super) struct Client {
    shop: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// The answer to an order.
pub(super) struct Reply {
    pub(super) heard: Heard,
    /// When to come back, if it says so.
    pub(super) retry_after: Option<Duration>,
}

impl Reply {
    pub(super) fn is_running(&self) -> bool {
        self.heard.said == Said::Running
    }

    /// Whether the shop had the order already.
    pub(super) fn is_of_another(&self) -> bool {
        self.is_running() || self.heard.is_replay
    }
}

impl Client {
    pub(super) const fn new(shop: SocketAddr) -> Self {
        Self { shop, connection: None }
    }

    /// Sends an order, and reads the answer to its end. Dropped before that, it closes the connection.
    pub(super) async fn order(&mut self, number: usize, log: &Log) -> Result<Reply, BoxError> {
        let order = json!({ "order_no": number.to_string(), "cents": 1999 });
        let request = Request::post("/orders").header(CONTENT_TYPE, "application/json");
        let (head, text) = self.send(request, Full::from(order.to_string())).await?;
        let retry_after = retry_after(&head.headers);
        let mut digest = DefaultHasher::new();
        (head.status, text).hash(&mut digest);
        let heard = Heard {
            at: log.now(),
            said: meaning(head.status, retry_after.is_some()),
            is_replay: head.headers.get("idempotency-replayed").is_some_and(|value| value == "true"),
            digest: digest.finish(),
        };
        Ok(Reply { heard, retry_after })
    }

    /// Reads a product.
    pub(super) async fn read(&mut self, id: u32, log: &Log) -> Result<Shown, BoxError> {
        let (head, text) = self.send(Request::get(format!("/products/{id}")), Full::default()).await?;
        let at = log.now();
        let product: Product = serde_json::from_slice(&text)?;
        if head.status != StatusCode::OK || product.id != id {
            return Err(format!("{} with product {}", head.status, product.id).into());
        }
        Ok(Shown { as_of: product.as_of, at, is_marked: is_marked(&head.headers) })
    }

    async fn send(&mut self, request: request::Builder, body: Full<Bytes>) -> Result<(Parts, Bytes), BoxError> {
        self.connect().await?;
        let mut connection = self.connection.take().expect("it is connected");
        connection.ready().await?;
        let request = request.header(HOST, self.shop.to_string()).body(body)?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        let text = body.collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok((head, text))
    }

    /// Makes sure that there is a connection, as far as it can tell.
    pub(super) async fn connect(&mut self) -> Result<(), BoxError> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.shop).await?;
            stream.set_nodelay(true)?;
            let (connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driver);
            self.connection = Some(connection);
        }
        Ok(())
    }
}

const fn meaning(status: StatusCode, told_when: bool) -> Said {
    match status {
        StatusCode::CREATED => Said::Paid,
        StatusCode::ACCEPTED => Said::PayLater,
        StatusCode::TOO_MANY_REQUESTS => Said::Limited { told_when },
        StatusCode::CONFLICT if told_when => Said::Running,
        StatusCode::SERVICE_UNAVAILABLE if told_when => Said::Unavailable,
        StatusCode::GATEWAY_TIMEOUT => Said::Unavailable,
        _ => Said::Failed,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_marked(headers: &HeaderMap) -> bool {
    let status = headers.get("cache-status").and_then(|status| status.to_str().ok());
    headers.contains_key(AGE) && status.is_some_and(|status| status.contains("stale-if-error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_an_age_and_what_it_stands_in_for() {
        let headers = |lines: &[(&'static str, &'static str)]| {
            lines.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
        };
        let stale = ("cache-status", "products; fwd=stale; fwd-status=503; detail=stale-if-error");
        assert!(is_marked(&headers(&[("age", "0"), stale])));
        for unmarked in [&[stale][..], &[("age", "0")], &[("age", "0"), ("cache-status", "products; hit")], &[]] {
            assert!(!is_marked(&headers(unmarked)), "{unmarked:?}");
        }
    }
}
