use std::fmt;
use std::sync::Arc;

use tower::Layer;

use super::config::{Asynchronous, Backup, FallbackConfig, Function, InvalidFallback, NoSubstitute, NoSummary, Value};
use super::future::Plan;
use super::service::Fallback;
use crate::outcome::{ErrorsAreFailures, Kinds, Unmarked};
use crate::serving::Serving;

/// Answers something else when a call fails; [the module](super) tells the whole story.
///
/// The presets [`http_server`](Self::http_server) and [`http_client`](Self::http_client) choose for HTTP what the
/// setters choose one by one; use them first, then change what differs. What is given to a setter must be
/// `Clone + Send + Sync + 'static`, so that the layer is; put a closure that is not `Clone` into an [`Arc`].
///
/// While calls succeed, a closure that captures nothing costs nothing; a [`value`](Self::value), a
/// [backup](Self::with_service) and an [`Arc`] cost a reference count per call.
#[must_use = "a layer does nothing until it wraps a service"]
#[derive(Clone)]
pub struct FallbackLayer<A = NoSubstitute, C = ErrorsAreFailures, M = Unmarked, K = NoSummary, W = Kinds> {
    plan: Plan<A, C, M, W>,
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
        let FallbackConfig { name, on } = config;
        let trigger = Kinds::of(&on);
        let (substitute, classify, mark) = (NoSubstitute, ErrorsAreFailures, Unmarked);
        Self { plan: Plan { name, trigger, substitute, classify, mark }, summary: NoSummary }
    }
}

impl Default for FallbackLayer {
    /// A fallback with the settings of [`FallbackConfig::new`], which yet has to be told what to answer.
    fn default() -> Self {
        Self::with_checked(FallbackConfig::new())
    }
}

impl<A, C, M, K, W> FallbackLayer<A, C, M, K, W> {
    /// Answers a clone of `value`. A response with a streaming body cannot be cloned: make one with [`with`](Self::with).
    pub fn value<T>(self, value: T) -> FallbackLayer<Value<T>, C, M, K, W>
    where
        T: Clone + Send + Sync + 'static,
    {
        self.substitute(Value(Arc::new(value)))
    }

    /// Answers what `function` makes of the failure, as in `|failed: Failed<_, _>| Ok(..)`; the compiler needs the
    /// annotation, and after a [`summary`](Self::summary) it is `Failed<_, _, _>`.
    ///
    /// Where the error is a `BoxError`, the compiler cannot see that an `async` block which calls the service can be
    /// sent to another thread ("implementation is not general enough"), as with tower's own `map_result`. Put the stack
    /// into a `BoxCloneSyncService`, or give it an error that is a plain type.
    pub fn with<F>(self, function: F) -> FallbackLayer<Function<F>, C, M, K, W>
    where
        F: Clone + Send + Sync + 'static,
    {
        self.substitute(Function(function))
    }

    /// Answers what `function` makes of the failure, which may wait: `|failed: Failed<_, _>| async { Ok(..) }`.
    ///
    /// What the future needs of what the closure captures, it takes a clone of:
    /// `move |failed: Failed<_, _>| { let queue = queue.clone(); async move { .. } }`.
    pub fn with_async<F>(self, function: F) -> FallbackLayer<Asynchronous<F>, C, M, K, W>
    where
        F: Clone + Send + Sync + 'static,
    {
        self.substitute(Asynchronous(function))
    }

    /// Answers what `backup` says to the request that `request` makes of the original one before the call
    /// (`Clone::clone` where the original can be cloned).
    ///
    /// A clone of `backup` is made ready and called for each failure; its error is the call's error. It is shared among
    /// threads: in a box, take tower's `BoxCloneSyncService`.
    pub fn with_service<S, F>(self, backup: S, request: F) -> FallbackLayer<Backup<S>, C, M, F, W>
    where
        S: Send + Sync + 'static,
        F: Clone + Send + Sync + 'static,
    {
        self.summary(request).substitute(Backup(Arc::new(backup)))
    }

    fn substitute<A2>(self, substitute: A2) -> FallbackLayer<A2, C, M, K, W> {
        let Self { plan: Plan { name, trigger, classify, mark, .. }, summary } = self;
        FallbackLayer { plan: Plan { name, trigger, substitute, classify, mark }, summary }
    }

    /// Keeps of each request, before the call, what the substitute needs to know of it; it finds that in
    /// [`Failed::summary`](super::Failed::summary).
    ///
    /// Nothing is kept unless asked for: it costs every call.
    pub fn summary<K2>(self, summary: K2) -> FallbackLayer<A, C, M, K2, W>
    where
        K2: Clone + Send + Sync + 'static,
    {
        FallbackLayer { plan: self.plan, summary }
    }

    /// Stands in for the failures that `predicate` says, such as `|failure: &Failure| ..`, whatever their kind.
    pub fn when<W2>(self, predicate: W2) -> FallbackLayer<A, C, M, K, W2>
    where
        W2: Clone + Send + Sync + 'static,
    {
        let Self { plan: Plan { name, substitute, classify, mark, .. }, summary } = self;
        FallbackLayer { plan: Plan { name, trigger: predicate, substitute, classify, mark }, summary }
    }

    /// Learns from [`classify`](crate::outcome::Classify) what a result means.
    pub fn classify<C2>(self, classify: C2) -> FallbackLayer<A, C2, M, K, W>
    where
        C2: Clone + Send + Sync + 'static,
    {
        let Self { plan: Plan { name, trigger, substitute, mark, .. }, summary } = self;
        FallbackLayer { plan: Plan { name, trigger, substitute, classify, mark }, summary }
    }

    /// Marks substitutes by way of [`mark`](crate::outcome::MarkDegraded).
    pub fn mark_with<M2>(self, mark: M2) -> FallbackLayer<A, C, M2, K, W>
    where
        M2: Clone + Send + Sync + 'static,
    {
        let Self { plan: Plan { name, trigger, substitute, classify, .. }, summary } = self;
        FallbackLayer { plan: Plan { name, trigger, substitute, classify, mark }, summary }
    }
}

impl<S, A, C, M, K, W> Layer<S> for FallbackLayer<A, C, M, K, W>
where
    A: Clone,
    C: Clone,
    M: Clone,
    K: Clone,
    W: Clone,
{
    type Service = Fallback<S, A, C, M, K, W>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { plan, summary } = self.clone();
        Fallback { inner: Serving::new(inner), plan, summary }
    }
}

impl<A, C, M, K, W> fmt::Debug for FallbackLayer<A, C, M, K, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer").field("name", &self.plan.name).finish_non_exhaustive()
    }
}
