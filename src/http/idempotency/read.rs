use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A body that was read up to a limit.
pub(super) enum Read<B: Body> {
    /// To its end.
    Whole { body: Bytes, trailers: HeaderMap },
    /// There is more of it than that.
    More(PartlyRead<B>),
    /// Until it failed.
    Cut(PartlyRead<B>),
}

/// A body of which something was read already; it gives that first, and then the rest.
pub struct PartlyRead<B: Body> {
    first: VecDeque<Bytes>,
    rest: Rest<B>,
}

enum Rest<B: Body> {
    Body(Pin<Box<B>>),
    Trailers(HeaderMap),
    Error(B::Error),
    None,
}

impl<B: Body> PartlyRead<B> {
    /// All of it, in one piece.
    pub(super) fn whole(body: Bytes, trailers: HeaderMap) -> Self {
        let first = if body.is_empty() { VecDeque::new() } else { VecDeque::from([body]) };
        Self { first, rest: if trailers.is_empty() { Rest::None } else { Rest::Trailers(trailers) } }
    }
}

/// Reads a body up to `limit` bytes.
pub(super) async fn read<B: Body>(body: B, limit: usize) -> Read<B> {
    let (mut first, mut length, mut trailers) = (VecDeque::new(), 0_usize, HeaderMap::new());
    let mut rest = Box::pin(body);
    // A body that says how long it is need not be read to be known to be longer.
    while length <= limit && rest.size_hint().lower() <= (limit - length) as u64 {
        match poll_fn(|cx| rest.as_mut().poll_frame(cx)).await {
            None => return Read::Whole { body: joined(first, length), trailers },
            Some(Err(error)) => return Read::Cut(PartlyRead { first, rest: Rest::Error(error) }),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(mut data) => {
                    let data = data.copy_to_bytes(data.remaining());
                    length += data.len();
                    first.push_back(data);
                }
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            },
        }
    }
    Read::More(PartlyRead { first, rest: Rest::Body(rest) })
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
        if let Rest::Body(rest) = &mut self.rest {
            let frame = ready!(rest.as_mut().poll_frame(cx));
            let data = |mut data: B::Data| data.copy_to_bytes(data.remaining());
            return Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(data))));
        }
        Poll::Ready(match std::mem::replace(&mut self.rest, Rest::None) {
            Rest::Trailers(trailers) => Some(Ok(Frame::trailers(trailers))),
            Rest::Error(error) => Some(Err(error)),
            Rest::Body(_) | Rest::None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && match &self.rest {
                Rest::Body(rest) => rest.is_end_stream(),
                Rest::Trailers(_) | Rest::Error(_) => false,
                Rest::None => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let first: u64 = self.first.iter().map(|data| data.len() as u64).sum();
        match &self.rest {
            Rest::Trailers(_) | Rest::None => SizeHint::with_exact(first),
            Rest::Error(_) => SizeHint::default(),
            Rest::Body(rest) => {
                let (rest, mut hint) = (rest.size_hint(), SizeHint::new());
                hint.set_lower(rest.lower().saturating_add(first));
                if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(first)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

// What fails is not pinned, and what is pinned is in a box.
impl<B: Body> Unpin for PartlyRead<B> {}

impl<B: Body> fmt::Debug for PartlyRead<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartlyRead").finish_non_exhaustive()
    }
}
