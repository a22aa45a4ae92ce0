//! A body that does as it is told.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use buttress::BoxError;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Frame, SizeHint};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Data(Vec<u8>),
    Trailers,
    Wait,
    Fail,
}

/// What it tells of its size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hint {
    Exact,
    AtLeast,
    Nothing,
}

/// Its data is not `Bytes`, and to ask it once more after its end is a mistake.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    pub(crate) hint: Hint,
    pub(crate) tells_end: bool,
    pub(crate) is_over: bool,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), hint: Hint::Nothing, tells_end: false, is_over: false }
    }

    pub(crate) fn of(chunks: &[&str]) -> Self {
        Self::new(chunks.iter().map(|chunk| Step::Data(chunk.as_bytes().to_vec())))
    }

    pub(crate) fn trailers(mut self) -> Self {
        self.steps.push_back(Step::Trailers);
        self
    }

    pub(crate) fn hint(mut self, hint: Hint) -> Self {
        self.hint = hint;
        self
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        let chunk = |step: &Step| if let Step::Data(data) = step { data.clone() } else { Vec::new() };
        self.steps.iter().flat_map(chunk).collect()
    }
}

/// Of 10 bytes.
pub(crate) fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("checksum"), HeaderValue::from_static("ab"))])
}

impl Body for Script {
    type Data = VecDeque<u8>;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<VecDeque<u8>>, BoxError>>> {
        assert!(!self.is_over, "asked once more after its end");
        match self.steps.pop_front() {
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers())))),
            Some(Step::Fail) => Poll::Ready(Some(Err("broken".into()))),
            Some(Step::Wait) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.is_over = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.tells_end && self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.data().len() as u64;
        let mut hint = SizeHint::default();
        match self.hint {
            Hint::Exact => hint.set_exact(left),
            Hint::AtLeast => hint.set_lower(left / 2),
            Hint::Nothing => {}
        }
        hint
    }
}
