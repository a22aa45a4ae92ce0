use tower::layer::util::Identity;

use super::super::SendOnce;
use super::super::optional::{Optional, changed, present};
use super::{ClientStack, RetryPart};
use crate::circuit_breaker::{CircuitBreaker, CircuitBreakerLayer};
use crate::retry::{Budget, RetryLayer};

impl<F, T, R, B, A, E> ClientStack<F, T, R, B, A, E> {
    /// Answers by way of `layer`, such as a [`FallbackLayer`](crate::fallback::FallbackLayer), what the others refuse.
    pub fn fallback<F2>(self, layer: F2) -> ClientStack<F2, T, R, B, A, E> {
        let Self { total, retry, breaker, attempt, errors, .. } = self;
        ClientStack { fallback: layer, total, retry, breaker, attempt, errors }
    }

    /// Bounds a call by way of `layer`. A [`TimeoutLayer`](crate::timeout::TimeoutLayer) tells the layers inside its
    /// deadline when it is told to:
    /// `.http_client().export_with(InScope)`.
    pub fn total<T2>(self, layer: T2) -> ClientStack<F, T2, R, B, A, E> {
        let Self { fallback, retry, breaker, attempt, errors, .. } = self;
        ClientStack { fallback, total: layer, retry, breaker, attempt, errors }
    }

    /// Sends again by way of `layer`.
    pub fn retry<R2>(self, layer: R2) -> ClientStack<F, T, R2, B, A, E> {
        let Self { fallback, total, breaker, attempt, errors, .. } = self;
        ClientStack { fallback, total, retry: layer, breaker, attempt, errors }
    }

    /// Leaves the service alone by way of `layer`, such as a breaker
    /// [by key](crate::circuit_breaker::CircuitBreakerLayer::by_key).
    pub fn breaker<B2>(self, layer: B2) -> ClientStack<F, T, R, B2, A, E> {
        let Self { fallback, total, retry, attempt, errors, .. } = self;
        ClientStack { fallback, total, retry, breaker: layer, attempt, errors }
    }

    /// Bounds each attempt by way of `layer`.
    pub fn attempt<A2>(self, layer: A2) -> ClientStack<F, T, R, B, A2, E> {
        let Self { fallback, total, retry, breaker, errors, .. } = self;
        ClientStack { fallback, total, retry, breaker, attempt: layer, errors }
    }

    /// Leaves the client's error as it is, which then must be able to carry a refusal: a
    /// [`BoxError`](crate::BoxError), an [`Error`](crate::Error), or one of your own that is `From<Rejection>` and
    /// [`MayCarryRejection`](crate::MayCarryRejection).
    pub fn without_wrapping(self) -> ClientStack<F, T, R, B, A, Identity> {
        let Self { fallback, total, retry, breaker, attempt, .. } = self;
        ClientStack { fallback, total, retry, breaker, attempt, errors: Identity::new() }
    }
}

impl<F, T, R, B, A, E> ClientStack<F, Optional<T>, R, B, A, E> {
    /// Changes the total timeout, if there is one, and keeps its settings.
    pub fn total_with<T2>(self, change: impl FnOnce(T) -> T2) -> ClientStack<F, Optional<T2>, R, B, A, E> {
        let Self { fallback, total, retry, breaker, attempt, errors } = self;
        ClientStack { fallback, total: changed(total, change), retry, breaker, attempt, errors }
    }
}

impl<F, T, P, C, M, W, N, O, D, B, A, E> ClientStack<F, T, RetryPart<P, C, M, W, N, O, D>, B, A, E> {
    /// Makes of one request as many as are sent by way of [`replay`](crate::retry::Replay), for requests that cannot be
    /// cloned; see [`RetryLayer::replay`].
    #[expect(clippy::type_complexity, reason = "it is this stack, whose retry copies in another way")]
    pub fn replay<P2>(self, replay: P2) -> ClientStack<F, T, RetryPart<P2, C, M, W, N, O, D>, B, A, E>
    where
        P2: Clone + Send + Sync + 'static,
    {
        let Self { fallback, total, retry, breaker, attempt, errors } = self;
        let retry = match retry {
            Optional::Left(retry) => Optional::Left(retry.replay(replay)),
            Optional::Right(_) => Optional::Right(SendOnce::new(replay)),
        };
        ClientStack { fallback, total, retry, breaker, attempt, errors }
    }

    /// Changes the retry, if there is one, and keeps its settings. What is copied, [`replay`](Self::replay) says, as that is
    /// asked without a retry too.
    #[expect(clippy::type_complexity, reason = "it is this stack, whose retry was told more")]
    pub fn retry_with<C2, M2, W2, N2, O2, D2>(
        self,
        change: impl FnOnce(RetryLayer<P, C, M, W, N, O, D>) -> RetryLayer<P, C2, M2, W2, N2, O2, D2>,
    ) -> ClientStack<F, T, RetryPart<P, C2, M2, W2, N2, O2, D2>, B, A, E> {
        let Self { fallback, total, retry, breaker, attempt, errors } = self;
        ClientStack { fallback, total, retry: changed(retry, change), breaker, attempt, errors }
    }

    /// What retries are paid from; none where the settings say so.
    #[must_use]
    pub fn retry_budget(&self) -> Option<&Budget> {
        present(&self.retry).and_then(RetryLayer::budget)
    }
}

impl<F, T, P, C, M, W, N, O, D, C2, J, A, E>
    ClientStack<F, T, RetryPart<P, C, M, W, N, O, D>, Optional<CircuitBreakerLayer<C2, J>>, A, E>
{
    /// Learns from [`classify`](crate::Classify) what an answer means, to retry and breaker alike: such as that an error is
    /// the caller's own.
    ///
    /// ```
    /// use buttress::http::{Bridge, ClientStackConfig, StatusClassifier, client_stack};
    /// use buttress::{BoxError, Check, Classify, Error, Outcome};
    /// use http::{Request, Response};
    /// use tower::ServiceBuilder;
    ///
    /// # fn main() -> Result<(), BoxError> {
    /// let classify = |answer: Result<&Response<reqwest::Body>, &Error<reqwest::Error>>| match answer {
    ///     Err(Error::Inner(error)) if error.is_builder() => Outcome::Success, // of the service, which was not asked
    ///     answer => StatusClassifier.classify(answer),
    /// };
    /// let stack = client_stack(ClientStackConfig::new())?.classify(classify);
    /// let client = ServiceBuilder::new()
    ///     .layer(stack)
    ///     .layer(Bridge::new())
    ///     .service(reqwest::Client::new())
    ///     .check::<Request<String>>();
    /// # let _ = client;
    /// # Ok(())
    /// # }
    /// ```
    #[expect(clippy::type_complexity, reason = "it is this stack, two parts of which classify in another way")]
    pub fn classify<C3>(
        self,
        classify: C3,
    ) -> ClientStack<F, T, RetryPart<P, C3, M, W, N, O, D>, Optional<CircuitBreakerLayer<C3, J>>, A, E>
    where
        C3: Clone + Send + Sync + 'static,
    {
        let Self { fallback, total, retry, breaker, attempt, errors } = self;
        let retry = changed(retry, |retry| retry.classify(classify.clone()));
        let breaker = changed(breaker, |breaker| breaker.classify(classify));
        ClientStack { fallback, total, retry, breaker, attempt, errors }
    }
}

impl<F, T, R, B, A, E> ClientStack<F, T, R, Optional<B>, A, E> {
    /// Changes the circuit breaker, if there is one, and keeps its settings.
    pub fn breaker_with<B2>(self, change: impl FnOnce(B) -> B2) -> ClientStack<F, T, R, Optional<B2>, A, E> {
        let Self { fallback, total, retry, breaker, attempt, errors } = self;
        ClientStack { fallback, total, retry, breaker: changed(breaker, change), attempt, errors }
    }
}

impl<F, T, R, B, A, E> ClientStack<F, T, R, B, Optional<A>, E> {
    /// Changes the attempt timeout, if there is one, and keeps its settings.
    pub fn attempt_with<A2>(self, change: impl FnOnce(A) -> A2) -> ClientStack<F, T, R, B, Optional<A2>, E> {
        let Self { fallback, total, retry, breaker, attempt, errors } = self;
        ClientStack { fallback, total, retry, breaker, attempt: changed(attempt, change), errors }
    }
}

impl<F, T, R, C, J, A, E> ClientStack<F, T, R, Optional<CircuitBreakerLayer<C, J>>, A, E> {
    /// The circuit breaker, to watch it and to take a hand in it; none where the settings say so.
    #[must_use]
    pub fn circuit_breaker(&self) -> Option<&CircuitBreaker> {
        present(&self.breaker).map(CircuitBreakerLayer::breaker)
    }
}
