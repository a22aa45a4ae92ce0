use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use crate::clock::{self, Moment, Timer};
use crate::deadline::Deadline;
use crate::name::Name;
use crate::rejection::{BoxError, Cause, Elapsed, Rejection};
use crate::telemetry;

/// A body that must have ended by a deadline.
///
/// A [`Timeout`](crate::timeout::Timeout) ends with the response head and leaves the body as it is. This adapter bounds
/// the rest, also of a body that trickles or never ends: past the deadline it yields an error in which
/// [`Rejection::find`] finds an [`Elapsed`], and the body is dropped. A frame that is ready in the same instant still
/// counts.
///
/// # Panics
///
/// A body that has to wait must be polled within a tokio runtime that has time enabled.
///
/// ```
/// use std::time::Duration;
/// use buttress::BoxError;
/// use buttress::http::BodyDeadline;
/// use buttress::timeout::{TimeoutConfig, TimeoutLayer};
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full};
/// use hyper::body::Bytes;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let origin = service_fn(|_: Request<()>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("hello"))) });
/// let service = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?.http_client())
///     .map_response(BodyDeadline::within(Duration::from_secs(10)))
///     .service(origin);
///
/// let response = service.oneshot(Request::new(())).await?;
/// assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
/// # Ok(())
/// # }
/// ```
#[pin_project]
pub struct BodyDeadline<B> {
    /// Gone once the deadline has passed.
    #[pin]
    body: Option<B>,
    #[pin]
    timer: Option<Timer>,
    end: Moment,
    allowed: Duration,
    cause: Cause,
    name: Name,
}

impl<B> BodyDeadline<B> {
    /// Bounds `body` by `deadline`.
    pub fn new(body: B, deadline: Deadline) -> Self {
        let end = deadline.moment();
        Self::bounded(body, end, end.since(Moment::now()), Cause::Deadline)
    }

    /// For `map_response`: bounds each response's body by `limit`, counted from the response head, and by the deadline
    /// in whose [`scope`](Deadline::scope) the response is made. That is the request's, or the limit of a timeout further
    /// out that [exports](crate::timeout::TimeoutLayer::export_with) it.
    pub fn within(limit: Duration) -> impl Fn(Response<B>) -> Response<Self> + Clone + Send + Sync + 'static {
        move |response| {
            let now = Moment::now();
            let end = now + limit;
            response.map(|body| match Deadline::current().map(Deadline::moment) {
                Some(deadline) if deadline < end => Self::bounded(body, deadline, deadline.since(now), Cause::Deadline),
                _ => Self::bounded(body, end, limit, Cause::OwnLimit),
            })
        }
    }

    const fn bounded(body: B, end: Moment, allowed: Duration, cause: Cause) -> Self {
        Self { body: Some(body), timer: None, end, allowed, cause, name: Name::fixed(&"body") }
    }

    /// What it is called in events and errors; `"body"` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<Name>) -> Self {
        self.name = name.into();
        self
    }
}

impl<B> Body for BodyDeadline<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let had_budget = this.timer.is_some() && clock::has_budget();
        match body.poll_frame(cx) {
            Poll::Ready(None) => return Poll::Ready(None),
            // A body that always has a frame ready never waits; only the clock can end it.
            Poll::Ready(Some(frame)) if Moment::now() <= *this.end => {
                return Poll::Ready(Some(frame.map_err(Into::into)));
            }
            Poll::Ready(Some(_)) => {}
            Poll::Pending => {
                if this.timer.is_none() {
                    this.timer.set(Some(clock::sleep_until(*this.end)));
                }
                if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                    let fired = clock::poll_timer(timer, had_budget, cx);
                    // As in a timeout: whoever was woken by another timer set for the same moment is late as well.
                    if fired.is_pending() && !(had_budget && Moment::now() >= *this.end) {
                        return Poll::Pending;
                    }
                }
            }
        }
        this.body.set(None);
        this.timer.set(None);
        let elapsed = Elapsed::new(*this.name, *this.allowed, *this.cause);
        telemetry::timed_out(&elapsed);
        Poll::Ready(Some(Err(Rejection::from(elapsed).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: fmt::Debug> fmt::Debug for BodyDeadline<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyDeadline").field("name", &self.name).field("body", &self.body).finish_non_exhaustive()
    }
}
