use std::sync::Arc;

use crate::attempt::Attempt;

/// Is told of every attempt just before it is made, and may tell the request.
///
/// Ready-made are [`Untold`] (the default) and, for HTTP, [`http::InExtensions`](crate::http::InExtensions) and
/// [`http::AttemptHeader`](crate::http::AttemptHeader). A closure `Fn(&mut Req, Attempt)` serves too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot tell a `{Req}` which attempt it is",
    note = "a closure `|request: &mut {Req}, attempt: Attempt| ..` can"
)]
pub trait OnAttempt<Req> {
    /// `request` is about to be sent as `attempt`.
    fn on_attempt(&self, request: &mut Req, attempt: Attempt);
}

/// No request is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold;

impl<Req> OnAttempt<Req> for Untold {
    #[inline]
    fn on_attempt(&self, _: &mut Req, _: Attempt) {}
}

#[diagnostic::do_not_recommend]
impl<F, Req> OnAttempt<Req> for F
where
    F: Fn(&mut Req, Attempt),
{
    #[inline]
    fn on_attempt(&self, request: &mut Req, attempt: Attempt) {
        self(request, attempt);
    }
}

impl<A, Req> OnAttempt<Req> for Arc<A>
where
    A: OnAttempt<Req> + ?Sized,
{
    fn on_attempt(&self, request: &mut Req, attempt: Attempt) {
        (**self).on_attempt(request, attempt);
    }
}
