use std::error::Error;
use std::fmt;
use std::future::Future;

use bytes::Bytes;

/// Says what is kept of an answer, and makes an answer of what was kept.
///
/// An answer may have to be read to be kept, and so the one that is given is not always the one that came.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what is kept of an answer of type `{Res}`",
    note = "`.keep(Values::new())` does, of what serde can write (feature `serde`), and over HTTP `.http_server(..)`"
)]
pub trait Keep<Res, E>: Send + Sync + 'static {
    /// The answer to be.
    type Future: Future<Output = Kept<Res, E>> + Send;

    /// What is to be done about what came of a request.
    fn keep(&self, result: Result<Res, E>) -> Self::Future;

    /// What is answered when the service panics, and what is to be done about it. By default the panic goes on to whoever sent
    /// the request, and nobody knows what came of it.
    fn panicked(&self) -> Option<Kept<Res, E>> {
        None
    }

    /// The answer of which `kept` was kept.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if it was not kept by this, or of an answer that could not be kept. The request is not run again.
    fn replay(&self, kept: Bytes) -> Result<Res, Unreadable>;
}

/// What came of a request, and what is to be done about it.
#[derive(Debug)]
pub struct Kept<Res, E> {
    /// For whoever sent the request.
    pub result: Result<Res, E>,
    /// For whoever repeats it.
    pub verdict: Verdict,
}

/// What a repeated request is answered with.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This, whatever it means.
    Final(Bytes),
    /// With what comes of it when it is run again, for nothing has come of it.
    NoEffect,
    /// That nobody knows what came of it, and why.
    Unknown(String),
}

/// What was kept of an answer cannot be made an answer of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl Unreadable {
    /// And why.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what was kept cannot be replayed: {}", self.0)
    }
}

impl Error for Unreadable {}
