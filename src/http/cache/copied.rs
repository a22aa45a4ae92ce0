use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::remember::Copying;
use crate::http::partly_read::PartlyRead;
use crate::http::pieces::Pieces;

/// Where a body goes that has passed.
pub trait Sink {
    /// Takes all of a body.
    fn keep(self, body: Bytes);

    /// Is told that there is more of it than may be.
    fn too_large(self);
}

/// A body that is remembered: one that is told again, or the origin's own, of which a copy is made as it passes.
///
/// The copy is remembered once all of the body has passed. One that fails, is given up before its end, is not as long as its head
/// said, is too long, or is followed by trailers is not remembered.
#[pin_project]
pub struct CopiedBody<B: Body, K: Sink = Copying> {
    #[pin]
    form: Form<B, K>,
}

#[pin_project(project = FormProjection)]
enum Form<B: Body, K: Sink> {
    Recalled(Bytes),
    Gathered(#[pin] PartlyRead<B>),
    Passing {
        #[pin]
        body: B,
        /// Gone once it is given, or known not to be needed.
        passed: Option<Passed<K>>,
    },
}

impl<B: Body, K: Sink> CopiedBody<B, K> {
    /// All of it, from memory.
    pub(super) const fn recalled(body: Bytes) -> Self {
        Self { form: Form::Recalled(body) }
    }

    /// One that is copied already, or will be as the rest of it passes.
    pub(super) const fn gathered(body: PartlyRead<B>) -> Self {
        Self { form: Form::Gathered(body) }
    }

    /// The body of a response with these headers, as it passes. `keep` is given up to `limit` bytes, in memory of their own.
    pub(super) fn passing(headers: &HeaderMap, body: B, limit: usize, keep: K) -> Self {
        let length = content_length(headers).or_else(|| body.size_hint().exact());
        let mut passed = Some(Passed { data: Pieces::default(), length, limit, keep: Some(keep) });
        settle(&mut passed, body.is_end_stream(), &body);
        Self { form: Form::Passing { body, passed } }
    }

    /// Whether a copy may come of it yet.
    pub(super) const fn is_being_copied(&self) -> bool {
        matches!(self.form, Form::Passing { passed: Some(_), .. })
    }
}

/// What has passed of a body.
struct Passed<K: Sink> {
    data: Pieces,
    /// Of the whole body, if it is said somewhere.
    length: Option<u64>,
    limit: usize,
    keep: Option<K>,
}

impl<K: Sink> Passed<K> {
    /// Whether the body is longer than may be if `rest` passes too.
    fn is_too_much(&self, rest: &SizeHint) -> bool {
        let (passed, limit) = (self.data.len() as u64, self.limit as u64);
        passed.saturating_add(rest.lower()).max(self.length.unwrap_or_default()) > limit
    }

    /// Whether it can be the whole body once `rest` has passed too.
    fn is_of_use(&self, rest: &SizeHint) -> bool {
        let passed = self.data.len() as u64;
        let least = passed.saturating_add(rest.lower());
        let most = rest.upper().map_or(u64::MAX, |rest| passed.saturating_add(rest));
        self.length.is_none_or(|length| (least..=most).contains(&length))
    }

    fn say_too_large(mut self) {
        if let Some(keep) = self.keep.take() {
            keep.too_large();
        }
    }

    fn give(&mut self) {
        if let Some(keep) = self.keep.take() {
            keep.keep(self.data.copied());
        }
    }
}

impl<K: Sink> Drop for Passed<K> {
    /// Who has sent as much as the head said has no reason to ask for the end, and hyper does not.
    fn drop(&mut self) {
        if self.length == Some(self.data.len() as u64) {
            self.give();
        }
    }
}

/// Gives what has passed at the end of the body, and throws it away as soon as it is known not to be the whole of it.
fn settle<B: Body, K: Sink>(slot: &mut Option<Passed<K>>, is_end: bool, body: &B) {
    let rest = if is_end { SizeHint::with_exact(0) } else { body.size_hint() };
    match slot.take() {
        Some(passed) if passed.is_too_much(&rest) => passed.say_too_large(),
        Some(passed) if !passed.is_of_use(&rest) => throw_away(passed),
        Some(mut passed) if is_end => passed.give(),
        passed => *slot = passed,
    }
}

fn throw_away<K: Sink>(mut passed: Passed<K>) {
    passed.keep = None;
}

impl<B: Body, K: Sink> Body for CopiedBody<B, K> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (mut body, slot) = match self.project().form.project() {
            FormProjection::Recalled(body) if body.is_empty() => return Poll::Ready(None),
            FormProjection::Recalled(body) => return Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            FormProjection::Gathered(body) => return body.poll_frame(cx),
            FormProjection::Passing { body, passed } => (body, passed),
        };
        let frame = ready!(body.as_mut().poll_frame(cx));
        let data = |mut data: B::Data| data.copy_to_bytes(data.remaining());
        let frame = frame.map(|frame| frame.map(|frame| frame.map_data(data)));
        let passing = frame.as_ref().map(|frame| frame.as_ref().ok().and_then(Frame::data_ref));
        match (passing, slot.as_mut()) {
            (None, _) => settle(slot, true, &*body),
            (Some(Some(data)), Some(passed)) => {
                passed.data.push(data.clone());
                // A body that is at its end need not be asked again, and hyper does not.
                settle(slot, body.is_end_stream(), &*body);
            }
            (Some(Some(_)), None) => {}
            // An error, or trailers.
            (Some(None), _) => slot.take().into_iter().for_each(throw_away),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.form {
            Form::Recalled(body) => body.is_empty(),
            Form::Gathered(body) => body.is_end_stream(),
            Form::Passing { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.form {
            Form::Recalled(body) => SizeHint::with_exact(body.len() as u64),
            Form::Gathered(body) => body.size_hint(),
            Form::Passing { body, .. } => body.size_hint(),
        }
    }
}

/// What the head says that the length is, if it says so. What cannot be read is a length that no body has.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    let mut said = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let first = said.next()?;
    let is_number = first.iter().all(u8::is_ascii_digit) && said.all(|other| other == first);
    let length = std::str::from_utf8(first).ok().filter(|_| is_number).and_then(|first| first.parse().ok());
    Some(length.unwrap_or(u64::MAX))
}

impl<B: Body + fmt::Debug, K: Sink> fmt::Debug for CopiedBody<B, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Recalled(body) => f.debug_tuple("Recalled").field(body).finish(),
            Form::Gathered(body) => f.debug_tuple("Gathered").field(body).finish(),
            Form::Passing { body, .. } => f.debug_tuple("Passing").field(body).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::rc::Rc;

    use http::HeaderValue;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_test::task::spawn;

    use super::*;

    impl<F: FnOnce(Bytes)> Sink for F {
        fn keep(self, body: Bytes) {
            self(body);
        }

        fn too_large(self) {}
    }

    type Given = Result<Frame<Bytes>, &'static str>;

    /// Gives its frames. It tells the rest of its length, and whether it is at its end, if it is told to.
    #[derive(Debug, Default)]
    struct Frames {
        frames: VecDeque<Option<Given>>,
        tells_length: bool,
        tells_end: bool,
    }

    fn frames(frames: impl IntoIterator<Item = Given>) -> Frames {
        Frames { frames: frames.into_iter().map(Some).collect(), tells_length: false, tells_end: false }
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Given>> {
            match self.frames.pop_front() {
                Some(Some(frame)) => Poll::Ready(Some(frame)),
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        }

        fn is_end_stream(&self) -> bool {
            self.tells_end && self.frames.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            if !self.tells_length {
                return SizeHint::default();
            }
            let data = self.frames.iter().flatten().flatten().filter_map(Frame::data_ref);
            SizeHint::with_exact(data.map(|data| data.len() as u64).sum())
        }
    }

    fn data(text: &'static str) -> Given {
        Ok(Frame::data(text.into()))
    }

    fn trailers() -> Given {
        Ok(Frame::trailers(head(&["7"])))
    }

    fn head(lengths: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for length in lengths {
            headers.append(CONTENT_LENGTH, HeaderValue::from_str(length).expect("a value"));
        }
        headers
    }

    /// What was kept, and how often.
    type Kept = Rc<RefCell<Vec<Bytes>>>;

    fn passing(lengths: &[&str], body: Frames, limit: usize) -> (CopiedBody<Frames, impl FnOnce(Bytes) + use<>>, Kept) {
        let kept = Kept::default();
        let sink = kept.clone();
        (CopiedBody::passing(&head(lengths), body, limit, move |body| sink.borrow_mut().push(body)), kept)
    }

    /// Reads so many frames, and then, if there are no more, the end.
    fn read<K: Sink>(body: &mut CopiedBody<Frames, K>, most: usize) -> Vec<Given> {
        let mut body = Pin::new(body);
        let mut all = Vec::new();
        while all.len() < most {
            let mut next = spawn(poll_fn(|cx| body.as_mut().poll_frame(cx)));
            match next.poll() {
                Poll::Ready(Some(frame)) => all.push(frame),
                Poll::Ready(None) => break,
                Poll::Pending => assert!(next.is_woken()),
            }
        }
        all
    }

    fn text(given: &[Given]) -> String {
        given.iter().flatten().filter_map(Frame::data_ref).map(|data| String::from_utf8_lossy(data)).collect()
    }

    /// What is kept of a body that is read to its end, up to ten bytes.
    fn kept(lengths: &[&str], body: Frames) -> Vec<Bytes> {
        let (mut body, kept) = passing(lengths, body, 10);
        read(&mut body, usize::MAX);
        drop(body);
        kept.take()
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn a_body_passes_as_it_is_and_is_kept_once_at_its_end() {
        let mut origin = frames([data("ab"), data(""), data("cd")]);
        origin.frames.insert(1, None);
        let (mut body, kept) = passing(&[], origin, 4);
        assert_eq!(text(&read(&mut body, 3)), "abcd");
        assert_eq!(*kept.borrow(), NOTHING, "more may come");
        assert_eq!(text(&read(&mut body, 1)), "");
        assert_eq!(*kept.borrow(), ["abcd"]);
        read(&mut body, 1);
        drop(body);
        assert_eq!(*kept.borrow(), ["abcd"]);
    }

    #[test]
    fn who_is_told_the_end_need_not_ask_for_it() {
        let (mut body, kept) = passing(&[], Frames { tells_end: true, ..frames([data("ab"), data("cd")]) }, 4);
        read(&mut body, 1);
        assert_eq!((kept.take(), body.is_end_stream()), (vec![], false));
        read(&mut body, 1);
        assert_eq!((kept.take(), body.is_end_stream()), (vec![Bytes::from("abcd")], true));
        let (body, kept) = passing(&["0"], Frames { tells_end: true, ..frames([]) }, 4);
        assert_eq!(kept.take(), [""], "there is nothing to be read");
        drop(body);
        assert_eq!(kept.take(), NOTHING);
    }

    /// hyper gives up a body as soon as it has sent what `Content-Length` says, and does not ask for its end.
    #[test]
    fn who_has_all_that_the_head_said_need_not_ask_for_the_end() {
        let (mut body, kept) = passing(&["4"], frames([data("ab"), data("cd")]), 4);
        read(&mut body, 2);
        assert_eq!(*kept.borrow(), NOTHING, "trailers may come");
        drop(body);
        assert_eq!(*kept.borrow(), ["abcd"]);
    }

    #[tokio::test]
    async fn what_hyper_has_sent_is_kept_whether_it_asks_for_the_end_or_not() {
        for (lengths, tells_end) in [(&["4"][..], false), (&["4"], true), (&[], false), (&[], true)] {
            let kept = Kept::default();
            let answer = |_| {
                let (body, sink) = (Frames { tells_end, ..frames([data("ab"), data("cd")]) }, kept.clone());
                let body = CopiedBody::passing(&head(lengths), body, 4, move |body| sink.borrow_mut().push(body));
                let mut response = http::Response::new(body);
                *response.headers_mut() = head(lengths);
                std::future::ready(Ok::<_, std::convert::Infallible>(response))
            };
            let (mut client, server) = tokio::io::duplex(1 << 16);
            let server = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(server), hyper::service::service_fn(answer));
            client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("room");
            server.await.expect("a request");
            let mut sent = String::new();
            client.read_to_string(&mut sent).await.expect("text");
            assert!(sent.contains("ab") && sent.contains("cd"), "{sent}");
            assert_eq!(kept.take(), ["abcd"], "{lengths:?} {tells_end}");
        }
    }

    #[test]
    fn who_leaves_before_the_end_leaves_nothing() {
        for lengths in [&[][..], &["4"]] {
            for read_before in [0, 1] {
                let (mut body, kept) = passing(lengths, frames([data("ab"), data("cd")]), 4);
                read(&mut body, read_before);
                drop(body);
                assert_eq!(*kept.borrow(), NOTHING);
            }
        }
        let (mut body, kept) = passing(&[], frames([data("ab"), data("cd")]), 4);
        read(&mut body, 2);
        drop(body);
        assert_eq!(*kept.borrow(), NOTHING, "nobody knows that this was all");
    }

    #[test]
    fn what_is_not_as_long_as_was_said_is_not_kept() {
        let body = || frames([data("ab"), data("cd")]);
        for lengths in [&["4"][..], &["4, 4"], &["4", " 4 "], &["04"]] {
            assert_eq!(kept(lengths, body()), ["abcd"], "{lengths:?}");
        }
        for lengths in [&["3"][..], &["5"], &["0"], &["4", "5"], &["4", "04"], &["+4"], &["-4"], &[""], &["4,"], &["x"]]
        {
            assert_eq!(kept(lengths, body()), NOTHING, "{lengths:?}");
            assert_eq!(kept(lengths, Frames { tells_end: true, ..body() }), NOTHING, "{lengths:?}");
            assert_eq!(kept(lengths, Frames { tells_length: true, ..body() }), NOTHING, "{lengths:?}");
        }
        assert_eq!(kept(&["99999999999999999999999"], body()), NOTHING);
    }

    #[test]
    fn a_body_that_says_its_own_length_is_held_to_it() {
        assert_eq!(kept(&[], Frames { tells_length: true, ..frames([data("ab"), data("cd")]) }), ["abcd"]);
        let (mut body, kept) = passing(&[], Frames { tells_length: true, ..frames([data("ab"), data("cd")]) }, 4);
        let Form::Passing { body: origin, .. } = &mut body.form else { panic!("it passes") };
        origin.frames.pop_back();
        read(&mut body, usize::MAX);
        assert_eq!(kept.take(), NOTHING, "it was cut");
    }

    #[test]
    fn what_fails_or_has_trailers_is_not_kept() {
        for last in [|| Err("broken"), trailers] {
            for lengths in [&[][..], &["4"]] {
                let (mut body, kept) = passing(lengths, frames([data("ab"), data("cd"), last(), data("")]), 10);
                let given = read(&mut body, usize::MAX);
                assert_eq!((text(&given).as_str(), given.len()), ("abcd", 4));
                assert!(given[2].as_ref().map_or(true, Frame::is_trailers), "it passes");
                drop(body);
                assert_eq!(*kept.borrow(), NOTHING, "{lengths:?}");
            }
        }
    }

    /// Whether a copy is still being made.
    fn is_copied<K: Sink>(body: &CopiedBody<Frames, K>) -> bool {
        matches!(body.form, Form::Passing { passed: Some(_), .. })
    }

    #[test]
    fn the_copy_goes_as_soon_as_it_is_known_not_to_be_needed() {
        let body = || frames([data("abc"), data("def"), data("g")]);
        let (mut long, kept) = passing(&[], body(), 5);
        read(&mut long, 1);
        assert!(is_copied(&long));
        read(&mut long, 1);
        assert!(!is_copied(&long), "it is longer than the limit");
        assert_eq!(text(&read(&mut long, usize::MAX)), "g", "and passes all the same");
        assert_eq!(*kept.borrow(), NOTHING);

        assert!(is_copied(&passing(&["7"], body(), 7).0));
        assert!(!is_copied(&passing(&["7"], body(), 6).0), "the head says that it is longer");
        assert!(is_copied(&passing(&[], Frames { tells_length: true, ..body() }, 7).0));
        assert!(!is_copied(&passing(&[], Frames { tells_length: true, ..body() }, 6).0), "it says that it is longer");
        assert!(
            !is_copied(&passing(&["6"], Frames { tells_length: true, ..body() }, 9).0),
            "the head says another length"
        );
        let (mut more, _) = passing(&["5"], body(), 9);
        read(&mut more, 2);
        assert!(!is_copied(&more), "there is more than the head said");
        let (mut failed, _) = passing(&[], frames([Err("broken"), data("a")]), 9);
        read(&mut failed, 1);
        assert!(!is_copied(&failed));
    }

    #[test]
    fn what_is_kept_does_not_hold_the_buffer_that_it_came_in() {
        let buffer = Bytes::from(vec![7; 1 << 16]);
        let (mut body, kept) = passing(&[], frames([Ok(Frame::data(buffer.slice(..8)))]), 10);
        let given = read(&mut body, usize::MAX);
        let kept = kept.take().pop().expect("kept");
        assert_eq!(kept, [7; 8][..]);
        drop((body, given));
        assert!(buffer.is_unique(), "nobody else holds it");
        assert!(kept.is_unique());
        let large = Bytes::from(vec![7; 1 << 16]);
        let (mut body, kept) = passing(&[], frames([Ok(Frame::data(large.slice(1..)))]), 1 << 16);
        read(&mut body, usize::MAX);
        assert_eq!(kept.borrow()[0].len(), (1 << 16) - 1);
        assert!(large.is_unique());
    }

    #[test]
    fn a_body_from_memory_says_all_of_itself() {
        let mut body = CopiedBody::<Frames, fn(Bytes)>::recalled("abc".into());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        assert_eq!(format!("{body:?}"), r#"Recalled(b"abc")"#);
        assert_eq!(text(&read(&mut body, 1)), "abc");
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        assert!(read(&mut body, 1).is_empty());
        assert!(CopiedBody::<Frames, fn(Bytes)>::recalled(Bytes::new()).is_end_stream());
    }

    #[test]
    fn a_body_that_passes_says_what_the_origins_own_says() {
        let (body, _) = passing(&[], Frames { tells_length: true, ..frames([data("ab")]) }, 1);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
        let (body, _) = passing(&[], frames([]), 1);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false));
        assert!(format!("{body:?}").starts_with("Passing(Frames"));
    }

    proptest! {
        /// The whole story of a body: what passes is what there is, and what is kept is that or nothing.
        #[test]
        fn what_is_kept_is_what_has_passed_and_all_of_it(
            pieces in proptest::collection::vec(0..3_usize, 0..6),
            last in proptest::option::of(any::<bool>()),
            said in proptest::option::of(0..12_u64),
            tells: (bool, bool),
            limit in 0..12_usize,
            polls in 0..12_usize,
        ) {
            const TEXT: &str = "abcdefghijklmnop";
            let mut at = 0;
            let mut all = pieces.iter().map(|length| { at += length; data(&TEXT[at - length..at]) }).collect::<Vec<_>>();
            all.extend(last.map(|is_error| if is_error { Err("broken") } else { trailers() }));
            let said_text = said.map(|length| length.to_string());
            let origin = Frames { tells_length: tells.0, tells_end: tells.1, ..frames(all) };
            let (mut body, kept) = passing(&said_text.iter().map(String::as_str).collect::<Vec<_>>(), origin, limit);
            let given = read(&mut body, polls);
            let has_ended = given.len() < polls || body.is_end_stream();
            drop(body);
            let passed = text(&given);
            let frames = pieces.len() + usize::from(last.is_some());
            prop_assert_eq!(given.len(), polls.min(frames));
            let length = said.or(tells.0.then_some(at as u64));
            let is_agreed = length.is_none_or(|length| length == passed.len() as u64 && (!tells.0 || length == at as u64));
            // What fails after all of it is whole for whoever does not ask for the end.
            let is_whole = (has_ended || length.is_some()) && is_agreed && !(last.is_some() && given.len() == frames);
            let expected = if is_whole && passed.len() <= limit { vec![passed] } else { vec![] };
            prop_assert_eq!(kept.take(), expected);
        }
    }
}
