use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::pieces::Pieces;
use crate::clock;

/// A body that was read up to a limit.
pub(super) enum Read<B: Body> {
    /// To its end.
    Whole { body: Pieces, trailers: HeaderMap },
    /// There is more of it than that.
    More(PartlyRead<B>),
    /// It took longer than it may.
    Slow(PartlyRead<B>),
    /// Until it failed.
    Cut(PartlyRead<B>),
}

/// A body of which something was read already; it gives that first, and then the rest.
pub struct PartlyRead<B: Body> {
    first: Pieces,
    /// No data comes after them, but an error may.
    trailers: HeaderMap,
    rest: Rest<B>,
}

enum Rest<B: Body> {
    Body(Pin<Box<B>>),
    Error(B::Error),
    None,
}

/// Why it is not read on.
enum Stopped<E> {
    Ended,
    Full,
    Failed(E),
}

impl<B: Body> PartlyRead<B> {
    /// All of it.
    pub(super) fn whole(body: impl Into<Pieces>, trailers: HeaderMap) -> Self {
        Self { first: body.into(), trailers, rest: Rest::None }
    }

    /// Nothing of it, yet.
    pub(super) fn unread(body: B) -> Self {
        Self { first: Pieces::default(), trailers: HeaderMap::new(), rest: Rest::Body(Box::pin(body)) }
    }

    /// Reads on. Dropped, it has lost nothing: what was read is in `self`.
    async fn read_to(&mut self, limit: usize) -> Stopped<B::Error> {
        let Self { first, trailers, rest: Rest::Body(rest) } = self else {
            return Stopped::Ended;
        };
        let mut length = 0_usize;
        // A body that says how long it is need not be read to be known to be longer.
        while length <= limit && rest.size_hint().lower() <= (limit - length) as u64 {
            let frame = poll_fn(|cx| {
                // One that always has something to give, and if it is nothing, is not to keep the time from being over.
                ready!(clock::poll_turn(cx));
                rest.as_mut().poll_frame(cx)
            });
            match frame.await {
                None => return Stopped::Ended,
                Some(Err(error)) => return Stopped::Failed(error),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => {
                        length = length.saturating_add(data.remaining());
                        first.push(data.copy_to_bytes(data.remaining()));
                    }
                    Err(frame) => {
                        let more = frame.into_trailers().unwrap_or_default();
                        let size = more.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
                        length = length.saturating_add(size);
                        trailers.extend(more);
                    }
                },
            }
        }
        Stopped::Full
    }
}

/// Reads a body up to `limit` bytes, its trailers included, for as long as `within`.
pub(super) async fn read<B: Body>(body: B, limit: usize, within: Duration) -> Read<B> {
    let mut read = PartlyRead::unread(body);
    match clock::within(within, read.read_to(limit)).await {
        Some(Stopped::Ended) => Read::Whole { body: read.first, trailers: read.trailers },
        Some(Stopped::Full) => Read::More(read),
        Some(Stopped::Failed(error)) => Read::Cut(PartlyRead { rest: Rest::Error(error), ..read }),
        None => Read::Slow(read),
    }
}

impl<B: Body> Body for PartlyRead<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(data) = self.first.pop() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if !self.trailers.is_empty() {
            return Poll::Ready(Some(Ok(Frame::trailers(std::mem::take(&mut self.trailers)))));
        }
        if let Rest::Body(rest) = &mut self.rest {
            let frame = ready!(rest.as_mut().poll_frame(cx));
            let data = |mut data: B::Data| data.copy_to_bytes(data.remaining());
            return Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(data))));
        }
        Poll::Ready(match std::mem::replace(&mut self.rest, Rest::None) {
            Rest::Error(error) => Some(Err(error)),
            Rest::Body(_) | Rest::None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && self.trailers.is_empty()
            && match &self.rest {
                Rest::Body(rest) => rest.is_end_stream(),
                Rest::Error(_) => false,
                Rest::None => true,
            }
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.len() as u64;
        match &self.rest {
            Rest::None => SizeHint::with_exact(first),
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http::HeaderValue;

    use super::*;

    /// Gives its frames, and says of itself what it is told to say.
    struct Frames(VecDeque<Result<Frame<Bytes>, &'static str>>, SizeHint);

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            Poll::Ready(self.0.pop_front())
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            self.1
        }
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(text.into()))
    }

    fn trailers() -> HeaderMap {
        [(http::header::ETAG, HeaderValue::from_static("7"))].into_iter().collect()
    }

    /// Reads up to five bytes.
    async fn read_five(
        frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>,
        says: SizeHint,
    ) -> Read<Frames> {
        read(Frames(frames.into_iter().collect(), says), 5, Duration::from_secs(1)).await
    }

    /// What `read` has yet to give: text, trailers in brackets, an error with an exclamation mark.
    async fn rest(mut read: PartlyRead<Frames>) -> String {
        let mut all = String::new();
        loop {
            let (is_end, hint) = (read.is_end_stream(), read.size_hint());
            let Some(frame) = poll_fn(|cx| Pin::new(&mut read).poll_frame(cx)).await else {
                return all;
            };
            assert!(!is_end, "there was more: {all}");
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    assert!(hint.upper().is_none_or(|upper| upper >= data.len() as u64));
                    all.push_str(std::str::from_utf8(&data).expect("text"));
                }
                Ok(Err(trailers)) => {
                    let trailers = trailers.into_trailers().expect("trailers");
                    all.push_str(&format!("[{}]", trailers["etag"].to_str().expect("text")));
                }
                Err(error) => all.push_str(&format!("{error}!")),
            }
        }
    }

    fn hint(lower: u64, upper: Option<u64>) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(lower);
        upper.into_iter().for_each(|upper| hint.set_upper(upper));
        hint
    }

    fn bounds(hint: &SizeHint) -> (u64, Option<u64>) {
        (hint.lower(), hint.upper())
    }

    #[tokio::test]
    async fn a_body_within_the_limit_is_whole_with_its_trailers() {
        let frames = [data("a"), data(""), data("b"), Ok(Frame::trailers(trailers()))].into_iter().collect();
        // Two bytes of data and five of trailers.
        let read = read(Frames(frames, hint(0, None)), 7, Duration::from_secs(1)).await;
        let Read::Whole { body, trailers } = read else { panic!("not whole") };
        let read = PartlyRead::<Frames>::whole(body, trailers);
        assert_eq!(bounds(&read.size_hint()), (2, Some(2)));
        assert_eq!(rest(read).await, "ab[7]");
        assert!(PartlyRead::<Frames>::whole(Bytes::new(), HeaderMap::new()).is_end_stream());
    }

    #[tokio::test]
    async fn what_is_read_of_a_longer_one_comes_first_and_is_counted() {
        let frames = || [data("abc"), data("def"), data("g"), Err("broken")];
        let Read::More(read) = read_five(frames(), hint(0, Some(7))).await else { panic!("not longer") };
        assert_eq!(bounds(&read.size_hint()), (6, Some(13)), "what is left says of itself what it is told to");
        assert_eq!(rest(read).await, "abcdefgbroken!");
        let Read::More(read) = read_five(frames(), hint(6, Some(u64::MAX))).await else { panic!("not longer") };
        assert_eq!(read.first.len(), 0, "it said so, and nothing was read");
        assert_eq!(bounds(&read.size_hint()), (6, Some(u64::MAX)));
        assert_eq!(rest(read).await, "abcdefgbroken!");
        let Read::More(read) = read_five([data("abc"), data("def")], hint(4, None)).await else { panic!("not longer") };
        assert_eq!((read.first.len(), bounds(&read.size_hint())), (3, (7, None)), "four more are too many");
    }

    #[tokio::test]
    async fn trailers_that_are_too_long_are_not_lost_and_the_body_ends_where_they_do() {
        let frames = [data("abc"), Ok(Frame::trailers(trailers()))];
        let Read::More(read) = read_five(frames, hint(0, None)).await else { panic!("not longer") };
        assert!(!read.is_end_stream());
        assert_eq!(rest(read).await, "abc[7]");
    }

    #[tokio::test]
    async fn what_came_before_an_error_comes_before_it() {
        let frames = [data("a"), Err("broken"), data("b")];
        let Read::Cut(read) = read_five(frames, hint(0, None)).await else { panic!("not cut") };
        assert_eq!(bounds(&read.size_hint()), (0, None), "it has no length");
        assert_eq!(rest(read).await, "abroken!");
        let read = PartlyRead::unread(Frames(VecDeque::from([data("a")]), hint(1, Some(1))));
        assert!(!read.is_end_stream());
        assert_eq!(rest(read).await, "a");
        assert!(PartlyRead::unread(Frames(VecDeque::new(), hint(0, None))).is_end_stream());
    }
}
