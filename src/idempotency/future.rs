mod run;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tower::{Service, ServiceExt};

use self::run::{Once, Runner, Told};
use super::config::{Identified, Identify, Keep};
use super::handle::{Enlist, Shared};
use super::store::Store;
use crate::attempt::{self, Attempt};
use crate::rejection::{RefusalReason, Refused, Reject};
use crate::telemetry;

/// The future of an [`IdempotencyService`](super::IdempotencyService).
///
/// Dropped after the request was claimed, it leaves the run behind, which goes on without it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<Res, E> {
    /// In a box, which is little beside the task that runs the request; and whoever spawns the future need not prove of all
    /// that is in it that it can be sent to another thread.
    response: Pin<Box<dyn Future<Output = Result<Res, E>> + Send>>,
}

impl<Res, E> ResponseFuture<Res, E> {
    pub(super) fn new<S, Req, St, I, P, R, T>(
        identifying: I::Future,
        service: S,
        shared: Shared<St, I, P, T>,
        reject: R,
    ) -> Self
    where
        I: Identify<Req, Future: 'static>,
        S: Service<I::Request, Response = Res, Error = E, Future: Send> + Send + 'static,
        Req: 'static,
        Res: Send + 'static,
        E: Send + 'static,
        St: Store,
        P: Keep<Res, E>,
        R: Reject<Res, E> + Send + 'static,
        T: Enlist<St, I::Request>,
    {
        let response = async move {
            let (refused, key) = match identifying.await {
                Ok(Identified::Free(request)) => return service.oneshot(request).await,
                Ok(Identified::Once { request, key, fingerprint }) => {
                    let once = Once { request, key, fingerprint, inbound: Attempt::current() };
                    match listen(&shared, service, once).await {
                        Ok(result) => return result,
                        Err(refused) => (refused, Some(key)),
                    }
                }
                Err(reason) => (shared.running.refused(reason), None),
            };
            telemetry::not_run(&refused, key.as_ref());
            reject.reject(refused.into())
        };
        Self { response: Box::pin(response) }
    }
}

/// Has a request run, and listens for what comes of it.
async fn listen<S, Req, St, I, P, T>(
    shared: &Shared<St, I, P, T>,
    service: S,
    once: Once<Req>,
) -> Result<Result<S::Response, S::Error>, Refused>
where
    S: Service<Req, Response: Send + 'static, Error: Send + 'static, Future: Send> + Send + 'static,
    Req: Send + 'static,
    St: Store,
    P: Keep<S::Response, S::Error>,
    T: Enlist<St, Req>,
{
    let refused = |reason| shared.running.refused(reason);
    let place = shared.running.place().map_err(refused)?;
    let (key, (tell, told)) = (once.key, oneshot::channel());
    let mut run = Box::pin(telemetry::in_this_span(Runner::of(shared).run(place, service, once, tell)));
    // A task of its own, unless it is done at once: whoever sent the request may go at any time, and neither a claim that the
    // store is asked for nor what comes of the request may be cut off by that.
    if poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx).is_pending())).await {
        tokio::spawn(run);
    }
    match told.await {
        Ok(Told::Answered(result)) => Ok(result),
        Ok(Told::Exhausted(result)) => {
            attempt::exhausted();
            Ok(result)
        }
        Ok(Told::Panicked(panic)) => resume_unwind(panic),
        Ok(Told::Replayed(kept)) => {
            let result = shared.keep.replay(kept).map_err(|_| refused(RefusalReason::NotReplayable))?;
            telemetry::replayed(&shared.running.rules.name, &key);
            Ok(Ok(result))
        }
        Ok(Told::Refused(refused)) => Err(refused),
        // The runtime that ran it is shut down.
        Err(_) => Err(refused(RefusalReason::Interrupted)),
    }
}

impl<Res, E> Future for ResponseFuture<Res, E> {
    type Output = Result<Res, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.response.as_mut().poll(cx)
    }
}

impl<Res, E> fmt::Debug for ResponseFuture<Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
