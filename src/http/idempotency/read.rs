use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A body that was read up to a limit.
pub(super) enum Read<B> {
    /// To its end.
    Whole { body: Bytes, trailers: HeaderMap },
    /// There is more of it than that.
    More(PartlyRead<B>),
}

/// A body of which something was read already; it gives that first, and then the rest.
pub struct PartlyRead<B> {
    first: VecDeque<Bytes>,
    rest: Pin<Box<B>>,
}

/// Reads a body up to `limit` bytes.
pub(super) async fn read<B: Body>(body: B, limit: usize) -> Result<Read<B>, B::Error> {
    let (mut first, mut length, mut trailers) = (VecDeque::new(), 0_usize, HeaderMap::new());
    let mut rest = Box::pin(body);
    // A body that says how long it is need not be read to be known to be longer.
    while rest.size_hint().lower() <= limit.saturating_sub(length) as u64 {
        let Some(frame) = poll_fn(|cx| rest.as_mut().poll_frame(cx)).await else {
            return Ok(Read::Whole { body: joined(first, length), trailers });
        };
        match frame?.into_data() {
            Ok(mut data) => {
                let data = data.copy_to_bytes(data.remaining());
                length += data.len();
                first.push_back(data);
                if length > limit {
                    break;
                }
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
    }
    Ok(Read::More(PartlyRead { first, rest }))
}

/// One piece is not copied.
fn joined(mut pieces: VecDeque<Bytes>, length: usize) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut body = BytesMut::with_capacity(length);
    pieces.iter().for_each(|piece| body.extend_from_slice(piece));
    body.freeze()
}

impl<B: Body> Body for PartlyRead<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(data) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let frame = std::task::ready!(self.rest.as_mut().poll_frame(cx));
        Poll::Ready(
            frame.map(|frame| frame.map(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())))),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first: u64 = self.first.iter().map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(first)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> fmt::Debug for PartlyRead<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartlyRead").finish_non_exhaustive()
    }
}
