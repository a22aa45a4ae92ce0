use std::pin::Pin;
use std::task::{Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::buffer::{Buffer, Given, NotKept};
use crate::rejection::BoxError;

pub(super) type Read = Result<Frame<Bytes>, BoxError>;

/// One body and the attempts to send it, of which one is under way.
///
/// The original is lent to whoever reads from it and is given back with what was read; nobody waits for it with a lock in
/// hand. What others wrote, be it a body, bytes or a waker, is neither called nor dropped in here but handed out.
pub(super) struct State<B> {
    /// The attempt under way, or the next one.
    attempt: u64,
    /// Whether that attempt has a body that asks for more.
    is_asked_for: bool,
    /// Whether there may be another attempt.
    is_keeping: bool,
    buffer: Buffer,
    /// What an attempt has read that was sealed meanwhile: it belongs to the next.
    ahead: Option<Read>,
    original: Original<B>,
    rest: Rest,
    /// The original said at first how long it is. If not, no attempt says it, although it is known in the end: a message
    /// that is framed by its length has no place for trailers.
    tells_its_length: bool,
    /// The attempt under way waits for its next frame.
    parked: Option<Waker>,
}

enum Original<B> {
    Here(Pin<Box<B>>),
    /// An attempt reads from it.
    Lent,
    Ended,
    /// It has panicked, or was given away.
    Gone,
}

/// What the original says of what it has yet to give.
#[derive(Clone)]
pub(super) struct Rest {
    pub(super) hint: SizeHint,
    pub(super) is_end: bool,
}

/// What an attempt gets that asks for the next frame.
pub(super) enum Turn<B> {
    /// There was a later attempt, or there shall be.
    Superseded,
    Next(Frame<Bytes>),
    /// Read by an earlier attempt.
    Ahead(Read, Box<Keeping>),
    /// To be read from and given back.
    Lent {
        original: Pin<Box<B>>,
        knows_waker: bool,
    },
    /// To be read from to its end. Nothing is kept any more.
    Yours(Pin<Box<B>>),
    /// An earlier attempt reads, and what it reads comes here.
    Wait,
    End,
    Lost,
}

/// What comes of keeping a frame.
pub(super) struct Keeping {
    /// Why nothing is kept from now on.
    pub(super) ends: Option<NotKept>,
    #[expect(dead_code, reason = "it is dropped where no lock is held")]
    given: Option<Given>,
}

/// What comes of giving the original back.
pub(super) struct GivenBack<B> {
    /// Nothing, if the attempt was sealed while it read.
    pub(super) read: Option<Poll<Option<Read>>>,
    pub(super) keeping: Keeping,
    pub(super) wake: Option<Waker>,
    pub(super) unneeded: Unneeded<B>,
}

/// What is to be dropped where no lock is held.
#[must_use]
#[expect(dead_code, reason = "it is only dropped")]
pub(super) struct Unneeded<B> {
    given: Option<Given>,
    ahead: Option<Read>,
    original: Option<Pin<Box<B>>>,
    parked: Option<Waker>,
}

impl<B> Unneeded<B> {
    const NOTHING: Self = Self { given: None, ahead: None, original: None, parked: None };
}

impl<B> State<B> {
    pub(super) fn new(original: Pin<Box<B>>, rest: Rest, buffer: Buffer) -> Self {
        Self {
            tells_its_length: rest.hint.exact().is_some(),
            attempt: 0,
            is_asked_for: true,
            is_keeping: true,
            buffer,
            ahead: None,
            original: Original::Here(original),
            rest,
            parked: None,
        }
    }

    pub(super) fn turn(&mut self, attempt: u64, waker: &Waker) -> Turn<B> {
        if attempt != self.attempt {
            return Turn::Superseded;
        }
        let next = if self.is_keeping { self.buffer.give() } else { self.buffer.give_away() };
        if let Some(frame) = next {
            return Turn::Next(frame);
        }
        if let Some(read) = self.ahead.take() {
            let keeping = self.keep(&read);
            return Turn::Ahead(read, Box::new(keeping));
        }
        match std::mem::replace(&mut self.original, Original::Lent) {
            Original::Here(original) if self.is_keeping => {
                let knows_waker = self.parked.as_ref().is_some_and(|parked| parked.will_wake(waker));
                Turn::Lent { original, knows_waker }
            }
            Original::Here(original) => {
                self.original = Original::Gone;
                Turn::Yours(original)
            }
            Original::Lent => Turn::Wait,
            Original::Ended => {
                self.original = Original::Ended;
                Turn::End
            }
            Original::Gone => {
                self.original = Original::Gone;
                Turn::Lost
            }
        }
    }

    /// Keeps what the attempt under way is given. What cannot be kept, or is an error, ends the keeping.
    fn keep(&mut self, read: &Read) -> Keeping {
        let mut ends = None;
        if self.is_keeping {
            ends = read.as_ref().ok().and_then(|frame| self.buffer.keep(frame).err());
            self.is_keeping = read.is_ok() && ends.is_none();
        }
        let given = (!self.is_keeping).then(|| self.buffer.take_given());
        Keeping { ends, given }
    }

    /// Waits until an earlier attempt has given the original back. The waker comes back if there is nothing to wait for.
    pub(super) fn wait(&mut self, attempt: u64, waker: Waker) -> Result<Option<Waker>, Waker> {
        if attempt == self.attempt && matches!(self.original, Original::Lent) {
            Ok(self.parked.replace(waker))
        } else {
            Err(waker)
        }
    }

    /// The original comes back, with what was `read` from it, and with a `waker` if the attempt waits for more and had
    /// left none.
    pub(super) fn give_back(
        &mut self,
        attempt: u64,
        original: Pin<Box<B>>,
        read: Poll<Option<Read>>,
        rest: Rest,
        waker: Option<Waker>,
    ) -> GivenBack<B> {
        let ended = self.put_back(original, &read, rest);
        let mut back = if attempt == self.attempt { self.go_on(read, waker) } else { self.hand_over(read) };
        if ended.is_some() {
            back.unneeded.original = ended;
        }
        back
    }

    fn put_back(&mut self, original: Pin<Box<B>>, read: &Poll<Option<Read>>, rest: Rest) -> Option<Pin<Box<B>>> {
        if matches!(read, Poll::Ready(None)) {
            self.original = Original::Ended;
            self.rest = Rest { hint: SizeHint::with_exact(0), is_end: true };
            return Some(original);
        }
        self.original = Original::Here(original);
        self.rest = rest;
        None
    }

    fn go_on(&mut self, read: Poll<Option<Read>>, waker: Option<Waker>) -> GivenBack<B> {
        let keeping = match &read {
            Poll::Ready(Some(read)) => self.keep(read),
            _ => Keeping { ends: None, given: None },
        };
        let parked = waker.and_then(|waker| self.parked.replace(waker));
        GivenBack { read: Some(read), keeping, wake: None, unneeded: Unneeded { parked, ..Unneeded::NOTHING } }
    }

    /// The attempt was sealed while it read.
    fn hand_over(&mut self, read: Poll<Option<Read>>) -> GivenBack<B> {
        if let Poll::Ready(read) = read {
            self.ahead = read;
        }
        // Whoever waits has to ask the original itself, which knows only the waker of the one before.
        let wake = self.parked.take();
        let is_needed = self.is_keeping || self.is_asked_for;
        let unneeded = if is_needed { Unneeded::NOTHING } else { self.take_all() };
        GivenBack { read: None, keeping: Keeping { ends: None, given: None }, wake, unneeded }
    }

    /// The original panicked while it was lent.
    pub(super) fn lose(&mut self) -> (Option<Waker>, Unneeded<B>) {
        self.original = Original::Gone;
        self.rest = Rest { hint: SizeHint::default(), is_end: false };
        self.is_keeping = false;
        (self.parked.take(), Unneeded { given: Some(self.buffer.take_given()), ..Unneeded::NOTHING })
    }

    /// Ends the attempt under way, and says whom to wake to hear of it. `None`, and it goes on, if there is not all that
    /// another one needs.
    pub(super) fn seal(&mut self) -> Option<Option<Waker>> {
        self.is_keeping.then(|| {
            self.attempt += 1;
            self.is_asked_for = false;
            self.buffer.rewind();
            self.parked.take()
        })
    }

    /// The attempt that is next begins.
    pub(super) const fn begin(&mut self) -> u64 {
        self.is_asked_for = true;
        self.attempt
    }

    /// There shall not be another attempt. The one under way needs what it was not given yet.
    pub(super) fn let_go(&mut self) -> Unneeded<B> {
        self.is_keeping = false;
        if self.is_asked_for {
            Unneeded { given: Some(self.buffer.take_given()), ..Unneeded::NOTHING }
        } else {
            self.take_all()
        }
    }

    /// The body of an attempt is dropped.
    pub(super) fn leave(&mut self, attempt: u64) -> Unneeded<B> {
        if attempt != self.attempt {
            return Unneeded::NOTHING;
        }
        self.is_asked_for = false;
        if self.is_keeping { Unneeded { parked: self.parked.take(), ..Unneeded::NOTHING } } else { self.take_all() }
    }

    fn take_all(&mut self) -> Unneeded<B> {
        let original = match std::mem::replace(&mut self.original, Original::Gone) {
            Original::Here(original) => Some(original),
            // Whoever gives it back finds that nobody asks for it.
            Original::Lent => {
                self.original = Original::Lent;
                None
            }
            Original::Ended | Original::Gone => None,
        };
        let given = Some(self.buffer.take_all());
        Unneeded { given, ahead: self.ahead.take(), original, parked: self.parked.take() }
    }

    pub(super) fn size_hint(&self, attempt: u64) -> SizeHint {
        let mut hint = SizeHint::default();
        if attempt == self.attempt {
            let ahead = self.ahead.as_ref().and_then(|read| read.as_ref().ok()).and_then(Frame::data_ref);
            let before = (self.buffer.left() + ahead.map_or(0, Bytes::len)) as u64;
            hint.set_lower(self.rest.hint.lower().saturating_add(before));
            let upper = self.rest.hint.upper().filter(|_| self.tells_its_length);
            if let Some(upper) = upper.and_then(|upper| upper.checked_add(before)) {
                hint.set_upper(upper);
            }
        }
        hint
    }

    pub(super) fn is_end_stream(&self, attempt: u64) -> bool {
        attempt == self.attempt && self.buffer.is_given() && self.ahead.is_none() && self.rest.is_end
    }
}

#[cfg(test)]
mod tests;
