//! Whether a layer keeps tower's contract: a service is called only after it said it is ready, and the clone of a ready
//! service is not ready.

use std::fmt::Debug;
use std::future::Future;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use buttress::BoxError;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Service, ServiceExt, service_fn};

/// Panics when it is called unready; its clones are not ready, whatever it is.
pub(crate) struct ReadinessProbe<S> {
    inner: S,
    is_ready: bool,
}

impl<S> ReadinessProbe<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, is_ready: false }
    }
}

impl<S: Clone> Clone for ReadinessProbe<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: Service<Req>, Req> Service<Req> for ReadinessProbe<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.inner.poll_ready(cx))?;
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> S::Future {
        assert!(std::mem::take(&mut self.is_ready), "the inner service was called unready");
        self.inner.call(request)
    }
}

/// The innermost service of these tests: doubles a number after a wait, so that calls overlap.
pub(crate) fn doubling()
-> impl Service<u32, Response = u32, Error = BoxError, Future: Send> + Clone + Send + Sync + 'static {
    service_fn(|number: u32| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok::<_, BoxError>(number * 2)
    })
}

/// The services whose readiness can be lost: a bare probe, one behind a permit, one behind a queue. Each is handed, as a
/// boxed clone, to `wrap`, which puts the layer in question around it.
pub(crate) async fn is_kept_by<S, Fut>(wrap: impl Fn(Inner) -> S)
where
    S: Service<u32, Response = u32, Error: Debug, Future = Fut> + Clone,
    Fut: Future<Output = Result<u32, S::Error>>,
{
    let probe = || ReadinessProbe::new(doubling());
    let inners = [
        Inner::new(probe()),
        Inner::new(ReadinessProbe::new(ConcurrencyLimit::new(probe(), 1))),
        Inner::new(ReadinessProbe::new(Buffer::new(probe(), 1))),
    ];
    for inner in inners {
        let mut service = wrap(inner);
        for number in 0..3 {
            assert_eq!(service.ready().await.expect("ready").call(number).await.expect("an answer"), 2 * number);
        }
        let mut clone = service.clone();
        let overlapping = futures::future::join(async { clone.ready().await.expect("ready").call(3).await }, async {
            service.clone().oneshot(4).await
        });
        let (third, fourth) = overlapping.await;
        assert_eq!((third.expect("an answer"), fourth.expect("an answer")), (6, 8));
        assert_eq!(service.oneshot(5).await.expect("an answer"), 10);
    }
}

/// A boxed service whose clones are as unready as those of what is in the box.
pub(crate) type Inner = tower::util::BoxCloneSyncService<u32, u32, BoxError>;
