use std::fmt;
use std::sync::Arc;

use tower::Layer;

use super::config::{
    Asynchronous, Backup, FallbackConfig, Function, InvalidFallback, NoSubstitute, NoSummary, Value, When,
};
use super::future::Plan;
use super::service::Fallback;
use crate::outcome::{ErrorsAreFailures, Failure, Unmarked};

/// Answers something else when a call fails; [the module](super) tells the whole story.
///
/// The presets [`http_server`](Self::http_server) and [`http_client`](Self::http_client) choose for HTTP what the
/// setters choose one by one; use them first, then change what differs.
#[must_use = "a layer does nothing until it wraps a service"]
pub struct FallbackLayer<A = NoSubstitute, C = ErrorsAreFailures, M = Unmarked, K = NoSummary> {
    config: FallbackConfig,
    when: When,
    substitute: Arc<A>,
    classify: C,
    mark: M,
    summary: K,
}

impl FallbackLayer {
    /// A fallback with these settings, which yet has to be told what to answer.
    ///
    /// # Errors
    ///
    /// [`InvalidFallback`] says which setting cannot work.
    pub fn new(config: FallbackConfig) -> Result<Self, InvalidFallback> {
        config.check()?;
        Ok(Self::with_checked(config))
    }

    fn with_checked(config: FallbackConfig) -> Self {
        Self {
            config,
            when: When::Listed,
            substitute: Arc::new(NoSubstitute),
            classify: ErrorsAreFailures,
            mark: Unmarked,
            summary: NoSummary,
        }
    }
}

impl Default for FallbackLayer {
    /// A fallback with the settings of [`FallbackConfig::new`], which yet has to be told what to answer.
    fn default() -> Self {
        Self::with_checked(FallbackConfig::new())
    }
}

impl<A, C, M, K> FallbackLayer<A, C, M, K> {
    /// Answers a clone of `value`.
    pub fn value<T>(self, value: T) -> FallbackLayer<Value<T>, C, M, K>
    where
        T: Send + Sync + 'static,
    {
        self.substitute(Value(value))
    }

    /// Answers what `function` makes of the failure, as in `|failed: Failed<_, _>| Ok(..)`.
    pub fn with<F>(self, function: F) -> FallbackLayer<Function<F>, C, M, K>
    where
        F: Send + Sync + 'static,
    {
        self.substitute(Function(function))
    }

    /// Answers what `function` makes of the failure, which may wait: `|failed: Failed<_, _>| async { Ok(..) }`.
    pub fn with_async<F>(self, function: F) -> FallbackLayer<Asynchronous<F>, C, M, K>
    where
        F: Send + Sync + 'static,
    {
        self.substitute(Asynchronous(function))
    }

    /// Answers what `backup` says to the request that `request` makes of the original one before the call
    /// (`Clone::clone` where the original can be cloned).
    ///
    /// A clone of `backup` is made ready and called for each failure; its error is the call's error.
    pub fn with_service<S, F>(self, backup: S, request: F) -> FallbackLayer<Backup<S>, C, M, F>
    where
        S: Send + Sync + 'static,
        F: Clone + Send + Sync + 'static,
    {
        self.summary(request).substitute(Backup(backup))
    }

    fn substitute<A2>(self, substitute: A2) -> FallbackLayer<A2, C, M, K> {
        let Self { config, when, classify, mark, summary, .. } = self;
        FallbackLayer { config, when, substitute: Arc::new(substitute), classify, mark, summary }
    }

    /// Keeps of each request, before the call, what the substitute needs to know of it; it finds that in
    /// [`Failed::summary`](super::Failed::summary).
    ///
    /// Nothing is kept unless asked for: it costs every call.
    pub fn summary<K2>(self, summary: K2) -> FallbackLayer<A, C, M, K2>
    where
        K2: Clone + Send + Sync + 'static,
    {
        let Self { config, when, substitute, classify, mark, .. } = self;
        FallbackLayer { config, when, substitute, classify, mark, summary }
    }

    /// Stands in for the failures that `predicate` says, whatever their kind.
    pub fn when(mut self, predicate: impl Fn(&Failure) -> bool + Send + Sync + 'static) -> Self {
        self.when = When::Said(Arc::new(predicate));
        self
    }

    /// Learns from [`classify`](crate::outcome::Classify) what a result means.
    pub fn classify<C2>(self, classify: C2) -> FallbackLayer<A, C2, M, K>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { config, when, substitute, mark, summary, .. } = self;
        FallbackLayer { config, when, substitute, classify, mark, summary }
    }

    /// Marks substitutes by way of [`mark`](crate::outcome::MarkDegraded).
    pub fn mark_with<M2>(self, mark: M2) -> FallbackLayer<A, C, M2, K>
    where
        M2: Clone + Send + Sync + 'static,
    {
        let Self { config, when, substitute, classify, summary, .. } = self;
        FallbackLayer { config, when, substitute, classify, mark, summary }
    }
}

impl<S, A, C, M, K> Layer<S> for FallbackLayer<A, C, M, K>
where
    C: Clone,
    M: Clone,
    K: Clone,
{
    type Service = Fallback<S, A, C, M, K>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { config, when, substitute, classify, mark, summary } = self.clone();
        let plan = Arc::new(Plan { config, when, substitute });
        Fallback { inner, plan, classify, mark, summary }
    }
}

impl<A, C: Clone, M: Clone, K: Clone> Clone for FallbackLayer<A, C, M, K> {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            when: self.when.clone(),
            substitute: self.substitute.clone(),
            classify: self.classify.clone(),
            mark: self.mark.clone(),
            summary: self.summary.clone(),
        }
    }
}

impl<A, C, M, K> fmt::Debug for FallbackLayer<A, C, M, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").field("config", &self.config).finish_non_exhaustive()
    }
}
