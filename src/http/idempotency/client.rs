use std::fmt;
use std::task::{Context, Poll};

use http::{HeaderName, HeaderValue, Method, Request};
use tower::{Layer, Service};
use uuid::Uuid;

use super::IDEMPOTENCY_KEY;
use super::key::{is_key, is_token, quoted};

/// Gives each outbound call one idempotency key, which stays the same however often the call is sent.
///
/// Put it around the [retry](crate::retry), which then sends a `POST` again as well
/// ([`IdempotentRequests`](crate::http::IdempotentRequests)): the server knows it again by its key. A request that has a key
/// already keeps it.
///
/// The key is a UUID of version 7 (RFC 9562) that is drawn for the call. A call that is made again by somebody else, after a
/// crash say, has another one; where that must not be, [derive](Self::derived) it from what is asked for.
///
/// ```
/// use std::convert::Infallible;
/// use buttress::http::IdempotencyKeyLayer;
/// use buttress::retry::{RetryConfig, RetryLayer};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), buttress::BoxError> {
/// let client = service_fn(|request: Request<String>| async move {
///     assert_eq!(request.headers()["idempotency-key"].len(), 36);
///     Ok::<_, buttress::BoxError>(Response::new(()))
/// });
/// let charge = ServiceBuilder::new()
///     .layer(IdempotencyKeyLayer::new())
///     .layer(RetryLayer::new(RetryConfig::new())?.http_client())
///     .service(client);
/// charge.oneshot(Request::post("/charges").body("100".to_owned())?).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a layer does nothing until it wraps a service"]
#[derive(Clone, Debug)]
pub struct IdempotencyKeyLayer<K = Drawn> {
    key: K,
    name: HeaderName,
    methods: Vec<Method>,
    is_quoted: bool,
}

/// In the extensions of a request whose key is not in the header that everybody knows.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct HasKey;

/// The key is drawn for the call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawn;

/// What key a call has. A closure `Fn(&Request<B>) -> Option<String>` serves.
pub trait CallKey<B> {
    /// The key, if it is to have one.
    fn call_key(&self, request: &Request<B>) -> Option<String>;
}

impl<B> CallKey<B> for Drawn {
    fn call_key(&self, _: &Request<B>) -> Option<String> {
        Some(Uuid::now_v7().to_string())
    }
}

impl<F, B> CallKey<B> for F
where
    F: Fn(&Request<B>) -> Option<String>,
{
    fn call_key(&self, request: &Request<B>) -> Option<String> {
        self(request)
    }
}

impl IdempotencyKeyLayer {
    /// Each `POST` and `PATCH` has a key of its own.
    pub fn new() -> Self {
        Self { key: Drawn, name: IDEMPOTENCY_KEY, methods: vec![Method::POST, Method::PATCH], is_quoted: false }
    }
}

impl Default for IdempotencyKeyLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> IdempotencyKeyLayer<K> {
    /// Derives the key from the request, so that whoever asks for the same sends the same key: `None` for a call that is to
    /// have none. What is not 1 to 255 visible ASCII characters and spaces is none either; what is no plain token is sent in
    /// quotes.
    pub fn derived<K2>(self, key: K2) -> IdempotencyKeyLayer<K2> {
        let Self { name, methods, is_quoted, .. } = self;
        IdempotencyKeyLayer { key, name, methods, is_quoted }
    }

    /// Sends the key in a header of this name instead of `Idempotency-Key`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.name = name;
        self
    }

    /// Gives calls of these methods a key.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// Sends the key in quotes, as the IETF's draft has it. Most servers there are want it bare.
    pub const fn quoted(mut self) -> Self {
        self.is_quoted = true;
        self
    }

    fn value(&self, key: &str) -> Option<HeaderValue> {
        if !is_key(key) {
            None
        } else if self.is_quoted || !is_token(key) {
            HeaderValue::from_maybe_shared(quoted(key)).ok()
        } else {
            HeaderValue::from_str(key).ok()
        }
    }
}

impl<S, K: Clone> Layer<S> for IdempotencyKeyLayer<K> {
    type Service = IdempotencyKeyService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyKeyService { inner, layer: self.clone() }
    }
}

/// A client that gives each call a key; made by an [`IdempotencyKeyLayer`].
#[derive(Clone)]
pub struct IdempotencyKeyService<S, K = Drawn> {
    inner: S,
    layer: IdempotencyKeyLayer<K>,
}

impl<S, K> IdempotencyKeyService<S, K> {
    /// The wrapped service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The wrapped service, to change it.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The wrapped service, unwrapped.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, K, B> Service<Request<B>> for IdempotencyKeyService<S, K>
where
    S: Service<Request<B>>,
    K: CallKey<B>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let Self { inner, layer } = self;
        if layer.methods.contains(request.method()) {
            if !request.headers().contains_key(&layer.name)
                && let Some(value) = layer.key.call_key(&request).and_then(|key| layer.value(&key))
            {
                request.headers_mut().insert(layer.name.clone(), value);
            }
            if layer.name != IDEMPOTENCY_KEY {
                let key = request.headers().get(&layer.name);
                if key.is_some_and(|key| !key.as_bytes().trim_ascii().is_empty()) {
                    request.extensions_mut().insert(HasKey);
                }
            }
        }
        inner.call(request)
    }
}

impl<S: fmt::Debug, K> fmt::Debug for IdempotencyKeyService<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyKeyService").field("inner", &self.inner).finish_non_exhaustive()
    }
}
