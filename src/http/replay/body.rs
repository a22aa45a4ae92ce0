use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::attempt::{self, Attempt, Polled};
use super::errors::SupersededAttempt;
use crate::rejection::BoxError;

/// The body `B` of a request, as one attempt to send it has it.
///
/// It gives what was read before, and reads on where the attempt before left off. Data comes as [`Bytes`]; what is not
/// `Bytes` is copied once. What fails is the body itself, with its own error, or this attempt:
///
/// - [`SupersededAttempt`] once a later attempt has been decided on. However often it is polled, such a body does not end.
/// - [`LostBody`](super::LostBody) if `B` panicked while an earlier attempt was reading it.
///
/// It tells a size and an end only where that is sure: what is kept and what `B` tells of the rest.
#[pin_project]
pub struct ReplayBody<B>(#[pin] Inner<B>);

#[pin_project(project = Projected)]
enum Inner<B> {
    /// Sent once, of which nothing was kept.
    Once(#[pin] B),
    /// The same, found out on the way.
    Rest(Pin<Box<B>>),
    Attempt(Attempt<B>),
    Superseded,
    Empty,
}

impl<B> ReplayBody<B> {
    pub(super) const fn once(body: B) -> Self {
        Self(Inner::Once(body))
    }

    pub(super) const fn attempt(attempt: Attempt<B>) -> Self {
        Self(Inner::Attempt(attempt))
    }

    pub(super) const fn empty() -> Self {
        Self(Inner::Empty)
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut inner = self.project().0;
        let polled = match inner.as_mut().project() {
            Projected::Once(body) => return attempt::read(body, cx),
            Projected::Rest(body) => return attempt::read(body.as_mut(), cx),
            Projected::Empty => return Poll::Ready(None),
            Projected::Superseded => Polled::Superseded,
            Projected::Attempt(attempt) => attempt.poll(cx),
        };
        match polled {
            Polled::Read(read) => read,
            Polled::Superseded => {
                inner.set(Inner::Superseded);
                Poll::Ready(Some(Err(SupersededAttempt(()).into())))
            }
            Polled::Yours(mut body) => {
                let read = attempt::read(body.as_mut(), cx);
                inner.set(Inner::Rest(body));
                read
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Once(body) => body.is_end_stream(),
            Inner::Rest(body) => body.is_end_stream(),
            Inner::Attempt(attempt) => attempt.is_end_stream(),
            Inner::Superseded => false,
            Inner::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Once(body) => body.size_hint(),
            Inner::Rest(body) => body.size_hint(),
            Inner::Attempt(attempt) => attempt.size_hint(),
            Inner::Superseded => SizeHint::default(),
            Inner::Empty => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            Inner::Once(_) | Inner::Rest(_) => "sent once",
            Inner::Attempt(_) => "replayed",
            Inner::Superseded => "superseded",
            Inner::Empty => "empty",
        };
        f.debug_tuple("ReplayBody").field(&state).finish()
    }
}
