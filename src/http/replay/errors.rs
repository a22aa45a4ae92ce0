use std::error::Error;
use std::fmt;

/// A later attempt has taken this one's place, so that its body is sent no further.
///
/// It is the error of a [`ReplayBody`](super::ReplayBody) whose answer nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupersededAttempt(pub(super) ());

impl fmt::Display for SupersededAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a later attempt has taken the place of this one")
    }
}

impl Error for SupersededAttempt {}

/// The body of the request panicked while an attempt was reading it, so that no other can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostBody(pub(super) ());

impl fmt::Display for LostBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of the request panicked while it was read")
    }
}

impl Error for LostBody {}
