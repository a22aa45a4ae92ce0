use std::fmt;
use std::sync::Arc;

use tower::Layer;

use super::config::{AnyRequest, Cloned, InvalidRetry, NotKnown, RetryConfig, Untold};
use super::future::Plan;
use super::handle::{Budget, Shared};
use super::service::Retry;
use crate::deadline::OwnLimit;
use crate::outcome::{ErrorsAreFailures, Kinds};
use crate::striped::SharedByCalls;

/// Sends a request again when it failed; [the module](super) tells the whole story.
///
/// All services that the layer and its clones wrap share one budget. The presets [`http_server`](Self::http_server) and
/// [`http_client`](Self::http_client) choose for HTTP what the setters choose one by one; use them first, then change what
/// differs. What is given to a setter must be `Clone + Send + Sync + 'static`, so that the layer is, and is cloned for each
/// call: that costs nothing where a closure captures nothing, and a reference count for what is in an [`Arc`], where what is
/// not `Clone`, or dear to clone, belongs. Write the types of a closure's parameters: `|request: &Job| ..`.
///
/// # Panics
///
/// A call that waits for its next attempt must be polled within a tokio runtime that has time enabled.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct RetryLayer<
    P = Cloned,
    C = ErrorsAreFailures,
    M = AnyRequest,
    W = Kinds,
    N = NotKnown,
    A = Untold,
    D = OwnLimit,
> {
    plan: Plan<P, C, W, N, A>,
    may_repeat: M,
    deadline_of: D,
    shared: Arc<SharedByCalls<Shared>>,
}

impl RetryLayer {
    /// A retry with these settings, and a budget of its own.
    ///
    /// # Errors
    ///
    /// [`InvalidRetry`] says which setting cannot work.
    pub fn new(config: RetryConfig) -> Result<Self, InvalidRetry> {
        let budget = config.budget.map(|budget| Budget::of_retry(budget, &config.name)).transpose()?;
        Self::paid_from(config, budget)
    }

    /// A retry that pays from `budget`, which other layers may share, and not from one that the settings describe.
    ///
    /// # Errors
    ///
    /// [`InvalidRetry`] says which setting cannot work.
    pub fn with_budget(config: RetryConfig, budget: Budget) -> Result<Self, InvalidRetry> {
        Self::paid_from(config, Some(budget))
    }

    fn paid_from(config: RetryConfig, budget: Option<Budget>) -> Result<Self, InvalidRetry> {
        let rules = config.rules()?;
        let when = rules.kinds;
        let plan = Plan { replay: Cloned, classify: ErrorsAreFailures, when, never_sent: NotKnown, on_attempt: Untold };
        let shared = Arc::new(SharedByCalls::new(&Shared::new(rules, budget)));
        Ok(Self { plan, may_repeat: AnyRequest, deadline_of: OwnLimit, shared })
    }
}

impl<P, C, M, W, N, A, D> RetryLayer<P, C, M, W, N, A, D> {
    /// What retries are paid from, to watch it or to share it; none where the settings say so.
    #[must_use]
    pub fn budget(&self) -> Option<&Budget> {
        self.shared.budget.as_ref()
    }

    /// Makes of one request as many as are sent by way of [`replay`](super::Replay); by cloning it, by default.
    pub fn replay<P2>(self, replay: P2) -> RetryLayer<P2, C, M, W, N, A, D>
    where
        P2: Clone + Send + Sync + 'static,
    {
        self.planned(|Plan { classify, when, never_sent, on_attempt, .. }| Plan {
            replay,
            classify,
            when,
            never_sent,
            on_attempt,
        })
    }

    /// Learns from [`classify`](crate::outcome::Classify) what a result means.
    pub fn classify<C2>(self, classify: C2) -> RetryLayer<P, C2, M, W, N, A, D>
    where
        C2: Clone + Send + Sync + 'static,
    {
        self.planned(|Plan { replay, when, never_sent, on_attempt, .. }| Plan {
            replay,
            classify,
            when,
            never_sent,
            on_attempt,
        })
    }

    /// Retries the failures that `predicate` says, such as `|request: &Job, failure: &Failure| ..`, whatever their kind and
    /// in place of [`on`](RetryConfig::on). A failure that the service
    /// [wants not retried](crate::Failure::is_final) is left alone all the same.
    pub fn when<W2>(self, predicate: W2) -> RetryLayer<P, C, M, W2, N, A, D>
    where
        W2: Clone + Send + Sync + 'static,
    {
        self.planned(|Plan { replay, classify, never_sent, on_attempt, .. }| Plan {
            replay,
            classify,
            when: predicate,
            never_sent,
            on_attempt,
        })
    }

    /// Sends a request again that [may not be repeated](Self::may_repeat), after an error of which `never_sent` says that it
    /// was never sent, such as `|error: &Error<_>| ..`; see [`NeverSent`](super::NeverSent). Those requests are copied then too, and their retries are paid
    /// for like all others.
    pub fn never_sent<N2>(self, never_sent: N2) -> RetryLayer<P, C, M, W, N2, A, D>
    where
        N2: Clone + Send + Sync + 'static,
    {
        self.planned(|Plan { replay, classify, when, on_attempt, .. }| Plan {
            replay,
            classify,
            when,
            never_sent,
            on_attempt,
        })
    }

    /// Tells `on_attempt` of each attempt just before it is made; see [`OnAttempt`](super::OnAttempt).
    pub fn on_attempt<A2>(self, on_attempt: A2) -> RetryLayer<P, C, M, W, N, A2, D>
    where
        A2: Clone + Send + Sync + 'static,
    {
        self.planned(|Plan { replay, classify, when, never_sent, .. }| Plan {
            replay,
            classify,
            when,
            never_sent,
            on_attempt,
        })
    }

    /// Sends only those requests again of which `may_repeat` says so; see [`MayRepeat`](super::MayRepeat). The others are not
    /// copied.
    pub fn may_repeat<M2>(self, may_repeat: M2) -> RetryLayer<P, C, M2, W, N, A, D>
    where
        M2: Clone + Send + Sync + 'static,
    {
        let Self { plan, deadline_of, shared, .. } = self;
        RetryLayer { plan, may_repeat, deadline_of, shared }
    }

    /// Begins no wait that ends beyond the deadline that `deadline_of` finds, and makes the attempts in its
    /// [scope](crate::Deadline::scope); see [`DeadlineOf`](crate::DeadlineOf). None is looked for by default.
    pub fn deadline_of<D2>(self, deadline_of: D2) -> RetryLayer<P, C, M, W, N, A, D2>
    where
        D2: Clone + Send + Sync + 'static,
    {
        let Self { plan, may_repeat, shared, .. } = self;
        RetryLayer { plan, may_repeat, deadline_of, shared }
    }

    fn planned<P2, C2, W2, N2, A2>(
        self,
        change: impl FnOnce(Plan<P, C, W, N, A>) -> Plan<P2, C2, W2, N2, A2>,
    ) -> RetryLayer<P2, C2, M, W2, N2, A2, D> {
        let Self { plan, may_repeat, deadline_of, shared } = self;
        RetryLayer { plan: change(plan), may_repeat, deadline_of, shared }
    }
}

impl<S, P, C, M, W, N, A, D> Layer<S> for RetryLayer<P, C, M, W, N, A, D>
where
    P: Clone,
    C: Clone,
    M: Clone,
    W: Clone,
    N: Clone,
    A: Clone,
    D: Clone,
{
    type Service = Retry<S, P, C, M, W, N, A, D>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { plan, may_repeat, deadline_of, shared } = self.clone();
        Retry { inner, plan, may_repeat, deadline_of, shared }
    }
}

impl<P, C, M, W, N, A, D> fmt::Debug for RetryLayer<P, C, M, W, N, A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer").field("shared", &**self.shared).finish_non_exhaustive()
    }
}
