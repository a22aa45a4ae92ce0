use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use super::buffer::Buffer;
use super::errors::LostBody;
use super::state::{Keeping, Read, Rest, State, Turn};
use crate::rejection::BoxError;
use crate::sync::{Mutex, MutexGuard};
use crate::telemetry;

/// A body and the attempts to send it.
struct Shared<B>(Mutex<State<B>>);

impl<B> Shared<B> {
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body as it is kept for the attempts to come.
pub(super) struct Keeper<B>(Arc<Shared<B>>);

/// The body as one attempt has it.
pub(super) struct Attempt<B> {
    shared: Arc<Shared<B>>,
    number: u64,
}

pub(super) enum Polled<B> {
    Read(Poll<Option<Read>>),
    /// To be read from without us.
    Yours(Pin<Box<B>>),
    Superseded,
}

impl<B: Body> Keeper<B> {
    pub(super) fn new(body: B, buffer: Buffer) -> (Self, Attempt<B>) {
        let rest = Rest::of(&body);
        let shared = Arc::new(Shared(Mutex::new(State::new(Box::pin(body), rest, buffer))));
        (Self(shared.clone()), Attempt { shared, number: 0 })
    }
}

impl<B> Keeper<B> {
    pub(super) fn seal(&self) -> bool {
        let sealed = self.0.lock().seal();
        let Some(parked) = sealed else {
            return false;
        };
        if let Some(waker) = parked {
            waker.wake();
        }
        true
    }

    pub(super) fn again(&self) -> Attempt<B> {
        Attempt { shared: self.0.clone(), number: self.0.lock().begin() }
    }
}

impl<B> Drop for Keeper<B> {
    fn drop(&mut self) {
        let _unneeded = self.0.lock().let_go();
    }
}

impl<B> Attempt<B> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Polled<B>
    where
        B: Body<Error: Into<BoxError>>,
    {
        loop {
            let turn = self.shared.lock().turn(self.number, cx.waker());
            let read = match turn {
                Turn::Superseded => return Polled::Superseded,
                Turn::Yours(original) => return Polled::Yours(original),
                Turn::Lent { original, knows_waker } => return self.read(original, knows_waker, cx),
                Turn::Next(frame) => Poll::Ready(Some(Ok(frame))),
                Turn::Ahead(read, keeping) => {
                    tell(&keeping);
                    Poll::Ready(Some(read))
                }
                Turn::End => Poll::Ready(None),
                Turn::Lost => Poll::Ready(Some(Err(LostBody(()).into()))),
                Turn::Wait => {
                    let waker = cx.waker().clone();
                    let waiting = self.shared.lock().wait(self.number, waker);
                    if waiting.is_err() {
                        continue;
                    }
                    Poll::Pending
                }
            };
            return Polled::Read(read);
        }
    }

    fn read(&self, mut original: Pin<Box<B>>, knows_waker: bool, cx: &mut Context<'_>) -> Polled<B>
    where
        B: Body<Error: Into<BoxError>>,
    {
        let lent = Lent(&self.shared);
        let read = read(original.as_mut(), cx);
        let rest = Rest::of(&*original);
        let waker = (read.is_pending() && !knows_waker).then(|| cx.waker().clone());
        std::mem::forget(lent);
        let back = self.shared.lock().give_back(self.number, original, read, rest, waker);
        tell(&back.keeping);
        if let Some(waker) = back.wake {
            waker.wake();
        }
        back.read.map_or(Polled::Superseded, Polled::Read)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.shared.lock().size_hint(self.number)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.shared.lock().is_end_stream(self.number)
    }
}

impl<B> Drop for Attempt<B> {
    fn drop(&mut self) {
        let _unneeded = self.shared.lock().leave(self.number);
    }
}

impl Rest {
    fn of<B: Body>(body: &B) -> Self {
        Self { hint: body.size_hint(), is_end: body.is_end_stream() }
    }
}

/// Dropped only if the original panics while it is lent.
struct Lent<'a, B>(&'a Shared<B>);

impl<B> Drop for Lent<'_, B> {
    fn drop(&mut self) {
        let (parked, _unneeded) = self.0.lock().lose();
        if let Some(waker) = parked {
            waker.wake();
        }
    }
}

/// The next frame, with its data in one piece.
pub(super) fn read<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Read>>
where
    B: Body<Error: Into<BoxError>>,
{
    let in_one_piece = |mut data: B::Data| -> Bytes { data.copy_to_bytes(data.remaining()) };
    body.poll_frame(cx).map_ok(|frame: Frame<B::Data>| frame.map_data(in_one_piece)).map_err(Into::into)
}

fn tell(keeping: &Keeping) {
    if let Some(reason) = keeping.ends {
        telemetry::body_not_kept(reason.as_str());
    }
}
