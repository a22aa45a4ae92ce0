//! How a layer says no, without changing the type of the service it wraps.

mod elapsed;
mod limited;
mod open;
mod refused;

use std::any::Any;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use tower::BoxError;

pub(crate) use self::elapsed::Cause;
pub use self::elapsed::Elapsed;
pub use self::limited::{LimitReason, Limited};
pub use self::open::{Open, TripReason};
pub use self::refused::{RefusalReason, Refused};
use crate::name::Name;

/// Everything a layer of this crate can say no with.
///
/// It is one type, so an error of yours needs one `From` to carry whatever any layer refuses with:
///
/// ```
/// use buttress::Rejection;
///
/// #[derive(Debug, thiserror::Error)]
/// enum OrderError {
///     #[error("out of stock")]
///     OutOfStock,
///     #[error(transparent)]
///     Refused(#[from] Rejection),
/// }
/// // Asked for by layers that classify errors: it tells a refusal from a failure of the service itself.
/// impl buttress::MayCarryRejection for OrderError {
///     fn rejection(&self) -> Option<Rejection> {
///         Rejection::find(self)
///     }
/// }
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// There was no answer in time, or no time left to ask.
    Elapsed(Elapsed),
    /// A circuit breaker leaves the service alone for a while.
    CircuitOpen(Open),
    /// A rate limiter refused a call.
    RateLimited(Limited),
    /// A request that is to be run once was not run.
    Idempotency(Refused),
}

impl Rejection {
    /// How long the caller should wait before it tries again, where the layer knows.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Elapsed(_) => None,
            Self::CircuitOpen(open) => open.retry_after(),
            Self::RateLimited(limited) => limited.retry_after(),
            Self::Idempotency(refused) => refused.retry_after(),
        }
    }

    /// The name of the layer that refused.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Self::Elapsed(elapsed) => elapsed.name(),
            Self::CircuitOpen(open) => open.name(),
            Self::RateLimited(limited) => limited.name(),
            Self::Idempotency(refused) => refused.name(),
        }
    }

    /// Searches `error` and all its sources for a refusal by a layer of this crate.
    ///
    /// ```
    /// use std::time::Duration;
    /// use buttress::timeout::{TimeoutConfig, TimeoutLayer};
    /// use buttress::{BoxError, Rejection};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), BoxError> {
    /// let slow = service_fn(|()| async {
    ///     tokio::time::sleep(Duration::from_secs(60)).await;
    ///     Ok::<_, BoxError>(())
    /// });
    /// let layer = TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?;
    /// let error = layer.layer(slow).oneshot(()).await.unwrap_err();
    /// assert!(matches!(Rejection::find(&*error), Some(Rejection::Elapsed(_))));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn find(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            // The leaves are looked for as well: a `#[error(transparent)]` variant hides the `Rejection` it holds
            // and shows only the source of it.
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found.clone());
            }
            if let Some(found) = error.downcast_ref::<Elapsed>() {
                return Some(found.clone().into());
            }
            if let Some(found) = error.downcast_ref::<Open>() {
                return Some(found.clone().into());
            }
            if let Some(found) = error.downcast_ref::<Limited>() {
                return Some((*found).into());
            }
            if let Some(found) = error.downcast_ref::<Refused>() {
                return Some((*found).into());
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed(elapsed) => write!(f, "timed out in `{}`", elapsed.name()),
            Self::CircuitOpen(open) => write!(f, "refused by the circuit breaker `{}`", open.name()),
            Self::RateLimited(limited) => write!(f, "refused by the rate limiter `{}`", limited.name()),
            Self::Idempotency(refused) => write!(f, "not run once more by `{}`", refused.name()),
        }
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Elapsed(elapsed) => Some(elapsed),
            Self::CircuitOpen(open) => Some(open),
            Self::RateLimited(limited) => Some(limited),
            Self::Idempotency(refused) => Some(refused),
        }
    }
}

/// How a refusal reaches the caller without changing the types of the wrapped service.
///
/// Ready-made are [`AsError`] (the default) and, for HTTP, [`http::AsResponse`](crate::http::AsResponse). A closure
/// `Fn(Rejection) -> Result<Res, E>` serves too; one that owns something that cannot be cloned goes into an [`Arc`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot turn a refusal of a buttress layer into `Result<{Res}, {E}>`",
    label = "this layer has no way to say no here",
    note = "if `{E}` is a foreign client's error, add `.map_err(buttress::Error::inner)` innermost, right before `.service(client)`",
    note = "if it is your own error, give it `impl From<buttress::Rejection>`",
    note = "if the service answers HTTP and cannot fail, as in axum, choose `.http_server()` on the layer",
    note = "`http::AsResponse`, which `.http_server()` chooses, needs a response body that is `From<bytes::Bytes>`: map the body innermost"
)]
pub trait Reject<Res, E> {
    /// Makes the answer, or the error, that stands for `rejection`.
    ///
    /// # Errors
    ///
    /// Whatever the wrapped service's own error makes of a refusal.
    fn reject(&self, rejection: Rejection) -> Result<Res, E>;
}

#[diagnostic::do_not_recommend]
impl<F, Res, E> Reject<Res, E> for F
where
    F: Fn(Rejection) -> Result<Res, E>,
{
    fn reject(&self, rejection: Rejection) -> Result<Res, E> {
        self(rejection)
    }
}

impl<R, Res, E> Reject<Res, E> for Arc<R>
where
    R: Reject<Res, E> + ?Sized,
{
    fn reject(&self, rejection: Rejection) -> Result<Res, E> {
        (**self).reject(rejection)
    }
}

/// Refuses with the wrapped service's own error, which is made `From` the [`Rejection`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AsError;

impl<Res, E> Reject<Res, E> for AsError
where
    E: From<Rejection>,
{
    fn reject(&self, rejection: Rejection) -> Result<Res, E> {
        Err(rejection.into())
    }
}

/// The ready-made error for a stack over a client whose own error cannot carry a refusal.
///
/// Put `.map_err(buttress::Error::inner)` innermost, and every layer above can refuse. A service whose error is a
/// [`BoxError`] needs none of it: that carries whatever it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// A layer refused.
    Rejected(Rejection),
    /// The wrapped client failed.
    Inner(E),
}

impl<E> Error<E> {
    /// Wraps the client's own error.
    pub const fn inner(error: E) -> Self {
        Self::Inner(error)
    }

    /// The client's own error, if that is what it is.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Rejected(_) => None,
            Self::Inner(error) => Some(error),
        }
    }
}

impl<E> From<Rejection> for Error<E> {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for Error<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // The client's error is shown and returned: a log of the outermost line alone still tells what happened, and
        // whoever searches the chain for a type of the client (as tonic does) still finds it.
        match self {
            Self::Rejected(rejection) => rejection.source(),
            Self::Inner(error) => Some(error),
        }
    }
}

/// An error that may be a refusal by a layer further in.
///
/// It lets an outer layer tell "the breaker below said no" from "the service failed". For an enum of your own one line
/// will do: `impl MayCarryRejection for MyError {}` says it never is,
/// `fn rejection(&self) -> Option<Rejection> { Rejection::find(self) }` searches its sources.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether it may be a refusal of a buttress layer",
    note = "for an error of your own, add `impl buttress::MayCarryRejection for {Self} {{}}`",
    note = "for a foreign client's error, add `.map_err(buttress::Error::inner)` innermost, or classify with `AnyErrorIsFailure`"
)]
pub trait MayCarryRejection {
    /// Whether there can be such an error at all. `false` for `Infallible`: who waits for an error waits for ever.
    const CAN_FAIL: bool = true;

    /// The refusal, if it is one.
    fn rejection(&self) -> Option<Rejection> {
        None
    }
}

impl MayCarryRejection for Rejection {
    fn rejection(&self) -> Option<Rejection> {
        Some(self.clone())
    }
}

/// Looks into the error inside too where it is one of the common carriers: a [`BoxError`] (as tower's `Buffer` makes), an
/// `io::Error`, a [`Rejection`]. A client's own error is not searched; classify with a closure and [`Rejection::find`]
/// where it may wrap a refusal, as it does with layers around a connector.
impl<E: 'static> MayCarryRejection for Error<E> {
    fn rejection(&self) -> Option<Rejection> {
        let inner: &dyn Any = match self {
            Self::Rejected(rejection) => return Some(rejection.clone()),
            Self::Inner(inner) => inner,
        };
        if let Some(boxed) = inner.downcast_ref::<BoxError>() {
            boxed.rejection()
        } else if let Some(io) = inner.downcast_ref::<io::Error>() {
            io.rejection()
        } else {
            inner.downcast_ref::<Rejection>().cloned()
        }
    }
}

impl MayCarryRejection for BoxError {
    fn rejection(&self) -> Option<Rejection> {
        Rejection::find(&**self)
    }
}

impl MayCarryRejection for io::Error {
    fn rejection(&self) -> Option<Rejection> {
        Rejection::find(self)
    }
}

impl MayCarryRejection for Infallible {
    const CAN_FAIL: bool = false;
}
impl MayCarryRejection for String {}
impl MayCarryRejection for &'static str {}
impl MayCarryRejection for () {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum UserError {
        #[error(transparent)]
        Hidden(#[from] Rejection),
        #[error("order {0} failed")]
        Order(u32, #[source] Box<UserError>),
        #[error("nothing of ours")]
        Other,
    }

    fn elapsed() -> Rejection {
        Elapsed::new("attempt".into(), Duration::from_millis(250), Cause::OwnLimit).into()
    }

    #[test]
    fn a_refusal_is_found_at_any_depth() {
        let direct = elapsed();
        let boxed: BoxError = elapsed().into();
        let in_io = io::Error::other(elapsed());
        let transparent = UserError::from(elapsed());
        let deep = UserError::Order(7, Box::new(UserError::from(elapsed())));
        let in_error = Error::Inner(io::Error::other(elapsed()));
        let rejected = Error::<io::Error>::from(elapsed());
        let chains: [&(dyn StdError + 'static); 7] =
            [&direct, &*boxed, &in_io, &transparent, &deep, &in_error, &rejected];
        for error in chains {
            assert_eq!(Rejection::find(error), Some(elapsed()), "in {error:?}");
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        assert_eq!(Rejection::find(&UserError::Other), None);
        assert_eq!(Rejection::find(&UserError::Order(1, Box::new(UserError::Other))), None);
    }

    #[test]
    fn a_refusal_is_small_enough_to_be_part_of_every_error() {
        assert!(size_of::<Rejection>() <= 32);
    }

    #[test]
    fn a_refusal_shows_its_times_as_durations() {
        assert!(format!("{:?}", elapsed()).contains("allowed: 250ms"));
        let open = Open::new("a".into(), TripReason::ForcedOpen);
        assert!(format!("{open:?}").ends_with("retry_after: None }"), "{open:?}");
    }

    #[test]
    fn a_chain_says_each_thing_once() {
        let error = Error::<io::Error>::from(elapsed());
        let mut said = vec![error.to_string()];
        let mut next = error.source();
        while let Some(source) = next {
            said.push(source.to_string());
            next = source.source();
        }
        assert_eq!(said, ["timed out in `attempt`", "no answer within 250ms"]);
    }

    #[test]
    fn an_elapsed_says_whose_time_ran_out() {
        let own = Elapsed::new("a".into(), Duration::from_secs(1), Cause::OwnLimit);
        assert!(!own.by_deadline() && own.was_called());
        let deadline = Elapsed::new("a".into(), Duration::from_millis(40), Cause::Deadline);
        assert!(deadline.by_deadline() && deadline.was_called());
        assert_eq!(deadline.to_string(), "no answer within the 40ms left until the deadline");
        let late = Elapsed::new("a".into(), Duration::ZERO, Cause::DeadlineBeforeCall);
        assert!(late.by_deadline() && !late.was_called());
        assert_eq!(late.to_string(), "the deadline had passed before the call");
    }

    #[test]
    fn every_error_of_ours_tells_a_refusal_from_a_failure() {
        assert_eq!(Error::<()>::from(elapsed()).rejection(), Some(elapsed()));
        assert_eq!(Error::inner(()).rejection(), None);
        assert_eq!(Error::inner(elapsed()).rejection(), Some(elapsed()));
        assert_eq!(Error::inner(BoxError::from(elapsed())).rejection(), Some(elapsed()));
        assert_eq!(Error::inner(BoxError::from("no")).rejection(), None);
        assert_eq!(Error::inner(io::Error::other(elapsed())).rejection(), Some(elapsed()));
        assert_eq!(BoxError::from(elapsed()).rejection(), Some(elapsed()));
        assert_eq!(BoxError::from("no").rejection(), None);
        assert_eq!(io::Error::other(elapsed()).rejection(), Some(elapsed()));
        assert_eq!(elapsed().rejection(), Some(elapsed()));
        assert_eq!(String::from("no").rejection(), None);
        assert_eq!(().rejection(), None);
    }

    #[test]
    fn closures_and_shared_closures_refuse() {
        struct NotClone;
        let by_closure = |rejection: Rejection| Err::<(), _>(rejection.to_string());
        assert_eq!(by_closure.reject(elapsed()), Err(String::from("timed out in `attempt`")));
        let owner = NotClone;
        let shared = Arc::new(move |_: Rejection| {
            let _ = &owner;
            Ok::<_, ()>(7)
        });
        assert_eq!(shared.clone().reject(elapsed()), Ok(7));
    }
}
