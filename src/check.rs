//! Asks the compiler early whether a stack can serve a request.

use tower::Service;

/// States at the end of a stack what it is to serve, so that the compiler explains what is missing there.
///
/// A layer that answers with an error needs the wrapped service's error to be able to carry a refusal. A client's own
/// error type cannot; `.map_err(buttress::Error::inner)` innermost makes one that can. Without `check` the forgotten
/// line shows up later, as a method that "exists but its trait bounds were not satisfied". With it the message names
/// the line to add.
///
/// ```
/// use std::time::Duration;
/// use buttress::Check;
/// use buttress::timeout::{TimeoutConfig, TimeoutLayer};
/// use tower::ServiceBuilder;
///
/// # fn main() -> Result<(), buttress::timeout::InvalidTimeout> {
/// # let client = tower::service_fn(|job: u32| async move { if job > 0 { Ok(job) } else { Err("no job") } });
/// let client = ServiceBuilder::new()
///     .layer(TimeoutLayer::new(TimeoutConfig::new(Duration::from_secs(1)))?)
///     .map_err(buttress::Error::inner)
///     .service(client)
///     .check::<u32>();
/// # Ok(())
/// # }
/// ```
pub trait Check: Sized {
    /// The service itself; compiles only if it serves `Req`.
    #[must_use]
    fn check<Req>(self) -> Self
    where
        Self: Service<Req>,
    {
        self
    }
}

impl<S> Check for S {}
