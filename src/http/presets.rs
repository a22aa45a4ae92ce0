use super::{
    AsResponse, CacheKey, CachedResponses, IdempotentRequests, InExtensions, RateLimitHeaders, StatusClassifier,
    StoredResponse,
};
use crate::cache_fallback::CacheFallbackLayer;
use crate::circuit_breaker::{CircuitBreakerLayer, KeyedCircuitBreakerLayer};
use crate::fallback::FallbackLayer;
use crate::rate_limit::RateLimitLayer;
use crate::rejection::AsError;
use crate::retry::RetryLayer;
use crate::timeout::TimeoutLayer;

impl<L, D, R, X> TimeoutLayer<L, D, R, X> {
    /// For a server: refuses with a response ([`AsResponse`]) and keeps to the deadline in the request's extensions or in
    /// scope ([`InExtensions`]).
    pub fn http_server(self) -> TimeoutLayer<L, InExtensions, AsResponse, X> {
        self.deadline_of(InExtensions).reject_with(AsResponse::new())
    }

    /// For a client: refuses with the client's error ([`AsError`]) and keeps to the deadline in the request's
    /// extensions or in scope ([`InExtensions`]).
    pub fn http_client(self) -> TimeoutLayer<L, InExtensions, AsError, X> {
        self.deadline_of(InExtensions).reject_with(AsError)
    }

    /// Writes the deadline of each call into the request's extensions and puts the call into its
    /// [`scope`](crate::Deadline::scope), so that clients called by the handler keep to it without being told.
    ///
    /// It allocates, and the limit then counts from the call. The deadline is the earlier of the request's own and this
    /// layer's limit, and whoever reads it keeps to it: a [`BodyDeadline`](crate::http::BodyDeadline) inside ends with it
    /// too, although the layer itself ends with the response head.
    pub fn export_deadline(self) -> TimeoutLayer<L, D, R, InExtensions> {
        self.export_with(InExtensions)
    }
}

impl<A, C, M, K, W> FallbackLayer<A, C, M, K, W> {
    /// For a server: reads failures from the status ([`StatusClassifier`]) and leaves
    /// [`Degraded`](crate::Degraded) in the response's extensions ([`InExtensions`]).
    pub fn http_server(self) -> FallbackLayer<A, StatusClassifier, InExtensions, K, W> {
        self.classify(StatusClassifier).mark_with(InExtensions)
    }

    /// For a client: the same as [`http_server`](Self::http_server), since a fallback never refuses.
    pub fn http_client(self) -> FallbackLayer<A, StatusClassifier, InExtensions, K, W> {
        self.http_server()
    }
}

impl<R, C, M> CacheFallbackLayer<CacheKey, StoredResponse, R, C, M> {
    /// For a server: remembers `responses`, reads failures from the status ([`StatusClassifier`]), and leaves
    /// [`Degraded`](crate::Degraded) in the extensions of a response from memory ([`InExtensions`]). `into_body` makes the
    /// service's body of one that is copied as it passes, such as axum's `Body::new`.
    pub fn http_server<S, F>(
        self,
        responses: CachedResponses<S>,
        into_body: F,
    ) -> CacheFallbackLayer<CacheKey, StoredResponse, CachedResponses<S, F>, StatusClassifier, InExtensions>
    where
        S: Clone + Send + Sync + 'static,
        F: Clone + Send + Sync + 'static,
    {
        self.http_client(responses.of_server(), into_body)
    }

    /// For a client: the same as [`http_server`](Self::http_server), but that the scheme of a request counts.
    ///
    /// Nobody but a client can make its own bodies, such as hyper's `Incoming`. Give its responses another one right before
    /// `.service(client)`: `.map_response(|response: Response<_>| response.map(axum::body::Body::new))`.
    pub fn http_client<S, F>(
        self,
        responses: CachedResponses<S>,
        into_body: F,
    ) -> CacheFallbackLayer<CacheKey, StoredResponse, CachedResponses<S, F>, StatusClassifier, InExtensions>
    where
        S: Clone + Send + Sync + 'static,
        F: Clone + Send + Sync + 'static,
    {
        self.remember(responses.into_body(into_body)).classify(StatusClassifier).mark_with(InExtensions)
    }
}

impl<C, R> CircuitBreakerLayer<C, R> {
    /// For a server: reads failures from the status ([`StatusClassifier`]) and refuses with a response ([`AsResponse`]).
    pub fn http_server(self) -> CircuitBreakerLayer<StatusClassifier, AsResponse> {
        self.classify(StatusClassifier).reject_with(AsResponse::new())
    }

    /// For a client: reads failures from the status ([`StatusClassifier`]) and refuses with the client's error
    /// ([`AsError`]).
    pub fn http_client(self) -> CircuitBreakerLayer<StatusClassifier, AsError> {
        self.classify(StatusClassifier).reject_with(AsError)
    }
}

impl<K, F, C, R> KeyedCircuitBreakerLayer<K, F, C, R> {
    /// For a server: reads failures from the status ([`StatusClassifier`]) and refuses with a response ([`AsResponse`]).
    pub fn http_server(self) -> KeyedCircuitBreakerLayer<K, F, StatusClassifier, AsResponse> {
        self.classify(StatusClassifier).reject_with(AsResponse::new())
    }

    /// For a client: reads failures from the status ([`StatusClassifier`]) and refuses with the client's error
    /// ([`AsError`]).
    pub fn http_client(self) -> KeyedCircuitBreakerLayer<K, F, StatusClassifier, AsError> {
        self.classify(StatusClassifier).reject_with(AsError)
    }
}

impl<L, C, R, A, D, W> RateLimitLayer<L, C, R, A, D, W> {
    /// For a server: refuses with a response, 429 with `Retry-After` ([`AsResponse`]). Where calls wait, none does beyond the
    /// deadline in its extensions or in scope ([`InExtensions`]).
    pub fn http_server(self) -> RateLimitLayer<L, C, AsResponse, A, InExtensions, W> {
        self.reject_with(AsResponse::new()).deadline_of(InExtensions)
    }

    /// For a client: refuses with the client's error ([`AsError`]). Where calls wait, none does beyond the deadline in its
    /// extensions or in scope ([`InExtensions`]).
    pub fn http_client(self) -> RateLimitLayer<L, C, AsError, A, InExtensions, W> {
        self.reject_with(AsError).deadline_of(InExtensions)
    }

    /// Tells the caller with every answer how the limiters stand, in the header fields `RateLimit` and `RateLimit-Policy`
    /// ([`RateLimitHeaders`]).
    pub fn rate_limit_headers(self) -> RateLimitLayer<L, C, R, RateLimitHeaders, D, W> {
        self.announce(RateLimitHeaders)
    }
}

/// A retry as the presets make it.
type HttpRetry<P, W, N> = RetryLayer<P, StatusClassifier, IdempotentRequests, W, N, InExtensions, InExtensions>;

impl<P, C, M, W, N, A, D> RetryLayer<P, C, M, W, N, A, D> {
    /// For a server: the same as [`http_client`](Self::http_client), since a retry never refuses.
    pub fn http_server(self) -> HttpRetry<P, W, N> {
        self.http_client()
    }

    /// For a client: reads failures and hints from the response ([`StatusClassifier`]), repeats what is idempotent
    /// ([`IdempotentRequests`]), tells requests which attempt they are and keeps to the deadline in their extensions or in
    /// scope ([`InExtensions`]).
    pub fn http_client(self) -> HttpRetry<P, W, N> {
        self.classify(StatusClassifier)
            .may_repeat(IdempotentRequests)
            .on_attempt(InExtensions)
            .deadline_of(InExtensions)
    }
}
