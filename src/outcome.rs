//! What a finished call means.
//!
//! Breaker, retry, fallback and stale cache all ask one [`Classify`] what became of a call, and each has its own view
//! of the answer:
//!
//! | [`FailureKind`] | over HTTP | breaker | retry | fallback, stale cache |
//! |---|---|---|---|---|
//! | `Error` | 500, 502, 503, 504; transport error | failure | yes | yes |
//! | `Permanent` | other 5xx but 501 and 505 | failure | no | no |
//! | `TimedOut` | our [`Elapsed`] | failure | yes | yes |
//! | `Expired` | our [`Elapsed`] before the call | neutral | no: the deadline has passed | yes |
//! | `RequestTimeout` | 408 | neutral | yes | no |
//! | `Throttled` | 429, 425 | neutral; fails a probe | after its hint | no |
//! | `Refused` | our breaker, limiter and the like, further in | neutral | if its wait fits | yes |
//!
//! Everything else is a success, 404 and 501 too: the service did what it is there for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::name::Name;
use crate::rejection::{Elapsed, MayCarryRejection, Rejection};

/// What a finished call means.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service did what it is there for.
    Success,
    /// It did not.
    Failure(Failure),
}

impl Outcome {
    /// What went wrong, if something did.
    #[must_use]
    pub fn failure(self) -> Option<Failure> {
        match self {
            Self::Success => None,
            Self::Failure(failure) => Some(failure),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// The kinds of failure that some pattern tells apart; [the table](self) says which does.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum FailureKind {
    /// The service failed, and might not the next time.
    Error,
    /// The service failed, and asking again will not help.
    Permanent,
    /// There was no answer in time.
    TimedOut,
    /// The request's deadline had passed before the call; the service was never asked.
    Expired,
    /// The service gave up waiting for the request.
    RequestTimeout,
    /// The service asks to be called less.
    Throttled,
    /// A layer further in refused.
    Refused,
}

impl FailureKind {
    /// The kind in one word, as events and settings files write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Permanent => "permanent",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::RequestTimeout => "request_timeout",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Some of the kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// These.
    #[must_use]
    pub fn of(kinds: &[FailureKind]) -> Self {
        Self(kinds.iter().fold(0, |all, kind| all | bit(*kind)))
    }

    /// Whether `kind` is one of them.
    #[must_use]
    pub const fn contain(self, kind: FailureKind) -> bool {
        self.0 & bit(kind) != 0
    }
}

const fn bit(kind: FailureKind) -> u32 {
    1 << kind as u32
}

/// What went wrong with a call, in so far as layers act on it.
///
/// ```
/// use std::time::Duration;
/// use buttress::outcome::{Failure, FailureKind};
///
/// let failure = Failure::new(FailureKind::Throttled).with_code(429).with_retry_after(Duration::from_secs(2));
/// assert_eq!(failure.to_string(), "throttled (429)");
/// assert_eq!(failure.retry_after(), Some(Duration::from_secs(2)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    code: Option<u16>,
    retry_after: Option<Duration>,
    rejection: Option<Rejection>,
    is_final: bool,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub const fn new(kind: FailureKind) -> Self {
        Self { kind, code: None, retry_after: None, rejection: None, is_final: false }
    }

    /// Adds the protocol's own number for it, such as the HTTP status.
    #[must_use]
    pub const fn with_code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds how long the service asks to be left alone.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds that the request is not to be sent again, whatever the kind of failure: the service said so.
    #[must_use]
    pub const fn not_to_be_retried(mut self) -> Self {
        self.is_final = true;
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The protocol's own number for it, such as the HTTP status.
    #[must_use]
    pub const fn code(&self) -> Option<u16> {
        self.code
    }

    /// How long the service, or the layer that refused, asks to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the service said that the request is not to be sent again.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.is_final
    }

    /// The refusal, if a layer further in refused or timed out.
    #[must_use]
    pub const fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        let kind = match &rejection {
            Rejection::Elapsed(elapsed) if elapsed.was_called() => FailureKind::TimedOut,
            Rejection::Elapsed(_) => FailureKind::Expired,
            Rejection::CircuitOpen(_) | Rejection::RateLimited(_) | Rejection::Idempotency(_) => FailureKind::Refused,
        };
        let is_final = matches!(&rejection, Rejection::Idempotency(refused) if !refused.reason().may_pass_later());
        Self { kind, code: None, retry_after: rejection.retry_after(), rejection: Some(rejection), is_final }
    }
}

impl From<Elapsed> for Failure {
    fn from(elapsed: Elapsed) -> Self {
        Rejection::from(elapsed).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

/// Says what a finished call means.
///
/// Ready-made are [`ErrorsAreFailures`] (the default), [`AnyErrorIsFailure`] and, for HTTP,
/// [`http::StatusClassifier`](crate::http::StatusClassifier). A closure
/// `Fn(Result<&Res, &E>) -> Outcome` serves too; one that owns something that cannot be cloned goes into an [`Arc`].
///
/// ```
/// use buttress::outcome::{Classify, Failure, FailureKind, Outcome};
///
/// let overdrawn = |result: Result<&i64, &String>| match result {
///     Ok(balance) if *balance < 0 => Failure::new(FailureKind::Permanent).into(),
///     Ok(_) => Outcome::Success,
///     Err(_) => Failure::new(FailureKind::Error).into(),
/// };
/// assert_eq!(overdrawn.classify(Ok(&5)), Outcome::Success);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot tell what a `Result<{Res}, {E}>` means",
    label = "this layer cannot tell success from failure here",
    note = "if `{E}` is a foreign client's error, add `.map_err(buttress::Error::inner)` innermost, right before `.service(client)`",
    note = "if it is your own error, give it `impl buttress::MayCarryRejection`, or classify with `AnyErrorIsFailure`",
    note = "`http::StatusClassifier`, which the HTTP presets choose, needs an `http::Response`"
)]
pub trait Classify<Res, E> {
    /// What `result` means.
    fn classify(&self, result: Result<&Res, &E>) -> Outcome;
}

#[diagnostic::do_not_recommend]
impl<F, Res, E> Classify<Res, E> for F
where
    F: Fn(Result<&Res, &E>) -> Outcome,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        self(result)
    }
}

impl<C, Res, E> Classify<Res, E> for Arc<C>
where
    C: Classify<Res, E> + ?Sized,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        (**self).classify(result)
    }
}

/// Every `Ok` is a success, every `Err` a failure; refusals by layers of this crate are told apart.
///
/// Around a service that cannot fail, such as an axum router, it would never see a failure, and so it does not build there
/// (`cargo build` says so; `cargo check` does not look that far).
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorsAreFailures;

impl<Res, E> Classify<Res, E> for ErrorsAreFailures
where
    E: MayCarryRejection,
{
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        const {
            assert!(
                E::CAN_FAIL,
                "this service cannot fail, so `ErrorsAreFailures` would never see a failure: choose `.http_server()`, or say \
                 with `.classify(..)` which answers are failures"
            );
        }
        match result {
            Ok(_) => Outcome::Success,
            Err(error) => of_error(error).into(),
        }
    }
}

/// What an error means: the refusal it carries, or that the service failed.
#[cold]
pub(crate) fn of_error<E: MayCarryRejection>(error: &E) -> Failure {
    error.rejection().map_or(Failure::new(FailureKind::Error), Failure::from)
}

/// Every `Ok` is a success, every `Err` a failure of the service; asks nothing of the error's type.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnyErrorIsFailure;

impl<Res, E> Classify<Res, E> for AnyErrorIsFailure {
    fn classify(&self, result: Result<&Res, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Failure::new(FailureKind::Error).into(),
        }
    }
}

/// Says that an answer is a substitute, and for what.
///
/// It is left in the answer where the layer was told how ([`MarkDegraded`]; over HTTP in the response's extensions), so
/// that whoever sends the answer on can log it, count it or say so to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    layer: &'static str,
    name: Name,
    failure: Failure,
}

impl Degraded {
    /// A layer of kind `layer` and of this name answered in place of a call that failed so.
    #[must_use]
    pub const fn new(layer: &'static str, name: Name, failure: Failure) -> Self {
        Self { layer, name, failure }
    }

    /// The kind of layer that answered instead: `"fallback"`.
    #[must_use]
    pub const fn layer(&self) -> &'static str {
        self.layer
    }

    /// The name of that layer.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What went wrong with the call itself.
    #[must_use]
    pub const fn failure(&self) -> &Failure {
        &self.failure
    }
}

/// Leaves [`Degraded`] in an answer.
///
/// Ready-made are [`Unmarked`] (the default) and, for HTTP, [`http::InExtensions`](crate::http::InExtensions). A closure
/// `Fn(&mut Res, Degraded)` serves too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot mark a `{Res}` as degraded",
    note = "a closure `|response: &mut {Res}, degraded: Degraded| ..` can"
)]
pub trait MarkDegraded<Res> {
    /// Leaves `degraded` in `response`.
    fn mark(&self, response: &mut Res, degraded: Degraded);
}

#[diagnostic::do_not_recommend]
impl<F, Res> MarkDegraded<Res> for F
where
    F: Fn(&mut Res, Degraded),
{
    fn mark(&self, response: &mut Res, degraded: Degraded) {
        self(response, degraded);
    }
}

impl<M, Res> MarkDegraded<Res> for Arc<M>
where
    M: MarkDegraded<Res> + ?Sized,
{
    fn mark(&self, response: &mut Res, degraded: Degraded) {
        (**self).mark(response, degraded);
    }
}

/// Leaves no mark: the answer's type has no place for one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unmarked;

impl<Res> MarkDegraded<Res> for Unmarked {
    fn mark(&self, _: &mut Res, _: Degraded) {}
}
