use std::sync::Arc;
use std::time::Duration;

/// Says how long a request may take.
///
/// A closure `Fn(&Req) -> Duration` or `Fn(&Req) -> Option<Duration>` does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how long a `{Req}` may take",
    note = "a closure `|request: &{Req}| -> Duration` does"
)]
pub trait LimitOf<Req> {
    /// How long `request` may take; `None` leaves it at the configured limit.
    fn limit_of(&self, request: &Req) -> Option<Duration>;
}

/// Leaves every request at the configured limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConfiguredLimit;

impl<Req> LimitOf<Req> for ConfiguredLimit {
    fn limit_of(&self, _: &Req) -> Option<Duration> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<F, Req, T> LimitOf<Req> for F
where
    F: Fn(&Req) -> T,
    T: Into<Option<Duration>>,
{
    fn limit_of(&self, request: &Req) -> Option<Duration> {
        self(request).into()
    }
}

impl<L, Req> LimitOf<Req> for Arc<L>
where
    L: LimitOf<Req> + ?Sized,
{
    fn limit_of(&self, request: &Req) -> Option<Duration> {
        (**self).limit_of(request)
    }
}
