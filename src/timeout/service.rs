use std::fmt;
use std::task::{Context, Poll};

use tower::Service;

use super::config::{ConfiguredLimit, LimitOf};
use super::future::ResponseFuture;
use super::state::{Allowance, Limit};
use crate::clock::Now;
use crate::deadline::{Deadline, DeadlineOf, ExportDeadline, NotExported, OwnLimit};
use crate::name::Name;
use crate::placement::{self, MakeCall};
use crate::rejection::{AsError, Reject};

/// A service whose calls fail when they take too long; made by a [`TimeoutLayer`](super::TimeoutLayer).
#[derive(Clone)]
pub struct Timeout<S, L = ConfiguredLimit, D = OwnLimit, R = AsError, X = NotExported> {
    pub(super) inner: S,
    pub(super) name: Name,
    pub(super) limit: Limit,
    pub(super) limit_of: L,
    pub(super) deadline_of: D,
    pub(super) reject: R,
    pub(super) export: X,
}

impl<S, L, D, R, X> Timeout<S, L, D, R, X> {
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

impl<S, L, D, R, X, Req> Service<Req> for Timeout<S, L, D, R, X>
where
    S: Service<Req>,
    L: LimitOf<Req>,
    D: DeadlineOf<Req>,
    R: Reject<S::Response, S::Error> + Clone,
    X: ExportDeadline<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, request: Req) -> Self::Future {
        placement::call(self, request)
    }
}

impl<S, L, D, R, X, Req> MakeCall<Req> for Timeout<S, L, D, R, X>
where
    S: Service<Req>,
    L: LimitOf<Req>,
    D: DeadlineOf<Req>,
    R: Reject<S::Response, S::Error> + Clone,
    X: ExportDeadline<Req>,
{
    #[inline(always)]
    fn make_call(&mut self, mut request: Req) -> Self::Future {
        let limit = self.limit_of.limit_of(&request).map_or(self.limit, Limit::of);
        let now = Now::unread();
        let deadline = self.deadline_of.deadline_of(&request, &now);
        let name = self.name;
        let reject = self.reject.clone();
        let (allowance, scope) = if deadline.is_none() && !X::EXPORTS {
            (Allowance::FromFirstWait(limit), None)
        } else {
            let now = now.moment();
            match Allowance::from_call(limit, deadline.map(Deadline::moment), now) {
                Allowance::NotAtAll => return ResponseFuture::late(name, reject),
                allowance @ Allowance::Until { end, .. } if X::EXPORTS => {
                    let deadline = Deadline::at(end);
                    self.export.export(&mut request, deadline, now);
                    (allowance, Some(deadline))
                }
                allowance => (allowance, None),
            }
        };
        let _entered = scope.map(Deadline::enter);
        ResponseFuture::calling(self.inner.call(request), allowance, scope, name, reject)
    }
}

impl<S: fmt::Debug, L, D, R, X> fmt::Debug for Timeout<S, L, D, R, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Timeout");
        shown.field("inner", &self.inner).field("name", &self.name).field("limit", &self.limit.duration());
        shown.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use tower::{Layer, ServiceExt, service_fn};

    use crate::clock::{self, Now};
    use crate::deadline::{Deadline, DeadlineOf, InScope};
    use crate::rejection::BoxError;
    use crate::timeout::{TimeoutConfig, TimeoutLayer};

    /// Needs the present to say what the deadline is, as a header does.
    #[derive(Clone)]
    struct TellsTheTime;

    impl<Req> DeadlineOf<Req> for TellsTheTime {
        fn deadline_of(&self, _: &Req, now: &Now) -> Option<Deadline> {
            Some(Deadline::at(now.moment() + Duration::from_secs(1)))
        }
    }

    /// How often a call that is answered at once reads the clock.
    async fn readings_of<S>(service: S, request: Option<Deadline>) -> u32
    where
        S: super::Service<Option<Deadline>, Response = (), Error = BoxError>,
    {
        let before = clock::readings();
        service.oneshot(request).await.expect("an answer");
        clock::readings() - before
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_is_read_once_and_only_if_there_is_a_deadline_to_tell_or_to_keep() {
        let inner = service_fn(|_: Option<Deadline>| ready(Ok::<_, BoxError>(())));
        let layer = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1))).expect("a limit");
        let keeps = layer.clone().deadline_of(|deadline: &Option<Deadline>| *deadline);
        let deadline = Some(Deadline::within(Duration::from_secs(1)));
        assert_eq!(readings_of(layer.layer(inner), None).await, 0);
        assert_eq!(readings_of(keeps.layer(inner), None).await, 0);
        assert_eq!(readings_of(keeps.layer(inner), deadline).await, 1);
        assert_eq!(readings_of(keeps.export_with(InScope).layer(inner), deadline).await, 1);
        assert_eq!(readings_of(layer.clone().export_with(InScope).layer(inner), None).await, 1);
        assert_eq!(readings_of(layer.deadline_of((InScope, TellsTheTime)).layer(inner), None).await, 1);
    }
}
