use http::{HeaderMap, Method, Request};

use super::idempotency::HasKey;
use crate::attempt::Attempt;
use crate::retry::MayRepeat;

/// Sends only those requests again that do no more when they come twice: with an idempotent method (RFC 9110, section
/// 9.2.2), or with an `Idempotency-Key`, by which the server knows them again, or one that an
/// [`IdempotencyKeyLayer`](crate::http::IdempotencyKeyLayer) has put into another header.
///
/// ```
/// use buttress::http::IdempotentRequests;
/// use buttress::retry::MayRepeat;
/// use http::Request;
///
/// let read = Request::get("/orders/7").body(()).unwrap();
/// let order = Request::post("/orders").body(()).unwrap();
/// let known = Request::post("/orders").header("idempotency-key", "order-7").body(()).unwrap();
/// assert!(IdempotentRequests.may_repeat(&read));
/// assert!(!IdempotentRequests.may_repeat(&order));
/// assert!(IdempotentRequests.may_repeat(&known));
/// ```
///
/// A request that has an [`Attempt`] in its extensions is a part of that one: by [`InExtensions`](crate::http::InExtensions)
/// of a retry further out, or because a server passes on what it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdempotentRequests;

impl IdempotentRequests {
    /// Whether a request with this method and these headers is one; for clients whose requests are not those of `http`.
    #[must_use]
    pub fn contain(self, method: &Method, headers: &HeaderMap) -> bool {
        method.is_idempotent()
            || headers.get("idempotency-key").is_some_and(|key| !key.as_bytes().trim_ascii().is_empty())
    }
}

impl<B> MayRepeat<Request<B>> for IdempotentRequests {
    fn may_repeat(&self, request: &Request<B>) -> bool {
        self.contain(request.method(), request.headers()) || request.extensions().get::<HasKey>().is_some()
    }

    fn attempt_of(&self, request: &Request<B>) -> Attempt {
        let own = request.extensions().get().copied();
        own.max(Attempt::current()).unwrap_or(Attempt::FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_repeated_as_rfc_9110_says() {
        let repeats = |method: &str| {
            let request = Request::builder().method(method).body(()).expect("a method");
            IdempotentRequests.may_repeat(&request)
        };
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(repeats(method), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PURGE"] {
            assert!(!repeats(method), "{method}");
        }
    }

    #[test]
    fn a_key_makes_any_method_repeatable_and_an_empty_one_none() {
        let post = |key: &str| Request::post("/").header("Idempotency-Key", key).body(()).expect("a key");
        assert!(IdempotentRequests.may_repeat(&post("8e03978e-40d5-43dd-bc93-6894a57f9324")));
        assert!(!IdempotentRequests.may_repeat(&post(" ")));
    }

    #[tokio::test]
    async fn the_later_of_the_attempts_that_a_request_is_part_of_counts() {
        let second = Attempt::FIRST.next();
        let plain = Request::new(());
        let mut marked = Request::new(());
        marked.extensions_mut().insert(second);
        assert_eq!(IdempotentRequests.attempt_of(&plain), Attempt::FIRST);
        assert_eq!(IdempotentRequests.attempt_of(&marked), second);
        let inside = async { [&plain, &marked].map(|request| IdempotentRequests.attempt_of(request)) };
        assert_eq!(second.next().scope(inside).await, [second.next(); 2]);
    }
}
