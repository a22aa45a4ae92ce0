mod attempt;
mod body;
mod buffer;
mod errors;
mod pool;
mod state;

use std::fmt;

use http::Request;
use http_body::Body;

use self::attempt::Keeper;
pub use self::body::ReplayBody;
use self::buffer::{Buffer, NotKept};
pub use self::errors::{LostBody, SupersededAttempt};
pub use self::pool::ReplayPool;
use crate::rejection::BoxError;
use crate::retry::Replay;
use crate::telemetry;

/// Sends a request again whose body streams and cannot be cloned.
///
/// The first attempt reads the body as if nobody else were there; what it was given is kept. The next gives that again,
/// byte for byte, and reads on where the first has left off, trailers and all; the chunks may be cut otherwise. An
/// attempt that is still sending when the next one is decided on fails from then on with [`SupersededAttempt`]: it does
/// not end, so that no server takes half a body for a whole one.
///
/// A body is kept up to a [cap](Self::cap) of 64 KiB, and all bodies together up to the size of a [pool](Self::pool)
/// that the whole process shares (64 MiB). One that is larger, or finds the pool empty, is sent once: the attempt goes
/// on, nothing more is kept, what was kept is freed, and an event says so. The same holds for a body that has failed,
/// as nobody can read on in it. A body that says beforehand that it is larger than the cap is not touched at all. What
/// it says is not relied on otherwise.
///
/// The service is given a [`ReplayBody`], or what [`into_body`](Self::into_body) makes of it.
///
/// # What counts
///
/// The bytes of data and trailers, from when they were read until the call no longer needs them. A slice holds on to all
/// of the memory that it was cut from, which cannot be seen from here: so chunks of less than 512 bytes are copied
/// together, but for the first. A larger one may hold on to more than is counted, as to the buffer that hyper has read
/// it into.
///
/// # What it costs
///
/// The pool's one number is shared by all threads, and written for each chunk that is kept.
///
/// A clone of the request's head for each attempt but the last, two allocations for a body (and what `into_body` makes
/// for each attempt), what [`Bytes`](bytes::Bytes) needs to be shared, and a lock that nobody waits for at each frame.
/// A body that is at its end before it is read costs the head alone.
///
/// ```
/// use buttress::BoxError;
/// use buttress::http::{ReplayBodies, SupersededAttempt};
/// use buttress::retry::Replay;
/// use http::Request;
/// use http_body_util::{BodyExt, StreamBody};
/// use hyper::body::{Bytes, Frame};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let chunks = ["half ", "and half"].map(|chunk| Ok::<_, BoxError>(Frame::data(Bytes::from(chunk))));
/// let request = Request::post("/upload").body(StreamBody::new(futures::stream::iter(chunks)))?;
///
/// // What a retry does.
/// let replay = ReplayBodies::new();
/// let (mut first, kept) = replay.split(request);
/// let mut kept = kept.expect("it can be kept");
/// assert_eq!(first.body_mut().frame().await.expect("a frame")?.into_data().expect("data"), "half ");
///
/// assert!(replay.seal(&mut kept));
/// let error = first.into_body().collect().await.expect_err("it is sent no further");
/// assert!(error.is::<SupersededAttempt>());
///
/// let second = replay.again(&mut kept);
/// assert_eq!(second.uri(), "/upload");
/// assert_eq!(second.into_body().collect().await?.to_bytes(), "half and half");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReplayBodies<F = AsReplayBody> {
    cap: usize,
    pool: ReplayPool,
    into_body: F,
}

/// The service is given a [`ReplayBody`] itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsReplayBody;

impl ReplayBodies {
    /// Bodies up to 64 KiB, and in all as much as the process keeps.
    #[must_use]
    pub fn new() -> Self {
        Self { cap: 64 * 1024, pool: ReplayPool::of_the_process(), into_body: AsReplayBody }
    }

    /// Gives the service the body that `into_body` makes, where it takes no other: `axum::body::Body::new`,
    /// `reqwest::Body::wrap`.
    ///
    /// ```
    /// use axum::body::Body;
    /// use buttress::http::ReplayBodies;
    /// use buttress::retry::Replay;
    /// use http::Request;
    ///
    /// let replay = ReplayBodies::new().into_body(Body::new);
    /// let (request, kept) = replay.split(Request::new(Body::from("hello")));
    /// let request: Request<Body> = request;
    /// # let _ = (request, kept);
    /// ```
    #[must_use]
    pub fn into_body<F, B, B2>(self, into_body: F) -> ReplayBodies<F>
    where
        F: Fn(ReplayBody<B>) -> B2 + Clone + Send + Sync + 'static,
    {
        ReplayBodies { cap: self.cap, pool: self.pool, into_body }
    }
}

impl Default for ReplayBodies {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> ReplayBodies<F> {
    /// Keeps up to `bytes` of a body, data and trailers; 64 KiB by default, as linkerd does.
    #[must_use]
    pub fn cap(mut self, bytes: usize) -> Self {
        self.cap = bytes;
        self
    }

    /// Counts what is kept in `pool`, not in that of the process.
    #[must_use]
    pub fn pool(mut self, pool: ReplayPool) -> Self {
        self.pool = pool;
        self
    }

    fn keep<B: Body>(&self, request: Request<B>) -> (Request<ReplayBody<B>>, Option<KeptRequest<B>>) {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        if body.is_end_stream() {
            let kept = KeptRequest { head: head.clone(), body: None, is_sealed: false };
            return (head.map(|()| ReplayBody::once(body)), Some(kept));
        }
        if body.size_hint().lower() > self.cap as u64 {
            telemetry::body_not_kept(NotKept::Cap.as_str());
            return (head.map(|()| ReplayBody::once(body)), None);
        }
        let (keeper, attempt) = Keeper::new(body, Buffer::new(self.cap, self.pool.clone()));
        let kept = KeptRequest { head: head.clone(), body: Some(keeper), is_sealed: false };
        (head.map(|()| ReplayBody::attempt(attempt)), Some(kept))
    }
}

impl<F> fmt::Debug for ReplayBodies<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBodies").field("cap", &self.cap).field("pool", &self.pool).finish_non_exhaustive()
    }
}

/// A request as [`ReplayBodies`] keeps it.
///
/// While it is there, what the attempt under way reads is kept. Dropping it frees what that attempt was given already.
pub struct KeptRequest<B> {
    head: Request<()>,
    /// None was needed if the body was at its end.
    body: Option<Keeper<B>>,
    is_sealed: bool,
}

impl<B> KeptRequest<B> {
    fn seal(&mut self) -> bool {
        self.is_sealed = self.body.as_ref().is_none_or(Keeper::seal);
        self.is_sealed
    }

    fn again(&mut self) -> Request<ReplayBody<B>> {
        let body = self.next_body();
        self.head.clone().map(|()| body)
    }

    fn last(mut self) -> Request<ReplayBody<B>> {
        let body = self.next_body();
        self.head.map(|()| body)
    }

    fn next_body(&mut self) -> ReplayBody<B> {
        let was_sealed = std::mem::replace(&mut self.is_sealed, false);
        assert!(was_sealed, "a request is sent again only after it was sealed");
        self.body.as_ref().map_or_else(ReplayBody::empty, |body| ReplayBody::attempt(body.again()))
    }
}

impl<B> fmt::Debug for KeptRequest<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptRequest").field("head", &self.head).finish_non_exhaustive()
    }
}

impl<B> Replay<Request<B>> for ReplayBodies
where
    B: Body<Error: Into<BoxError>>,
{
    type Request = Request<ReplayBody<B>>;
    type Kept = KeptRequest<B>;
    type Head = Request<()>;

    fn once(&self, request: Request<B>) -> Self::Request {
        request.map(ReplayBody::once)
    }

    fn split(&self, request: Request<B>) -> (Self::Request, Option<Self::Kept>) {
        self.keep(request)
    }

    fn head<'kept>(&self, kept: &'kept Self::Kept) -> &'kept Request<()> {
        &kept.head
    }

    fn seal(&self, kept: &mut Self::Kept) -> bool {
        kept.seal()
    }

    fn again(&self, kept: &mut Self::Kept) -> Self::Request {
        kept.again()
    }

    fn last(&self, kept: Self::Kept) -> Self::Request {
        kept.last()
    }
}

impl<B, F, B2> Replay<Request<B>> for ReplayBodies<F>
where
    B: Body<Error: Into<BoxError>>,
    F: Fn(ReplayBody<B>) -> B2,
{
    type Request = Request<B2>;
    type Kept = KeptRequest<B>;
    type Head = Request<()>;

    fn once(&self, request: Request<B>) -> Request<B2> {
        request.map(|body| (self.into_body)(ReplayBody::once(body)))
    }

    fn split(&self, request: Request<B>) -> (Request<B2>, Option<Self::Kept>) {
        let (request, kept) = self.keep(request);
        (request.map(&self.into_body), kept)
    }

    fn head<'kept>(&self, kept: &'kept Self::Kept) -> &'kept Request<()> {
        &kept.head
    }

    fn seal(&self, kept: &mut Self::Kept) -> bool {
        kept.seal()
    }

    fn again(&self, kept: &mut Self::Kept) -> Request<B2> {
        kept.again().map(&self.into_body)
    }

    fn last(&self, kept: Self::Kept) -> Request<B2> {
        kept.last().map(&self.into_body)
    }
}
