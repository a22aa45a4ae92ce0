use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;

use super::config::{AnyRequest, Cloned, MayRepeat, NeverSent, NotKnown, OnAttempt, Replay, RetryWhen, Untold};
use super::future::{Again, Plan, ResponseFuture, enter};
use super::handle::Shared;
use super::state::{Session, Stop};
use crate::attempt::Attempt;
use crate::clock::Now;
use crate::deadline::{DeadlineOf, OwnLimit};
use crate::outcome::{Classify, ErrorsAreFailures, Kinds};
use crate::striped::SharedByCalls;

/// A service that sends a request again when it failed; made by a [`RetryLayer`](super::RetryLayer).
#[derive(Clone)]
pub struct Retry<
    S,
    P = Cloned,
    C = ErrorsAreFailures,
    M = AnyRequest,
    W = Kinds,
    N = NotKnown,
    A = Untold,
    D = OwnLimit,
> {
    pub(super) inner: S,
    pub(super) plan: Plan<P, C, W, N, A>,
    pub(super) may_repeat: M,
    pub(super) deadline_of: D,
    pub(super) shared: Arc<SharedByCalls<Shared>>,
}

impl<S, P, C, M, W, N, A, D> Retry<S, P, C, M, W, N, A, D> {
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

impl<S, P, C, M, W, N, A, D, Req> Service<Req> for Retry<S, P, C, M, W, N, A, D>
where
    P: Replay<Req> + Clone,
    S: Service<P::Request> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
    M: MayRepeat<Req>,
    W: RetryWhen<P::Head> + Clone,
    N: NeverSent<S::Error> + Clone,
    A: OnAttempt<P::Request> + Clone,
    D: DeadlineOf<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, P, C, W, N, A>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        let shared = self.shared.for_call();
        let most = shared.rules.attempts_within(self.may_repeat.attempt_of(&request));
        let deadline = self.deadline_of.deadline_of(&request, &Now::unread());
        let is_repeatable = most > 1 && self.may_repeat.may_repeat(&request);
        let (request, kept) = if is_repeatable || (most > 1 && N::CAN_TELL) {
            let (request, kept) = self.plan.replay.split(request);
            (request, kept.ok_or(Stop::NotCopied))
        } else {
            (self.plan.replay.once(request), Err(Stop::NotRepeatable))
        };
        let entered = enter(Attempt::FIRST, deadline);
        let call = self.plan.send(&mut self.inner, request, Attempt::FIRST);
        drop(entered);
        // It is asked anew whether it is ready, so a clone is as good as the value itself.
        let again = kept.map(|kept| Again { service: self.inner.clone(), kept, only_if_never_sent: !is_repeatable });
        ResponseFuture::calling(call, again, Session::new(most), deadline, self.plan.clone(), shared)
    }
}

impl<S: fmt::Debug, P, C, M, W, N, A, D> fmt::Debug for Retry<S, P, C, M, W, N, A, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("inner", &self.inner).field("shared", &**self.shared).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tower::{Layer, ServiceExt, service_fn};

    use crate::clock;
    use crate::deadline::{Deadline, InScope};
    use crate::rejection::BoxError;
    use crate::retry::{RetryConfig, RetryLayer};

    #[tokio::test(start_paused = true)]
    async fn a_first_attempt_that_succeeds_reads_no_clock_and_one_that_fails_does() {
        let layer = RetryLayer::new(RetryConfig::new()).expect("valid").deadline_of(InScope);
        let readings = async |fails: bool| {
            let inner = service_fn(move |()| ready(if fails { Err(BoxError::from("down")) } else { Ok(()) }));
            let deadline = Deadline::within(std::time::Duration::from_nanos(1));
            let before = clock::readings();
            let _ = deadline.scope(layer.layer(inner).oneshot(())).await;
            clock::readings() - before
        };
        assert_eq!(readings(false).await, 0);
        assert_eq!(readings(true).await, 1);
    }
}
