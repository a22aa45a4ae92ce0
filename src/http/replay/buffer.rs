use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use smallvec::SmallVec;

use super::pool::{ReplayPool, Reservation};

/// A chunk of so many bytes is shared, and a smaller one is copied: a slice holds on to all of the memory that it was
/// cut from, and its handle alone is 32 bytes. The first chunk is always shared. It is often the only one, and its
/// memory is often that of the head.
const SHARED_FROM: usize = 512;

/// Why a body is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// It is larger than is to be kept of one.
    Cap,
    /// Others have taken what may be kept.
    Pool,
    /// It has frames after its trailers, or of a kind that we do not know.
    Frame,
}

impl NotKept {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Cap => "cap",
            Self::Pool => "pool",
            Self::Frame => "frame",
        }
    }
}

/// What was read of a body, and how far an attempt has come in it.
pub(super) struct Buffer {
    cap: usize,
    reserved: Reservation,
    chunks: SmallVec<[Bytes; 2]>,
    /// Small chunks after those, together. Whoever reads them from the original has come to the end of what is kept, so
    /// that this part has never yet to be given.
    tail: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// The chunk to be given next.
    next: usize,
    are_trailers_given: bool,
}

impl Buffer {
    pub(super) fn new(cap: usize, pool: ReplayPool) -> Self {
        let reserved = Reservation::none(pool);
        Self {
            cap,
            reserved,
            chunks: SmallVec::new(),
            tail: Vec::new(),
            trailers: None,
            next: 0,
            are_trailers_given: false,
        }
    }

    /// Keeps what the attempt was given that has come to the end of this.
    pub(super) fn keep(&mut self, frame: &Frame<Bytes>) -> Result<(), NotKept> {
        debug_assert!(self.is_given(), "who reads on was given all that is kept");
        if self.trailers.is_some() {
            return Err(NotKept::Frame);
        }
        if let Some(data) = frame.data_ref() {
            self.reserve(data.len())?;
            self.keep_chunk(data);
        } else {
            let trailers = frame.trailers_ref().ok_or(NotKept::Frame)?;
            self.reserve(size_of_all(trailers))?;
            self.trailers = Some(trailers.clone());
            self.are_trailers_given = true;
        }
        Ok(())
    }

    fn reserve(&mut self, bytes: usize) -> Result<(), NotKept> {
        if bytes > self.cap - self.reserved.bytes() {
            return Err(NotKept::Cap);
        }
        self.reserved.grow(bytes).then_some(()).ok_or(NotKept::Pool)
    }

    fn keep_chunk(&mut self, data: &Bytes) {
        if data.is_empty() {
            return;
        }
        if self.chunks.is_empty() || data.len() >= SHARED_FROM {
            self.close_tail();
            self.chunks.push(data.clone());
            self.next = self.chunks.len();
        } else {
            self.tail.extend_from_slice(data);
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).into());
            self.next = self.chunks.len();
        }
    }

    /// Another attempt begins.
    pub(super) fn rewind(&mut self) {
        self.close_tail();
        self.next = 0;
        self.are_trailers_given = false;
    }

    /// The next frame, which stays here.
    pub(super) fn give(&mut self) -> Option<Frame<Bytes>> {
        if let Some(chunk) = self.chunks.get(self.next) {
            self.next += 1;
            return Some(Frame::data(chunk.clone()));
        }
        if std::mem::replace(&mut self.are_trailers_given, true) {
            return None;
        }
        self.trailers.clone().map(Frame::trailers)
    }

    /// The next frame, which nobody will ask for again.
    pub(super) fn give_away(&mut self) -> Option<Frame<Bytes>> {
        if let Some(chunk) = self.chunks.get_mut(self.next) {
            self.next += 1;
            let chunk = std::mem::take(chunk);
            self.reserved.shrink(chunk.len());
            return Some(Frame::data(chunk));
        }
        if std::mem::replace(&mut self.are_trailers_given, true) {
            return None;
        }
        let trailers = self.trailers.take()?;
        self.reserved.shrink(size_of_all(&trailers));
        Some(Frame::trailers(trailers))
    }

    /// Takes out what was given, which nobody will ask for again.
    pub(super) fn take_given(&mut self) -> Given {
        let chunks: SmallVec<[Bytes; 2]> = self.chunks.drain(..self.next).collect();
        self.next = 0;
        let tail = std::mem::take(&mut self.tail);
        let trailers = if self.are_trailers_given { self.trailers.take() } else { None };
        let data = chunks.iter().map(Bytes::len).sum::<usize>() + tail.len();
        self.reserved.shrink(data + trailers.as_ref().map_or(0, size_of_all));
        Given { _chunks: chunks, _tail: tail, _trailers: trailers }
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> Given {
        self.next = self.chunks.len();
        self.are_trailers_given = true;
        self.take_given()
    }

    /// Whether the attempt has come to the end of this.
    pub(super) fn is_given(&self) -> bool {
        self.next == self.chunks.len() && (self.are_trailers_given || self.trailers.is_none())
    }

    /// How many bytes of data are yet to be given.
    pub(super) fn left(&self) -> usize {
        self.chunks[self.next..].iter().map(Bytes::len).sum()
    }
}

/// What nobody needs any more, to be dropped where no lock is held: bytes may have an owner that is the user's code.
pub(super) struct Given {
    _chunks: SmallVec<[Bytes; 2]>,
    _tail: Vec<u8>,
    _trailers: Option<HeaderMap>,
}

fn size_of_all(trailers: &HeaderMap) -> usize {
    trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue};
    use http_body::Frame;

    use super::{Buffer, NotKept, SHARED_FROM};
    use crate::http::replay::pool::ReplayPool;

    fn data(bytes: &Bytes) -> Frame<Bytes> {
        Frame::data(bytes.clone())
    }

    /// Of 10 bytes.
    fn trailers() -> Frame<Bytes> {
        let mut map = HeaderMap::new();
        map.insert("checksum", HeaderValue::from_static("ab"));
        Frame::trailers(map)
    }

    fn bytes_of(frame: Option<Frame<Bytes>>) -> Bytes {
        frame.expect("a frame").into_data().expect("data")
    }

    #[test]
    fn what_is_kept_is_given_again_and_again() {
        let pool = ReplayPool::new(100);
        let mut buffer = Buffer::new(100, pool.clone());
        buffer.keep(&data(&Bytes::from_static(b"one"))).expect("kept");
        buffer.keep(&trailers()).expect("kept");
        assert!(buffer.is_given(), "who read it has it");
        assert!(buffer.give().is_none());
        for _ in 0..2 {
            buffer.rewind();
            assert!(!buffer.is_given());
            assert_eq!(buffer.left(), 3);
            assert_eq!(bytes_of(buffer.give()), "one");
            assert_eq!((buffer.left(), buffer.is_given()), (0, false), "there are trailers");
            assert!(buffer.give().expect("a frame").is_trailers());
            assert!(buffer.is_given());
            assert!(buffer.give().is_none());
        }
        assert_eq!(pool.used(), 13);
        drop(buffer);
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn no_more_is_kept_than_the_cap_and_the_pool_allow() {
        let ten = Bytes::from_static(b"0123456789");
        let pool = ReplayPool::new(25);
        let mut buffer = Buffer::new(20, pool.clone());
        for _ in 0..2 {
            buffer.keep(&data(&ten)).expect("kept");
        }
        buffer.keep(&data(&Bytes::new())).expect("nothing is within any cap");
        assert_eq!(buffer.keep(&data(&ten.slice(..1))), Err(NotKept::Cap));
        assert_eq!(buffer.keep(&trailers()), Err(NotKept::Cap));

        let mut other = Buffer::new(20, pool.clone());
        other.keep(&data(&ten.slice(..5))).expect("kept");
        assert_eq!(other.keep(&data(&ten.slice(..1))), Err(NotKept::Pool));
        assert_eq!(other.keep(&trailers()), Err(NotKept::Pool));
        assert_eq!(pool.used(), 25, "what was not kept was not counted");
    }

    #[test]
    fn nothing_is_kept_after_trailers() {
        let mut buffer = Buffer::new(100, ReplayPool::new(100));
        buffer.keep(&trailers()).expect("kept");
        assert_eq!(buffer.keep(&data(&Bytes::from_static(b"late"))), Err(NotKept::Frame));
        assert_eq!(buffer.keep(&trailers()), Err(NotKept::Frame));
    }

    #[test]
    fn small_chunks_are_copied_together_and_the_first_and_large_ones_are_shared() {
        let block = Bytes::from(vec![7; 4 * SHARED_FROM]);
        let mut buffer = Buffer::new(usize::MAX, ReplayPool::new(usize::MAX));
        for len in [1, 2, 3, SHARED_FROM, SHARED_FROM - 1] {
            buffer.keep(&data(&block.slice(..len))).expect("kept");
        }
        buffer.rewind();
        let is_shared = |chunk: &Bytes| chunk.as_ptr() == block.as_ptr();
        let chunks: Vec<_> = std::iter::from_fn(|| buffer.give()).map(|frame| bytes_of(Some(frame))).collect();
        let seen: Vec<_> = chunks.iter().map(|chunk| (chunk.len(), is_shared(chunk))).collect();
        assert_eq!(seen, [(1, true), (5, false), (SHARED_FROM, true), (SHARED_FROM - 1, false)]);
    }

    #[test]
    fn what_nobody_asks_for_again_is_not_counted() {
        let pool = ReplayPool::new(2_000);
        let mut buffer = Buffer::new(2_000, pool.clone());
        for _ in 0..2 {
            buffer.keep(&data(&Bytes::from(vec![7; SHARED_FROM]))).expect("kept");
        }
        buffer.keep(&trailers()).expect("kept");
        buffer.rewind();
        assert!(buffer.give().is_some());
        drop(buffer.take_given());
        assert_eq!(pool.used(), SHARED_FROM + 10);
        assert_eq!(buffer.left(), SHARED_FROM);
        assert_eq!(bytes_of(buffer.give_away()).len(), SHARED_FROM);
        assert_eq!(pool.used(), 10);
        assert!(buffer.give_away().expect("a frame").is_trailers());
        assert!(buffer.give_away().is_none());
        assert_eq!(pool.used(), 0);
    }

    #[test]
    fn a_tail_that_was_given_is_taken_out_with_the_rest() {
        let pool = ReplayPool::new(100);
        let mut buffer = Buffer::new(100, pool.clone());
        for _ in 0..2 {
            buffer.keep(&data(&Bytes::from_static(b"small"))).expect("kept");
        }
        buffer.keep(&trailers()).expect("kept");
        drop(buffer.take_given());
        assert_eq!(pool.used(), 0);
        assert!(buffer.is_given());
    }
}
